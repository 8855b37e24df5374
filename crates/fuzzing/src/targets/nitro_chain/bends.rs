//! How an input becomes a case: a good one of as many issuers as the first byte says, then one bend for every four bytes.

use pinseal_attestation::forge::NOW;

use super::{Case, Constraints, ISSUERS_MAX, NONCE, Point, USER_DATA};

/// Bends of one input, at most.
const BENDS_MAX: usize = 12;
/// Certificates in a document, at most: one more than any may have.
const CERTIFICATES_MAX: usize = 9;
const IMAGES_MAX: usize = 4;

/// What four bytes do: the first picks the line, the others are its values; of a certificate's field, the first of them is the place.
const BENDS: &[fn(&mut Case, [u8; 3])] = &[
    |case, [place, a, b]| link(case, place).from = moment(a, b),
    |case, [place, a, b]| link(case, place).to = moment(a, b),
    |case, [place, a, b]| {
        let path = (a & 4 != 0).then_some(b);
        let said = Constraints { is_critical: a & 1 != 0, is_ca: a & 2 != 0, path };
        link(case, place).constraints = (a & 8 == 0).then_some(said);
    },
    |case, [place, a, b]| {
        link(case, place).usage = (b & 2 == 0).then_some(u16::from(a) << 1 | u16::from(b & 1));
    },
    |case, [place, a, _]| link(case, place).subject = a % 16,
    |case, [place, a, _]| link(case, place).issuer = a % 16,
    |case, [place, a, _]| link(case, place).signer = a % 9,
    |case, [place, a, _]| link(case, place).key = a % 9,
    |case, [place, a, _]| {
        let points = [Point::Uncompressed, Point::Compressed, Point::OtherCurve, Point::OffTheCurve];
        link(case, place).point = points[usize::from(a % 4)];
    },
    |case, [place, a, _]| link(case, place).version = 1 + a % 3,
    |case, [place, a, _]| link(case, place).is_sha384 = [a & 1 == 0, a & 2 == 0],
    |case, [place, a, _]| link(case, place).unknown = (a & 2 == 0).then_some(a & 1 == 0),
    |case, [place, a, b]| link(case, place).twice = (b & 1 == 0).then_some(a),
    |case, [place, a, b]| link(case, place).padding = wide(a, b) % 700,
    |case, [place, a, _]| link(case, place).is_signature_spoilt = a & 1 == 0,
    |case, [a, b, _]| {
        let length = case.order.len();
        case.order.swap(usize::from(a) % length, usize::from(b) % length);
    },
    |case, [a, _, _]| {
        if case.order.len() > 1 {
            case.order.remove(usize::from(a) % case.order.len());
        }
    },
    |case, [a, b, _]| {
        if case.order.len() < CERTIFICATES_MAX {
            let again = usize::from(a) % case.links.len();
            case.order.insert(usize::from(b) % (case.order.len() + 1), again);
        }
    },
    |case, [a, _, _]| case.pinned = usize::from(a) % case.links.len(),
    |case, [a, _, _]| case.signer = a % 9,
    |case, [a, _, _]| case.is_signature_spoilt = a & 1 == 0,
    |case, values| bytes(&mut case.user_data, &USER_DATA, &NONCE, values),
    |case, values| bytes(&mut case.nonce, &NONCE, &USER_DATA, values),
    |case, [x, a, b]| {
        let within = u64::from(x) * 999 / 255;
        case.milliseconds = match (a, b) {
            (0, 255) => 0,
            (1, 255) => u64::MAX,
            _ => NOW.saturating_add_signed(moment(a, b)) * 1000 + within,
        };
    },
    |case, values| pcr(&mut case.pcrs, values),
    |case, [x, a, b]| {
        let count = case.images.len();
        let (image, index) = (&mut case.images[usize::from(x) % count], a % 32);
        // The policy's own constructor refuses zeros.
        let value = [b.max(1); 48];
        match image.iter_mut().find(|(number, _)| *number == index) {
            Some((_, there)) => *there = value,
            None => image.push((index, value)),
        }
    },
    |case, [x, a, _]| {
        if case.images.len() < IMAGES_MAX {
            let again = case.images[usize::from(x) % case.images.len()].clone();
            let place = usize::from(a) % (case.images.len() + 1);
            case.images.insert(place, again);
        }
    },
    |case, [x, a, b]| match x % 4 {
        0 => case.digest = ["SHA256", "SHA384", "SHA512", ""][usize::from(a % 4)],
        1 => case.module_id_bytes = wide(a, b) % 300,
        2 => case.public_key_bytes = Some(wide(a, b) % 1100),
        _ => case.has_unknown_field = a & 1 == 0,
    },
];

/// The case that an input stands for.
pub(super) fn drawn(data: &[u8]) -> Case {
    let (issuers, rest) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let mut case = Case::good(usize::from(issuers) % (ISSUERS_MAX + 1));
    for chunk in rest.chunks_exact(4).take(BENDS_MAX) {
        BENDS[usize::from(chunk[0]) % BENDS.len()](&mut case, [chunk[1], chunk[2], chunk[3]]);
    }
    case
}

fn link(case: &mut Case, place: u8) -> &mut super::Link {
    let count = case.links.len();
    &mut case.links[usize::from(place) % count]
}

fn wide(a: u8, b: u8) -> usize {
    usize::from(a) << 8 | usize::from(b)
}

