//! DPoP proofs (RFC 9449): a device shows that it holds the key its access token is bound to.

use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ids::UnixSeconds;
use crate::token::{P256Public, TokenError, object, parse_object, token_hash};

/// Longest proof accepted, in bytes.
pub const PROOF_BYTES_MAX: usize = 2_048;
/// How far a proof's `iat` may lie from the server's clock.
pub const SKEW_SECONDS_MAX: u64 = 60;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    crv: String,
    kty: String,
    x: String,
    y: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    #[serde(deserialize_with = "object")]
    jwk: Jwk,
}

/// Claims of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Unique id; the server refuses a second use.
    pub jti: String,
    /// HTTP method.
    pub htm: String,
    /// Target URI without query and fragment.
    pub htu: String,
    /// Issued at, unix seconds.
    pub iat: u64,
    /// Base64url SHA-256 of the access token; absent where none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
    /// The server's nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// A proof whose signature, method, target, token hash and time were checked. `jti` and `nonce` are the server's to check.
#[derive(Debug, Clone)]
pub struct VerifiedProof {
    /// The key that made it.
    pub key: P256Public,
    /// Its claims.
    pub proof: Proof,
}

/// Makes a compact proof.
///
/// # Errors
/// [`TokenError::Malformed`] if the system's randomness fails.
pub fn sign(proof: &Proof, key: &EcdsaKeyPair) -> Result<String, TokenError> {
    let (x, y) = P256Public::of(key).coordinates();
    let jwk = Jwk { crv: "P-256".into(), kty: "EC".into(), x, y };
    let header = Header { typ: "dpop+jwt".into(), alg: "ES256".into(), jwk };
    let header = serde_json::to_vec(&header).map_err(|_| TokenError::Malformed)?;
    let claims = serde_json::to_vec(proof).map_err(|_| TokenError::Malformed)?;
    let mut out = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature =
        key.sign(&aws_lc_rs::rand::SystemRandom::new(), out.as_bytes()).map_err(|_| TokenError::Malformed)?;
    out.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut out);
    Ok(out)
}

/// Verifies a proof for one request.
///
/// # Errors
/// [`TokenError::Malformed`], [`TokenError::Signature`], [`TokenError::Claims`] (method, target or token is another),
/// [`TokenError::Expired`] (`iat` too far from `now`).
pub fn verify(
    compact: &str,
    method: &str,
    target: &str,
    access_token: Option<&str>,
    now: UnixSeconds,
) -> Result<VerifiedProof, TokenError> {
    if compact.len() > PROOF_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = compact.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let header: Header = parse_object(&decode(header)?)?;
    let proof: Proof = parse_object(&decode(claims)?)?;
    if header.typ != "dpop+jwt" || header.alg != "ES256" || header.jwk.kty != "EC" || header.jwk.crv != "P-256" {
        return Err(TokenError::Malformed);
    }
    let key = P256Public::from_coordinates(&header.jwk.x, &header.jwk.y).ok_or(TokenError::Malformed)?;
    if !key.verifies(signed.as_bytes(), &decode(signature)?) {
        return Err(TokenError::Signature);
    }
    let ath = access_token.map(|token| URL_SAFE_NO_PAD.encode(token_hash(token).0));
    if proof.htm != method || proof.htu != target || proof.ath != ath {
        return Err(TokenError::Claims);
    }
    if proof.iat.abs_diff(now.0) > SKEW_SECONDS_MAX {
        return Err(TokenError::Expired);
    }
    Ok(VerifiedProof { key, proof })
}
