//! At the end an enrolled device reads its wallet's history: it must tell what was asked, by whom, and what came of it; and nothing of what was to be
//! written and never was.

use std::collections::BTreeMap;

use pinseal_protocol::history::{Detail, LoggedWrite, OpenedWrite, Step};
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::limits::HISTORY_WRITES_MAX;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::Method;

use crate::people::{Plan, What};
use crate::violation::{Invariant, Violation};
use crate::world::{Fact, World};

impl World {
    /// The newest entries of a wallet that the first host's database holds, proved in the log of `seen` entries, as many as one request takes.
    pub(crate) fn logged(&self, wallet: &UserIdHash, seen: u64) -> Vec<LoggedWrite> {
        let Some(instance) = self.instances[0].as_deref() else { return Vec::new() };
        let own = instance.disk.writes(seen).filter(|(owner, _)| owner == wallet);
        let mut writes: Vec<LoggedWrite> = own.map(|(_, write)| write).collect();
        writes.drain(..writes.len().saturating_sub(HISTORY_WRITES_MAX));
        writes
    }

    /// The newest entries of a wallet that an enclave asked to have written and no anchor ever held, at the places they would have had.
    pub(crate) fn lost(&self, wallet: &UserIdHash) -> Vec<LoggedWrite> {
        let lost = self.booked.iter().filter(|booked| booked.wallet == *wallet && !self.is_anchored(&booked.note));
        lost.rev().take(HISTORY_WRITES_MAX).map(|booked| booked.write.clone()).collect()
    }

    /// One of the user's devices reads the history, and it is compared with what the simulator saw.
    pub(crate) fn look_back(&mut self, user: &'static str) -> Result<(), Violation> {
        let standing = self.standing(0, user).cloned().unwrap_or_default();
        let own =
            |place: &usize| self.devices[*place].user == user && standing.enrolled.contains(&self.devices[*place].key);
        let mut told = (0..self.devices.len()).filter(own).filter(|device| !self.is_behind(0, *device));
        let device = told.next().filter(|_| standing.active.is_some());
        let Some(device) = device else { return Ok(()) };
        let wallet = self.wallets.iter().find(|(_, owner)| **owner == user).map(|(wallet, _)| *wallet);
        let Some(wallet) = wallet else { return Ok(()) };
        self.insist(Plan { device, what: What::Status, right: true, heard: true })?;
        let writes = self.logged(&wallet, self.devices[device].seen());
        let outcome = self.insist(Plan { device, what: What::History, right: true, heard: true })?;
        let Some(Outcome::History(history)) = outcome else {
            return self.broken(Invariant::Live, || format!("{user}'s own device is shown no history"));
        };
        let newest = writes.last().map(|write| write.version);
        if Some(history.current) != newest || history.writes.len() != writes.len() {
            return self.broken(Invariant::History, || format!("{user}'s history ends at {:?}", history.current));
        }
        let facts = self.facts(user);
        for (write, opened) in writes.iter().zip(&history.writes) {
            let OpenedWrite::Opened(detail) = opened else {
                return self.broken(Invariant::History, || format!("write {} does not open", write.version.0));
            };
            if let Some(fact) = facts.get(&write.version.0)
                && !self.tells(detail, *fact)
            {
                let detail = format!("write {} of request {} is told as {detail:?}", write.version.0, fact.request);
                return self.broken(Invariant::History, || detail);
            }
        }
        if self.lost(&wallet).is_empty() {
            return Ok(());
        }
        match self.insist(Plan { device, what: What::Lost, right: true, heard: true })? {
            Some(Outcome::History(history)) if history.writes.iter().all(|one| *one == OpenedWrite::NotOpened) => {
                Ok(())
            }
            told => self.broken(Invariant::Anchored, || format!("of what no anchor ever held is told {told:?}")),
        }
    }

    /// The user's writes on the line that the first enclave continues, by version.
    fn facts(&self, user: &str) -> BTreeMap<u64, Fact> {
        let mut facts = BTreeMap::new();
        let mut note = self.instances[0].as_deref().map(|instance| instance.note.as_slice());
        while let Some(step) = note.and_then(|note| self.steps.get(note)) {
            let own = step.writes.iter().filter(|fact| self.asked[fact.request].user == user);
            facts.extend(own.map(|fact| (fact.version, *fact)));
            note = Some(step.previous.as_slice());
        }
        facts
    }

    fn tells(&self, detail: &Detail, fact: Fact) -> bool {
        let asked = &self.asked[fact.request];
        let step = match (fact.number, asked.method.writes(), asked.verdict) {
            (1, 1, _) if asked.method == Method::AcceptRestore => Step::Accepted,
            (1, 1, _) => Step::Prepared,
            (1, _, _) => Step::Charged,
            (_, _, Some(true)) => Step::Right,
            _ => Step::Wrong,
        };
        (detail.step, detail.method, detail.device) == (step, asked.method, self.devices[asked.device].id())
    }
}
