//! Where a chain must begin.

/// SHA-256 of the DER of the certificate "AWS Nitro Enclaves Root G1" (CN=aws.nitro-enclaves, valid to 2049), the fingerprint that
/// AWS publishes. Not the hash of the zip archive AWS offers, 8cf60e2b..., nor of the PEM file inside.
const AWS_G1_SHA256: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31, 0x7e, 0xd7, 0xcd,
    0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// A pinned root certificate: the SHA-256 of its whole DER. Its self-signature is not looked at, since nothing would follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NitroRoot {
    sha256: [u8; 32],
    is_aws: bool,
}

impl NitroRoot {
    /// The root of AWS's commercial partitions, G1. The only one outside tests.
    pub const AWS_G1: Self = Self { sha256: AWS_G1_SHA256, is_aws: true };

    /// A root somebody made for a test. Exists only under the feature `test-root`, which no program of this project has.
    #[cfg(any(test, feature = "test-root"))]
    pub const fn made_for_a_test(sha256: [u8; 32]) -> Self {
        Self { sha256, is_aws: false }
    }

    pub(crate) const fn is_aws(&self) -> bool {
        self.is_aws
    }

    pub(super) fn is(&self, certificate: &[u8]) -> bool {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref() == self.sha256
    }
}
