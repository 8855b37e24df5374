//! Writes the seeds into `fuzz/corpus/`, beside what is there.

use std::path::Path;

use sha2::{Digest as _, Sha256};

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut written = 0;
    for seed in pinseal_fuzzing::seeds::seeds() {
        let folder = corpora.join(seed.target);
        std::fs::create_dir_all(&folder)?;
        // libFuzzer names its own the same way: by what they hold.
        let name = hex::encode(&Sha256::digest(&seed.bytes)[..20]);
        std::fs::write(folder.join(name), &seed.bytes)?;
        written += 1;
    }
    println!("{written} seeds in {}", corpora.display());
    Ok(())
}
