//! The peers: the bare library, an EVM node, a software HSM.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use pinseal_chains::evm::{RecoverableSig, personal_message_digest};

use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::json;

use crate::clock::CpuClock;
use crate::http::Http;
use crate::load::Sample;
use crate::system::{Programs, terminate};
use crate::user::random;

/// Signatures between two looks at the clock.
const BURST: usize = 256;

/// libsecp256k1 alone, one thread: RFC 6979 nonces, recoverable. Its CPU time is the unit of all ratios. Each signature is recovered and
/// compared, outside of what is counted.
pub(crate) fn raw(time: Duration) -> anyhow::Result<Sample> {
    let secret = SecretKey::from_secret_bytes(random()?).context("secret key")?;
    let public = PublicKey::from_secret_key(&secret);
    let clock = CpuClock::thread();
    let (mut spent, mut wall, mut operations) = (Duration::ZERO, Duration::ZERO, 0_u64);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let mut digests = Vec::with_capacity(BURST);
        for _ in 0..BURST {
            digests.push(Message::from_digest(random()?));
        }
        let mut signatures = Vec::with_capacity(BURST);
        let (started, before) = (Instant::now(), clock.now()?);
        for digest in &digests {
            signatures.push(secp256k1::ecdsa::RecoverableSignature::sign_ecdsa_recoverable(*digest, &secret));
        }
        spent += clock.now()?.saturating_sub(before);
        wall += started.elapsed();
        for (digest, signature) in digests.iter().zip(&signatures) {
            ensure!(signature.recover_ecdsa(*digest).context("recover")? == public, "another signer");
            operations += 1;
        }
    }
    Ok(Sample { operations, wall, serving: vec![("library", spent)], ..Sample::default() })
}

/// How long the node may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running anvil, silent, so that it does not spend its time on its log.
#[derive(Debug)]
pub(crate) struct Anvil {
    process: Child,
    pub(crate) url: String,
    address: String,
    signer: [u8; 20],
}

impl Anvil {
    pub(crate) async fn start(programs: &Programs, scratch: &Path) -> anyhow::Result<Self> {
        let program = programs.anvil.as_deref().context("anvil is missing: run `make setup`")?;
        // A port that was free a moment ago; only a program that takes it meanwhile makes this fail.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
        let port = port.context("free port")?.port().to_string();
        let mut command = programs.guarded(program);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--hardfork",
            "prague",
            "--chain-id",
            "31337",
            "--silent",
        ]);
        command.current_dir(scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().context("anvil")?;
        let mut anvil =
            Self { process, url: format!("http://127.0.0.1:{port}"), address: String::new(), signer: [0; 20] };
        let begun = Instant::now();
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_accounts", "params": []}).to_string();
        loop {
            let asked = Http::new(&anvil.url).post("/", &[], request.as_bytes()).await;
            if let Ok(answer) = asked {
                let json = answer.json();
                json["result"][0].as_str().context("anvil has no account")?.clone_into(&mut anvil.address);
                break;
            }
            ensure!(begun.elapsed() < PATIENCE && anvil.process.try_wait()?.is_none(), "anvil does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        hex::decode_to_slice(anvil.address.trim_start_matches("0x"), &mut anvil.signer).context("anvil's account")?;
        Ok(anvil)
    }

    pub(crate) fn clocks(&self) -> anyhow::Result<Vec<(&'static str, CpuClock)>> {
        Ok(vec![("anvil", CpuClock::of(self.process.id())?)])
    }

    /// A client of this node.
    pub(crate) fn caller(&self) -> Caller {
        Caller { http: Http::new(&self.url), address: self.address.clone(), signer: self.signer }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It has ended if this fails.
        let _ = terminate(&mut self.process);
    }
}

/// One kept-alive connection to anvil.
pub(crate) struct Caller {
    http: Http,
    address: String,
    signer: [u8; 20],
}

impl Caller {
    /// `eth_sign` of a fresh message, recovered and compared.
    pub(crate) async fn sign(&mut self) -> anyhow::Result<()> {
        let message = random::<48>()?;
        let request = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_sign",
            "params": [self.address, format!("0x{}", hex::encode(message))],
        });
        let answer = self.http.post("/", &[], request.to_string().as_bytes()).await?.json();
        let Some(signature) = answer["result"].as_str() else { bail!("anvil: {answer}") };
        let mut bytes = [0; 65];
        hex::decode_to_slice(signature.trim_start_matches("0x"), &mut bytes).context("anvil's signature")?;
        let recovered =
            RecoverableSig::from_bytes(&bytes).and_then(|it| it.recover_address(&personal_message_digest(&message)));
        ensure!(recovered.context("anvil's signature")?.0 == self.signer, "another signer");
        Ok(())
    }
}
