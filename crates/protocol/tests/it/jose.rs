//! Access tokens and DPoP proofs: the RFCs' examples, another implementation's tokens, and the tricks JWTs are known for.

use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use pinseal_protocol::dpop::{self, PROOF_BYTES_MAX, Proof, SKEW_SECONDS_MAX};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{
    self, ACCESS_TYP, AccessClaims, P256Public, StorageKey, TOKEN_BYTES_MAX, TokenError, token_hash, verify_access,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{array, load, p256, sign_p256, text};

const NOW: UnixSeconds = UnixSeconds(1_767_225_601);
const METHOD: &str = "POST";
const TARGET: &str = "https://wallet.example/v1/begin";

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A compact JWS of any header and claims, its signature good.
fn jws(pair: &EcdsaKeyPair, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign_p256(pair, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn vector_claims() -> AccessClaims {
    serde_json::from_value(load("token.json")["access"]["claims"].clone()).unwrap()
}

fn check(token: &str) -> Result<AccessClaims, TokenError> {
    let claims = vector_claims();
    verify_access(token, &claims.iss, &claims.aud, &p256("issuer").1, NOW)
}

/// Claims of the vector with one member replaced, or removed by `null`.
fn with(key: &str, value: Value) -> String {
    let mut claims = load("token.json")["access"]["claims"].clone();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
        value => claims[key] = value,
    }
    claims.to_string()
}

const HEADER: &str = r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#;

#[test]
fn rfc_7515_es256_and_rfc_7638_thumbprint() {
    let file = load("jose.json");
    let es256 = &file["es256"];
    let key = P256Public::from_coordinates(text(es256, "x"), text(es256, "y")).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(text(es256, "signature")).unwrap();
    assert!(key.verifies(text(es256, "message").as_bytes(), &signature));
    assert!(!key.verifies(b"another message", &signature));

    let key = P256Public::from_coordinates(text(&file, "x"), text(&file, "y")).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(key.thumbprint().0), text(&file, "jkt"));
    assert_eq!(key.coordinates(), (text(&file, "x").into(), text(&file, "y").into()));
}

#[test]
fn rfc_9449_proofs_verify() {
    let file = load("jose.json");
    for case in crate::cases(&file, "proofs") {
        let token = case["access_token"].as_str();
        let now = UnixSeconds(case["iat"].as_u64().unwrap());
        let (proof, method, target) = (text(case, "proof"), text(case, "method"), text(case, "target"));
        let verified = dpop::verify(proof, method, target, token, now).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(verified.key.thumbprint().0), text(&file, "jkt"));
        assert_eq!(verified.proof.jti, text(case, "jti"));
        assert_eq!(verified.proof.ath.as_deref(), case["ath"].as_str());
        let other = if token.is_some() { None } else { Some("a token") };
        assert_eq!(dpop::verify(proof, method, target, other, now).unwrap_err(), TokenError::Claims);
    }
}

#[test]
fn tokens_of_another_implementation_verify() {
    let file = load("token.json");
    let (_, issuer) = p256("issuer");
    let (_, device) = p256("device");
    for (name, key) in [("issuer", issuer), ("device", device)] {
        assert_eq!(URL_SAFE_NO_PAD.encode(key.thumbprint().0), text(&file[name], "thumbprint"));
    }
    let token = text(&file["access"], "token");
    let claims = check(token).unwrap();
    assert_eq!(serde_json::to_value(&claims).unwrap(), file["access"]["claims"]);
    assert_eq!(claims.device(), Some(device.thumbprint()));
    assert_eq!(token_hash(token).to_string(), text(&file["access"], "hash"));

    let storage = StorageKey::new(&SecretBytes::take(&mut array(&file["storage"], "secret")));
    let claims = storage.verify(text(&file["storage"], "token")).unwrap();
    assert_eq!(serde_json::to_value(&claims).unwrap(), file["storage"]["claims"]);
    assert_eq!(
        storage.sign(&claims).unwrap().expose_secret(),
        text(&file["storage"], "token"),
        "there is one token for these claims"
    );

    let verified = dpop::verify(text(&file["dpop"], "proof"), METHOD, TARGET, Some(token), NOW).unwrap();
    assert_eq!(verified.key, device);
    assert_eq!(serde_json::to_value(&verified.proof).unwrap(), file["dpop"]["claims"]);
}

