//! Answers as a TPM gives them, and attestations from their first byte on.

use crate::targets::tpm::{Answer, Piece};

/// An answer to a command that was authorised: parameterSize, parameters, and the answer to the authorisation.
fn authorised(parameters: Vec<Piece>) -> Answer {
    let length = Answer::Framed(0, parameters.clone()).encoded().len() - 10;
    let size = Piece::U32(u32::try_from(length).expect("short"));
    let authorisation = Piece::Raw(vec![0, 0, 1, 0, 0]);
    Answer::Framed(0, [vec![size], parameters, vec![authorisation]].concat())
}

/// The same behind a handle.
fn behind_handle(parameters: Vec<Piece>) -> Answer {
    match authorised(parameters) {
        Answer::Framed(code, pieces) => Answer::Framed(code, [vec![Piece::U32(0x8000_0000)], pieces].concat()),
        raw @ Answer::Raw(_) => raw,
    }
}

pub(super) fn add(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let key = [
        &[0, 0x23, 0, 0x0b, 0, 5, 0x04, 0x72, 0, 0][..],
        &[0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10],
        &[&[0, 32][..], &[1; 32], &[0, 32], &[2; 32]].concat(),
    ]
    .concat();
    let session = Answer::Framed(0, vec![Piece::U32(0x0300_0000), Piece::Held([9; 32])]);
    let alone: [(u8, Answer); 6] = [
        (0, authorised(vec![Piece::Held([3; 32])])),
        (0, Answer::Framed(0x014a, Vec::new())),
        (1, Answer::Framed(0x018b, Vec::new())),
        (2, session),
        (
            4,
            authorised(vec![
                Piece::Sized(vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x14]),
                Piece::U16(0x18),
                Piece::U16(0x0b),
                Piece::Held([4; 32]),
                Piece::Sized(vec![5; 31]),
            ]),
        ),
        (5, behind_handle(vec![Piece::Sized(key)])),
    ];
    for (asked, answer) in alone {
        add("tpm_answer", [&[asked], answer.encoded().as_slice()].concat());
    }
    let head = [0xff, 0x54, 0x43, 0x47, 0x80, 0x14, 0, 2, 1, 2, 0, 1, 7];
    let tail = [&[0; 17][..], &[0x20; 8], &[0, 2, 0, 0x0b], &[0, 0], &[0, 3, 1, 2, 3]].concat();
    add("tpm_attestation", [&head[..], &tail].concat());
    // Every field as it should be, and the right key.
    add("tpm_attestation", vec![0; 64]);
}
