//! Access tokens: short ES256 JWTs bound to a device key (RFC 7519, RFC 7515, RFC 7638, RFC 9449 section 6.1).
//!
//! Host and enclave verify the same token with this one parser. It accepts exactly the form [`sign`] makes: three base64url
//! parts, header members `alg`, `typ`, `kid` and no others, no duplicate members.

use core::marker::PhantomData;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::ZeroizeOnDrop;

use crate::ids::{DeviceId, Hash32, UnixSeconds};
use crate::secret::{SecretBytes, SecretText};
use crate::stack;

/// Longest token accepted, in bytes; ours are about 600.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// `typ` of an access token (RFC 9068).
pub const ACCESS_TYP: &str = "at+jwt";
/// Length of an uncompressed SEC 1 P-256 point.
pub const P256_POINT_BYTES: usize = 65;

crate::ids::byte_newtype! {
    /// A P-256 public key, uncompressed SEC 1 point (65 bytes, first byte 4).
    P256Public, 65
}

impl P256Public {
    /// RFC 7638 thumbprint of the key as a JWK.
    pub fn thumbprint(&self) -> DeviceId {
        let (x, y) = self.coordinates();
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        DeviceId(Sha256::digest(jwk.as_bytes()).into())
    }

    /// x and y in base64url.
    pub fn coordinates(&self) -> (String, String) {
        let (_, xy) = self.0.split_at(1);
        let (x, y) = xy.split_at(32);
        (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
    }

    /// From base64url x and y of a JWK. The point is checked by the first signature verified with it.
    pub fn from_coordinates(x: &str, y: &str) -> Option<Self> {
        let (x, y) = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
        if x.len() != 32 || y.len() != 32 {
            return None;
        }
        let mut point = [0_u8; P256_POINT_BYTES];
        let (head, tail) = point.split_at_mut(1);
        head.fill(4);
        let (left, right) = tail.split_at_mut(32);
        left.copy_from_slice(&x);
        right.copy_from_slice(&y);
        Some(Self(point))
    }

    /// True if `signature` (r || s, 64 bytes) over SHA-256(message) was made by this key. Of the forms of 65 bytes that
    /// aws-lc reads, only the uncompressed one counts: a key has one encoding.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.first() == Some(&4)
            && UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0).verify(message, signature).is_ok()
    }

    /// The public half of a key pair.
    pub fn of(pair: &EcdsaKeyPair) -> Self {
        let mut point = [0_u8; P256_POINT_BYTES];
        let bytes = pair.public_key().as_ref();
        if bytes.len() == P256_POINT_BYTES {
            point.copy_from_slice(bytes);
        }
        Self(point)
    }
}

/// Why a token is refused. Every variant is the caller's fault and costs no try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not three base64url parts with exactly the expected members.
    #[error("malformed token")]
    Malformed,
    /// The signature is not the named issuer's.
    #[error("token signature does not verify")]
    Signature,
    /// Issuer, audience or type is another.
    #[error("token is for another issuer, audience or purpose")]
    Claims,
    /// Past `exp`: refresh the session.
    #[error("token has expired")]
    Expired,
}

/// JOSE header of our own tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Declares one kind of token: secret text, since whoever holds it and the device's key acts as the user.
macro_rules! token_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] SecretText);

        impl $name {
            /// Takes a compact token over, verified or not.
            pub const fn new(compact: SecretText) -> Self {
                Self(compact)
            }

            /// The compact token, for verification and for the one message it travels in.
            pub fn expose_secret(&self) -> &str {
                self.0.expose_secret()
            }

            /// A second copy for a second owner.
            #[must_use]
            pub fn duplicate(&self) -> Self {
                Self(self.0.duplicate())
            }
        }

        impl From<String> for $name {
            fn from(compact: String) -> Self {
                Self(SecretText::new(compact))
            }
        }

        impl ZeroizeOnDrop for $name {}

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

