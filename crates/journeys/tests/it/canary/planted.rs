//! Proof that what is there is found: in this process, in an enclave that keeps secrets when told to, and in one that leaves its stack
//! as it is.

use std::process::{Command, Stdio};

use super::enclave::Watched;
use super::net::Net;
use super::secrets::Secret;
use super::{memory, trawl};

#[test]
fn a_secret_in_this_process_is_found_wherever_it_lies() {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).unwrap();
    let net = Net::new(&[Secret::bytes("planted", &random)]);
    let found = memory::search(std::process::id(), &net);
    assert!(!found.is_empty() && found.iter().all(|found| found.catch.secret == "planted"), "{found:#?}");
    assert!(found.iter().any(|found| found.is_dumped), "a core image would hold it: {found:#?}");
}

#[test]
fn a_secret_on_a_command_line_or_in_an_environment_is_found() {
    let (argument, variable) = ("an-argument-that-nobody-gives", "a-variable-that-nobody-sets");
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read line", "sh", argument]).env("CANARY", variable);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let net = Net::new(&[Secret::text("argument", argument), Secret::text("variable", variable)]);
    let found = trawl::surroundings(child.id(), &net);
    drop(child.stdin.take());
    child.wait().unwrap();
    for name in ["argument", "variable"] {
        assert!(found.iter().any(|catch| catch.secret == name), "{name}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enclave_that_keeps_factor_and_seed_is_found_out() {
    let mut watched = Watched::start(Some("heap")).await;
    watched.register().await;
    watched.confirm().await;
    watched.sign().await;
    let seen = watched.look().await;
    for name in ["PIN factor S", "entropy", "private key m/44'/60'/0'/0"] {
        assert!(seen.names().contains(name), "{name} was kept and is not found: {seen:#?}");
    }
    assert!(!seen.names().contains("phrase") && !seen.names().contains("deployment root R"), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enclave_that_leaves_its_stack_is_found_out() {
    let mut watched = Watched::start(Some("stack")).await;
    watched.register().await;
    watched.confirm().await;
    watched.sign().await;
    let seen = watched.look().await;
    let on_the_stack: Vec<_> = seen.memory.iter().filter(|found| found.place.starts_with("[stack]")).collect();
    assert!(!on_the_stack.is_empty(), "{seen:#?}");
}
