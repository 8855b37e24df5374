//! The moves, and what is known at each.

use std::collections::BTreeMap;
use std::rc::Rc;

use arbitrary::{Result, Unstructured};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::log::Consistency;
use pinseal_protocol::pin::{Argon2Parameters, PinParameters, PinSalt};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, SealedReply};
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::wire::{CallId, Halt, ToEnclave};

use super::wallet::{Change, Wallet};
use crate::harness::base::BASE;
use crate::harness::device::{Device, PIN, Sealed, factor};
use crate::harness::host::{Answer, Disk, Fate, Host};
use crate::inputs::{self, Edit, apply};
use crate::verdict;

/// Past states and unsent requests kept.
pub(super) const KEPT_MAX: usize = 8;
/// Wrong PINs in a row, each an hour after the last: two more than any cap of one device.
const GUESSES: usize = 7;
pub(super) const HOUR: u64 = 3_600;

/// The world between two moves.
pub(super) struct Play {
    pub(super) host: Host,
    pub(super) boots: u64,
    pub(super) devices: Vec<Device>,
    pub(super) wallets: BTreeMap<&'static str, Wallet>,
    pub(super) open: BTreeMap<CallId, Open>,
    pub(super) kept: Vec<Kept>,
    pub(super) pasts: Vec<Past>,
}

/// A sealed request somebody made.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) device: usize,
    pub(super) sealed: Rc<Sealed>,
    pub(super) asked: Rc<Request>,
    pin: Option<u8>,
    pub(super) change: Change,
}

/// A call that is not answered yet.
pub(super) struct Open {
    pub(super) kept: Kept,
    /// Whether the PIN is the right one.
    pub(super) right: bool,
    /// Writes of it on the disk.
    pub(super) stored: u8,
    /// Its device has seen more than this state holds.
    newer: bool,
}

/// A state that was once the newest, and what was known of the wallets then.
#[derive(Clone)]
pub(super) struct Past {
    pub(super) disk: Disk,
    pub(super) wallets: BTreeMap<&'static str, Wallet>,
}

impl Play {
    pub(super) fn new() -> Self {
        let strangers = [("ada", 3), ("ada", 5), ("eve", 6)].map(|(user, key)| Device::new(user, key));
        let known = [&BASE.laptop, &BASE.phone, &BASE.bob].map(Device::clone);
        let ada = Wallet::new(Some(PIN), None, &[1, 2]);
        let bob = Wallet::new(None, Some(PIN), &[4]);
        Self {
            host: BASE.host(),
            boots: 0,
            devices: known.into_iter().chain(strangers).collect(),
            wallets: BTreeMap::from([("ada", ada), ("bob", bob), ("eve", Wallet::default())]),
            open: BTreeMap::new(),
            kept: Vec::new(),
            pasts: Vec::new(),
        }
    }

    /// An honest host lets everything under way come to its end.
    pub(super) fn end(mut self) {
        while self.host.in_flight.is_some() && self.host.halted.is_none() {
            self.carry_out(Fate::Commit);
        }
        if self.host.halted.is_none() {
            assert!(self.open.is_empty(), "every call is answered once nothing waits");
        }
    }

    /// Somebody asks something, and half of the time all is committed at once.
    pub(super) fn ask(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(kept) = self.make(u)? else { return Ok(()) };
        self.submit(&kept, None);
        if u.arbitrary()? {
            while self.host.in_flight.is_some() && self.host.halted.is_none() {
                self.carry_out(Fate::Commit);
            }
        }
        self.remember(kept);
        Ok(())
    }

    /// A request is made and held back.
    pub(super) fn keep(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if let Some(kept) = self.make(u)? {
            self.remember(kept);
        }
        Ok(())
    }