token_type! {
    /// An access token.
    AccessToken
}
token_type! {
    /// A storage token.
    StorageToken
}

/// RFC 7800 confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Base64url thumbprint of the device key.
    pub jkt: String,
}

/// Claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessClaims {
    /// Issuer: the deployment's login service.
    pub iss: String,
    /// Audience: the deployment id in hex.
    pub aud: String,
    /// User id.
    pub sub: String,
    /// Session id.
    pub sid: String,
    /// App the session belongs to.
    pub app: String,
    /// Unique id.
    pub jti: String,
    /// Issued at, unix seconds.
    pub iat: u64,
    /// Expires at, unix seconds.
    pub exp: u64,
    /// Bound device key.
    #[serde(deserialize_with = "object")]
    pub cnf: Confirmation,
}

impl AccessClaims {
    /// The bound device, or `None` if `cnf.jkt` is not a SHA-256 thumbprint.
    pub fn device(&self) -> Option<DeviceId> {
        DeviceId::from_slice(&URL_SAFE_NO_PAD.decode(&self.cnf.jkt).ok()?)
    }

    /// The confirmation member for a device.
    pub fn confirmation(device: &DeviceId) -> Confirmation {
        Confirmation { jkt: URL_SAFE_NO_PAD.encode(device.0) }
    }
}

/// Claims of a storage token: one wallet, one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageClaims {
    /// Issuer.
    pub iss: String,
    /// Audience: `store:<deployment id>`.
    pub aud: String,
    /// Wallet (uid_h) in hex.
    pub wallet: String,
    /// Operation, the method's name.
    pub operation: String,
    /// Unique id: the grant is for one operation.
    pub jti: String,
    /// Issued at, unix seconds.
    pub iat: u64,
    /// Expires at, unix seconds.
    pub exp: u64,
}

/// The JOSE header of every storage token, as it stands: it has no members that could differ.
const STORAGE_HEADER: &str = r#"{"alg":"HS256","typ":"storage+jwt"}"#;

/// Makes and checks storage tokens: HS256 JWTs under a key that the login service shares with the record store and with nobody
/// else. A token that one half of the host makes and the other half checks needs no public key, and a MAC costs a hundredth of a
/// signature's time.
pub struct StorageKey(hmac::Key);

impl core::fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StorageKey(..)")
    }
}

impl StorageKey {
    /// Takes the shared secret.
    pub fn new(secret: &SecretBytes<32>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret()))
    }

    /// Makes a compact JWT.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if the claims do not serialise.
    pub fn sign(&self, claims: &StorageClaims) -> Result<SecretText, TokenError> {
        let token = self.compact(claims).map(SecretText::new);
        stack::wipe::<{ stack::SHALLOW_BYTES }>();
        token
    }

    #[inline(never)]
    fn compact(&self, claims: &StorageClaims) -> Result<String, TokenError> {
        let claims = serde_json::to_vec(claims).map_err(|_| TokenError::Malformed)?;
        let mut token = URL_SAFE_NO_PAD.encode(STORAGE_HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let tag = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag.as_ref(), &mut token);
        Ok(token)
    }

    /// Checks type and MAC and parses the claims. Issuer, audience, wallet, operation and times are the caller's to check.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::Claims`] (another kind of token), [`TokenError::Signature`].
    pub fn verify(&self, token: &str) -> Result<StorageClaims, TokenError> {
        let (signed, header, claims, tag) = split(token)?;
        if header != STORAGE_HEADER.as_bytes() {
            return Err(TokenError::Claims);
        }
        let verdict = hmac::verify(&self.0, signed.as_bytes(), &tag);
        stack::wipe::<{ stack::SHALLOW_BYTES }>();
        verdict.map_err(|_| TokenError::Signature)?;
        parse_object(&claims)
    }
}

/// What is signed, header, claims, signature.
type Parts<'a> = (&'a str, Vec<u8>, Vec<u8>, Vec<u8>);

