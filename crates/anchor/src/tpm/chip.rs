//! The commands that an anchor needs, as TCG "TPM 2.0 Library" part 3 lays them out, and their answers, read strictly.

use std::io;
use std::time::Duration;

use pinseal_protocol::ids::Hash32;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{
    ALG_ECC, ALG_ECDSA, ALG_NULL, ALG_SHA256, Authorisation, CC_NV_EXTEND, CC_POLICY_SIGNED, CURVE_P256, Index,
    P256Signature, PublicArea, TpmNonce,
};

use super::link::{HEADER_BYTES, Turn};

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const PASSWORD: u32 = 0x4000_0009;

const NV_UNDEFINE_SPACE: u32 = 0x0000_0122;
const NV_DEFINE_SPACE: u32 = 0x0000_012a;
const CREATE_PRIMARY: u32 = 0x0000_0131;
const NV_READ: u32 = 0x0000_014e;
const CONTEXT_LOAD: u32 = 0x0000_0161;
const CONTEXT_SAVE: u32 = 0x0000_0162;
const FLUSH_CONTEXT: u32 = 0x0000_0165;
const LOAD_EXTERNAL: u32 = 0x0000_0167;
const NV_READ_PUBLIC: u32 = 0x0000_0169;
const START_AUTH_SESSION: u32 = 0x0000_0176;
const GET_CAPABILITY: u32 = 0x0000_017a;
const NV_CERTIFY: u32 = 0x0000_0184;

/// TPM_SE_POLICY.
const POLICY: u8 = 1;
/// TPM_CAP_HANDLES, and the first handles of loaded and of saved sessions.
const CAP_HANDLES: u32 = 1;
const LOADED_SESSIONS: u32 = 0x0200_0000;
const SAVED_SESSIONS: u32 = 0x0300_0000;
/// Sessions that one look at them names.
const SESSIONS_LISTED_MAX: u32 = 64;

/// TPM_RC_HANDLE of the first handle: there is no such index.
const RC_NO_INDEX: u32 = 0x018b;
/// TPM_RC_NV_UNINITIALIZED: it was never written.
const RC_NOT_WRITTEN: u32 = 0x014a;
/// TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_NV_RATE: the same again, a little later.
const RC_AGAIN: [u32; 4] = [0x0922, 0x0908, 0x090a, 0x0920];
/// TPM_RC_CONTEXT_GAP, TPM_RC_SESSION_MEMORY, TPM_RC_SESSION_HANDLES: sessions that somebody left behind.
const RC_SESSIONS_LEFT: [u32; 3] = [0x0901, 0x0903, 0x0905];
/// How often a command is repeated that the TPM asks to have again.
const REPEATS_MAX: u32 = 50;
/// How long it is left alone before.
const REPEAT_AFTER: Duration = Duration::from_millis(20);

/// Why a command gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// The TPM cannot be reached, or did not answer.
    #[error("no answer from the TPM")]
    Unreachable(#[source] io::Error),
    /// It refused; the code is TPM_RC.
    #[error("the TPM refused {command} (TPM_RC 0x{code:03x})")]
    Refused {
        /// The command.
        command: &'static str,
        /// The code.
        code: u32,
    },
    /// Its answer is none to this command.
    #[error("the TPM's answer to {0} is not understood")]
    Malformed(&'static str),
    /// The key that it attests with is not the configured one.
    #[error("the TPM attests with another key than the configured one: it was cleared, or it is another TPM")]
    Attester,
    /// An index of this handle is there, and was written.
    #[error("index 0x{0:08x} was written already: it is somebody else's, or of a deployment whose files are gone")]
    Occupied(u32),
    /// Nothing authorises an advance.
    #[error("nothing authorises the TPM's index to take this checkpoint")]
    Unauthorised,
}

/// A policy session, put aside.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) nonce: TpmNonce,
    context: Vec<u8>,
}

/// A command under way.
struct Command {
    name: &'static str,
    code: u32,
    handles: Vec<u8>,
    authorisations: Vec<u8>,
    parameters: Vec<u8>,
}

impl Command {
    const fn new(name: &'static str, code: u32) -> Self {
        Self { name, code, handles: Vec::new(), authorisations: Vec::new(), parameters: Vec::new() }
    }

    fn handle(mut self, handle: u32) -> Self {
        self.handles.extend_from_slice(&handle.to_be_bytes());
        self
    }

    /// Authorised by an empty password.
    fn freely(self) -> Self {
        self.within(PASSWORD)
    }