#[test]
fn our_tokens_have_the_vectors_header_and_claims() {
    let file = load("token.json");
    let (pair, _) = p256("issuer");
    let token = token::sign(ACCESS_TYP, &vector_claims(), &pair).unwrap();
    assert_eq!(check(&token), Ok(vector_claims()));
    let unsigned = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(unsigned(&token), unsigned(text(&file["access"], "token")));
    assert!(token.len() < TOKEN_BYTES_MAX);
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let token = load("token.json")["access"]["token"].as_str().unwrap().to_owned();
    let claims = vector_claims();
    let key = p256("issuer").1;
    let verify =
        |issuer: &str, audience: &str, key, now| verify_access(&token, issuer, audience, key, UnixSeconds(now));
    let (iss, aud) = (claims.iss.as_str(), claims.aud.as_str());
    assert_eq!(verify(iss, aud, &key, claims.exp - 1), Ok(claims.clone()));
    assert_eq!(verify(iss, aud, &key, claims.exp), Err(TokenError::Expired));
    assert_eq!(verify(iss, aud, &key, u64::MAX), Err(TokenError::Expired));
    assert_eq!(verify("https://other.example", aud, &key, NOW.0), Err(TokenError::Claims));
    assert_eq!(verify(iss, "", &key, NOW.0), Err(TokenError::Claims));
    assert_eq!(verify(iss, aud, &p256("device").1, NOW.0), Err(TokenError::Signature));
    assert_eq!(token::verify::<AccessClaims>(&token, "storage+jwt", &key), Err(TokenError::Claims));
    let storage = load("token.json")["storage"]["token"].as_str().unwrap().to_owned();
    assert_eq!(check(&storage), Err(TokenError::Malformed), "a storage token opens no wallet");
}

