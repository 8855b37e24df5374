//! An honest host: the real pipeline, whose every wish is one step of the simulator.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pinseal_host::Pipeline;
use pinseal_host::pipeline::{Action, Advanced, Answer, Ask, Event, Load, LoadFailure, Loaded, Stored, Ticket};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::log::Consistency;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{StorageClaims, StorageKey};
use pinseal_protocol::wire::Batch;
use pinseal_store::records::Newest;
use pinseal_store::vault::{Vault, storage_audience};

use crate::anchor::{Advance, Weather};
use crate::instance::{Honest, Host, Waiting};
use crate::people::Plan;
use crate::violation::Violation;
use crate::world::World;

/// Seconds a storage token is good for.
const STORAGE_TOKEN_SECONDS: u64 = 600;

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut [0x57; 32]))
}

impl World {
    /// From here on the enclave at this place is run by an honest host.
    pub(crate) fn employ(&mut self, at: usize) {
        let Some(tenure) = self.instance(at).map(|instance| instance.tenure) else { return };
        let configuration = self.configuration(tenure);
        let issuer = configuration.issuers[0].clone();
        let vault = Arc::new(Vault::new(issuer, storage_key(), &configuration.deployment));
        let Some(instance) = self.instance(at) else { return };
        let disk = &instance.disk;
        let newest = Newest { note: disk.note.clone(), checkpoint: disk.checkpoint(), frontier: disk.frontier.clone() };
        let pipeline = Pipeline::new(Arc::clone(&vault), newest, disk.records.len() as u64);
        let honest = Honest { pipeline, vault, todo: VecDeque::new(), waiting: BTreeMap::new(), tickets: 0 };
        instance.host = Host::Honest(Box::new(honest));
    }

