//! L2: a real software TPM under a deployment that dies, is put back, and loses its index.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pinseal_anchor::{TpmPlace, attestation_key};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::tpm::Tpm;
use serde_json::Value;
use tempfile::TempDir;

use super::deployment::{CONFIGURATION, Deployment};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

const INDEX: u32 = 0x0180_0042;
/// Tries of a connection until it listens.
const CONNECTIONS_MAX: u32 = 2_000;

/// A software TPM; killed when dropped.
struct Swtpm {
    directory: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Swtpm {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Another program may take the port in between; then the next one.
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(child) = listening(directory.path(), address) {
                return Self { directory, address, child };
            }
        }
        panic!("no software TPM listens");
    }

    fn place(&self) -> TpmPlace {
        TpmPlace::Tcp(self.address)
    }

    /// A power cut.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start(&mut self) {
        self.child = listening(self.directory.path(), self.address).expect("its port is free again");
    }

    /// TPM2_NV_UndefineSpace, as the owner may.
    fn undefine(&self) {
        let command = [
            &[0x80, 2, 0, 0, 0, 31, 0, 0, 1, 0x22, 0x40, 0, 0, 1][..],
            &INDEX.to_be_bytes(),
            &[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0],
        ];
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&command.concat()).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[6..], [0; 4], "the index is gone");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(directory: &Path, address: SocketAddr) -> Option<Child> {
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
        .arg(format!("dir={}", directory.display()))
        .arg("--server")
        .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", address.port()))
        .stdin(Stdio::null())
        .spawn()
        .expect("scripts/setup installs swtpm");
    for _ in 0..CONNECTIONS_MAX {
        if TcpStream::connect(address).is_ok() {
            return Some(child);
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// A deployment in that TPM, made by the programs themselves.
fn anchored(tpm: &Swtpm) -> Deployment {
    let attester = attestation_key(tpm.place()).unwrap();
    Deployment::prepared(|host| {
        let path = host.join(CONFIGURATION);
        let mut configuration: Configuration = cbor::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (configuration.anchor, configuration.floor) = (AnchorLevel::L2, AnchorLevel::L2);
        configuration.tpm = Some(Tpm { attester, index: INDEX });
        std::fs::write(path, cbor::to_vec(&configuration)).unwrap();
        let settings = host.join("server.toml");
        let mut text = std::fs::read_to_string(&settings).unwrap();
        text.push_str(&format!("\n[tpm]\nplace = \"{}\"\ninterval_milliseconds_min = 0\n", tpm.place()));
        std::fs::write(settings, text).unwrap();
    })
}

#[test]
fn a_wallet_lives_in_a_tpm_through_kills_and_an_older_database_is_refused() {
    runtime().block_on(async {
        let mut tpm = Swtpm::new();
        let deployment = anchored(&tpm);
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        let attested = ann.attested(&life.door).await;
        assert_eq!(attested.manifest().anchor, AnchorLevel::L2);
        assert_eq!(attested.manifest().tpm.map(|named| named.index), Some(INDEX));
        assert_eq!(sign(&attested, PIN, b"in the TPM").await.unwrap(), address);
        let shown: Value = reqwest_json(&format!("{}/readyz", life.door.url)).await;
        assert_eq!((&shown["anchor"]["level"], &shown["anchor"]["tpm"]["index"]), (&"L2".into(), &INDEX.into()));
        // Both are killed, the machine loses power: what was written is there, and one more goes in.
        drop(life);
        let older = deployment.database();
        tpm.kill();
        let refused = deployment.refused();
        assert_eq!(refused.code, "tpm", "{refused:?}");
        tpm.start();
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        assert_eq!(status(&attested).await.tries.left, 4);
        drop(life);
        // The try does not come back with the database.
        let newest = deployment.database();
        deployment.put_back(&older);
        let refused = deployment.refused();
        assert_eq!(refused.code, "state_forked", "{refused:?}");
        deployment.put_back(&newest);
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 4);
        drop(life);
        // An index that is gone does not come back, whatever is put back beside it.
        tpm.undefine();
        for database in [&older, &newest] {
            deployment.put_back(database);
            let refused = deployment.refused();
            assert_eq!(refused.code, "anchor_missing", "{refused:?}");
        }
    });
}

async fn reqwest_json(url: &str) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Between database and TPM, and between TPM and enclave: the next life goes on.
#[test]
fn a_host_that_dies_on_either_side_of_the_tpm_is_gone_on_from() {
    runtime().block_on(async {
        let tpm = Swtpm::new();
        let deployment = anchored(&tpm);
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        for fault in ["host.after_commit:2", "host.after_anchor:2"] {
            let life = deployment.start_with(fault);
            let attested = ann.attested(&life.door).await;
            assert!(attested.verify_pin(&pin(WRONG_PIN)).await.is_err());
            drop(life);
            let life = deployment.start();
            let attested = ann.attested(&life.door).await;
            assert_eq!(sign(&attested, PIN, fault.as_bytes()).await.unwrap(), address);
            life.stop();
        }
    });
}
