//! Connections nobody uses, in numbers.

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use super::rig::{Rig, is_full, is_over};

/// Idle connections of the attack.
const IDLE: u32 = 10_000;
/// Client addresses they come from; each stays below its own bound.
const ADDRESSES: u32 = 100;
/// What the default number of connections may cost, in KiB.
const BOUNDED_GROWTH_KIB_MAX: u64 = 64 * 1_024;
/// What one idle connection may cost, in KiB, where all of them are let in.
const EACH_KIB_MAX: u64 = 24;
/// Connections the host takes by default.
const CONNECTIONS_MAX: u64 = 1_024;
/// Of one address.
const EACH_MAX: u64 = 128;
/// Longer than any of these tests takes: connections end because of the others here, not of age.
const AGE: (&str, u64) = ("body_milliseconds_max", 600_000);

#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let rig = Rig::serving(&[("connections_max", CONNECTIONS_MAX), ("connections_per_address_max", EACH_MAX), AGE]);
    let before = rig.peak_kib();
    let idle: Vec<_> = (0..IDLE).map(|number| rig.connect(number % ADDRESSES)).collect();
    rig.honest_user_is_served();
    // The oldest had to make room, so the newest are those left.
    let (open, made_room) =
        (rig.metric("pinseal_connections "), rig.metric("pinseal_connections_closed_for_room_total"));
    assert!(open <= CONNECTIONS_MAX, "{open} are open");
    assert!(made_room >= u64::from(IDLE) - CONNECTIONS_MAX, "{made_room} made room");
    let left = idle.iter().filter(|stream| !is_over(stream)).count();
    assert!(left as u64 <= CONNECTIONS_MAX, "{left} of {IDLE} are left");
    assert!(!is_over(&idle[idle.len() - 1]), "the newest one is among them");
    let grown = rig.peak_kib() - before;
    assert!(grown < BOUNDED_GROWTH_KIB_MAX, "{grown} KiB");
    drop(idle);
    rig.honest_user_is_served();
}

#[test]
fn where_the_operator_allows_ten_thousand_each_is_cheap() {
    if !is_full() {
        return;
    }
    let limits = [("connections_max", 12_000), ("connections_per_address_max", EACH_MAX), AGE];
    let rig = Rig::serving(&limits);
    let before = rig.resident_kib();
    let idle: Vec<_> = (0..IDLE).map(|number| rig.connect(number % ADDRESSES)).collect();
    rig.honest_user_is_served();
    assert!(rig.metric("pinseal_connections ") >= u64::from(IDLE));
    assert!(idle.iter().all(|stream| !is_over(stream)));
    let each = rig.resident_kib().saturating_sub(before) / u64::from(IDLE);
    assert!(each < EACH_KIB_MAX, "{each} KiB each");
    println!("{IDLE} idle connections: {} KiB resident each", each);
}

#[test]
fn one_address_takes_its_share_and_is_refused_at_once() {
    let rig = Rig::serving(&[("connections_per_address_max", EACH_MAX), AGE]);
    let mut greedy: Vec<_> = (0..2 * EACH_MAX).map(|_| rig.connect(3)).collect();
    rig.honest_user_is_served();
    let refused = greedy.split_off(usize::try_from(EACH_MAX).unwrap());
    for mut stream in refused {
        assert_eq!(super::rig::rest(&mut stream), "", "it is closed without a word");
    }
    assert!(greedy.iter().all(|stream| !is_over(stream)));
    assert_eq!(rig.metric("pinseal_connections_refused_total{reason=\"address\"}"), EACH_MAX);
}

#[test]
fn a_host_short_of_descriptors_takes_fewer_connections_and_goes_on() {
    let rig = Rig::serving_with(&[("connections_max", 4_096), AGE], &["prlimit", "--nofile=400:400"]);
    assert!(rig.life.host.log().contains("fewer connections"), "{}", rig.life.host.log());
    let idle: Vec<_> = (0..800).map(|number| rig.connect(number % ADDRESSES)).collect();
    rig.honest_user_is_served();
    assert_eq!(rig.metric("pinseal_accept_failures_total"), 0, "the bound comes before the system's");
    drop(idle);
    while rig.metric("pinseal_connections ") > 10 {}

    // The system's bound can come first all the same: another user's processes may have taken the descriptors. What waits makes
    // room, and the next one is let in.
    let pid = Some(rig.life.host.pid());
    let held = std::fs::read_dir(format!("/proc/{}/fd", rig.life.host.id())).unwrap().count() as u64;
    let idle: Vec<_> = (0..50).map(|number| rig.connect(number)).collect();
    rig.honest_user_is_served();
    let low = Rlimit { current: Some(held + 20), maximum: Some(400) };
    prlimit(pid, Resource::Nofile, low).unwrap();
    let more: Vec<_> = (50..100).map(|number| rig.connect(number)).collect();
    // This question comes in behind all of them.
    assert!(rig.metric("pinseal_accept_failures_total") > 0);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(400), maximum: Some(400) }).unwrap();
    rig.honest_user_is_served();
    drop((idle, more));
    assert!(getrlimit(Resource::Nofile).current.is_none_or(|own| own > 400), "ours is as it was");
}
