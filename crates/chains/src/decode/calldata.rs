//! The calls that are shown in words, read from their ABI encoding.

use alloy_primitives::U256;
use pinseal_protocol::intent::EvmAddress;

/// What calldata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Calldata {
    /// Nothing.
    Empty,
    /// A known call, and how many bytes follow its arguments.
    Known(Call, usize),
    /// A known selector (this signature) whose arguments do not fit it.
    Malformed(&'static str),
    /// Anything else; with fewer than four bytes there is no selector.
    Unknown(Option<[u8; 4]>),
}

/// A known call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Transfer {
        to: EvmAddress,
        amount: U256,
    },
    /// ERC-20 amount or ERC-721 id: one selector, two meanings.
    TransferFrom {
        from: EvmAddress,
        to: EvmAddress,
        amount: U256,
    },
    /// Likewise.
    Approve {
        spender: EvmAddress,
        amount: U256,
    },
    IncreaseAllowance {
        spender: EvmAddress,
        amount: U256,
    },
    DecreaseAllowance {
        spender: EvmAddress,
        amount: U256,
    },
    Permit {
        owner: EvmAddress,
        spender: EvmAddress,
        amount: U256,
        deadline: U256,
    },
    DaiPermit {
        holder: EvmAddress,
        spender: EvmAddress,
        expiry: U256,
        allowed: bool,
    },
    SafeTransferFrom {
        from: EvmAddress,
        to: EvmAddress,
        id: U256,
    },
    /// ERC-1155: ids and amounts.
    MultiTransferFrom {
        from: EvmAddress,
        to: EvmAddress,
        items: Vec<(U256, U256)>,
    },
    SetApprovalForAll {
        operator: EvmAddress,
        approved: bool,
    },
}

const WORD: usize = 32;

/// Signature and reader of each known call; the selector is the first four bytes of the signature's Keccak-256.
type Known = ([u8; 4], &'static str, fn(&mut Args<'_>) -> Option<Call>);

const KNOWN: [Known; 13] = [
    ([0xa9, 0x05, 0x9c, 0xbb], "transfer(address,uint256)", |a| {
        Some(Call::Transfer { to: a.address()?, amount: a.word()? })
    }),
    ([0x23, 0xb8, 0x72, 0xdd], "transferFrom(address,address,uint256)", |a| {
        Some(Call::TransferFrom { from: a.address()?, to: a.address()?, amount: a.word()? })
    }),
    ([0x09, 0x5e, 0xa7, 0xb3], "approve(address,uint256)", |a| {
        Some(Call::Approve { spender: a.address()?, amount: a.word()? })
    }),
    ([0x39, 0x50, 0x93, 0x51], "increaseAllowance(address,uint256)", |a| {
        Some(Call::IncreaseAllowance { spender: a.address()?, amount: a.word()? })
    }),
    ([0xa4, 0x57, 0xc2, 0xd7], "decreaseAllowance(address,uint256)", |a| {
        Some(Call::DecreaseAllowance { spender: a.address()?, amount: a.word()? })
    }),
    ([0xd5, 0x05, 0xac, 0xcf], "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", |a| {
        let call = Call::Permit { owner: a.address()?, spender: a.address()?, amount: a.word()?, deadline: a.word()? };
        a.signature()?;
        Some(call)
    }),
    ([0x8f, 0xcb, 0xaf, 0x0c], "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)", |a| {
        let (holder, spender, _nonce) = (a.address()?, a.address()?, a.word()?);
        let call = Call::DaiPermit { holder, spender, expiry: a.word()?, allowed: a.bool()? };
        a.signature()?;
        Some(call)
    }),
    ([0x42, 0x84, 0x2e, 0x0e], "safeTransferFrom(address,address,uint256)", |a| {
        Some(Call::SafeTransferFrom { from: a.address()?, to: a.address()?, id: a.word()? })
    }),
    ([0xb8, 0x8d, 0x4f, 0xde], "safeTransferFrom(address,address,uint256,bytes)", |a| {
        let call = Call::SafeTransferFrom { from: a.address()?, to: a.address()?, id: a.word()? };
        a.offset(4 * WORD)?;
        a.bytes()?;
        Some(call)
    }),
    ([0xf2, 0x42, 0x43, 0x2a], "safeTransferFrom(address,address,uint256,uint256,bytes)", |a| {
        let (from, to) = (a.address()?, a.address()?);
        let items = vec![(a.word()?, a.word()?)];
        a.offset(5 * WORD)?;
        a.bytes()?;
        Some(Call::MultiTransferFrom { from, to, items })
    }),
    ([0x2e, 0xb2, 0xc2, 0xd6], "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)", |a| {
        let (from, to) = (a.address()?, a.address()?);
        a.offset(5 * WORD)?;
        let (amounts_at, data_at) = (a.word()?, a.word()?);
        let ids = a.words()?;
        let array_len = (1 + ids.len()) * WORD;
        let amounts = a.words()?;
        a.bytes()?;
        let in_place =
            amounts_at == U256::from(5 * WORD + array_len) && data_at == U256::from(5 * WORD + 2 * array_len);
        (in_place && ids.len() == amounts.len()).then(|| Call::MultiTransferFrom {
            from,
            to,
            items: ids.into_iter().zip(amounts).collect(),
        })
    }),
    ([0xa2, 0x2c, 0xb4, 0x65], "setApprovalForAll(address,bool)", |a| {
        Some(Call::SetApprovalForAll { operator: a.address()?, approved: a.bool()? })
    }),
    // Beside the ERC-20 names: what USDT-like and older tokens call the same.
    ([0xd7, 0x3d, 0xd6, 0x23], "increaseApproval(address,uint256)", |a| {
        Some(Call::IncreaseAllowance { spender: a.address()?, amount: a.word()? })
    }),
];

