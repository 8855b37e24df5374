//! The thread that reads for calls.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::wire::CallId;
use pinseal_store::clock::Clock;
use pinseal_store::records::{ReadError, Records};
use pinseal_store::vault::Vault;

use super::main_loop::{Message, spawn_worker};
use crate::boot::BootError;
use crate::pipeline::{Event, Load, LoadFailure, Loaded};

/// Where loads are sent to.
pub(super) type Loads = Sender<(CallId, Load)>;

pub(super) fn start(
    records: Records,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    messages: Sender<Message>,
) -> Result<(Loads, JoinHandle<()>), BootError> {
    let (loads, mailbox) = channel::<(CallId, Load)>();
    let thread = spawn_worker("trunk-loader", messages.clone(), move || {
        for (call, load) in mailbox {
            let loaded = read(&records, &vault, load, clock.now());
            if messages.send(Message::Event(Event::Loaded { call, loaded })).is_err() {
                break;
            }
        }
    })?;
    Ok((loads, thread))
}

/// Loads what needs no look at the disk, or gives the load back for the loader.
pub(super) fn at_once(records: &Records, load: Load) -> Result<Loaded, Load> {
    match load {
        Load::Sealed { grant, proof: None } => match records.take_recent(&grant) {
            outer @ Some(_) => Ok(Loaded { grant: Some(grant), outer, consistency: None }),
            None => Err(Load::Sealed { grant, proof: None }),
        },
        load => Err(load),
    }
}

fn read(records: &Records, vault: &Vault, load: Load, now: UnixSeconds) -> Result<Loaded, LoadFailure> {
    match load {
        Load::Begin { access_token, wallet, named_by_enclave } => {
            let grant = vault.begin(access_token.expose_secret(), wallet, now).map_err(LoadFailure::Token)?;
            let outer = if named_by_enclave { records.fetch_for_begin(grant) } else { records.fetch_if_owned(&grant) };
            Ok(Loaded { grant: None, outer: outer.map_err(failure)?, consistency: None })
        }
        Load::Sealed { grant, proof } => {
            let outer = records.fetch(&grant).map_err(failure)?;
            let consistency = match proof {
                Some((old, new)) => records.consistency(old, new).map_err(failure)?,
                None => None,
            };
            Ok(Loaded { grant: Some(grant), outer, consistency })
        }
    }
}

fn failure(error: ReadError) -> LoadFailure {
    match error {
        ReadError::Foreign => LoadFailure::Foreign,
        ReadError::Damaged | ReadError::Store(_) => LoadFailure::Storage,
    }
}
