//! Structured inputs that several targets draw from the fuzzer's bytes.

use arbitrary::{Arbitrary, Result, Unstructured};
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{DeviceId, Hash32, Version};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent};
use pinseal_protocol::log::SealedDetail;
use pinseal_protocol::pin::{Argon2Parameters, PinFactor, PinParameters, PinSalt};
use pinseal_protocol::request::{BeginReply, Method, Request};

use crate::harness::base::{ACCOUNTS, BASE};
use crate::harness::device::{PIN, factor};
use crate::samples;

/// One change to a byte string.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Edit {
    Flip(u16, u8),
    Insert(u16, Vec<u8>),
    Remove(u16, u8),
    Cut(u16),
}

/// `bytes` after the first few edits.
pub(crate) fn apply(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for edit in edits.iter().take(16) {
        let place = |at: &u16, out: &[u8]| usize::from(*at) % (out.len() + 1);
        match edit {
            Edit::Flip(at, value) => {
                let at = place(at, &out);
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= value;
                }
            }
            Edit::Insert(at, more) => {
                let at = place(at, &out);
                out.splice(at..at, more.iter().copied());
            }
            Edit::Remove(at, count) => {
                let at = place(at, &out);
                let end = (at + usize::from(*count)).min(out.len());
                out.drain(at..end);
            }
            Edit::Cut(at) => {
                let at = place(at, &out);
                out.truncate(at);
            }
        }
    }
    out
}

/// A request of this method, and the PIN it tests. Mostly the right one.
pub(crate) fn request(u: &mut Unstructured<'_>, method: Method, begin: &BeginReply) -> Result<(Request, Option<u8>)> {
    let number = if u.ratio(2, 3)? { PIN } else { u.int_in_range(2..=9)? };
    let unknown = PinParameters {
        salt: PinSalt([0; 16]),
        argon2: Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 },
    };
    let under = |parameters: Option<PinParameters>| -> PinFactor { factor(number, &parameters.unwrap_or(unknown)) };
    let current = || under(begin.current);
    let asked = match method {
        Method::RegisterPrepare => Request::RegisterPrepare {
            pin: under(Some(begin.next)),
            words: if u.ratio(7, 8)? { *u.choose(&[12, 24])? } else { u.arbitrary()? },
            label: label(u)?,
        },
        Method::RegisterConfirm => Request::RegisterConfirm { pin: under(begin.pending) },
        Method::VerifyPin => Request::VerifyPin { pin: current() },
        Method::Sign => Request::Sign { pin: current(), intents: intents(u)? },
        Method::ChangePinPrepare => {
            Request::ChangePinPrepare { pin: current(), new_pin: factor(u.int_in_range(1..=9)?, &begin.next) }
        }
        Method::ChangePinConfirm => Request::ChangePinConfirm { pin: under(begin.pending) },
        Method::EnrolDevice => Request::EnrolDevice { pin: current(), label: label(u)? },
        Method::RevokeDevice => Request::RevokeDevice { pin: current(), device: device(u)? },
        Method::ClearTries => Request::ClearTries { pin: current() },
        Method::Status => Request::Status,
        Method::ListAccounts => Request::ListAccounts { accounts: accounts(u)? },
        Method::OpenHistory => Request::OpenHistory { writes: writes(u)? },
        Method::AcceptRestore => Request::AcceptRestore { restores: u.int_in_range(0..=2)? },
    };
    let tested = asked.tested_pin().is_some().then_some(number);
    Ok((asked, tested))
}

fn label(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(if u.ratio(3, 4)? { "tablet".to_owned() } else { u.arbitrary::<&str>()?.chars().take(40).collect() })
}

fn device(u: &mut Unstructured<'_>) -> Result<DeviceId> {
    Ok(match u.int_in_range(0..=2)? {
        0 => BASE.laptop.id(),
        1 => BASE.phone.id(),
        _ => DeviceId(u.arbitrary()?),
    })
}