#[test]
fn another_algorithm_or_type_is_refused() {
    let (pair, _) = p256("issuer");
    let claims = with("app", json!("app-1"));
    assert!(check(&jws(&pair, HEADER, &claims)).is_ok());
    for header in [
        r#"{"alg":"none","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"None","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"es256","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"ES256K","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#,
        r#"{"alg":"ES256","typ":"dpop+jwt","kid":"k"}"#,
        r#"{"alg":"ES256","typ":"application/at+jwt","kid":"k"}"#,
    ] {
        assert_eq!(check(&jws(&pair, header, &claims)), Err(TokenError::Claims), "{header}");
    }
    // An unsigned token says "none" and carries no signature.
    let unsigned = format!("{}.{}.", part(r#"{"alg":"none","typ":"at+jwt","kid":"k"}"#), part(&claims));
    assert_eq!(check(&unsigned), Err(TokenError::Claims));
    let unsigned = format!("{}.{}.", part(HEADER), part(&claims));
    assert_eq!(check(&unsigned), Err(TokenError::Signature));
    // The public key as the secret of an HMAC.
    let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#), part(&claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, p256("issuer").1.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    assert_eq!(check(&format!("{signed}.{tag}")), Err(TokenError::Claims));
}

#[test]
fn a_header_with_other_members_is_refused() {
    let (pair, _) = p256("issuer");
    let claims = with("app", json!("app-1"));
    for header in [
        r#"{"alg":"ES256","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k","jwk":{}}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k","crit":["exp"]}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"ES256","al\u0067":"none","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":["ES256"],"typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":null}"#,
        r#"["ES256","at+jwt","k"]"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}x"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}{}"#,
        "",
        "null",
    ] {
        assert_eq!(check(&jws(&pair, header, &claims)), Err(TokenError::Malformed), "{header}");
    }
}

#[test]
fn claims_of_another_shape_are_refused() {
    let (pair, _) = p256("issuer");
    let malformed = [
        with("exp", json!("1767226200")),
        with("exp", json!(1_767_226_200.5)),
        with("exp", json!(-1)),
        with("exp", Value::Null),
        with("exp", json!(1)).replace("\"exp\":1", "\"exp\":18446744073709551616"),
        with("exp", json!(1)).replace("\"exp\":1", "\"exp\":1e400"),
        with("exp", json!(1)).replace("\"exp\":1", "\"exp\":1767226200.0"),
        with("exp", json!(1)).replace("\"exp\":1", "\"exp\":01767226200"),
        with("exp", json!(1_767_226_200)).replace("\"exp\"", "\"exp\":1,\"exp\""),
        with("sub", json!("user-1")).replace("\"sub\"", "\"sub\":\"user-2\",\"sub\""),
        with("sub", Value::Null),
        with("sub", json!(7)),
        with("aud", json!([vector_claims().aud])),
        with("nbf", json!(0)),
        with("cnf", json!({})),
        with("cnf", json!({ "jkt": "a", "x5t#S256": "b" })),
        with("cnf", Value::Null),
        "[]".to_owned(),
        "\u{feff}{}".to_owned(),
        with("cnf", json!([vector_claims().cnf.jkt])),
        format!("{}\0", with("app", json!("app-1"))),
        "[".repeat(600),
    ];
    for claims in malformed {
        assert_eq!(check(&jws(&pair, HEADER, &claims)), Err(TokenError::Malformed), "{claims}");
    }
    let good = vector_claims().cnf.jkt;
    for (key, value) in [
        ("sub", json!("")),
        ("iss", json!("https://login.example/")),
        ("iss", json!("https://login.example\0")),
        ("aud", json!("")),
        ("cnf", json!({ "jkt": "" })),
        ("cnf", json!({ "jkt": &good[1..] })),
        ("cnf", json!({ "jkt": format!("{good}=") })),
        ("cnf", json!({ "jkt": loose(&good) })),
    ] {
        assert_eq!(check(&jws(&pair, HEADER, &with(key, value.clone()))), Err(TokenError::Claims), "{key} {value}");
    }
}

/// The same bytes in base64url whose last digit has other unused bits.
fn loose(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(text.len() % 4, 0, "whole groups have no unused bits");
    let last = DIGITS.iter().position(|digit| Some(digit) == text.as_bytes().last()).unwrap();
    format!("{}{}", &text[..text.len() - 1], char::from(DIGITS[last ^ 1]))
}

#[test]
fn another_spelling_of_a_token_is_refused() {
    let file = load("token.json");
    let token = text(&file["access"], "token");
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    assert_eq!(check(&format!("{header}.{claims}.{}", loose(signature))), Err(TokenError::Malformed));
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    assert_eq!(check(&format!("{header}.{claims}.{padded}")), Err(TokenError::Malformed));
    for other in [
        String::new(),
        "..".to_owned(),
        format!("{header}.{claims}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        format!("{header}.{claims}\n.{signature}"),
        token.replace('.', ","),
        format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX)),
    ] {
        assert_eq!(check(&other), Err(TokenError::Malformed), "{other}");
    }
    for at in 0..token.len() {
        let mut changed = token.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(check(&String::from_utf8(changed).unwrap()).is_err(), "character {at}");
    }
}

#[test]
fn signatures_in_another_form_are_refused() {
    let (pair, key) = p256("issuer");
    let message = b"message";
    let signature = sign_p256(&pair, message);
    assert!(key.verifies(message, &signature));
    let (r, s) = signature.split_at(32);
    let der = |r: &[u8], s: &[u8]| [&[0x30, 70, 2, 33, 0], r, &[2, 33, 0], s].concat();
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let others = [
        Vec::new(),
        vec![0; 64],
        [&[0; 32], s].concat(),
        [r, &[0; 32]].concat(),
        [order.as_slice(), s].concat(),
        [r, &order].concat(),
        vec![0xff; 64],
        signature[..63].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], &signature[..]].concat(),
        der(r, s),
    ];
    for other in others {
        assert!(!key.verifies(message, &other), "{}", hex::encode(&other));
    }
}

