#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| pinseal_fuzzing::witness_answer(data));
