//! What the supervisor's children say: into a log file each, which the supervisor writes, so that nobody who makes a child talk fills the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::data_dir;
use crate::failure::{Failure, Outcome};
use crate::run_settings::printable;

/// A log file this long is put aside as `.old` in place of the one before: a child has two such files at most.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Room beyond that for a line to end.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// What is read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How much of a log's end is read to explain a failure.
const TAIL_BYTES: u64 = 4_096;
/// Lines of a log shown to explain a failure.
const TAIL_LINES: usize = 5;
/// How long the last words of a child that has ended are waited for; something that it started may hold on to its output.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Makes the directory of the log files.
///
/// # Errors
/// It cannot be made.
pub(super) fn directory(root: &Path) -> Outcome<PathBuf> {
    let logs = root.join("logs");
    data_dir::make_own_directory(&logs, 0o700)?;
    Ok(logs)
}

/// The log of one child.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// Closed once all was written.
    writing: watch::Receiver<()>,
}

impl Log {
    /// Opens it, and a pipe into it. It ends when every copy of the pipe's end is closed.
    ///
    /// # Errors
    /// The file or the pipe cannot be opened.
    pub(super) fn open(path: PathBuf) -> Outcome<(Self, PipeWriter)> {
        let failed = |error: io::Error| Failure::file("open", &path, &error);
        let file = Bounded::open(path.clone(), LOG_BYTES_MAX).map_err(failed)?;
        let (output, input) = io::pipe().map_err(failed)?;
        let (done, writing) = watch::channel(());
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                file.take_all(output);
                drop(done);
            })
            .map_err(failed)?;
        Ok((Self { path, writing }, input))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all that was said is written. May be cancelled and called again.
    pub(super) async fn written(&mut self) {
        // Nothing is ever sent: it is an error, once the other side is gone.
        let _ = tokio::time::timeout(LAST_WORDS, self.writing.changed()).await;
    }

    /// The last lines; of JSON lines only what they say.
    pub(super) fn tail(&self) -> Vec<String> {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|line| spoken(line)).collect()
    }
}

fn spoken(line: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let member =
        |name: &str| value.as_ref().and_then(|value| value.get(name)).and_then(|text| text.as_str()).map(str::to_owned);
    printable(&member("message").or_else(|| member("event")).unwrap_or_else(|| line.to_owned()))
}

/// A file, and the one before it, neither of which is longer than `bytes_max` and a line.
struct Bounded {
    path: PathBuf,
    bytes_max: u64,
    file: File,
    length: u64,
}

impl Bounded {
    fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(data_dir::NO_LINK).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, bytes_max, file, length })
    }

    /// Writes all that comes. What cannot be written is lost: whoever speaks never waits for a full disk.
    fn take_all(mut self, mut output: PipeReader) {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match output.read(&mut piece) {
                Ok(length @ 1..) => drop(self.write(piece.get(..length).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.length < self.bytes_max {
            return self.append(piece);
        }
        if self.length >= self.bytes_max + LINE_BYTES_MAX {
            self.put_aside()?;
            return self.append(piece);
        }
        // A line ends in the file it began in.
        let end = piece.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let (line, rest) = piece.split_at(end.unwrap_or(piece.len()));
        self.append(line)?;
        if end.is_some() {
            self.put_aside()?;
        }
        self.append(rest)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        match &written {
            Ok(()) => self.length += bytes.len() as u64,
            // Part of it may be there.
            Err(_) => self.length = self.file.metadata().map_or(self.length, |found| found.len()),
        }
        written
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let mut old = self.path.as_os_str().to_owned();
        old.push(".old");
        match std::fs::rename(&self.path, &old) {
            // Somebody took it away, or it was put aside before and no other could be opened then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        *self = Self::open(self.path.clone(), self.bytes_max)?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn however_much_a_child_says_two_files_of_bounded_length_hold_its_last_words() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("host.log");
        let (output, mut input) = io::pipe().unwrap();
        let file = Bounded::open(path.clone(), 10_000).unwrap();
        let writer = std::thread::spawn(move || file.take_all(output));
        for number in 0..5_000 {
            writeln!(input, "line {number}").unwrap();
        }
        drop(input);
        writer.join().unwrap();
        let old = std::fs::read_to_string(scratch.path().join("host.log.old")).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
        for text in [&old, &new] {
            assert!(text.len() <= 10_000 + PIECE_BYTES && text.ends_with('\n'), "{}", text.len());
        }
        // No line is torn, and none of the last is missing.
        let kept: Vec<String> = old.lines().chain(new.lines()).map(str::to_owned).collect();
        let last: Vec<String> = (0..5_000).map(|number| format!("line {number}")).collect();
        assert!(last.ends_with(&kept) && kept.len() > 1_000, "{} lines", kept.len());
    }

    #[test]
    fn a_line_without_end_and_a_file_that_cannot_be_put_aside_grow_no_further() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("host.log");
        let mut file = Bounded::open(path.clone(), 10_000).unwrap();
        let piece = vec![b'x'; PIECE_BYTES];
        for _ in 0..100 {
            file.write(&piece).unwrap();
        }
        let most = 10_000 + LINE_BYTES_MAX + PIECE_BYTES as u64;
        let length = |name: &str| std::fs::metadata(scratch.path().join(name)).unwrap().len();
        assert!(length("host.log.old") <= most && length("host.log") <= most);
        // A directory that is not empty gives no place to a file.
        std::fs::remove_file(scratch.path().join("host.log.old")).unwrap();
        std::fs::create_dir_all(scratch.path().join("host.log.old/x")).unwrap();
        assert!((0..100).any(|_| file.write(&piece).is_err()));
        assert!(length("host.log") <= most);
        // It goes on once it can, also where somebody has taken the file away.
        std::fs::remove_dir_all(scratch.path().join("host.log.old")).unwrap();
        file.write(b"again\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"again\n");
        std::fs::remove_file(&path).unwrap();
        assert!((0..100).all(|_| file.write(&piece).is_ok()));
        assert!(length("host.log") <= most);
    }
}
