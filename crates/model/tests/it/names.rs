//! Model and product share their names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pinseal_model::names::{DEFECTS, ENTRIES, Name, OWN_DEFECTS, STEPS};
use pinseal_model::{Setting, defect};

fn is_declared(name: &Name) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name.file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().any(|line| line.trim_start().starts_with(name.declared))
}

#[test]
fn every_name_of_the_model_is_declared_in_the_product() {
    for name in STEPS.iter().chain(&ENTRIES).chain(&DEFECTS) {
        assert!(is_declared(name), "{} is not declared in {} as `{}`", name.name, name.file, name.declared);
    }
}

#[test]
fn a_name_that_the_product_does_not_have_is_noticed() {
    assert!(!is_declared(&Name { name: "Reset", file: "protocol/src/wire.rs", declared: "Reset {" }));
}

#[test]
fn every_defect_is_the_products_or_is_said_to_be_the_models_own() {
    let named: BTreeSet<String> = DEFECTS.iter().map(|name| name.name).chain(OWN_DEFECTS).map(str::to_owned).collect();
    let planted: BTreeSet<String> = defect::ALL.iter().map(|(defect, ..)| format!("{defect:?}")).collect();
    assert_eq!(named, planted);
}

/// Every action is told by the name of the message or step it stands for.
#[test]
fn actions_are_told_by_the_products_names() {
    let (planted, anchor, _) =
        defect::ALL.into_iter().find(|(planted, ..)| *planted == pinseal_model::Defect::DeviceCapOff).unwrap();
    let broken = pinseal_model::first_broken(Setting { tries: 1, ..Setting::full(anchor) }.with(planted)).unwrap();
    for step in &broken.steps {
        let (name, _) = step.split_once(':').unwrap();
        assert!(STEPS.iter().any(|known| known.name == name), "{step}");
    }
}
