//! A checker that finds nothing proves nothing.

use std::collections::BTreeSet;

use pinseal_model::defect::ALL;
use pinseal_model::{Promise, Setting, first_broken};

/// Steps that a person still reads; the longest needs three guesses.
const STEPS_READABLE: usize = 20;

#[test]
fn every_planted_defect_is_found_with_the_fewest_steps_that_show_it() {
    for (defect, anchor, promise) in ALL {
        // A cap is as well exceeded by three as by four; `make model ARGS=--defects` takes the time.
        let tries = if promise == Promise::Caps { 2 } else { 3 };
        let setting = Setting { tries, ..Setting::full(anchor) }.with(defect);
        let broken = first_broken(setting).unwrap_or_else(|| panic!("{defect:?} was not found"));
        println!("{defect:?}: {} after\n  {}", broken.promise, broken.steps.join("\n  "));
        assert_eq!(broken.promise, promise.name(), "{defect:?}: {:#?}", broken.steps);
        assert!(broken.steps.len() <= STEPS_READABLE, "{defect:?}: {} steps", broken.steps.len());
    }
    let kinds: BTreeSet<String> = ALL.iter().map(|(defect, ..)| format!("{defect:?}")).collect();
    assert_eq!(kinds.len(), 16);
}

/// The fewest steps are fewer than any others: here they can be counted by hand.
#[test]
fn what_breaks_a_promise_is_told_in_the_fewest_steps() {
    let steps = |wanted| {
        let (defect, anchor, _) = ALL.into_iter().find(|(defect, ..)| *defect == wanted).unwrap();
        first_broken(Setting::full(anchor).with(defect)).unwrap().steps
    };
    // Boot, the BOOT entry anchored, its receipt, a wrong PIN.
    assert_eq!(steps(pinseal_model::Defect::CheckBeforeCharge).len(), 4);
    assert!(steps(pinseal_model::Defect::CheckBeforeCharge)[3].starts_with("Sealed: a wrong PIN"));
}