    /// One event into the pipeline; what it wants is put on the list, answers go out at once.
    fn event(&mut self, at: usize, event: Event) -> Result<(), Violation> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let now = UnixSeconds(instance.now);
        let Some(honest) = instance.honest() else { return Ok(()) };
        let mut answers = Vec::new();
        let mut stopped = false;
        for action in honest.pipeline.step(now, event) {
            match action {
                Action::Answer { ticket, answer } => answers.push((ticket, answer)),
                Action::Stop(_) => stopped = true,
                action => honest.todo.push_back(action),
            }
        }
        for (ticket, answer) in answers {
            if let Ok(answer) = answer {
                self.answered(at, ticket, answer)?;
            } else if let Some(honest) = self.instance(at).and_then(|instance| instance.honest()) {
                honest.waiting.remove(&ticket);
            }
        }
        if stopped {
            self.say(|| "the host stops".to_owned());
            self.kill(at);
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, ticket: Ticket, answer: Answer) -> Result<(), Violation> {
        let Some(honest) = self.instance(at).and_then(|instance| instance.honest()) else { return Ok(()) };
        match (honest.waiting.remove(&ticket), answer) {
            (Some(Waiting::Begin(plan)), Answer::Begun(begun)) => {
                let Some(begin) = self.read_begun(at, plan, &begun.reply) else { return Ok(()) };
                match self.seal(at, plan, &begin) {
                    Some(request) => self.ask_sealed(at, request),
                    None => Ok(()),
                }
            }
            (Some(Waiting::Sealed(request)), Answer::Sealed(_)) => {
                if self.asked[request].heard {
                    self.hear(at, request);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Somebody begins at an honest host; the rest follows with its answers.
    pub(crate) fn ask_honest(&mut self, at: usize, plan: Plan) -> Result<(), Violation> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let now = instance.now;
        let access_token = self.mint(at, plan.device, now).into();
        let user = self.devices[plan.device].user;
        let wallet = self.wallets.iter().find(|(_, owner)| **owner == user).map(|(wallet, _)| *wallet);
        let Some(ticket) = self.ticket(at, Waiting::Begin(plan)) else { return Ok(()) };
        let ask = Ask::Begin { access_token, method: plan.what.method(), wallet };
        self.event(at, Event::Ask { ticket, ask })
    }

    /// A sealed request comes in at an honest host, for the first time or again.
    pub(crate) fn ask_sealed(&mut self, at: usize, request: usize) -> Result<(), Violation> {
        self.tokens += 1;
        let jti = self.tokens.to_string();
        let asked = &self.asked[request];
        let (sealed, method) = (Arc::clone(&asked.sealed), asked.method);
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let now = instance.now;
        let Some(honest) = instance.honest() else { return Ok(()) };
        let claims = StorageClaims {
            iss: "https://wallet.test".into(),
            aud: storage_audience(&pinseal_fuzzing::harness::base::configuration().deployment),
            wallet: sealed.wallet.to_string(),
            operation: method.name().into(),
            jti,
            iat: now,
            exp: now.saturating_add(STORAGE_TOKEN_SECONDS),
        };
        let token = storage_key().sign(&claims).expect("claims serialise");
        let token = honest.vault.check(token.expose_secret(), &sealed.wallet, method, UnixSeconds(now));
        let Some(ticket) = self.ticket(at, Waiting::Sealed(request)) else { return Ok(()) };
        let ask = Ask::Sealed { token, request: Box::new(sealed.request.clone()) };
        self.event(at, Event::Ask { ticket, ask })
    }

    fn ticket(&mut self, at: usize, waiting: Waiting) -> Option<Ticket> {
        let honest = self.instance(at)?.honest()?;
        honest.tickets += 1;
        let ticket = Ticket(honest.tickets);
        honest.waiting.insert(ticket, waiting);
        Some(ticket)
    }

    /// Does the next thing the pipeline wants. False if it wants nothing.
    pub(crate) fn work(&mut self, at: usize, weather: Weather) -> Result<bool, Violation> {
        let next = self.instance(at).and_then(|instance| instance.honest()).and_then(|honest| honest.todo.pop_front());
        let Some(action) = next else { return Ok(false) };
        match action {
            Action::Send(frame) => {
                let call = match &frame {
                    pinseal_protocol::wire::ToEnclave::Sealed { call, request, .. } => {
                        Some((*call, request.header.request))
                    }
                    _ => None,
                };
                if let Some((call, id)) = call {
                    self.book(at, call, id);
                }
                for effect in self.send(at, frame)? {
                    self.event(at, Event::Enclave(effect))?;
                }
            }
            Action::Load { call, load } => {
                let loaded = self.load(at, load);
                self.event(at, Event::Loaded { call, loaded })?;
            }
            Action::Store { batch, .. } => {
                let (id, stored) = (batch.batch, self.store_honestly(at, &batch, weather));
                self.event(at, Event::Stored { batch: id, stored })?;
            }
            Action::Advance { batch, previous, next, .. } => {
                let Some(place) = self.instance(at).map(|instance| instance.place) else { return Ok(false) };
                let said = self.places[place].advance(&previous, &next, weather);
                self.say(|| format!("the anchor says {}", describe(&said)));
                self.note_anchored(&next)?;
                let advanced = match said {
                    Advance::Receipt(receipt) => Advanced::Receipt(receipt, self.places[place].nonce()),
                    Advance::Lost(holds) => Advanced::Lost(holds),
                    Advance::Silence => Advanced::Failed("no answer".to_owned()),
                };
                self.event(at, Event::Advanced { batch, advanced })?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Which request a call carries: the host knows it by its id.
    fn book(&mut self, at: usize, call: pinseal_protocol::wire::CallId, id: pinseal_protocol::ids::RequestId) {
        let request = self.asked.iter().rposition(|asked| asked.sealed.request.header.request == id);
        if let (Some(request), Some(instance)) = (request, self.instance(at)) {
            instance.calls.insert(call, crate::instance::Call { request, notes: Vec::new() });
        }
    }

    fn load(&mut self, at: usize, load: Load) -> Result<Loaded, LoadFailure> {
        let Some(instance) = self.instance(at) else { return Err(LoadFailure::Storage) };
        let (now, disk) = (UnixSeconds(instance.now), Arc::clone(&instance.disk));
        let Some(honest) = instance.honest() else { return Err(LoadFailure::Storage) };
        let outer = |wallet| disk.records.get(wallet).map(|(_, outer)| outer.clone());
        match load {
            Load::Begin { access_token, wallet, .. } => {
                honest.vault.begin(access_token.expose_secret(), wallet, now).map_err(LoadFailure::Token)?;
                Ok(Loaded { grant: None, outer: outer(&wallet), consistency: None })
            }
            Load::Sealed { grant, proof } => {
                let mut node = |level, index| disk.nodes.get(&(level, index)).copied().ok_or(());
                let consistency = proof.and_then(|(old, new)| Consistency::prove(old, new, &mut node).ok().flatten());
                let outer = outer(grant.wallet());
                Ok(Loaded { grant: Some(grant), outer, consistency })
            }
        }
    }

    /// The one transaction of a batch, as SQLite answers it.
    fn store_honestly(&mut self, at: usize, batch: &Batch, weather: Weather) -> Stored {
        let Some(instance) = self.instance(at) else { return Stored::No };
        if instance.disk.note != batch.previous.as_slice() {
            return Stored::Discontinuous;
        }
        if matches!(weather, Weather::Fine | Weather::LostReply) {
            instance.store(batch);
            self.keep_image(at);
        }
        let stored = match weather {
            Weather::Fine => Stored::Yes,
            Weather::Unreachable => Stored::No,
            Weather::LostReply | Weather::Stale => Stored::Unknown("no answer".to_owned()),
        };
        self.say(|| format!("the database says {stored:?}"));
        stored
    }
}

/// What the anchor said, in a word.
pub(crate) const fn describe(said: &Advance) -> &'static str {
    match said {
        Advance::Receipt(_) => "advanced",
        Advance::Lost(_) => "another checkpoint is there",
        Advance::Silence => "nothing",
    }
}