    /// Authorised by a session, which ends with the command.
    fn within(mut self, session: u32) -> Self {
        self.authorisations.extend_from_slice(&session.to_be_bytes());
        // No nonce, no attributes, no HMAC.
        self.authorisations.extend_from_slice(&[0, 0, 0, 0, 0]);
        self
    }

    fn u8(mut self, value: u8) -> Self {
        self.parameters.push(value);
        self
    }

    fn u16(mut self, value: u16) -> Self {
        self.parameters.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.parameters.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.parameters.extend_from_slice(bytes);
        self
    }

    /// A TPM2B.
    fn sized(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length).raw(bytes)
    }

    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let authorised = !self.authorisations.is_empty();
        out.extend_from_slice(&if authorised { SESSIONS } else { NO_SESSIONS }.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.code.to_be_bytes());
        out.extend_from_slice(&self.handles);
        if authorised {
            let length = u32::try_from(self.authorisations.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&self.authorisations);
        }
        out.extend_from_slice(&self.parameters);
        let size = u32::try_from(out.len()).unwrap_or(u32::MAX).to_be_bytes();
        out.iter_mut().skip(2).zip(size).for_each(|(place, byte)| *place = byte);
        out
    }
}

/// What came back: handle, if the command gives one, and parameters.
struct Answer {
    name: &'static str,
    handle: u32,
    rest: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, length: usize) -> Result<&[u8], TpmError> {
        let taken = self.rest.get(self.at..self.at.saturating_add(length)).ok_or(TpmError::Malformed(self.name))?;
        self.at += length;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, TpmError> {
        let name = self.name;
        self.take(2)?.try_into().map(u16::from_be_bytes).map_err(|_| TpmError::Malformed(name))
    }

    fn u32(&mut self) -> Result<u32, TpmError> {
        let name = self.name;
        self.take(4)?.try_into().map(u32::from_be_bytes).map_err(|_| TpmError::Malformed(name))
    }

    fn sized(&mut self) -> Result<Vec<u8>, TpmError> {
        let length = usize::from(self.u16()?);
        self.take(length).map(<[u8]>::to_vec)
    }

    fn expect(&mut self, numbers: &[u16]) -> Result<(), TpmError> {
        for number in numbers {
            if self.u16()? != *number {
                return Err(TpmError::Malformed(self.name));
            }
        }
        Ok(())
    }
}

/// A TPM during one turn.
#[derive(Debug)]
pub(super) struct Chip(Turn);

impl Chip {
    pub(super) const fn new(turn: Turn) -> Self {
        Self(turn)
    }

    fn run(&mut self, command: &Command, has_handle: bool) -> Result<Answer, TpmError> {
        let (encoded, mut repeats) = (command.encoded(), 0);
        let answer = loop {
            let answer = self.0.transmit(&encoded).map_err(TpmError::Unreachable)?;
            match code(&answer).ok_or(TpmError::Malformed(command.name))? {
                0 => break answer,
                code if RC_AGAIN.contains(&code) && repeats < REPEATS_MAX => {
                    repeats += 1;
                    self.0.pause(REPEAT_AFTER);
                }
                code => return Err(TpmError::Refused { command: command.name, code }),
            }
        };
        let mut answer = Answer { name: command.name, handle: 0, rest: answer, at: HEADER_BYTES };
        if has_handle {
            answer.handle = answer.u32()?;
        }
        if !command.authorisations.is_empty() {
            // parameterSize; what follows them answers the authorisations, which have nothing to say.
            let length = usize::try_from(answer.u32()?).unwrap_or(usize::MAX);
            let end = answer.at.saturating_add(length);
            if end > answer.rest.len() {
                return Err(TpmError::Malformed(command.name));
            }
            answer.rest.truncate(end);
        }
        Ok(answer)
    }

