//! SIGKILL out of the blue, while many people sign.

use pinseal_client::{Address, OperationError};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;

use super::deployment::{Deployment, Door, Life};
use super::user::{PIN, User, is_wrong_pin, runtime, sign, status};

/// People who sign at once.
const CLIENTS: usize = 32;
/// Signatures after which the process is killed: everybody is under way by then.
const SIGNATURES: usize = 48;

async fn register_all(door: &Door) -> Vec<(User, Address)> {
    let mut arriving = JoinSet::new();
    for place in 0..CLIENTS {
        let door = door.clone();
        arriving.spawn(async move { User::registered(&door, &format!("client{place}@example.org")).await });
    }
    arriving.join_all().await
}

/// Signs until it does not work any more.
async fn sign_on(door: Door, user: User, address: Address, signed: Sender<()>) -> OperationError {
    let attested = user.attested(&door).await;
    loop {
        match sign(&attested, PIN, b"again and again").await {
            Ok(signer) => assert_eq!(signer, address),
            Err(error) => return error,
        }
        // Nobody counts any more once the process is killed.
        let _ = signed.send(()).await;
    }
}

async fn kill_while_signing(life: &mut Life, people: &[(User, Address)], kill: impl FnOnce(&Life)) {
    let mut signing = JoinSet::new();
    let (signed, mut count) = channel(CLIENTS);
    for (user, address) in people {
        signing.spawn(sign_on(life.door.clone(), user.clone(), *address, signed.clone()));
    }
    for _ in 0..SIGNATURES {
        count.recv().await.unwrap();
    }
    kill(life);
    drop(count);
    for error in signing.join_all().await {
        assert!(!is_wrong_pin::<()>(&Err(error)), "the right PIN was called wrong");
    }
}

/// Everybody signs, with at most the one interrupted try charged before.
async fn check(life: &Life, people: &[(User, Address)]) {
    let mut checking = JoinSet::new();
    for (user, address) in people {
        let (door, user, address) = (life.door.clone(), user.clone(), *address);
        checking.spawn(async move {
            let attested = user.attested(&door).await;
            let outstanding = status(&attested).await.status.outstanding;
            assert!(outstanding <= 1, "{outstanding} tries charged for one");
            assert_eq!(sign(&attested, PIN, b"after").await.unwrap(), address);
        });
    }
    checking.join_all().await;
}

#[test]
fn a_process_killed_while_thirty_two_people_sign_costs_nobody_anything() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let mut life = deployment.start();
        let people = register_all(&life.door).await;

        kill_while_signing(&mut life, &people, |life| life.enclave.signal(Signal::KILL)).await;
        assert_eq!(life.enclave.ended().signal(), Some(Signal::KILL.as_raw()));
        assert_eq!(life.host.ended().code(), Some(1), "{}", life.host.log());

        let mut life = deployment.start();
        check(&life, &people).await;
        kill_while_signing(&mut life, &people, |life| life.host.signal(Signal::KILL)).await;
        assert_eq!(life.host.ended().signal(), Some(Signal::KILL.as_raw()));
        life.enclave.ended();

        let life = deployment.start();
        check(&life, &people).await;
        life.stop();
        assert_eq!(deployment.stored(), deployment.anchored());
    });
}
