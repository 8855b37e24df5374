//! Requests that the TypeScript client sealed, opened by the enclave's half.

use std::collections::BTreeSet;

use pinseal_protocol::cbor;
use pinseal_protocol::envelope::BootKey;
use pinseal_protocol::request::{Method, SealedRequest};
use pinseal_protocol::secret::SecretBytes;

use crate::{array, bytes, cases, load, text};

#[test]
fn requests_sealed_in_typescript_open_and_say_what_was_sealed() {
    let file = load("typescript.json");
    let boot = BootKey::derive(&SecretBytes::from_slice(&array::<32>(&file, "boot_ikm")).unwrap());
    let mut methods = BTreeSet::new();
    for case in cases(&file, "cases") {
        let name = text(case, "name");
        let sealed = bytes(case, "sealed_request");
        let request: SealedRequest = cbor::from_slice(&sealed).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(cbor::to_vec(&request.header), bytes(case, "header"), "{name}");
        let opened = boot.open(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(cbor::to_vec(&opened.body), bytes(case, "body"), "{name}");
        assert_eq!(opened.body.request.method(), request.header.method, "{name}");
        assert_eq!(opened.body.device_key.thumbprint(), request.header.device, "{name}");
        assert!(opened.body.request.is_within_bounds(), "{name}");
        methods.insert(request.header.method);
    }
    // A method without a case was added here and not there: UPDATE=1 node scripts/test.mjs interop, in web/packages/client.
    let missing: Vec<_> = Method::ALL.iter().filter(|method| !methods.contains(method)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
