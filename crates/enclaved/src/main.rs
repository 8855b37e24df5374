//! `pinseal-enclaved`: see `--help`.

use std::process::ExitCode;

use pinseal_enclaved::WipingAllocator;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::new();

fn main() -> ExitCode {
    pinseal_enclaved::run(std::env::args_os().skip(1), &ALLOCATOR)
}
