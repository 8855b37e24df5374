//! Sealed records as a host hands them over.

use arbitrary::{Result, Unstructured};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Hash32, Version};
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::Header;

use crate::harness::base::{BASE, BOOT_SEED, START};
use crate::harness::device::Device;
use crate::harness::host::{Answer, Disk, Host};
use crate::harness::root::{Outer, outer_hash};
use crate::inputs::{self, Edit, apply};

/// A record's plaintext is padded to this.
const RECORD_BYTES: usize = pinseal_enclave::RECORD_BYTES;

/// Ada's record under the real keys and a checkpoint that vouches for it: any plaintext, the real one with changes, other outer fields,
/// any outer bytes. Whatever it holds, requests are answered and the enclave goes on serving.
pub fn record(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let _ = forged(&mut u);
}

fn forged(u: &mut Unstructured<'_>) -> Result<()> {
    let (header, real) = BASE.peopled.records.get(&BASE.ada).expect("Ada has a wallet");
    let mut outer: Outer = cbor::from_slice(real).expect("the record is canonical");
    let plain = BASE.root.open_record(&BASE.ada, &outer).expect("the harness derives the enclave's keys");
    let end = plain.iter().rposition(|byte| *byte != 0).expect("padded");
    let steps = u.int_in_range(1..=3_u8)?;
    let choices: Vec<(u8, u8)> =
        (0..steps).map(|_| Ok((u.int_in_range(0..=3)?, u.arbitrary()?))).collect::<Result<_>>()?;
    let mode = u.int_in_range(0..=4)?;
    let bytes = match mode {
        0 => reseal(&mut outer, &padded(&apply(&plain[..end], &u.arbitrary::<Vec<Edit>>()?))),
        1 => reseal(&mut outer, &padded(u.arbitrary()?)),
        2 => reseal(&mut outer, u.arbitrary()?),
        3 => {
            outer.format = u.arbitrary()?;
            outer.epoch = u.arbitrary()?;
            outer.version = Version(u.arbitrary()?);
            outer.policy = if u.arbitrary()? { outer.policy } else { Hash32(u.arbitrary()?) };
            reseal(&mut outer, &plain)
        }
        _ => apply(real, &u.arbitrary::<Vec<Edit>>()?),
    };
    let version = if mode == 3 { outer.version } else { header.version };
    let mut host = Host::new(BASE.configuration.clone(), vouched(version, &bytes), START + 60, BOOT_SEED);
    host.boot();
    assert!(host.manifest.is_some(), "the state adds up: {:?}", host.halted);
    let untouched = bytes == *real;
    for (device, method) in choices {
        let mut device = match device {
            0 => BASE.laptop.clone(),
            1 => BASE.phone.clone(),
            2 => Device::new("ada", 3),
            _ => BASE.bob.clone(),
        };
        device.receipt = None;
        let method = Method::ALL[usize::from(method) % Method::ALL.len()];
        ask(u, &mut host, &mut device, method, untouched)?;
    }
    Ok(())
}

fn ask(u: &mut Unstructured<'_>, host: &mut Host, device: &mut Device, method: Method, untouched: bool) -> Result<()> {
    let begun = device.begin(host, method);
    assert!(begun.is_some() || !untouched, "the real record opens");
    let Some((begin, token)) = begun else { return Ok(()) };
    let (asked, _) = inputs::request(u, method, &begin)?;
    let header = device.header(host.manifest(), &begin, &token);
    let body = device.body(&token, asked);
    let Some(sealed) = device.seal(host.manifest(), &begin, header, &body) else { return Ok(()) };
    let call = host.submit(&sealed.wallet, &sealed.request);
    host.commit_all();
    match host.answers.remove(&call) {
        Some(Answer::Replied(reply)) => drop(device.open(host.manifest(), &sealed.opener, &reply)),
        other => panic!("an honest envelope gets a sealed reply: {other:?}"),
    }
    assert_eq!(host.halted, None, "one bad record closes one wallet");
    Ok(())
}

/// A disk whose checkpoint and anchor commit to Ada's record being these bytes.
fn vouched(version: Version, bytes: &[u8]) -> Disk {
    let mut disk = BASE.peopled.clone();
    let header = Header { wallet: BASE.ada, version, outer: outer_hash(bytes) };
    disk.records.insert(BASE.ada, (header, bytes.to_vec()));
    let checkpoint: Checkpoint = BASE.root.commit(disk.checkpoint(), &disk.headers());
    disk.note = BASE.root.note(&checkpoint);
    disk.anchored.clone_from(&disk.note);
    disk
}

fn reseal(outer: &mut Outer, plain: &[u8]) -> Vec<u8> {
    BASE.root.seal_record(&BASE.ada, outer, plain);
    cbor::to_vec(outer)
}

fn padded(encoded: &[u8]) -> Vec<u8> {
    let mut plain = encoded[..encoded.len().min(RECORD_BYTES - 1)].to_vec();
    plain.push(0x80);
    plain.resize(RECORD_BYTES, 0);
    plain
}
