//! Evidence, through its one public door.

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

/// A document around the fuzzer's bytes, as close to genuine as the harness can make one.
type Wrap = fn(&[u8]) -> Vec<u8>;

/// One line a kind: the fuzzer's first byte picks it.
const KINDS: &[Wrap] = &[|bytes| bytes.to_vec(), software];

/// Documents of every kind under every policy. What is accepted says what was expected; no production policy accepts software evidence.
pub fn evidence(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let document = KINDS[usize::from(*kind) % KINDS.len()](rest);
    let listed = || MeasurementList::new(vec![MEASUREMENT]).expect("one");
    let accepts = DevelopmentMode::i_understand_this_proves_nothing;
    let policies = [
        Policy::production(listed()),
        Policy::development(accepts(), DevelopmentMeasurements::Listed(listed())),
        Policy::development(accepts(), DevelopmentMeasurements::Any),
    ];
    for (strictness, policy) in policies.iter().enumerate() {
        let Ok(verified) = verify(&document, policy, &EXPECTED) else { continue };
        assert!(policy.trusts(&verified.measurement) && !verified.statement.is_empty());
        assert!(verified.time.0.abs_diff(EXPECTED.now.0) <= EXPECTED.age_seconds_max);
        if verified.kind == EvidenceKind::Software {
            assert_ne!(strictness, 0, "a production policy accepted evidence that proves nothing");
        }
        let other = Expected { nonce: Nonce([9; 32]), ..EXPECTED };
        assert!(matches!(verify(&document, policy, &other), Err(VerifyError::Nonce)), "bound to the nonce");
        let other = Expected { user_data: Hash32([9; 32]), ..EXPECTED };
        assert!(matches!(verify(&document, policy, &other), Err(VerifyError::UserData)), "bound to the manifest");
    }
}

/// Software evidence: a genuine document with changes, or a payload with changes under a genuine signature where the producer can make
/// one.
fn software(bytes: &[u8]) -> Vec<u8> {
    use arbitrary::{Arbitrary as _, Unstructured};

    let genuine = produce::software(MEASUREMENT, EXPECTED.user_data, EXPECTED.nonce, EXPECTED.now);
    let Ok(edits) = Vec::<Edit>::arbitrary_take_rest(Unstructured::new(bytes)) else { return genuine };
    let Ok(Document::Software { payload, .. }) = cbor::from_slice(&genuine) else {
        panic!("the producer makes canonical documents")
    };
    let changed = apply(&payload, &edits);
    match cbor::from_slice::<SoftwarePayload>(&changed) {
        Ok(said) => produce::software(said.measurement, said.user_data, said.nonce, said.time),
        Err(_) => apply(&genuine, &edits),
    }
}