    /// What the index holds; `None` where it is not there or was never written.
    pub(super) fn read(&mut self, index: u32) -> Result<Option<Hash32>, TpmError> {
        let read = Command::new("NV_Read", NV_READ).handle(index).handle(index).freely().u16(32).u16(0);
        match self.run(&read, false) {
            Ok(mut answer) => Hash32::from_slice(&answer.sized()?).map(Some).ok_or(TpmError::Malformed(read.name)),
            Err(TpmError::Refused { code: RC_NO_INDEX | RC_NOT_WRITTEN, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Defines the index, in place of one of its handle that was never written.
    pub(super) fn define(&mut self, index: &Index) -> Result<(), TpmError> {
        let handle = index.handle();
        if self.read(handle)?.is_some() {
            return Err(TpmError::Occupied(handle));
        }
        match self.run(&Command::new("NV_ReadPublic", NV_READ_PUBLIC).handle(handle), false) {
            Err(TpmError::Refused { code: RC_NO_INDEX, .. }) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                let undefine = Command::new("NV_UndefineSpace", NV_UNDEFINE_SPACE).handle(OWNER).handle(handle);
                self.run(&undefine.freely(), false)?;
            }
        }
        let define = Command::new("NV_DefineSpace", NV_DEFINE_SPACE).handle(OWNER).freely();
        self.run(&define.sized(&[]).sized(&index.public()), false).map(drop)
    }

    /// Opens a policy session and puts it aside, so that it takes none of the few places of a TPM.
    pub(super) fn open(&mut self) -> Result<Session, TpmError> {
        let mut answer = match self.start() {
            Err(TpmError::Refused { code, .. }) if RC_SESSIONS_LEFT.contains(&code) => {
                self.flush_sessions()?;
                self.start()?
            }
            other => other?,
        };
        let nonce = TpmNonce::from_slice(&answer.sized()?).ok_or(TpmError::Malformed(answer.name))?;
        let context = self.save(answer.handle)?;
        Ok(Session { nonce, context })
    }

    fn start(&mut self) -> Result<Answer, TpmError> {
        // nonceTPM is as long as the caller's, which protects nothing in a session without HMAC.
        let start = Command::new("StartAuthSession", START_AUTH_SESSION).handle(NULL).handle(NULL);
        self.run(&start.sized(&[0; 32]).sized(&[]).u8(POLICY).u16(ALG_NULL).u16(ALG_SHA256), true)
    }

    /// Ends every session that was left behind, by whoever died with it.
    fn flush_sessions(&mut self) -> Result<(), TpmError> {
        for first in [LOADED_SESSIONS, SAVED_SESSIONS] {
            let list = Command::new("GetCapability", GET_CAPABILITY);
            let mut answer = self.run(&list.u32(CAP_HANDLES).u32(first).u32(SESSIONS_LISTED_MAX), false)?;
            let (_more, _kind) = (answer.take(1)?.to_vec(), answer.u32()?);
            for _ in 0..answer.u32()?.min(SESSIONS_LISTED_MAX) {
                let session = answer.u32()?;
                // Gone already is what is wanted.
                let _ = self.flush(session);
            }
        }
        Ok(())
    }

    /// Lets `value` into the index: TPM2_PolicySigned and TPM2_NV_Extend. Until the second is sent nothing has happened, and `sent` says so.
    pub(super) fn extend(
        &mut self,
        index: u32,
        session: &Session,
        value: &Hash32,
        authorisation: &Authorisation,
        sent: &mut bool,
    ) -> Result<(), TpmError> {
        let policy = self.load(&session.context)?;
        let extended = self.extend_in(policy, index, session, value, authorisation, sent);
        if extended.is_err() {
            // A session that did not do what it was for is of no use; one that is gone needs no end.
            let _ = self.flush(policy);
        }
        extended
    }

    fn extend_in(
        &mut self,
        policy: u32,
        index: u32,
        session: &Session,
        value: &Hash32,
        authorisation: &Authorisation,
        sent: &mut bool,
    ) -> Result<(), TpmError> {
        let writer = PublicArea::of_writer(&authorisation.writer);
        let load = Command::new("LoadExternal", LOAD_EXTERNAL).sized(&[]).sized(writer.as_bytes()).u32(NULL);
        let writer = self.run(&load, true)?.handle;
        let (r, s) = authorisation.signature.0.split_at(32);
        let signed = Command::new("PolicySigned", CC_POLICY_SIGNED)
            .handle(writer)
            .handle(policy)
            .sized(&session.nonce.0)
            .sized(&Index::new(index, authorisation.writer).parameters(value, self.read(index)?.is_none()))
            .sized(&[])
            .u32(0)
            .u16(ALG_ECDSA)
            .u16(ALG_SHA256)
            .sized(r)
            .sized(s);
        let signed = self.run(&signed, false).map(drop);
        self.flush(writer)?;
        signed?;
        *sent = true;
        let extend = Command::new("NV_Extend", CC_NV_EXTEND).handle(index).handle(index).within(policy);
        self.run(&extend.sized(&value.0), false).map(drop)
    }

    /// What the attestation key says of the index when asked with `purpose`: TPMS_ATTEST and signature.
    pub(super) fn certify(
        &mut self,
        attester: u32,
        index: u32,
        purpose: &[u8],
    ) -> Result<(Vec<u8>, P256Signature), TpmError> {
        let certify = Command::new("NV_Certify", NV_CERTIFY).handle(attester).handle(index).handle(index);
        let certify = certify.freely().freely().sized(purpose).u16(ALG_NULL).u16(32).u16(0);
        let mut answer = self.run(&certify, false)?;
        let attest = answer.sized()?;
        answer.expect(&[ALG_ECDSA, ALG_SHA256])?;
        let mut signature = P256Signature([0; 64]);
        for half in signature.0.chunks_mut(32) {
            let number = answer.sized()?;
            // Some write a number without its leading zeros.
            let place = half.len().checked_sub(number.len()).ok_or(TpmError::Malformed("NV_Certify"))?;
            half.iter_mut().skip(place).zip(number).for_each(|(place, byte)| *place = byte);
        }
        Ok((attest, signature))
    }

    /// The attestation key: the primary of one fixed template under the owner's hierarchy, restricted to signing what the TPM made. A TPM makes
    /// the same one again until it is cleared. Its handle and public half.
    pub(super) fn attester(&mut self) -> Result<(u32, P256Public), TpmError> {
        const ATTRIBUTES: u32 = FIXED_TPM | FIXED_PARENT | ORIGIN | WITH_AUTH | NO_DA | RESTRICTED | SIGN;
        const FIXED_TPM: u32 = 1 << 1;
        const FIXED_PARENT: u32 = 1 << 4;
        const ORIGIN: u32 = 1 << 5;
        const WITH_AUTH: u32 = 1 << 6;
        const NO_DA: u32 = 1 << 10;
        const RESTRICTED: u32 = 1 << 16;
        const SIGN: u32 = 1 << 18;
        const KEY: [u16; 5] = [ALG_NULL, ALG_ECDSA, ALG_SHA256, CURVE_P256, ALG_NULL];
        let head = [&ALG_ECC.to_be_bytes()[..], &ALG_SHA256.to_be_bytes(), &ATTRIBUTES.to_be_bytes(), &[0; 2]].concat();
        let key: Vec<u8> = KEY.iter().flat_map(|number| number.to_be_bytes()).collect();
        let template = [&head[..], &key, &[0; 4]].concat();
        let create = Command::new("CreatePrimary", CREATE_PRIMARY).handle(OWNER).freely();
        let create = create.sized(&[0; 4]).sized(&template).sized(&[]).u32(0);
        let mut answer = self.run(&create, true)?;
        let handle = answer.handle;
        let area = answer.sized()?;
        let mut made = Answer { name: create.name, handle, rest: area, at: 0 };
        if made.take(head.len())? != head {
            return Err(TpmError::Malformed(create.name));
        }
        made.expect(&KEY)?;
        let mut public = P256Public([0; 65]);
        let (first, coordinates) = public.0.split_at_mut(1);
        first.fill(4);
        for coordinate in coordinates.chunks_mut(32) {
            let number = made.sized()?;
            let place = coordinate.len().checked_sub(number.len()).ok_or(TpmError::Malformed("CreatePrimary"))?;
            coordinate.iter_mut().skip(place).zip(number).for_each(|(place, byte)| *place = byte);
        }
        Ok((handle, public))
    }

    /// TPM2_ContextSave.
    pub(super) fn save(&mut self, handle: u32) -> Result<Vec<u8>, TpmError> {
        let mut answer = self.run(&Command::new("ContextSave", CONTEXT_SAVE).handle(handle), false)?;
        let length = answer.rest.len() - answer.at;
        answer.take(length).map(<[u8]>::to_vec)
    }

    /// TPM2_ContextLoad.
    pub(super) fn load(&mut self, context: &[u8]) -> Result<u32, TpmError> {
        self.run(&Command::new("ContextLoad", CONTEXT_LOAD).raw(context), true).map(|answer| answer.handle)
    }

    /// TPM2_FlushContext.
    pub(super) fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        self.run(&Command::new("FlushContext", FLUSH_CONTEXT).u32(handle), false).map(drop)
    }

    #[cfg(test)]
    pub(super) fn load_for_tests(&mut self, session: &Session) -> u32 {
        self.load(&session.context).unwrap_or_default()
    }

    /// Ends a session that was put aside.
    pub(super) fn close(&mut self, session: &Session) -> Result<(), TpmError> {
        let handle = self.load(&session.context)?;
        self.flush(handle)
    }
}

/// The code of an answer whose size is what it says.
fn code(answer: &[u8]) -> Option<u32> {
    let size = answer.get(2..6)?.try_into().map(u32::from_be_bytes).ok()?;
    let code = answer.get(6..HEADER_BYTES)?.try_into().map(u32::from_be_bytes).ok()?;
    (usize::try_from(size).ok()? == answer.len()).then_some(code)
}