pub(super) fn parse(input: &[u8]) -> Calldata {
    if input.is_empty() {
        return Calldata::Empty;
    }
    let Some((selector, arguments)) = input.split_first_chunk::<4>() else {
        return Calldata::Unknown(None);
    };
    let Some((_, signature, read)) = KNOWN.iter().find(|(known, ..)| known == selector) else {
        return Calldata::Unknown(Some(*selector));
    };
    let mut args = Args(arguments);
    read(&mut args).map_or(Calldata::Malformed(signature), |call| Calldata::Known(call, args.0.len()))
}

/// Arguments, read front to back; dynamic ones only where the canonical encoding puts them.
struct Args<'a>(&'a [u8]);

impl Args<'_> {
    fn raw(&mut self) -> Option<[u8; WORD]> {
        let (word, rest) = self.0.split_first_chunk::<WORD>()?;
        self.0 = rest;
        Some(*word)
    }

    fn word(&mut self) -> Option<U256> {
        self.raw().map(U256::from_be_bytes)
    }

    fn address(&mut self) -> Option<EvmAddress> {
        let word = self.raw()?;
        let (padding, address) = word.split_at(12);
        if padding.iter().any(|b| *b != 0) {
            return None;
        }
        EvmAddress::from_slice(address)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.word()? {
            word if word.is_zero() => Some(false),
            word if word == U256::ONE => Some(true),
            _ => None,
        }
    }

    /// The head of a dynamic argument whose tail must start here.
    fn offset(&mut self, wanted: usize) -> Option<()> {
        (self.word()? == U256::from(wanted)).then_some(())
    }

    /// v, r, s of a permit.
    fn signature(&mut self) -> Option<()> {
        let v = self.word()?;
        self.raw()?;
        self.raw()?;
        (v <= U256::from(u8::MAX)).then_some(())
    }

    fn len(&mut self) -> Option<usize> {
        usize::try_from(self.word()?).ok().filter(|len| *len <= self.0.len())
    }

    fn words(&mut self) -> Option<Vec<U256>> {
        let len = self.len()?;
        (0..len).map(|_| self.word()).collect()
    }

    /// Skips a byte string with its zero padding.
    fn bytes(&mut self) -> Option<()> {
        let len = self.len()?;
        let (data, rest) = self.0.split_at_checked(len.next_multiple_of(WORD))?;
        self.0 = rest;
        data.iter().skip(len).all(|b| *b == 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn selectors_are_those_of_the_signatures() {
        for (selector, signature, _) in KNOWN {
            assert_eq!(keccak256(signature).0[..4], selector, "{signature}");
        }
    }
}
