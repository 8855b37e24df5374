#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::conformance::note;

#[test]
fn file_conforms() {
    crate::conformance::check(|| {
        let directory = tempfile::tempdir().unwrap();
        move || Box::new(FileAnchor::new(&directory.path().join("anchor.note"))) as Box<dyn Anchor>
    });
}

/// Records steps; fails or crashes once at one of them.
#[derive(Default)]
struct Hook {
    seen: Mutex<Vec<FileStep>>,
    fail_at: Option<FileStep>,
    crash_at: Option<FileStep>,
    spent: AtomicBool,
}

impl FileHook for Hook {
    fn step(&self, step: FileStep) -> io::Result<()> {
        self.seen.lock().unwrap().push(step);
        if self.crash_at == Some(step) && !self.spent.swap(true, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("crash"));
        }
        if self.fail_at == Some(step) && !self.spent.swap(true, Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }
}

const STEPS: [FileStep; 3] = [FileStep::Write, FileStep::Sync, FileStep::Done];

fn advanced_to_one(path: &Path) {
    let mut anchor = FileAnchor::new(path);
    anchor.advance(&[], &note(0, 1)).unwrap();
    anchor.advance(&note(0, 1), &note(1, 1)).unwrap();
}

#[test]
fn a_receipt_is_given_only_after_every_step() {
    let directory = tempfile::tempdir().unwrap();
    let hook = Arc::new(Hook::default());
    let mut anchor = FileAnchor::with_hook(&directory.path().join("anchor.note"), hook.clone());
    anchor.advance(&[], &note(0, 1)).unwrap();
    assert_eq!(*hook.seen.lock().unwrap(), STEPS);
}

#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new_checkpoint_and_the_advance_can_be_repeated() {
    for step in STEPS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor.note");
        advanced_to_one(&path);
        let hook = Arc::new(Hook { crash_at: Some(step), ..Hook::default() });
        let mut crashing = FileAnchor::with_hook(&path, hook);
        let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = crashing.advance(&note(1, 1), &note(2, 1));
        }));
        assert!(crash.is_err(), "{step:?}");
        let mut anchor = FileAnchor::new(&path);
        let in_place = matches!(step, FileStep::Sync | FileStep::Done);
        let expected = if in_place { note(2, 1) } else { note(1, 1) };
        assert_eq!(anchor.load().unwrap(), Some(expected), "{step:?}");
        assert_eq!(anchor.advance(&note(1, 1), &note(2, 1)).unwrap().0, note(2, 1), "{step:?}");
    }
}

#[test]
fn a_failure_before_the_write_is_certain_and_one_after_it_is_not() {
    for (step, certain) in [(FileStep::Write, true), (FileStep::Sync, false)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor.note");
        advanced_to_one(&path);
        let hook = Arc::new(Hook { fail_at: Some(step), ..Hook::default() });
        let mut anchor = FileAnchor::with_hook(&path, hook);
        let error = anchor.advance(&note(1, 1), &note(2, 1)).unwrap_err();
        assert_eq!(matches!(error, AdvanceError::Unavailable(_)), certain, "{step:?}");
        assert_eq!(matches!(error, AdvanceError::Unknown(_)), !certain, "{step:?}");
        assert_eq!(anchor.advance(&note(1, 1), &note(2, 1)).unwrap().0, note(2, 1), "{step:?}");
    }
}

#[test]
fn a_file_that_is_not_an_anchors_is_refused_and_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchor.note");
    advanced_to_one(&path);
    let whole = fs::read(&path).unwrap();
    let (short, long) = (whole.split_at(whole.len() - 1).0.to_vec(), [whole.as_slice(), b"x"].concat());
    let foreign = b"another program's file\n".to_vec();
    for content in [Vec::new(), short, long, foreign, note(1, 1), vec![0; FILE_BYTES]] {
        fs::write(&path, &content).unwrap();
        let mut anchor = FileAnchor::new(&path);
        assert!(matches!(anchor.load(), Err(LoadError::Damaged)));
        for previous in [Vec::new(), content.clone(), note(0, 1)] {
            let error = anchor.advance(&previous, &note(2, 1)).unwrap_err();
            assert!(matches!(error, AdvanceError::Unavailable(LoadError::Damaged)), "{error:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

/// A machine that stops may leave any prefix of the slot that was being written, sector by sector, over what was there.
#[test]
fn a_torn_advance_leaves_the_checkpoint_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchor.note");
    let mut anchor = FileAnchor::new(&path);
    anchor.advance(&[], &note(0, 1)).unwrap();
    for next in 1..=4 {
        let before = fs::read(&path).unwrap();
        anchor.advance(&note(next - 1, 1), &note(next, 1)).unwrap();
        let after = fs::read(&path).unwrap();
        let differ: Vec<usize> = (0..FILE_BYTES).filter(|place| before[*place] != after[*place]).collect();
        assert_eq!(differ.first().unwrap() / 4_096, differ.last().unwrap() / 4_096, "an advance writes one block");
        for cut in differ {
            let torn = [&after[..cut], &before[cut..]].concat();
            fs::write(&path, &torn).unwrap();
            let held = FileAnchor::new(&path).load().unwrap().unwrap();
            let expected = if torn == after { note(next, 1) } else { note(next - 1, 1) };
            assert_eq!(held, expected, "cut at {cut}");
        }
        fs::write(&path, &after).unwrap();
    }
}

#[test]
fn any_flipped_bit_of_the_newest_slot_leaves_the_checkpoint_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchor.note");
    advanced_to_one(&path);
    let whole = fs::read(&path).unwrap();
    for bit in (FILE_BYTES / 2 * 8..FILE_BYTES * 8).step_by(7) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Slots::parse(&flipped).unwrap().newest(), note(0, 1), "bit {bit}");
    }
    assert_eq!(Slots::parse(&whole).unwrap().newest(), note(1, 1));
}

#[test]
fn a_missing_directory_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let mut anchor = FileAnchor::new(&directory.path().join("missing/anchor.note"));
    assert!(matches!(anchor.advance(&[], &note(0, 1)), Err(AdvanceError::Unavailable(_))));
}

#[test]
fn a_link_to_another_disk_stays_one_and_is_no_empty_anchor_while_that_disk_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, own) = (directory.path().join("disk"), directory.path().join("own"));
    std::fs::create_dir(&own).unwrap();
    std::os::unix::fs::symlink("../disk/second", own.join("anchor.note")).unwrap();
    let mut anchor = FileAnchor::new(&own.join("anchor.note"));
    assert!(matches!(anchor.load(), Err(LoadError::Unavailable(_))), "the disk is not there");
    assert!(matches!(anchor.advance(&[], &note(0, 1)), Err(AdvanceError::Unavailable(_))));
    std::fs::create_dir(&disk).unwrap();
    // A second link, from there on.
    std::os::unix::fs::symlink(disk.join("anchor.note"), disk.join("second")).unwrap();
    advanced_to_one(&own.join("anchor.note"));
    let is_link = |path: &Path| path.symlink_metadata().unwrap().is_symlink();
    assert!(is_link(&own.join("anchor.note")) && is_link(&disk.join("second")));
    assert_eq!(FileAnchor::new(&disk.join("anchor.note")).load().unwrap(), Some(note(1, 1)));
}
