//! The payload: AWS's attestation document, read strictly.
//!
//! AWS's text says that no field may be null; its hypervisor writes null for each optional field that was not asked for, so null
//! there means absent. Everywhere else it is refused.

use std::collections::BTreeMap;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use pinseal_protocol::ids::UnixSeconds;

use super::chain::CERTIFICATES_MAX;
use super::error::{NitroError, NitroField};
use super::image::PcrIndex;

/// AWS's bound for one certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 1024;
/// AWS's bound for `public_key`.
pub const PUBLIC_KEY_BYTES_MAX: usize = 1024;
/// AWS's bound for `user_data` and for `nonce`.
pub const USER_BYTES_MAX: usize = 512;
/// Bound for `module_id`, which AWS leaves open; those seen take 39 bytes.
pub const MODULE_ID_BYTES_MAX: usize = 256;

/// The one digest AWS names.
const DIGEST: &str = "SHA384";
/// Lengths of a register that AWS allows.
const PCR_BYTES: [usize; 3] = [32, 48, 64];

/// What a Nitro hypervisor signed. Says nothing about whether the image is a trusted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NitroDocument {
    /// The instance and enclave, by AWS's name.
    pub module_id: String,
    /// When it was made, in milliseconds since 1970.
    pub time_milliseconds: u64,
    /// Locked registers.
    pub pcrs: BTreeMap<PcrIndex, Vec<u8>>,
    /// A key the enclave put in.
    pub public_key: Option<Vec<u8>>,
    /// What the enclave put in; Pinseal's puts in H(manifest).
    pub user_data: Option<Vec<u8>>,
    /// The asker's nonce.
    pub nonce: Option<Vec<u8>>,
}

impl NitroDocument {
    /// When it was made, in whole seconds.
    pub const fn time(&self) -> UnixSeconds {
        UnixSeconds(self.time_milliseconds / 1000)
    }

    /// A register's value, if the document states it.
    pub fn pcr(&self, index: PcrIndex) -> Option<&[u8]> {
        self.pcrs.get(&index).map(Vec::as_slice)
    }
}

/// Certificates from root to leaf, at least two.
pub(super) type Certificates = Vec<Vec<u8>>;

/// Reads the payload and nothing after it.
pub(super) fn parse(payload: &[u8]) -> Result<(NitroDocument, Certificates), NitroError> {
    let mut mirror = Mirror::new(payload);
    let mut fields = Fields::default();
    for _ in 0..mirror.map()? {
        let key = mirror.text().map_err(|_| NitroError::PayloadMalformed)?;
        let field = NitroField::ALL.into_iter().find(|field| field.key() == key).ok_or(NitroError::FieldUnknown)?;
        if fields.has(field) {
            return Err(NitroError::FieldDuplicate);
        }
        fields.read(field, &mut mirror)?;
    }
    if mirror.written() != payload {
        return Err(NitroError::PayloadNotCanonical);
    }
    fields.finish()
}

#[derive(Default)]
struct Fields {
    seen: Vec<NitroField>,
    module_id: Option<String>,
    digest: Option<()>,
    timestamp: Option<u64>,
    pcrs: Option<BTreeMap<PcrIndex, Vec<u8>>>,
    certificate: Option<Vec<u8>>,
    cabundle: Option<Certificates>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
}

impl Fields {
    /// An optional field that is null was there, too.
    fn has(&self, field: NitroField) -> bool {
        self.seen.contains(&field)
    }

