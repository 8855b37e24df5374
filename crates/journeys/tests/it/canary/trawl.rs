//! Everything that lies on a disk, and what a process shows of itself.

use std::path::{Path, PathBuf};

use super::net::{Catch, Net};

/// A file and what of the net's secrets is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InFile {
    pub(super) path: PathBuf,
    pub(super) catch: Catch,
}

/// Every file below `directory`, as it lies there this moment: databases with their side files, logs, keys.
pub(super) fn files(directory: &Path, net: &Net) -> Vec<InFile> {
    let mut found = Vec::new();
    let mut read = 0;
    visit(directory, &mut |path, bytes| {
        read += 1;
        found.extend(net.search(bytes).into_keys().map(|catch| InFile { path: path.to_owned(), catch }));
        // Names are written down, too.
        let name = path.to_str().unwrap().as_bytes();
        found.extend(net.search(name).into_keys().map(|catch| InFile { path: path.to_owned(), catch }));
    });
    assert!(read > 0, "{} is empty", directory.display());
    found
}

/// Calls `each` with the path and the content of every file.
pub(super) fn visit(directory: &Path, each: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            visit(&path, each);
        } else if kind.is_file() {
            // A side file of the database may be gone by now.
            if let Ok(bytes) = std::fs::read(&path) {
                each(&path, &bytes);
            }
        }
    }
}

/// Command line and environment of a process.
pub(super) fn surroundings(pid: u32, net: &Net) -> Vec<Catch> {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
    let (line, environment) = (read("cmdline"), read("environ"));
    assert!(!line.is_empty() && !environment.is_empty(), "process {pid} shows nothing");
    net.search(&line).into_keys().chain(net.search(&environment).into_keys()).collect()
}
