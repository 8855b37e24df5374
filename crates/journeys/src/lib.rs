//! Whole-system tests over real processes, and the rules of the crate graph. Everything is in `tests/`.
