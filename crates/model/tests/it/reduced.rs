//! Counting states that are alike once loses nothing: where the whole can be explored, both ways agree on what holds, on what can happen, and on
//! which defects are found.

use pinseal_model::{Anchor, Setting, defect, explore, first_broken};

const ANCHORS: [Anchor; 3] = [
    Anchor::File,
    Anchor::Witnesses { all: 3, required: 2, liars: 0, in_order: true },
    Anchor::Witnesses { all: 4, required: 3, liars: 1, in_order: false },
];

#[test]
fn what_holds_and_what_can_happen_is_the_same() {
    for anchor in ANCHORS {
        let small = Setting { tries: 1, restarts: 1, ..Setting::full(anchor) };
        let reduced = explore(small, 1);
        let whole = explore(Setting { is_reduced: false, ..small }, 1);
        assert!(reduced.broken.is_empty() && whole.broken.is_empty(), "{anchor:?}");
        assert!(reduced.states < whole.states / 2, "{anchor:?}: {} of {}", reduced.states, whole.states);
        let mut reached = reduced.reached.clone();
        // Forgotten as soon as nothing can come of it.
        reached.push("an enclave is fenced");
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(reached), sorted(whole.reached), "{anchor:?}");
    }
}

#[test]
fn the_same_promise_breaks_in_as_many_steps() {
    for (planted, anchor, promise) in defect::ALL {
        let small = Setting { tries: 1, restarts: 0, ..Setting::full(anchor) }.with(planted);
        let reduced = first_broken(small).unwrap_or_else(|| panic!("{planted:?}"));
        let whole = first_broken(Setting { is_reduced: false, ..small }).unwrap_or_else(|| panic!("{planted:?}"));
        assert_eq!((reduced.promise, reduced.steps.len()), (whole.promise, whole.steps.len()), "{planted:?}");
        assert_eq!(reduced.promise, promise.name(), "{planted:?}");
    }
}
