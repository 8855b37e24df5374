//! Puts the built wallet page into the program, if it has been built: a Rust build needs no Node.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where `npm run build` in `web/wallet` leaves the page. The directory itself is always there.
const PAGE: &str = "../../web/wallet/dist";

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={PAGE}");
    let root = here.join(PAGE);
    let mut files = Vec::new();
    gather(&root, &root, &mut files);
    files.sort();
    if !files.iter().any(|name| name == "index.html") {
        println!(
            "cargo:warning=the wallet page is not built, so this `pinseal` serves none; `make build` builds both \
             (or: cd web && npm install && npm run build)"
        );
        files.clear();
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut list = String::from("&[\n");
    for name in &files {
        // A copy, so that nobody who builds the page anew takes it away from under the compiler.
        let copy = out.join("page").join(name);
        std::fs::create_dir_all(copy.parent().unwrap_or(&out)).expect("OUT_DIR is writable");
        std::fs::copy(root.join(name), &copy).expect("a file of the page is readable");
        writeln!(list, "    ({name:?}, include_bytes!({:?})),", copy.display().to_string()).expect("memory");
    }
    list.push(']');
    std::fs::write(out.join("wallet_page.rs"), list).expect("OUT_DIR is writable");
}

/// Every file below, by its path with slashes; what begins with a dot is none of the page.
fn gather(root: &Path, directory: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            gather(root, &path, files);
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push(name.to_string_lossy().replace('\\', "/"));
        }
    }
}
