//! Evidence, through its one public door.

use pinseal_attestation::verify::nitro::{NitroImage, NitroImages, NitroRoot, Pcr, PcrIndex, authenticate};
use pinseal_attestation::verify::{
    DevelopmentMeasurements, DevelopmentMode, Expected, MeasurementList, Policy, VerifyError, verify,
};
use pinseal_attestation::{Document, EvidenceKind, SoftwarePayload, produce};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};

use crate::harness::base::START;
use crate::inputs::{Edit, apply};

const EXPECTED: Expected =
    Expected { user_data: Hash32([1; 32]), nonce: Nonce([2; 32]), now: UnixSeconds(START), age_seconds_max: 300 };
const MEASUREMENT: Measurement = Measurement([3; 32]);

/// A real document, signed by AWS, and a time at which its chain was valid.
const GENUINE: &[u8] = include_bytes!("../../../../vectors/attestation/nitro/aws-eu-central-1.cose");
const GENUINE_AT: UnixSeconds = UnixSeconds(1_736_179_625);

/// A document around the fuzzer's bytes, as close to genuine as the harness can make one, and the time it is judged at.
type Wrap = (fn(&[u8]) -> Vec<u8>, UnixSeconds);

/// One line a kind: the fuzzer's first byte picks it.
const KINDS: &[Wrap] = &[
    (|bytes| bytes.to_vec(), GENUINE_AT),
    (software, UnixSeconds(START)),
    (nitro, GENUINE_AT),
    (nitro_chain, GENUINE_AT),
];

/// Documents of every kind under every policy. What is accepted says what was expected; a policy for hardware accepts no software
/// evidence, and nothing but the genuine document is authentic.
pub fn evidence(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let (wrap, now) = KINDS[usize::from(*kind) % KINDS.len()];
    let document = wrap(rest);
    let expected = Expected { now, ..EXPECTED };
    let listed = || MeasurementList::new(vec![MEASUREMENT]).expect("one");
    let accepts = DevelopmentMode::i_understand_this_proves_nothing;
    let policies = [
        Policy::nitro(images()),
        Policy::development(accepts(), DevelopmentMeasurements::Listed(listed())),
        Policy::development(accepts(), DevelopmentMeasurements::Any),
    ];
    for (strictness, policy) in policies.iter().enumerate() {
        let Ok(verified) = verify(&document, policy, &expected) else { continue };
        assert!(!verified.statement.is_empty());
        assert!(verified.time.0.abs_diff(expected.now.0) <= expected.age_seconds_max);
        assert_eq!(verified.kind, EvidenceKind::Software, "the genuine Nitro document has no nonce");
        assert_ne!(strictness, 0, "a policy for hardware accepted evidence that proves nothing");
        let other = Expected { nonce: Nonce([9; 32]), ..expected };
        assert!(matches!(verify(&document, policy, &other), Err(VerifyError::Nonce)), "bound to the nonce");
        let other = Expected { user_data: Hash32([9; 32]), ..expected };
        assert!(matches!(verify(&document, policy, &other), Err(VerifyError::UserData)), "bound to the manifest");
    }
    let authentic = authenticate(&document, &NitroRoot::AWS_G1, GENUINE_AT).is_ok();
    assert_eq!(authentic, document == GENUINE, "AWS signed one document here");
}

/// The image of the genuine document.
fn images() -> NitroImages {
    let document = authenticate(GENUINE, &NitroRoot::AWS_G1, GENUINE_AT).expect("genuine");
    let [pcr0, pcr1, pcr2] = PcrIndex::MANDATORY.map(|index| {
        let bytes = document.pcr(index).and_then(|bytes| <[u8; 48]>::try_from(bytes).ok());
        Pcr::new(bytes.expect("a PCR of SHA-384"))
    });
    NitroImages::new(vec![NitroImage::new(pcr0, pcr1, pcr2).expect("not zero")]).expect("one image")
}

fn edits(bytes: &[u8]) -> Vec<Edit> {
    use arbitrary::{Arbitrary as _, Unstructured};

    Vec::<Edit>::arbitrary_take_rest(Unstructured::new(bytes)).unwrap_or_default()
}

/// The genuine document with changes anywhere.
fn nitro(bytes: &[u8]) -> Vec<u8> {
    apply(GENUINE, &edits(bytes))
}

/// The genuine document with one of its certificates changed, or two of them exchanged, and every length around them right again.
fn nitro_chain(bytes: &[u8]) -> Vec<u8> {
    let Some((which, rest)) = bytes.split_first() else { return GENUINE.to_vec() };
    rebuilt(*which, rest).expect("the genuine document is well formed")
}

fn rebuilt(which: u8, rest: &[u8]) -> Result<Vec<u8>, minicbor::decode::Error> {
    let mut outer = minicbor::Decoder::new(GENUINE);
    outer.array()?;
    let protected = outer.bytes()?;
    outer.skip()?;
    let payload = outer.bytes()?;
    let signature = outer.bytes()?;

    let mut encoder = minicbor::Encoder::new(Vec::new());
    let mut inner = minicbor::Decoder::new(payload);
    let entries = inner.map()?.unwrap_or_default();
    let mut changed = Vec::new();
    for _ in 0..entries {
        let begin = inner.position();
        let key = inner.str()?;
        let value = inner.position();
        inner.skip()?;
        let end = inner.position();
        let mut at = minicbor::Decoder::new(&payload[value..end]);
        changed.extend_from_slice(&payload[begin..value]);
        match key {
            "certificate" if which % 8 == 7 => {
                let _ = encoder.bytes(&apply(at.bytes()?, &edits(rest)));
            }
            "cabundle" if which % 8 != 7 => {
                let certificates = at.array()?.unwrap_or_default();
                let mut chain = (0..certificates).map(|_| at.bytes()).collect::<Result<Vec<&[u8]>, _>>()?;
                let place = usize::from(which) % chain.len();
                if which >= 128 {
                    let other = usize::from(rest.first().copied().unwrap_or(0)) % chain.len();
                    chain.swap(place, other);
                }
                let edited = apply(chain[place], &edits(rest));
                chain[place] = &edited;
                let _ = encoder.array(chain.len() as u64);
                for certificate in chain {
                    let _ = encoder.bytes(certificate);
                }
            }
            _ => {
                changed.extend_from_slice(&payload[value..end]);
                continue;
            }
        }
        changed.append(encoder.writer_mut());
    }
    let mut whole = minicbor::Encoder::new(Vec::new());
    let mut payload_head = minicbor::Encoder::new(Vec::new());
    let _ = payload_head.map(entries);
    let mut inner = payload_head.into_writer();
    inner.append(&mut changed);
    let _ = whole.array(4).and_then(|e| e.bytes(protected)).and_then(|e| e.map(0));
    let _ = whole.bytes(&inner).and_then(|e| e.bytes(signature));
    Ok(whole.into_writer())
}

/// Software evidence: a genuine document with changes, or a payload with changes under a genuine signature where the producer can make
/// one.
fn software(bytes: &[u8]) -> Vec<u8> {
    let genuine = produce::software(MEASUREMENT, EXPECTED.user_data, EXPECTED.nonce, EXPECTED.now);
    let edits = edits(bytes);
    let Ok(Document::Software { payload, .. }) = cbor::from_slice(&genuine) else {
        panic!("the producer makes canonical documents")
    };
    let changed = apply(&payload, &edits);
    match cbor::from_slice::<SoftwarePayload>(&changed) {
        Ok(said) => produce::software(said.measurement, said.user_data, said.nonce, said.time),
        Err(_) => apply(&genuine, &edits),
    }
}
