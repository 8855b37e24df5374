//! Everything is explored, and nothing breaks.

use pinseal_model::{Anchor, CLAIMED, Explored, Setting, UNCLAIMED, explore, first_broken};

/// States, so that a model that has lost most of its moves is noticed.
fn holds(setting: Setting, states_min: usize) -> Explored {
    let explored = explore(setting, 1);
    assert!(explored.broken.is_empty(), "{setting:?}: {:#?}", explored.broken);
    assert!(explored.states > states_min, "{setting:?}: {} states", explored.states);
    explored
}

fn claimed(name: &str) -> Anchor {
    CLAIMED.iter().find(|(claimed, _)| *claimed == name).unwrap().1
}

#[test]
fn l1_holds_for_three_tries_two_enclaves_two_restarts_and_an_owner() {
    let explored = holds(Setting::full(claimed("L1")), 200_000);
    assert_eq!(explored.unreached, Vec::<&str>::new());
}

/// With the owner's right PIN at this size: `make model`.
#[test]
fn l4_holds_for_three_tries_two_enclaves_and_two_restarts() {
    for name in ["L4, 3 of 4, one lies", "L4, 3 of 4, one lies, asked in any order"] {
        let explored = holds(Setting { rights: 0, ..Setting::full(claimed(name)) }, 100_000);
        assert_eq!(explored.unreached, ["the owner gets in"], "{name}");
    }
}

#[test]
fn l4_holds_for_two_tries_two_enclaves_a_restart_and_an_owner() {
    for name in ["L4, 2 of 3, nobody lies", "L4, 2 of 3, nobody lies, asked in any order"] {
        let explored = holds(Setting { tries: 2, restarts: 1, ..Setting::full(claimed(name)) }, 50_000);
        assert_eq!(explored.unreached, Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn where_nothing_is_claimed_a_promise_breaks() {
    for (name, anchor) in UNCLAIMED {
        let broken = first_broken(Setting::full(anchor)).unwrap_or_else(|| panic!("{name}: nothing broke"));
        assert!(!broken.steps.is_empty(), "{name}");
    }
}
