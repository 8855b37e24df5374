//! What logs send to witnesses: one spelling, and no longer proof than the standard allows.

use pinseal_protocol::add_checkpoint::{AddCheckpoint, PROOF_LINES_MAX, RequestError, read_size};
use pinseal_protocol::ids::Hash32;

const NOTE: &[u8] = b"log.example/one\n6\nroot\n\n\xe2\x80\x94 log.example/one YWJjZGVm\n";

fn request(lines: usize) -> AddCheckpoint<'static> {
    AddCheckpoint { old_size: 5, proof: vec![Hash32([0; 32]); lines], note: NOTE }
}

#[test]
fn a_request_is_written_in_the_standards_form_and_read_back() {
    let zeros = format!("{}=", "A".repeat(43));
    let body = format!("old 5\n{zeros}\n{zeros}\n\n{}", core::str::from_utf8(NOTE).unwrap());
    assert_eq!(request(2).to_body(), body.as_bytes());
    assert_eq!(AddCheckpoint::read(body.as_bytes()), Ok(request(2)));
    for malformed in [
        body.replace("old 5", "old 05"),
        body.replace("old 5", "5"),
        body.replacen(&zeros, zeros.trim_end_matches('='), 1),
        body.replacen(&zeros, &zeros.replace("A=", "B="), 1),
        body.replacen(&zeros, "AAAA", 1),
        body.replace("\n\n", "\n"),
    ] {
        assert_eq!(AddCheckpoint::read(malformed.as_bytes()), Err(RequestError), "{malformed:?}");
    }
}

#[test]
fn a_proof_has_so_many_lines_and_no_more() {
    for lines in [0, 1, PROOF_LINES_MAX - 1, PROOF_LINES_MAX] {
        assert_eq!(AddCheckpoint::read(&request(lines).to_body()), Ok(request(lines)), "{lines}");
    }
    for lines in [PROOF_LINES_MAX + 1, PROOF_LINES_MAX + 2, 10 * PROOF_LINES_MAX] {
        assert_eq!(AddCheckpoint::read(&request(lines).to_body()), Err(RequestError), "{lines}");
    }
}

#[test]
fn a_size_has_one_spelling_and_fits_a_database() {
    for size in [0, 1, 10, (1 << 63) - 1] {
        assert_eq!(read_size(&size.to_string()), Some(size));
    }
    for text in ["", "00", "05", "+5", "-5", " 5", "5 ", "0x5", "9223372036854775808", "18446744073709551616"] {
        assert_eq!(read_size(text), None, "{text:?}");
    }
}