#[test]
fn keys_in_another_form_or_off_the_curve_verify_nothing() {
    let (pair, key) = p256("device");
    let signature = sign_p256(&pair, b"message");
    assert!(key.verifies(b"message", &signature));
    for first in 0..=255 {
        let mut other = key;
        other.0[0] = first;
        assert_eq!(other.verifies(b"message", &signature), first == 4, "first byte {first:#04x}");
    }
    for at in 1..65 {
        let mut off = key;
        off.0[at] ^= 1;
        assert!(!off.verifies(b"message", &signature), "byte {at}");
    }
    assert!(!P256Public([0; 65]).verifies(b"message", &signature));
    assert!(!P256Public([0xff; 65]).verifies(b"message", &signature));

    let (x, y) = key.coordinates();
    assert_eq!(P256Public::from_coordinates(&x, &y), Some(key));
    for (x, y) in [
        (loose(&x), y.clone()),
        (format!("{x}="), y.clone()),
        (x[1..].to_owned(), y.clone()),
        (format!("{x}AAAA"), y.clone()),
        (String::new(), y.clone()),
        (x.replace(['-', '_'], "+") + "+", y.clone()),
        (x.clone(), loose(&y)),
        (x.clone(), String::new()),
    ] {
        assert_eq!(P256Public::from_coordinates(&x, &y), None, "{x} {y}");
    }
}

/// The longest of ever longer texts that is not longer than `bound`, and the next.
fn around(bound: usize, make: impl Fn(usize) -> String) -> (String, String) {
    let next = (0..=bound).find(|length| make(*length).len() > bound).unwrap();
    (make(next - 1), make(next))
}

#[test]
fn the_longest_token_and_proof_are_read_and_no_longer_ones() {
    let (issuer, _) = p256("issuer");
    let token = |app: usize| jws(&issuer, HEADER, &with("app", json!("x".repeat(app))));
    let (longest, longer) = around(TOKEN_BYTES_MAX, token);
    assert_eq!(longest.len(), TOKEN_BYTES_MAX);
    assert!(check(&longest).is_ok());
    assert_eq!(check(&longer), Err(TokenError::Malformed));

    let (device, _) = p256("device");
    let proof = |jti: usize| dpop::sign(&Proof { jti: "x".repeat(jti), ..proof() }, &device).unwrap();
    let (longest, longer) = around(PROOF_BYTES_MAX, proof);
    assert_eq!(longest.len(), PROOF_BYTES_MAX);
    assert!(check_proof(&longest).is_ok());
    assert_eq!(check_proof(&longer).unwrap_err(), TokenError::Malformed);
}

// ---- DPoP ----

fn proof() -> Proof {
    let token = load("token.json")["access"]["token"].as_str().unwrap().to_owned();
    Proof {
        jti: "proof-1".into(),
        htm: METHOD.into(),
        htu: TARGET.into(),
        iat: NOW.0,
        ath: Some(URL_SAFE_NO_PAD.encode(token_hash(&token).0)),
        nonce: None,
    }
}

fn check_proof(compact: &str) -> Result<dpop::VerifiedProof, TokenError> {
    let file = load("token.json");
    dpop::verify(compact, METHOD, TARGET, file["access"]["token"].as_str(), NOW)
}

#[test]
fn a_proof_holds_for_its_request_token_and_minute() {
    let (pair, key) = p256("device");
    let verified = check_proof(&dpop::sign(&proof(), &pair).unwrap()).unwrap();
    assert_eq!((verified.key, verified.proof), (key, proof()));

    let refused = |proof: Proof| check_proof(&dpop::sign(&proof, &pair).unwrap()).unwrap_err();
    assert_eq!(refused(Proof { htm: "GET".into(), ..proof() }), TokenError::Claims);
    assert_eq!(refused(Proof { htm: "post".into(), ..proof() }), TokenError::Claims);
    assert_eq!(refused(Proof { htu: format!("{TARGET}?a=b"), ..proof() }), TokenError::Claims);
    assert_eq!(refused(Proof { htu: format!("{TARGET}/"), ..proof() }), TokenError::Claims);
    assert_eq!(refused(Proof { ath: None, ..proof() }), TokenError::Claims);
    assert_eq!(refused(Proof { ath: Some(String::new()), ..proof() }), TokenError::Claims);
    assert_eq!(refused(Proof { iat: NOW.0 - SKEW_SECONDS_MAX - 1, ..proof() }), TokenError::Expired);
    assert_eq!(refused(Proof { iat: NOW.0 + SKEW_SECONDS_MAX + 1, ..proof() }), TokenError::Expired);
    assert_eq!(refused(Proof { iat: u64::MAX, ..proof() }), TokenError::Expired);
    assert_eq!(refused(Proof { iat: 0, ..proof() }), TokenError::Expired);
    for iat in [NOW.0 - SKEW_SECONDS_MAX, NOW.0 + SKEW_SECONDS_MAX] {
        assert!(check_proof(&dpop::sign(&Proof { iat, ..proof() }, &pair).unwrap()).is_ok());
    }
}

