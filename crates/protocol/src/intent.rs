//! What a user approves, typed. The enclave parses the bytes itself and derives the digest.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// Index n of the account m/44'/60'/0'/0/n (BIP-44), below [`AccountIndex::END`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct AccountIndex(#[n(0)] u32);

impl AccountIndex {
    /// The first index that is refused: more accounts than anybody uses, and small enough to list.
    pub const END: u32 = 1_000;

    /// An index below [`AccountIndex::END`], or `None`.
    pub const fn new(index: u32) -> Option<Self> {
        if index < Self::END { Some(Self(index)) } else { None }
    }

    /// The number n.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// False for a value that came off the wire beyond [`AccountIndex::END`].
    pub const fn is_valid(self) -> bool {
        self.0 < Self::END
    }

    /// The BIP-44 path, `m/44'/60'/0'/0/n`.
    pub fn path(self) -> String {
        format!("m/44'/60'/0'/0/{}", self.0)
    }
}

/// EIP-155 chain id; CAIP-2 `eip155:<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ChainId(#[n(0)] pub u64);

impl core::fmt::Display for ChainId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

/// One thing to sign. Several may ride on one PIN entry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Intent {
    /// `evm.transaction`: the unsigned payload whose Keccak-256 is signed (legacy EIP-155 RLP with chain id, 0, 0; or
    /// EIP-2718 type byte and RLP for 2930, 1559 and 7702). Its chain id must equal `chain`; trailing bytes are refused.
    #[n(0)]
    EvmTransaction {
        /// The signing account.
        #[n(0)]
        account: AccountIndex,
        /// The network the user chose.
        #[n(1)]
        chain: ChainId,
        /// The unsigned payload.
        #[n(2)]
        unsigned: ByteVec,
    },
    /// `evm.authorization` (EIP-7702). Chain id 0 (valid on every chain) is refused unless the policy allows it.
    #[n(1)]
    EvmAuthorization {
        /// The signing account.
        #[n(0)]
        account: AccountIndex,
        /// The chain it holds for.
        #[n(1)]
        chain: ChainId,
        /// The contract whose code the account will run.
        #[n(2)]
        address: EvmAddress,
        /// The account's nonce.
        #[n(3)]
        nonce: u64,
    },
    /// `evm.personal_message` (EIP-191 version 0x45).
    #[n(2)]
    EvmPersonalMessage {
        /// The signing account.
        #[n(0)]
        account: AccountIndex,
        /// The message, without the prefix.
        #[n(1)]
        message: ByteVec,
    },
    /// `evm.typed_data` (EIP-712 v4) as canonical CBOR, see `pinseal_chains`.
    #[n(3)]
    EvmTypedData {
        /// The signing account.
        #[n(0)]
        account: AccountIndex,
        /// The network the user chose; equal to the domain's `chainId` where that is present.
        #[n(1)]
        chain: ChainId,
        /// Canonical CBOR of the typed data.
        #[n(2)]
        typed_data: ByteVec,
    },
}

impl Intent {
    /// The account that signs.
    pub const fn account(&self) -> AccountIndex {
        match self {
            Self::EvmTransaction { account, .. }
            | Self::EvmAuthorization { account, .. }
            | Self::EvmPersonalMessage { account, .. }
            | Self::EvmTypedData { account, .. } => *account,
        }
    }

    /// Bytes of what is signed over, as the intent carries them.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::EvmTransaction { unsigned: payload, .. }
            | Self::EvmPersonalMessage { message: payload, .. }
            | Self::EvmTypedData { typed_data: payload, .. } => payload.len(),
            Self::EvmAuthorization { address, .. } => address.0.len(),
        }
    }
}

/// What one approved intent became.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Signed {
    /// The signed transaction, ready to broadcast, and its hash.
    #[n(0)]
    EvmTransaction {
        /// EIP-2718 envelope or legacy RLP.
        #[n(0)]
        raw: ByteVec,
        /// Keccak-256 of `raw`.
        #[n(1)]
        hash: crate::ids::Hash32,
    },
    /// r, s, v (65 bytes; v is 27 or 28) over a message or typed data.
    #[n(1)]
    EvmSignature {
        /// r || s || v.
        #[n(0)]
        signature: ByteVec,
    },
    /// A signed EIP-7702 authorization tuple `[chain_id, address, nonce, y_parity, r, s]` in RLP.
    #[n(2)]
    EvmAuthorization {
        /// The RLP list.
        #[n(0)]
        tuple: ByteVec,
    },
}

crate::ids::byte_newtype! {
    /// An EVM address, 20 bytes.
    EvmAddress, 20
}
