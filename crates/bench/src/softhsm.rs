//! SoftHSM2 as a peer: `C_Sign` with `CKM_ECDSA` on secp256k1, in a process of its own so that its CPU time can be told apart.
//!
//! The key is a session object, which costs SoftHSM2 less than one it has to look up in its store; digests and signatures travel in
//! bursts, so that the pipe costs next to nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use secp256k1::ecdsa::Signature;
use secp256k1::{Message, PublicKey};

use crate::clock::CpuClock;
use crate::load::{Meter, Sample};
use crate::system::Programs;
use crate::user::random;

/// Where Debian puts the library.
const LIBRARIES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
/// DER of the object identifier of secp256k1, 1.3.132.0.10.
const SECP256K1: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
/// Signatures in one burst over the pipe.
const BURST: usize = 256;
const DIGEST_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// The signing process, and how its signatures are verified.
#[derive(Debug)]
pub(crate) struct SoftHsm {
    process: Child,
    digests: ChildStdin,
    signatures: BufReader<ChildStdout>,
    public: PublicKey,
}

impl SoftHsm {
    /// Starts a signer over a fresh token in `scratch`.
    pub(crate) fn start(programs: &Programs, scratch: &Path) -> anyhow::Result<Self> {
        let tokens = scratch.join("tokens");
        std::fs::create_dir_all(&tokens).context("SoftHSM tokens")?;
        let configuration = scratch.join("softhsm2.conf");
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        std::fs::write(&configuration, text).context("SoftHSM configuration")?;
        let own = std::env::current_exe().context("own program file")?;
        let mut command: Command = programs.guarded(&own);
        command.arg("softhsm-signer").env("SOFTHSM2_CONF", &configuration);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("SoftHSM signer")?;
        let digests = process.stdin.take().context("SoftHSM signer")?;
        let mut signatures = BufReader::new(process.stdout.take().context("SoftHSM signer")?);
        let mut line = String::new();
        signatures.read_line(&mut line).context("SoftHSM signer")?;
        let point = hex::decode(line.trim()).context("SoftHSM's public key")?;
        let public = PublicKey::from_slice(&point).context("SoftHSM's public key")?;
        Ok(Self { process, digests, signatures, public })
    }

    /// Signs until the time is over; every signature is verified, outside of the signer's CPU time.
    pub(crate) fn sign(&mut self, time: Duration) -> anyhow::Result<Sample> {
        let meter = Meter::start(&[("softhsm", CpuClock::of(self.process.id())?)])?;
        let (mut operations, begun) = (0_u64, Instant::now());
        while begun.elapsed() < time {
            let digests: Vec<[u8; DIGEST_BYTES]> = (0..BURST).map(|_| random()).collect::<Result<_, _>>()?;
            self.digests.write_all(&digests.concat()).context("SoftHSM signer")?;
            for digest in digests {
                let mut compact = [0; SIGNATURE_BYTES];
                self.signatures.read_exact(&mut compact).context("SoftHSM signer")?;
                let mut signature = Signature::from_compact(&compact).context("SoftHSM's signature")?;
                // SoftHSM2 gives either of the two values of s; the library takes the lower one.
                signature.normalize_s();
                secp256k1::ecdsa::verify(&signature, Message::from_digest(digest), &self.public)
                    .context("SoftHSM's signature")?;
                operations += 1;
            }
        }
        meter.stop(operations, Vec::new())
    }
}

impl Drop for SoftHsm {
    fn drop(&mut self) {
        // It ends with its input; it has ended if this fails.
        let _ = crate::system::terminate(&mut self.process);
    }
}

/// The signing process: says its public key in hex, then answers bursts of digests with signatures until its input ends.
pub(crate) fn signer() -> anyhow::Result<()> {
    let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
    let library = library.context("SoftHSM2 is missing: as root on Debian, apt-get install softhsm2")?;
    let module = Pkcs11::new(library).context("SoftHSM2")?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).context("SoftHSM2")?;
    let slot = *module.get_all_slots().context("SoftHSM2")?.first().context("SoftHSM2 has no slot")?;
    let pin = AuthPin::new("482915".into());
    module.init_token(slot, &pin, "bench").context("token")?;
    let slot = *module.get_slots_with_initialized_token().context("SoftHSM2")?.first().context("no token")?;
    {
        let session = module.open_rw_session(slot).context("session")?;
        session.login(UserType::So, Some(&pin)).context("login")?;
        session.init_pin(&pin).context("PIN")?;
    }
    let session = module.open_rw_session(slot).context("session")?;
    session.login(UserType::User, Some(&pin)).context("login")?;
    let public = [Attribute::Token(false), Attribute::EcParams(SECP256K1.to_vec()), Attribute::Verify(true)];
    let private = [Attribute::Token(false), Attribute::Sensitive(true), Attribute::Sign(true)];
    let (public, private) =
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).context("key pair")?;
    let point = session.get_attributes(public, &[AttributeType::EcPoint]).context("public key")?;
    let Some(Attribute::EcPoint(point)) = point.first() else { anyhow::bail!("no public key") };
    // An OCTET STRING around the uncompressed point.
    let point = point.get(2..).context("public key")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", hex::encode(point)).context("output")?;
    out.flush().context("output")?;

    let mut input = std::io::stdin().lock();
    let mut digests = [0; BURST * DIGEST_BYTES];
    while input.read_exact(&mut digests).is_ok() {
        let mut signatures = Vec::with_capacity(BURST * SIGNATURE_BYTES);
        for digest in digests.chunks(DIGEST_BYTES) {
            signatures.extend(session.sign(&Mechanism::Ecdsa, private, digest).context("C_Sign")?);
        }
        ensure!(signatures.len() == BURST * SIGNATURE_BYTES, "signatures of another length");
        out.write_all(&signatures).context("output")?;
        out.flush().context("output")?;
    }
    Ok(())
}