fn account(u: &mut Unstructured<'_>) -> Result<AccountIndex> {
    if u.ratio(1, 16)? {
        // Beyond the end, as only the wire can bring it.
        let beyond: u32 = u.arbitrary()?;
        return Ok(minicbor::decode(&minicbor::to_vec(beyond).unwrap_or_default()).unwrap_or_default());
    }
    Ok(AccountIndex::new(u.int_in_range(0..=ACCOUNTS)?).unwrap_or_default())
}

fn accounts(u: &mut Unstructured<'_>) -> Result<Vec<AccountIndex>> {
    (0..u.int_in_range(0..=18)?).map(|_| account(u)).collect()
}

/// Entries of the base's log, of every wallet, proved mostly in the log of the base's receipts, some of them changed; now and then more than are
/// taken.
fn writes(u: &mut Unstructured<'_>) -> Result<Vec<LoggedWrite>> {
    let size = BASE.peopled.checkpoint().size;
    let size = if u.ratio(7, 8)? { size } else { u.int_in_range(0..=size)? };
    let logged: Vec<LoggedWrite> = BASE.peopled.writes(size).map(|(_, write)| write).collect();
    let count = if u.ratio(7, 8)? { u.int_in_range(0..=4)? } else { u.int_in_range(5..=34)? };
    (0..count).map(|_| write(u, &logged)).collect()
}

fn write(u: &mut Unstructured<'_>, logged: &[LoggedWrite]) -> Result<LoggedWrite> {
    let mut write = u.choose(logged)?.clone();
    let (place, value) = (usize::from(u.arbitrary::<u8>()?), u.arbitrary::<u8>()?);
    match u.int_in_range(0..=9)? {
        0 => write.version = Version(u.arbitrary()?),
        1 => write.outer.0[place % Hash32::LEN] ^= value,
        2 => write.detail.0[place % SealedDetail::LEN] ^= value,
        3 => write.index = u.arbitrary()?,
        4 => write.path.resize(place, Hash32([value; Hash32::LEN])),
        5 => {
            if let Some(hash) = write.path.get_mut(place % 4) {
                hash.0[place % Hash32::LEN] ^= value;
            }
        }
        _ => {}
    }
    Ok(write)
}

fn intents(u: &mut Unstructured<'_>) -> Result<Vec<Intent>> {
    let count = if u.ratio(7, 8)? { u.int_in_range(1..=2)? } else { u.int_in_range(0..=18)? };
    (0..count).map(|_| intent(u)).collect()
}

/// Any intent; payloads are samples with changes, or any bytes.
pub(crate) fn intent(u: &mut Unstructured<'_>) -> Result<Intent> {
    let account = account(u)?;
    let kind = u.int_in_range(0..=3)?;
    let mut chain = ChainId(if u.ratio(1, 8)? { u.arbitrary()? } else { 1 });
    Ok(match kind {
        0 => {
            let (sample_chain, unsigned) = payload(u, samples::transactions())?;
            if u.ratio(7, 8)? {
                chain = sample_chain;
            }
            Intent::EvmTransaction { account, chain, unsigned: unsigned.into() }
        }
        1 => Intent::EvmAuthorization { account, chain, address: EvmAddress(u.arbitrary()?), nonce: u.arbitrary()? },
        2 => Intent::EvmPersonalMessage { account, message: u.arbitrary::<&[u8]>()?.to_vec().into() },
        _ => {
            let (sample_chain, typed_data) = payload(u, samples::typed_data())?;
            if u.ratio(7, 8)? {
                chain = sample_chain;
            }
            Intent::EvmTypedData { account, chain, typed_data: typed_data.into() }
        }
    })
}

/// A sample with changes, and its chain.
fn payload(u: &mut Unstructured<'_>, samples: &[(ChainId, Vec<u8>)]) -> Result<(ChainId, Vec<u8>)> {
    let (chain, sample) = u.choose(samples)?;
    if u.ratio(1, 4)? {
        return Ok((*chain, u.arbitrary::<&[u8]>()?.to_vec()));
    }
    let edits: Vec<Edit> = if u.arbitrary()? { u.arbitrary()? } else { Vec::new() };
    Ok((*chain, apply(sample, &edits)))
}
