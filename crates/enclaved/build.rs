//! Finds the name under which AWS-LC's allocation hooks are linked: the library puts its version before every symbol.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo tells dependents what a native library's build script published, under the library's own name.
    let prefix = std::env::vars()
        .find_map(|(name, _)| Some(name.strip_prefix("DEP_")?.strip_suffix("_INCLUDE")?.to_lowercase()))
        .filter(|name| name.starts_with("aws_lc_"))
        .expect("aws-lc-sys publishes its include directory");
    let hooks = format!(
        "unsafe extern \"C\" {{
    #[link_name = \"{prefix}_CRYPTO_set_mem_functions\"]
    fn set_memory_functions(allocate: Allocate, reallocate: Reallocate, free: Free) -> core::ffi::c_int;
}}
"
    );
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("aws_lc_hooks.rs");
    std::fs::write(out, hooks).expect("OUT_DIR is writable");
}