    fn remember(&mut self, kept: Kept) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(kept);
        }
    }

    /// A request that was kept, or sent before, is sent.
    pub(super) fn submit_kept(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let kept = u.choose(&self.kept)?.clone();
        self.submit(&kept, None);
        Ok(())
    }

    /// With no record, another one, an old one, or with another proof.
    pub(super) fn submit_with_wrong_company(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(kept) = self.make(u)? else { return Ok(()) };
        let own = self.host.disk.records.get(&kept.sealed.wallet).map(|(_, outer)| outer.clone());
        let outer = match u.int_in_range(0..=4)? {
            0 => None,
            1 => self.host.disk.records.values().next().map(|(_, outer)| outer.clone()),
            2 => {
                let past = self.pasts.first().and_then(|past| past.disk.records.get(&kept.sealed.wallet));
                past.map(|(_, outer)| outer.clone())
            }
            3 => Some(apply(own.as_deref().unwrap_or(&[]), &u.arbitrary::<Vec<Edit>>()?)),
            _ => own,
        };
        let size = kept.sealed.request.header.receipt_size;
        let consistency = match u.int_in_range(0..=2)? {
            0 => None,
            1 => self.host.consistency(u.int_in_range(1..=40)?),
            _ => self.host.consistency(size),
        };
        self.submit(&kept, Some((outer, consistency)));
        Ok(())
    }

    /// Wrong PINs in a row on one device, with every delay waited out.
    pub(super) fn guess(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let device = u.choose_index(self.devices.len())?;
        for _ in 0..u.int_in_range(1..=GUESSES)? {
            self.host.now = self.host.now.saturating_add(HOUR);
            let wallet = &self.wallets[self.devices[device].user];
            let is_enrolled = wallet.enrolled.contains(&self.devices[device].key);
            let method = if is_enrolled { Method::VerifyPin } else { Method::EnrolDevice };
            let wrong = 100 + u8::from(wallet.active == Some(100));
            let Some((begin, token)) = self.devices[device].begin(&mut self.host, method) else { return Ok(()) };
            let pin = factor(wrong, &begin.current.unwrap_or(begin.next));
            let asked = if is_enrolled {
                Request::VerifyPin { pin }
            } else {
                Request::EnrolDevice { pin, label: "x".to_owned() }
            };
            let Some(kept) = self.seal(device, &begin, &token, asked, Some(wrong), Change::Nothing) else { break };
            self.submit(&kept, None);
            while self.host.in_flight.is_some() && self.host.halted.is_none() {
                self.carry_out(Fate::Commit);
            }
        }
        Ok(())
    }

    pub(super) fn make(&mut self, u: &mut Unstructured<'_>) -> Result<Option<Kept>> {
        let device = u.choose_index(self.devices.len())?;
        let method = *u.choose(Method::ALL)?;
        let Some((begin, token)) = self.devices[device].begin(&mut self.host, method) else { return Ok(None) };
        let left = self.devices[device].next.take_if(|next| next.method == method);
        let begin = left.unwrap_or(begin);
        let (asked, pin, change) = self.draw(u, device, method, &begin)?;
        Ok(self.seal(device, &begin, &token, asked, pin, change))
    }

    fn seal(
        &mut self,
        device: usize,
        begin: &BeginReply,
        token: &str,
        asked: Request,
        pin: Option<u8>,
        change: Change,
    ) -> Option<Kept> {
        let maker = &mut self.devices[device];
        let header = maker.header(self.host.manifest(), begin, token);
        let body = maker.body(token, asked);
        let sealed = Rc::new(maker.seal(self.host.manifest(), begin, header, &body)?);
        Some(Kept { device, sealed, asked: Rc::new(body.request), pin, change })
    }

    /// A request of this method: mostly sensible, mostly under the right PIN.
    fn draw(
        &self,
        u: &mut Unstructured<'_>,
        device: usize,
        method: Method,
        begin: &BeginReply,
    ) -> Result<(Request, Option<u8>, Change)> {
        let wallet = &self.wallets[self.devices[device].user];
        let confirms = matches!(method, Method::RegisterConfirm | Method::ChangePinConfirm);
        let right = if confirms { wallet.pending } else { wallet.active };
        let number = if u.ratio(3, 5)? { right.unwrap_or(PIN) } else { u.int_in_range(1..=5)? };
        let none = PinParameters {
            salt: PinSalt([0; 16]),
            argon2: Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 },
        };
        let parameters = if confirms { begin.pending } else { begin.current };
        let pin = factor(number, &parameters.unwrap_or(none));
        let fresh = u.int_in_range(1..=5)?;
        let mut change = Change::Nothing;
        let asked = match method {
            Method::RegisterPrepare => {
                change = Change::NewPin(fresh);
                Request::RegisterPrepare { pin: factor(fresh, &begin.next), words: 12, label: "laptop".to_owned() }
            }
            Method::RegisterConfirm => Request::RegisterConfirm { pin },
            Method::VerifyPin => Request::VerifyPin { pin },
            Method::Sign => {
                let count = u.int_in_range(1..=2)?;
                let intents = (0..count).map(|_| inputs::intent(u)).collect::<Result<_>>()?;
                Request::Sign { pin, intents }
            }
            Method::ChangePinPrepare => {
                change = Change::NewPin(fresh);
                Request::ChangePinPrepare { pin, new_pin: factor(fresh, &begin.next) }
            }
            Method::ChangePinConfirm => Request::ChangePinConfirm { pin },
            Method::EnrolDevice => Request::EnrolDevice { pin, label: "tablet".to_owned() },
            Method::RevokeDevice => {
                let gone = u.choose(&self.devices)?;
                change = Change::Revoke(gone.key);
                Request::RevokeDevice { pin, device: gone.id() }
            }
            Method::ClearTries => Request::ClearTries { pin },
            Method::Status => Request::Status,
            Method::ListAccounts => Request::ListAccounts { accounts: vec![Default::default()] },
            Method::OpenHistory => {
                let seen = self.devices[device].seen();
                let writes = self.host.disk.writes(seen).map(|(_, write)| write).take(3).collect();
                Request::OpenHistory { writes }
            }
            Method::AcceptRestore => Request::AcceptRestore { restores: u.int_in_range(0..=1)? },
        };
        let tested = asked.tested_pin().is_some().then_some(number);
        Ok((asked, tested, change))
    }

    fn submit(&mut self, kept: &Kept, company: Option<(Option<Vec<u8>>, Option<Consistency>)>) {
        let request = &kept.sealed.request;
        let wallet = &self.wallets[self.devices[kept.device].user];
        let right = kept.pin.is_some_and(|pin| wallet.is_right(kept.asked.method(), pin));
        let committed = self.host.disk.checkpoint().size;
        let newer = request.header.receipt_size > committed;
        let call = self.host.next_call();
        self.open.insert(call, Open { kept: kept.clone(), right, stored: 0, newer });
        let (outer, consistency) = company.unwrap_or_else(|| {
            let outer = self.host.disk.records.get(&kept.sealed.wallet).map(|(_, outer)| outer.clone());
            (outer, self.host.consistency(request.header.receipt_size))
        });
        let (time, outer) = (UnixSeconds(self.host.now), outer.map(Into::into));
        self.host.say(ToEnclave::Sealed { call, time, request: request.clone(), outer, consistency });
        self.collect();
    }

    pub(super) fn collect(&mut self) {
        for (call, answer) in core::mem::take(&mut self.host.answers) {
            let open = self.open.remove(&call).expect("only what was asked is answered");
            match answer {
                Answer::Replied(reply) => self.judge(call, &open, &reply),
                Answer::Refused(refusal) => {
                    let known = [Refusal::StaleManifest, Refusal::Malformed, Refusal::Overloaded];
                    assert!(known.contains(&refusal), "a sound envelope is refused in clear: {refusal:?}");
                }
                other => panic!("{other:?} answers a sealed request"),
            }
        }
    }

    fn judge(&mut self, call: CallId, open: &Open, reply: &SealedReply) {
        assert_eq!(reply.ciphertext.len(), open.kept.sealed.reply_bytes, "the request alone decides a reply's size");
        let device = &mut self.devices[open.kept.device];
        let (user, key) = (device.user, device.key);
        let before = device.receipt.clone();
        let reply = device.open(self.host.manifest(), &open.kept.sealed.opener, reply);
        // Several requests may be under way; the newer receipt stays.
        let size = |note: &Option<Vec<u8>>| {
            note.as_ref().and_then(|note| Checkpoint::read_unverified(note).ok()).map_or(0, |read| read.size)
        };
        if size(&before) > size(&device.receipt) {
            device.receipt = before;
        }
        let header = &open.kept.sealed.request.header;
        let is_decided = !matches!(reply.outcome, Outcome::Refused(_));
        assert_eq!(reply.next.is_some(), is_decided && header.method == Method::Sign, "{:?}", reply.outcome);
        if let Some(next) = reply.next.clone() {
            let manifest = self.host.manifest.as_ref().expect("the enclave serves").hash();
            let wallet = open.kept.sealed.wallet;
            let next = next.into_begin(manifest, wallet, header.device, header.method, reply.time);
            device.next = Some(next.expect("the enclave asks for what clients accept"));
        }
        verdict::check(&open.kept.asked, open.right, &reply.outcome, self.host.tally(call));
        if open.newer {
            assert!(matches!(reply.outcome, Outcome::Refused(_)), "an older state decided something");
        }
        match &reply.outcome {
            Outcome::WrongPin => self.wallets.get_mut(user).expect("it was asked for").count_wrong(key),
            Outcome::Refused(Refusal::StateRolledBack) => {
                assert_eq!(self.host.halted, Some(Halt::RolledBack));
            }
            Outcome::Signed(signed) => {
                if let Request::Sign { intents, .. } = &*open.kept.asked {
                    let addresses: &[_] = if user == "ada" { &BASE.addresses } else { &[] };
                    verdict::signatures(intents, signed, addresses);
                }
            }
            _ => {}
        }
    }
}
