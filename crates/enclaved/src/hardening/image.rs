//! The measurement: SHA-256 of the program that is running.
//!
//! The process reads it itself, so it is worth as much as the process is: it names the release in software evidence and proves nothing.

use std::fs::File;
use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use pinseal_protocol::ids::Measurement;

/// How much of the image is read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Hash of `/proc/self/exe`.
///
/// # Errors
/// The program cannot be read, for instance without `/proc`: the process must not go on.
pub(crate) fn measure() -> io::Result<Measurement> {
    let mut image = File::open("/proc/self/exe")?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match image.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => context.update(chunk.get(..read).unwrap_or(&[])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Measurement::from_slice(context.finish().as_ref()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
