#![no_main]
//! The target that `FUZZ_TARGET` names: one binary to link in place of one a target. `make fuzz` runs it.

use std::sync::LazyLock;

use pinseal_fuzzing::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
    *TARGETS.iter().find(|target| target.name == name).expect("FUZZ_TARGET names a target there is")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
