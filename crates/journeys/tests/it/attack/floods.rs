//! Valid requests in numbers: by one user, and by anybody who has an app's key.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::rig::{Rig, is_full, read_answer, rest, status};

/// What the host may add for a flood, in KiB. One password more than before, hashed at once as people log in meanwhile, is 19 MiB of
/// it, and the stacks of the threads that hash are some.
const GROWTH_KIB_MAX: u64 = 64 * 1_024;
/// Requests a minute of one user, as set here.
const USER_MAX: u64 = 60;
/// Operations one user has under way at once.
const AT_ONCE: usize = 64;

#[test]
fn one_users_flood_of_operations_is_that_users_problem() {
    let rig = Rig::serving(&[("requests_per_user_per_minute", USER_MAX)]);
    let before = rig.peak_kib();
    let codes = rig.flood_of_operations("flooder@example.org", AT_ONCE);
    // Begun and sealed, or told to wait: by the wallet's line, by the host, or for the user's allowance.
    let known = ["", "rate_limited", "wallet_busy", "enclave_overloaded", "overloaded", "challenge_invalid"];
    assert!(codes.iter().all(|code| known.contains(&code.as_str())), "{codes:?}");
    assert!(codes.iter().any(|code| code == "rate_limited"), "{codes:?}");
    assert!(rig.peak_kib() - before < GROWTH_KIB_MAX, "{} KiB", rig.peak_kib() - before);
}

/// A sign-up, which hashes a password.
fn sign_up(app: &str, name: &str) -> String {
    let body = format!(r#"{{"email":"{name}@example.org","password":"correct-horse-7"}}"#);
    format!(
        "POST /v1/login/email/sign-up HTTP/1.1\r\n{app}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// More passwords at a time than may wait, from thirteen networks: a newcomer of another network waits for one of each.
#[test]
fn passwords_of_a_few_networks_hold_up_nobody_elses() {
    let rig = Rig::serving(&[("logins_per_minute", 1_000_000), ("requests_per_minute", 1_000_000)]);
    let before = rig.peak_kib();
    let (networks, each) = (13, 8);
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..networks * each)
        .map(|number| {
            let mut stream = rig.connect(number % networks * 256 + number / networks);
            let (app, stop) = (rig.app_headers(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut refused = 0;
                for count in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    stream.write_all(sign_up(&app, &format!("flood{number}x{count}")).as_bytes()).unwrap();
                    refused += u64::from(status(&read_answer(&mut stream)) == 503);
                }
                refused
            })
        })
        .collect();
    let full = || rig.metric("pinseal_password_queue ") >= 66;
    while !full() {}
    let mut honest = rig.connect(0x1_0000);
    for count in 0..3 {
        honest.write_all(sign_up(&rig.app_headers(), &format!("honest{count}")).as_bytes()).unwrap();
        let answer = read_answer(&mut honest);
        assert_eq!(status(&answer), 202, "{answer}");
    }
    rig.honest_user_is_served();
    stop.store(true, Ordering::Relaxed);
    let refused: u64 = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
    assert!(refused > 0, "there was no flood");
    // Whichever threads hash them, no more memory than for those at once.
    assert!(rig.peak_kib() - before < GROWTH_KIB_MAX, "{} KiB", rig.peak_kib() - before);
}

#[test]
fn questions_for_evidence_are_answered_and_cost_the_honest_user_nothing() {
    let rig = Rig::serving(&[]);
    let app = rig.app_headers();
    let before = rig.peak_kib();
    let (streams, each) = if is_full() { (64_u32, 1_000_u64) } else { (16, 100) };
    let floods: Vec<_> = (0..streams)
        .map(|number| {
            let (mut stream, app) = (rig.connect(number), app.clone());
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let writing = std::thread::spawn(move || {
                    for count in 0..each {
                        let nonce = format!("{number:032x}{count:032x}");
                        let close = if count + 1 == each { "connection: close\r\n" } else { "" };
                        let ask = format!("GET /v1/evidence?nonce={nonce} HTTP/1.1\r\n{app}{close}\r\n");
                        writer.write_all(ask.as_bytes()).unwrap();
                    }
                });
                let said = rest(&mut stream);
                writing.join().unwrap();
                said.matches("HTTP/1.1 200").count() + said.matches("HTTP/1.1 503").count()
            })
        })
        .collect();
    rig.honest_user_is_served();
    for flood in floods {
        assert_eq!(flood.join().unwrap() as u64, each);
    }
    rig.honest_user_is_served();
    assert!(rig.peak_kib() - before < GROWTH_KIB_MAX, "{} KiB", rig.peak_kib() - before);
}
