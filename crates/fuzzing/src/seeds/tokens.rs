//! Seeds that are tokens.

use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::token::{AccessClaims, P256Public};

use crate::harness::base::{BASE, START};
use crate::harness::host::Host;
use crate::harness::keys;

pub(super) fn add(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let device = BASE.laptop.id();
    let claims = AccessClaims {
        iss: "https://wallet.test".into(),
        aud: DeploymentId([7; 16]).to_string(),
        sub: "ada".into(),
        sid: "s".into(),
        app: "a".into(),
        jti: "j".into(),
        iat: START,
        exp: START + 600,
        cnf: AccessClaims::confirmation(&device),
    };
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#;
    let claims = serde_json::to_string(&claims).expect("claims serialise");
    add("access_token", format!("{header}\0{claims}").into());
    let storage = r#"{"iss":"i","aud":"a","wallet":"w","operation":"sign","jti":"j","iat":1,"exp":2}"#;
    add("access_token", format!("{}\0{storage}", header.replace("at+jwt", "storage+jwt")).into());
    let host = Host::new(BASE.configuration.clone(), BASE.empty.clone(), START, 1);
    add("access_token", host.token("ada", &device).into());

    let (x, y) = P256Public::of(keys::key(1)).coordinates();
    let header =
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}}}"#);
    let proof = format!(r#"{{"jti":"j","htm":"POST","htu":"https://wallet.test/v1/wallet/begin","iat":{START}}}"#);
    add("dpop", format!("{header}\0{proof}").into());
    let ath =
        proof.replace("\"iat\"", "\"ath\":\"PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A\",\"nonce\":\"n\",\"iat\"");
    add("dpop", format!("{header}\0{ath}").into());
}
