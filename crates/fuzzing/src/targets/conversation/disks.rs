//! Batches and their fates, crashes, and disks that are put back.

use arbitrary::{Result, Unstructured};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::{CallId, Halt, ToEnclave};

use super::play::{KEPT_MAX, Past, Play};
use crate::harness::base::BOOT_SEED;
use crate::harness::host::Fate;
use crate::inputs::{Edit, apply};

impl Play {
    pub(super) fn settle(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let fates = [
            Fate::Commit,
            Fate::Commit,
            Fate::Commit,
            Fate::Abort,
            Fate::LoseUnstored,
            Fate::LoseStored,
            Fate::LoseAnchored,
        ];
        self.carry_out(*u.choose(&fates)?);
        Ok(())
    }

    pub(super) fn carry_out(&mut self, fate: Fate) {
        let Some(batch) = self.host.in_flight.clone() else { return };
        if self.host.halted.is_some() {
            return;
        }
        if !matches!(fate, Fate::Abort | Fate::LoseUnstored) {
            for write in &batch.records {
                self.note_stored(write.call);
            }
        }
        self.host.settle(fate);
        self.collect();
        if matches!(fate, Fate::LoseUnstored | Fate::LoseStored | Fate::LoseAnchored) {
            self.restart_soundly();
        }
        if self.pasts.len() < KEPT_MAX && self.host.halted.is_none() {
            self.pasts.push(Past { disk: self.host.disk.clone(), wallets: self.wallets.clone() });
        }
    }

    fn note_stored(&mut self, call: CallId) {
        let Some(open) = self.open.get_mut(&call) else { return };
        open.stored += 1;
        let method = open.kept.asked.method();
        let done = open.stored == method.writes() && (open.right || method == Method::RegisterPrepare);
        if done {
            let (device, change) = (&self.devices[open.kept.device], open.kept.change);
            self.wallets.get_mut(device.user).expect("it was asked for").done(method, device.key, change);
        }
    }

    /// The process dies and starts again on what the disk holds.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.restart_soundly();
        Ok(())
    }

    pub(super) fn restart_soundly(&mut self) {
        self.boot();
        assert!(self.host.manifest.is_some(), "a sound state boots: {:?}", self.host.halted);
    }

    fn boot(&mut self) {
        self.boots += 1;
        self.open.clear();
        self.host.restart(BOOT_SEED + self.boots);
        self.host.boot();
    }

    /// An older database under today's anchor does not boot, unless it is the very one or the one just before.
    pub(super) fn put_database_back(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.pasts.is_empty() {
            return Ok(());
        }
        let past = u.choose(&self.pasts)?.clone();
        let today = core::mem::replace(&mut self.host.disk, past.disk);
        self.host.disk.anchored.clone_from(&today.anchored);
        let (database, anchor) = (self.host.disk.checkpoint(), Checkpoint::read_unverified(&today.anchored));
        let anchor = anchor.expect("the anchor holds the enclave's own note");
        let follows = database.previous == anchor.hash() && database.sequence.0 == anchor.sequence.0 + 1;
        self.boot();
        if database == anchor || follows {
            assert!(self.host.manifest.is_some(), "{:?}", self.host.halted);
            self.wallets = past.wallets;
            return Ok(());
        }
        let halt = self.host.halted.expect("an older database does not boot");
        assert!(matches!(halt, Halt::StateOlder | Halt::StateForked), "{halt:?}");
        self.host.disk = today;
        self.restart_soundly();
        Ok(())
    }

    /// Database and anchor together: level L1 boots on them, and returning devices notice.
    pub(super) fn put_everything_back(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.pasts.is_empty() {
            return Ok(());
        }
        let past = u.choose(&self.pasts)?.clone();
        (self.host.disk, self.wallets) = (past.disk, past.wallets);
        self.restart_soundly();
        Ok(())
    }

    /// A state with any change does not boot.
    pub(super) fn boot_on_changed_state(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let today = self.host.disk.clone();
        let edits: Vec<Edit> = u.arbitrary()?;
        let disk = &mut self.host.disk;
        match u.int_in_range(0..=5)? {
            0 => disk.note = apply(&disk.note, &edits),
            1 => disk.anchored = apply(&disk.anchored, &edits),
            2 => disk.sealed_root = apply(&disk.sealed_root, &edits),
            3 => drop(disk.records.pop_first()),
            4 => {
                if let Some((header, _)) = disk.records.values_mut().next() {
                    header.version.0 ^= u.arbitrary::<u64>()?;
                }
            }
            _ => disk.anchored = Vec::new(),
        }
        let same = disk.note == today.note
            && disk.anchored == today.anchored
            && disk.sealed_root == today.sealed_root
            && disk.headers() == today.headers();
        // A changed anchor may still be an anchor of before: only its own signed text is.
        self.boots += 1;
        self.open.clear();
        self.host.restart(BOOT_SEED + self.boots);
        self.host.say(self.host.boot_message());
        let headers = self.host.disk.headers();
        if self.host.halted.is_none() {
            self.host.say(ToEnclave::Headers { headers });
        }
        if self.host.halted.is_none() {
            self.host.say(ToEnclave::HeadersEnd);
        }
        assert_eq!(self.host.halted.is_none(), same, "a changed state boots: {:?}", self.host.halted);
        self.host.disk = today;
        self.restart_soundly();
        Ok(())
    }
}