/// Seconds from now: near it, to the second, or hours away.
fn moment(a: u8, b: u8) -> i64 {
    let near = i64::from(a.cast_signed());
    if b & 1 == 0 { near } else { near + 3600 * i64::from(b.cast_signed()) }
}

/// What the document says in a field that the client knows.
fn bytes(field: &mut Option<Vec<u8>>, right: &[u8; 32], other: &[u8; 32], [x, a, b]: [u8; 3]) {
    *field = match x % 5 {
        0 => None,
        1 => Some(vec![right[0]; wide(a, b) % 520]),
        2 => {
            let mut flipped = *right;
            flipped[usize::from(a) % 32] ^= b;
            Some(flipped.to_vec())
        }
        3 => Some(other.to_vec()),
        _ => Some(right.to_vec()),
    };
}

/// What the document says of a register.
fn pcr(pcrs: &mut Vec<(u64, Vec<u8>)>, [x, a, b]: [u8; 3]) {
    let index = u64::from(x) % 34;
    let Some(place) = pcrs.iter().position(|(number, _)| *number == index) else {
        let place = pcrs.iter().position(|(number, _)| *number > index).unwrap_or(pcrs.len());
        pcrs.insert(place, (index, vec![b; 48]));
        return;
    };
    let value = &mut pcrs[place].1;
    match a % 8 {
        0 => drop(pcrs.remove(place)),
        1 => *value = vec![0; 48],
        2 => *value = vec![b; 48],
        3 => value.truncate(32),
        4 => value.resize(64, b),
        5 => value.resize(usize::from(b), 7),
        6 if !value.is_empty() => {
            let length = value.len();
            value[usize::from(b) % length] ^= 1 << (a >> 3 & 7);
        }
        6 => {}
        _ => pcrs.insert(place, (index, vec![b; 48])),
    }
}

/// Good ones of every length; every bend alone, at root, issuer and leaf, with values at both sides of each bound; and a few together.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = (0..=ISSUERS_MAX as u8).map(|issuers| vec![issuers]).collect();
    let mut add = |bends: &[[u8; 4]]| out.push([&[3][..], &bends.concat()].concat());
    // Root, issuers, leaf of a chain with three issuers.
    for place in [0, 2, 4] {
        // Bounds of validity, exactly and a second beyond.
        for (line, at) in [(0, 60), (0, 61), (1, 0), (1, -1_i8)] {
            add(&[[line, place, at.cast_unsigned(), 0]]);
        }
        // Not critical, no CA, none, a path of none, of one and of a negative number.
        for (flags, path) in [(2, 0), (1, 0), (8, 0), (7, 0), (7, 1), (7, 128), (5, 0)] {
            add(&[[2, place, flags, path]]);
        }
        // Data, certificates, both, revocation lists, only decipherOnly, none.
        for (bits, rest) in [(0x80, 0), (0x04, 0), (0x84, 0), (0x02, 0), (0, 1), (0, 2)] {
            add(&[[3, place, bits, rest]]);
        }
        for (line, value) in [(4, 9), (5, 9), (5, place), (6, 8), (7, 8), (9, 0), (9, 1)] {
            add(&[[line, place, value, 0]]);
        }
        for value in 1..4 {
            add(&[[8, place, value, 0]]);
            add(&[[10, place, value, 0]]);
        }
        for value in 0..2 {
            add(&[[11, place, value, 0]]);
            add(&[[12, place, value, 0]]);
        }
        add(&[[13, place, 2, 150]]);
        add(&[[14, place, 0, 0]]);
        // Issues itself: both names are one's own, and the next one's issuer is too.
        add(&[[4, place, place.wrapping_sub(1), 0], [5, place + 1, place.wrapping_sub(1), 0]]);
    }
    for bend in
        [[15, 1, 2, 0], [16, 1, 0, 0], [16, 4, 0, 0], [17, 1, 2, 0], [18, 1, 0, 0], [19, 0, 0, 0], [20, 0, 0, 0]]
    {
        add(&[bend]);
    }
    for line in [21, 22] {
        for values in [[0, 0, 0], [1, 0, 31], [1, 0, 32], [1, 2, 1], [2, 7, 1], [3, 0, 0]] {
            add(&[[line, values[0], values[1], values[2]]]);
        }
    }
    // The age's bounds, the future's, the last millisecond of a second, nothing, the end of time.
    for (within, at) in [(0, -100_i8), (255, -101), (255, 60), (0, 61)] {
        add(&[[23, within, at.cast_unsigned(), 0]]);
    }
    add(&[[23, 0, 0, 255]]);
    add(&[[23, 0, 1, 255]]);
    for index in 0..3 {
        for how in [0, 1, 2, 3, 4, 6, 7] {
            add(&[[24, index, how, 9]]);
        }
        add(&[[25, 0, index, 9]]);
    }
    for bend in [[24, 5, 7, 0], [24, 32, 0, 1], [24, 8, 2, 8], [24, 5, 5, 47], [25, 0, 8, 8], [26, 0, 0, 0]] {
        add(&[bend]);
    }
    // A further register, right; the second of two images; halves of two.
    add(&[[24, 8, 2, 8], [25, 0, 8, 8]]);
    add(&[[26, 0, 0, 0], [25, 0, 1, 9]]);
    add(&[[26, 0, 0, 0], [25, 0, 1, 9], [25, 1, 2, 9]]);
    for bend in [[27, 0, 0, 0], [27, 1, 0, 0], [27, 1, 1, 1], [27, 2, 0, 0], [27, 2, 4, 1], [27, 3, 0, 0]] {
        add(&[bend]);
    }
    out
}