#[test]
fn a_proof_with_another_header_is_refused() {
    let (pair, key) = p256("device");
    let (x, y) = key.coordinates();
    let claims = serde_json::to_string(&proof()).unwrap();
    let jwk = json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y });
    let header = |typ: &str, alg: &str, jwk: &Value| json!({ "typ": typ, "alg": alg, "jwk": jwk }).to_string();
    assert!(check_proof(&jws(&pair, &header("dpop+jwt", "ES256", &jwk), &claims)).is_ok());

    let changed = |key: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[key] = value;
        header("dpop+jwt", "ES256", &jwk)
    };
    let good = header("dpop+jwt", "ES256", &jwk);
    for header in [
        header("at+jwt", "ES256", &jwk),
        header("dpop+jwt", "none", &jwk),
        header("dpop+jwt", "HS256", &jwk),
        header("dpop+jwt", "ES256", &json!(["P-256", "EC", x, y])),
        header("dpop+jwt", "ES256", &json!({ "crv": "P-256", "kty": "EC", "x": x })),
        changed("crv", json!("secp256k1")),
        changed("kty", json!("OKP")),
        changed("d", json!("the private half")),
        changed("x", json!(loose(&x))),
        changed("x", json!(format!("{x}="))),
        changed("y", json!("")),
        good.replace("\"alg\":\"ES256\"", "\"alg\":\"none\",\"alg\":\"ES256\""),
        good.replace("\"alg\":\"ES256\"", "\"alg\":\"ES256\",\"kid\":\"k\""),
    ] {
        assert_eq!(check_proof(&jws(&pair, &header, &claims)).unwrap_err(), TokenError::Malformed, "{header}");
    }
    // Another device's key beside this device's signature, and a point that is none.
    let (ox, oy) = p256("issuer").1.coordinates();
    for (x, y) in [(ox.clone(), oy), (x, ox)] {
        let header = header("dpop+jwt", "ES256", &json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y }));
        assert_eq!(check_proof(&jws(&pair, &header, &claims)).unwrap_err(), TokenError::Signature);
    }
    let twice = claims.replace("\"htm\"", "\"htm\":\"GET\",\"htm\"");
    assert_eq!(check_proof(&jws(&pair, &good, &twice)).unwrap_err(), TokenError::Malformed);
    let list = json!(["proof-1", METHOD, TARGET, NOW.0, proof().ath, null]).to_string();
    assert_eq!(check_proof(&jws(&pair, &good, &list)).unwrap_err(), TokenError::Malformed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn junk_is_refused_without_a_panic(junk in "\\PC{0,200}", header in "[ -~]{0,80}", claims in "[ -~]{0,120}") {
        prop_assert!(check(&junk).is_err());
        prop_assert!(check_proof(&junk).is_err());
        let shaped = format!("{}.{}.{}", part(&header), part(&claims), part(&junk));
        prop_assert!(check(&shaped).is_err());
        prop_assert!(check_proof(&shaped).is_err());
        let _ = P256Public::from_coordinates(&junk, &header);
    }

    #[test]
    fn any_claims_survive_signing(sub in "\\PC{1,40}", sid in "\\PC{0,20}", app in "\\PC{0,20}", jti in "\\PC{0,40}", iat: u64, exp in NOW.0 + 1..) {
        let (pair, _) = p256("issuer");
        let claims = AccessClaims { sub, sid, app, jti, iat, exp, ..vector_claims() };
        let token = token::sign(ACCESS_TYP, &claims, &pair).unwrap();
        prop_assert_eq!(check(&token), Ok(claims));
    }
}