    fn read(&mut self, field: NitroField, mirror: &mut Mirror<'_>) -> Result<(), NitroError> {
        let invalid = |_: Unreadable| NitroError::FieldInvalid(field);
        self.seen.push(field);
        match field {
            NitroField::ModuleId => {
                let id = mirror.text().map_err(invalid)?;
                if id.is_empty() || id.len() > MODULE_ID_BYTES_MAX {
                    return Err(NitroError::FieldInvalid(field));
                }
                self.module_id = Some(id.to_owned());
            }
            NitroField::Digest => {
                if mirror.text().map_err(invalid)? != DIGEST {
                    return Err(NitroError::Digest);
                }
                self.digest = Some(());
            }
            NitroField::Timestamp => match mirror.unsigned().map_err(invalid)? {
                0 => return Err(NitroError::FieldInvalid(field)),
                time => self.timestamp = Some(time),
            },
            NitroField::Pcrs => self.pcrs = Some(pcrs(mirror)?),
            NitroField::Certificate => {
                self.certificate = Some(mirror.bytes(1, CERTIFICATE_BYTES_MAX).map_err(invalid)?);
            }
            NitroField::CaBundle => self.cabundle = Some(cabundle(mirror)?),
            NitroField::PublicKey => {
                self.public_key = mirror.optional_bytes(1, PUBLIC_KEY_BYTES_MAX).map_err(invalid)?;
            }
            NitroField::UserData => self.user_data = mirror.optional_bytes(0, USER_BYTES_MAX).map_err(invalid)?,
            NitroField::Nonce => self.nonce = mirror.optional_bytes(0, USER_BYTES_MAX).map_err(invalid)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(NitroDocument, Certificates), NitroError> {
        let missing = NitroError::FieldMissing;
        self.digest.ok_or(missing(NitroField::Digest))?;
        let document = NitroDocument {
            module_id: self.module_id.ok_or(missing(NitroField::ModuleId))?,
            time_milliseconds: self.timestamp.ok_or(missing(NitroField::Timestamp))?,
            pcrs: self.pcrs.ok_or(missing(NitroField::Pcrs))?,
            public_key: self.public_key,
            user_data: self.user_data,
            nonce: self.nonce,
        };
        let leaf = self.certificate.ok_or(missing(NitroField::Certificate))?;
        let mut certificates = self.cabundle.ok_or(missing(NitroField::CaBundle))?;
        certificates.push(leaf);
        Ok((document, certificates))
    }
}

/// One register at least, each once, numbered within the hypervisor's range.
fn pcrs(mirror: &mut Mirror<'_>) -> Result<BTreeMap<PcrIndex, Vec<u8>>, NitroError> {
    const INVALID: NitroError = NitroError::FieldInvalid(NitroField::Pcrs);
    let count = mirror.map().map_err(|_| INVALID)?;
    if count == 0 || count > PcrIndex::COUNT {
        return Err(INVALID);
    }
    let mut pcrs = BTreeMap::new();
    for _ in 0..count {
        let index = mirror.unsigned().ok().and_then(PcrIndex::new).ok_or(INVALID)?;
        let value = mirror.bytes(0, USER_BYTES_MAX).map_err(|_| INVALID)?;
        if !PCR_BYTES.contains(&value.len()) {
            return Err(INVALID);
        }
        if pcrs.insert(index, value).is_some() {
            return Err(NitroError::FieldDuplicate);
        }
    }
    Ok(pcrs)
}

/// Root first; with the leaf, no more than [`CERTIFICATES_MAX`].
fn cabundle(mirror: &mut Mirror<'_>) -> Result<Certificates, NitroError> {
    const INVALID: NitroError = NitroError::FieldInvalid(NitroField::CaBundle);
    let count = mirror.array().map_err(|_| INVALID)?;
    if count == 0 || count >= CERTIFICATES_MAX {
        return Err(INVALID);
    }
    (0..count).map(|_| mirror.bytes(1, CERTIFICATE_BYTES_MAX).map_err(|_| INVALID)).collect()
}

/// Of another type, cut off, or out of bounds.
#[derive(Debug)]
struct Unreadable;

impl From<minicbor::decode::Error> for Unreadable {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

impl<E> From<minicbor::encode::Error<E>> for Unreadable {
    fn from(_: minicbor::encode::Error<E>) -> Self {
        Self
    }
}

impl From<Unreadable> for NitroError {
    fn from(_: Unreadable) -> Self {
        Self::PayloadMalformed
    }
}

/// Decodes and encodes again what it decoded, so that whatever is not in the shortest definite form shows in the end.
struct Mirror<'b> {
    from: Decoder<'b>,
    to: Encoder<Vec<u8>>,
}

impl<'b> Mirror<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { from: Decoder::new(bytes), to: Encoder::new(Vec::with_capacity(bytes.len())) }
    }

    fn written(&self) -> &[u8] {
        self.to.writer()
    }

    fn map(&mut self) -> Result<u64, Unreadable> {
        let count = self.from.map()?.ok_or(Unreadable)?;
        self.to.map(count)?;
        Ok(count)
    }

    fn array(&mut self) -> Result<usize, Unreadable> {
        let count = self.from.array()?.ok_or(Unreadable)?;
        self.to.array(count)?;
        usize::try_from(count).map_err(|_| Unreadable)
    }

    fn text(&mut self) -> Result<&'b str, Unreadable> {
        let text = self.from.str()?;
        self.to.str(text)?;
        Ok(text)
    }

    fn unsigned(&mut self) -> Result<u64, Unreadable> {
        let value = self.from.u64()?;
        self.to.u64(value)?;
        Ok(value)
    }

    fn bytes(&mut self, least: usize, most: usize) -> Result<Vec<u8>, Unreadable> {
        let bytes = self.from.bytes()?;
        if bytes.len() < least || bytes.len() > most {
            return Err(Unreadable);
        }
        self.to.bytes(bytes)?;
        Ok(bytes.to_vec())
    }

    fn optional_bytes(&mut self, least: usize, most: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        if self.from.datatype()? == Type::Null {
            self.from.null()?;
            self.to.null()?;
            return Ok(None);
        }
        self.bytes(least, most).map(Some)
    }
}