/// Three base64url parts and nothing else.
fn split(token: &str) -> Result<Parts<'_>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    Ok((signed, decode(header)?, decode(claims)?, decode(signature)?))
}

/// SHA-256 of the compact token: `ath` (RFC 9449) and the token hash in the envelope's associated data.
pub fn token_hash(token: &str) -> Hash32 {
    Hash32(Sha256::digest(token.as_bytes()).into())
}

/// Makes a compact ES256 JWT.
///
/// # Errors
/// [`TokenError::Malformed`] if the claims do not serialise or the system's randomness fails.
pub fn sign<C: Serialize>(typ: &str, claims: &C, key: &EcdsaKeyPair) -> Result<String, TokenError> {
    let token = compact(typ, claims, key);
    stack::wipe::<{ stack::DEEP_BYTES }>();
    token
}

#[inline(never)]
fn compact<C: Serialize>(typ: &str, claims: &C, key: &EcdsaKeyPair) -> Result<String, TokenError> {
    let kid = URL_SAFE_NO_PAD.encode(P256Public::of(key).thumbprint().0);
    let header = Header { alg: "ES256".into(), typ: typ.into(), kid };
    let header = serde_json::to_vec(&header).map_err(|_| TokenError::Malformed)?;
    let claims = serde_json::to_vec(claims).map_err(|_| TokenError::Malformed)?;
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature =
        key.sign(&aws_lc_rs::rand::SystemRandom::new(), token.as_bytes()).map_err(|_| TokenError::Malformed)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
    Ok(token)
}

/// Checks type and signature and parses the claims. Issuer, audience and times are the caller's to check, see
/// [`verify_access`].
///
/// # Errors
/// [`TokenError::Malformed`], [`TokenError::Claims`] (another `typ`), [`TokenError::Signature`].
pub fn verify<C: for<'de> Deserialize<'de>>(token: &str, typ: &str, key: &P256Public) -> Result<C, TokenError> {
    let (signed, header, claims, signature) = split(token)?;
    let header: Header = parse_object(&header)?;
    if header.alg != "ES256" || header.typ != typ {
        return Err(TokenError::Claims);
    }
    let is_right = key.verifies(signed.as_bytes(), &signature);
    stack::wipe::<{ stack::DEEP_BYTES }>();
    if !is_right {
        return Err(TokenError::Signature);
    }
    parse_object(&claims)
}

/// Parses a JSON object.
pub(crate) fn parse_object<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, TokenError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = object(&mut deserializer).map_err(|_| TokenError::Malformed)?;
    deserializer.end().map_err(|_| TokenError::Malformed)?;
    Ok(value)
}

/// Deserializes a struct from an object only; serde would take a list of the right values for one as well.
///
/// # Errors
/// Those of the deserializer; also for anything but an object.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct ObjectOf<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOf<T> {
        type Value = T;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(ObjectOf(PhantomData))
}

/// Verifies an access token of one issuer for one audience, but not its expiry.
///
/// # Errors
/// As [`verify`], and [`TokenError::Claims`].
pub fn read_access(token: &str, issuer: &str, audience: &str, key: &P256Public) -> Result<AccessClaims, TokenError> {
    let claims: AccessClaims = verify(token, ACCESS_TYP, key)?;
    if claims.iss != issuer || claims.aud != audience || claims.sub.is_empty() || claims.device().is_none() {
        return Err(TokenError::Claims);
    }
    Ok(claims)
}

/// Verifies an access token of one issuer for one audience at `now`.
///
/// # Errors
/// As [`read_access`], and [`TokenError::Expired`].
pub fn verify_access(
    token: &str,
    issuer: &str,
    audience: &str,
    key: &P256Public,
    now: UnixSeconds,
) -> Result<AccessClaims, TokenError> {
    let claims = read_access(token, issuer, audience, key)?;
    if now.0 >= claims.exp { Err(TokenError::Expired) } else { Ok(claims) }
}
