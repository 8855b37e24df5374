//! An unsigned transaction that can be shown and approved.

use alloy_primitives::U256;
use minicbor::bytes::ByteVec;
use pinseal_chains::decode::{Token, View};
use pinseal_chains::evm::transaction::{DynamicFee, Kind};
use pinseal_chains::evm::{self, IntentError};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::{ChainId, Intent};

use super::{Speed, TransactionRequest};
use crate::account::{Account, AccountError};
use crate::api::{ApiError, Fees, PrepareResponse};
use crate::client::Client;
use crate::intents;
use crate::outgoing::{self, Accepted, Content, Known, Next, Outgoing, Standing, Verdict};
use crate::profile::{ProfileError, UserName};
use crate::values::{Address, Amount, Network};

/// Most gas a transaction may be given: a whole block on most networks. More is a mistake or an attempt to burn money.
pub const GAS_LIMIT_MAX: u64 = 30_000_000;
/// Highest price of a unit of gas, 100,000 gwei: several times the worst ever seen on the networks of the registry.
pub const GAS_PRICE_MAX: u128 = 100_000_000_000_000;

/// Gas of a transfer to an account without code, fixed by the EVM.
pub const TRANSFER_GAS: u64 = 21_000;
/// Highest whole fee unless the caller allows another: 0.05 of the native coin, ten times what a transfer costs on a busy day. The host
/// proposes the fee, and where nobody looks before signing this is all it can burn.
pub const FEE_MAX_DEFAULT: Amount = Amount(U256::from_limbs([50_000_000_000_000_000, 0, 0, 0]));

/// Why a transaction cannot be prepared or sent. Of what was handed to [`Client::broadcast`] only
/// [`TransactionError::was_never_handed_over`] says that the host never had it.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// Not an EVM network.
    #[error("{0} is not an EVM network")]
    Network(Network),
    /// The host refused or failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The sending account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The host gave fees, a gas limit or a network that no honest host gives. Do not send through it.
    #[error("the server proposes an unreasonable transaction ({0})")]
    Unreasonable(&'static str),
    /// It takes more gas than was allowed, as for a recipient that is a contract. Allow more if that is so.
    #[error("the server asks for {gas_limit} gas, and {allowed} are allowed")]
    GasTooHigh {
        /// What the host proposes.
        gas_limit: u64,
        /// What the request allows.
        allowed: u64,
    },
    /// The fee may become higher than was allowed. Wait for a quieter network, or allow more.
    #[error("the fee may become {fee} and {allowed} are allowed, in the smallest unit")]
    FeeTooHigh {
        /// What the host proposes.
        fee: Amount,
        /// What the request allows.
        allowed: Amount,
    },
    /// Transactions signed earlier may be carried out beside it, or were, while their owner may believe that they failed: something could be
    /// paid for twice. Each has its own [`Outgoing::standing`]: what is true of one need not be of another. Look them up elsewhere;
    /// [`TransactionRequest::beside`] names those beside which this one is meant.
    #[error("{} signed earlier may be carried out as well, or were", named(.0))]
    Unsettled(Vec<Outgoing>),
    /// As many transactions of the wallet are kept as may be, and none can be forgotten: by what the host said when it was asked they are in no block,
    /// or their owner does not know that they are. Wait until some are. What takes the place of one, or pays nobody, has some places more.
    #[error(
        "{} transactions that were signed on this device are not settled, as far as it has asked",
        outgoing::OUTGOING_MAX
    )]
    TooManyUnsettled,
    /// The profile; without it nothing is signed or sent.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Another transaction was signed with its nonce meanwhile: one of the two could be carried out. Prepare it again.
    #[error("another transaction was signed with nonce {0} meanwhile")]
    NonceTaken(u64),
    /// It does not wait in this account, so nothing can take its place.
    #[error("transaction 0x{0} does not wait in this account")]
    NotReplaceable(Hash32),
    /// It is signed and may have been sent, however often it was asked for. Look for the hash; do not sign another one before.
    #[error("it is not known whether transaction 0x{hash} was sent")]
    OutcomeUnknown {
        /// The transaction.
        hash: Hash32,
        /// The last answer, or the lack of one.
        #[source]
        error: ApiError,
    },
    /// It cannot be built or shown.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// The host says that it sent something else than it was given.
    #[error("the server reports another transaction than the one it was given")]
    OtherTransaction,
}

impl TransactionError {
    /// True if the host has not had the signed transaction: its nonce is free.
    pub const fn was_never_handed_over(&self) -> bool {
        matches!(self, Self::Profile(_) | Self::TooManyUnsettled | Self::Unsettled(_) | Self::NonceTaken(_))
    }
}

fn named(entries: &[Outgoing]) -> String {
    let of = |entry: &Outgoing| format!("transaction 0x{} (nonce {})", entry.hash, entry.nonce);
    entries.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// An unsigned transaction, decoded for display from the bytes that will be signed.
#[derive(Debug, Clone)]
pub struct PreparedTransaction {
    pub(super) network: Network,
    pub(super) intent: Intent,
    transaction: evm::Transaction,
    view: View,
    from: Account,
    verdict: Verdict,
    replaces: bool,
    accepted: Vec<Accepted>,
    balance: Option<Amount>,
    reservation: Option<String>,
    expires_at: Option<u64>,
    /// Whose account it is from: nobody else signs it, or gives its nonce back.
    pub(super) user: Option<UserName>,
}

impl Client {
    /// Asks the host for nonce, gas and fees, builds the unsigned transaction (EIP-1559, or legacy where the network lacks it) and
    /// decodes it for display. `tokens` are those whose symbol and decimals the caller trusts. The nonce is held for a while, and later
    /// transactions wait for it: sign and send at once, or [`Self::discard`] it.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn prepare_transaction(
        &self,
        request: &TransactionRequest,
        tokens: &[Token],
    ) -> Result<PreparedTransaction, TransactionError> {
        self.ask_for(request, tokens, true).await
    }

    /// As [`Self::prepare_transaction`], to be looked at: the nonce is the next one as things are, and held for nobody. Prepare the same
    /// again once it is approved.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn propose_transaction(
        &self,
        request: &TransactionRequest,
        tokens: &[Token],
    ) -> Result<PreparedTransaction, TransactionError> {
        self.ask_for(request, tokens, false).await
    }

    async fn ask_for(
        &self,
        request: &TransactionRequest,
        tokens: &[Token],
        reserve: bool,
    ) -> Result<PreparedTransaction, TransactionError> {
        let network = &request.network;
        network.chain_id().ok_or_else(|| TransactionError::Network(network.clone()))?;
        let own = self.own().await?;
        let from = own.account(request.account).await?;
        own.hear_of_outgoing(network, from.address, request.content()).await?;
        let answer = own.api().prepare(from.address, request, reserve).await?;
        let reservation = answer.reservation_id.clone();
        let prepared = match Self::build(request, tokens, from, answer) {
            Ok(built) => {
                let built = PreparedTransaction { user: own.api().user().cloned(), ..built };
                Box::pin(own.judged(built)).await
            }
            refused => refused,
        };
        if let (Err(_), Some(reservation)) = (&prepared, reservation) {
            // If that fails the nonce comes back by itself.
            let _ = own.api().release(&reservation).await;
        }
        prepared
    }

    /// Whether it may be signed, by what this device signed before. The nonce is the host's to say, so it is looked at last.
    async fn judged(&self, mut prepared: PreparedTransaction) -> Result<PreparedTransaction, TransactionError> {
        let PreparedTransaction { network, transaction, from, replaces, .. } = &prepared;
        let (from, nonce, replaces) = (from.address, transaction.nonce, *replaces);
        // No honest host names a nonce that is used up, unless a chain was set back.
        let under_it = |entry: &&Outgoing| entry.nonce == nonce && entry.is_in_block();
        let used: Vec<_> = self.outgoing().await?.of(network, from).filter(under_it).map(|entry| entry.hash).collect();
        for hash in used {
            self.hear_of(network, hash).await?;
        }
        let mut profile = self.profile().await?;
        if !profile.outgoing.has_room(&prepared.next(&self.addresses_in(&profile))) {
            self.hear_of_oldest().await?;
            profile = self.profile().await?;
        }
        self.api().admits(&profile)?;
        let (accounts, ledger) = (self.addresses_in(&profile), &profile.outgoing);
        let next = prepared.next(&accounts);
        let verdict = ledger.verdict(&next);
        if verdict.is_nonce_refused {
            let used = ledger.of(network, from).find(|entry| entry.nonce == nonce);
            return Err(match used.filter(|_| replaces) {
                Some(used) => TransactionError::NotReplaceable(used.hash),
                None => TransactionError::Unreasonable("the nonce of another transaction"),
            });
        }
        // What moves nothing is paid twice by nothing.
        if !verdict.stops.is_empty() && !next.content.moves_nothing(from) {
            self.tell(&verdict.stops).await?;
            return Err(TransactionError::Unsettled(verdict.stops));
        }
        if !ledger.has_room(&next) {
            return Err(TransactionError::TooManyUnsettled);
        }
        prepared.verdict = verdict;
        Ok(prepared)
    }

    /// Builds the transaction from what the host proposes, within what the request allows.
    fn build(
        request: &TransactionRequest,
        tokens: &[Token],
        from: Account,
        answer: PrepareResponse,
    ) -> Result<PreparedTransaction, TransactionError> {
        let network = &request.network;
        let chain = network.chain_id().ok_or_else(|| TransactionError::Network(network.clone()))?;
        if answer.network != *network {
            return Err(TransactionError::Unreasonable("another network"));
        }
        if request.nonce.is_some_and(|nonce| nonce != answer.nonce) {
            return Err(TransactionError::Unreasonable("another nonce"));
        }
        if answer.gas_limit > GAS_LIMIT_MAX {
            return Err(TransactionError::Unreasonable("gas limit"));
        }
        if answer.gas_limit > request.gas_limit_max {
            return Err(TransactionError::GasTooHigh { gas_limit: answer.gas_limit, allowed: request.gas_limit_max });
        }
        let transaction = evm::Transaction {
            chain,
            nonce: answer.nonce,
            gas_limit: answer.gas_limit,
            to: Some(request.to.0),
            value: request.value.0,
            input: request.data.clone(),
            kind: kind(&answer.fees, request.speed)?,
        };
        let fee = Amount(transaction.fee_max());
        if fee.0 > request.fee_max.0 {
            return Err(TransactionError::FeeTooHigh { fee, allowed: request.fee_max });
        }
        let unsigned = transaction.encode_unsigned().map_err(IntentError::from)?;
        let intent = Intent::EvmTransaction { account: request.account, chain, unsigned: ByteVec::from(unsigned) };
        let view = intents::view(&intent, tokens)?;
        Ok(PreparedTransaction {
            network: network.clone(),
            intent,
            transaction,
            view,
            from,
            verdict: Verdict::default(),
            replaces: request.nonce.is_some(),
            accepted: request.beside.clone(),
            balance: answer.balance,
            reservation: answer.reservation_id,
            expires_at: answer.expires_at,
            user: None,
        })
    }

    /// For the fuzz targets: what becomes of an answer to `prepare`.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn build_from(
        request: &TransactionRequest,
        from: Account,
        answer: &[u8],
    ) -> Option<Result<PreparedTransaction, TransactionError>> {
        Some(Self::build(request, &[], from, serde_json::from_slice(answer).ok()?))
    }

    /// Gives a prepared transaction's nonce back when it will not be sent. Nothing happens to one that was only proposed.
    ///
    /// # Errors
    /// [`ApiError`]; the reservation ends by itself later.
    pub async fn discard(&self, prepared: PreparedTransaction) -> Result<(), ApiError> {
        match &prepared.reservation {
            Some(reservation) => self.of_some(prepared.user.as_ref()).api().release(reservation).await,
            None => Ok(()),
        }
    }
}

/// A signed transaction on its way into the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handover {
    pub(super) entry: Outgoing,
    pub(super) replaces: bool,
    /// What its owner was shown.
    pub(super) shown: Verdict,
    /// What its owner has looked up.
    pub(super) accepted: Vec<Accepted>,
}

fn content(transaction: &evm::Transaction) -> Content {
    Content::new(transaction.to.map(Address), Amount(transaction.value), &transaction.input)
}

fn kind(fees: &Fees, speed: Speed) -> Result<Kind, TransactionError> {
    let price = |amount: Amount| {
        u128::try_from(amount.0)
            .ok()
            .filter(|price| *price <= GAS_PRICE_MAX)
            .ok_or(TransactionError::Unreasonable("gas price"))
    };
    let fee = match speed {
        Speed::Slow => fees.slow,
        Speed::Normal => fees.normal,
        Speed::Fast => fees.fast,
    };
    match (fee, fees.legacy_gas_price) {
        // A network without EIP-1559 has a gas price and no base fee; where both hold, either type of transaction is taken.
        (_, Some(gas_price)) if fees.base_fee.unwrap_or_default().0.is_zero() => {
            Ok(Kind::Legacy { gas_price: price(gas_price)? })
        }
        (Some(fee), _) => {
            let fees = DynamicFee {
                max_fee_per_gas: price(fee.max_fee_per_gas)?,
                max_priority_fee_per_gas: price(fee.max_priority_fee_per_gas)?,
            };
            Ok(Kind::DynamicFee { fees, access_list: Vec::new() })
        }
        _ => Err(TransactionError::Unreasonable("no fees")),
    }
}

impl PreparedTransaction {
    /// What will be signed, for the person who approves it.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// What is sealed.
    pub const fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The unsigned transaction.
    pub const fn transaction(&self) -> &evm::Transaction {
        &self.transaction
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Its chain id.
    pub const fn chain(&self) -> ChainId {
        self.transaction.chain
    }

    /// The account that pays.
    pub const fn from(&self) -> Account {
        self.from
    }

    /// Transactions signed earlier that wait, and will be carried out beside it.
    pub fn beside(&self) -> &[Outgoing] {
        &self.verdict.beside
    }

    /// Transactions signed earlier under its nonce: it takes their place.
    pub fn instead(&self) -> &[Outgoing] {
        &self.verdict.instead
    }

    /// Transactions signed earlier that may be carried out, and not in its place: for one that pays nobody they are no reason against it, but it
    /// may have been meant to take their nonce.
    pub fn unreplaced(&self) -> &[Outgoing] {
        &self.verdict.stops
    }

    /// Transactions signed earlier that did the same, and were carried out, by the host's word.
    pub fn again(&self) -> &[Outgoing] {
        &self.verdict.again
    }

    /// Those of [`Self::beside`] that do the same as this one.
    pub fn repeated(&self) -> Vec<&Outgoing> {
        let content = content(&self.transaction);
        self.verdict.beside.iter().filter(|entry| entry.content == content).collect()
    }

    /// Whether whoever approved it as it was `shown` has to be shown it again, by what was signed earlier: [`Verdict::unseen`].
    pub fn is_otherwise_beside(&self, shown: &Self) -> bool {
        !self.verdict.unseen(&self.next(&[]), &shown.verdict).is_empty()
    }

    /// Transactions signed earlier that it was to take the place of as it was `shown`, and does not.
    pub fn replaced_no_more<'a>(&self, shown: &'a Self) -> Vec<&'a Outgoing> {
        shown.verdict.gives_way_no_more(&self.next(&[])).collect()
    }

    fn next<'a>(&'a self, accounts: &'a [Address]) -> Next<'a> {
        Next {
            network: &self.network,
            from: self.from.address,
            nonce: self.transaction.nonce,
            replaces: self.replaces,
            content: content(&self.transaction),
            accounts,
            accepted: &self.accepted,
        }
    }

    /// As it is kept once it is signed.
    pub(super) fn handover(&self, hash: Hash32, signed_at: UnixSeconds) -> Handover {
        Handover {
            entry: Outgoing {
                network: self.network.clone(),
                from: self.from.address,
                nonce: self.transaction.nonce,
                hash,
                content: content(&self.transaction),
                summary: self.view.summary.join(" "),
                signed_at,
                standing: Standing::Unsent,
                known: Known::Doubtful,
                stays_accepted: false,
            },
            replaces: self.replaces,
            shown: self.verdict.clone(),
            accepted: self.accepted.clone(),
        }
    }

    /// The most the fee can be.
    pub fn fee_max(&self) -> Amount {
        Amount(self.transaction.fee_max())
    }

    /// The most that leaves the account in native currency.
    pub fn total_max(&self) -> Amount {
        Amount(self.transaction.fee_max().saturating_add(self.transaction.value))
    }

    /// The account's native balance, as the host says.
    pub const fn balance(&self) -> Option<Amount> {
        self.balance
    }

    /// True if the host's balance does not cover value and highest fee.
    pub fn exceeds_balance(&self) -> bool {
        self.balance.is_some_and(|Amount(balance): Amount| balance < U256::from(self.total_max().0))
    }

    /// When the host gives a nonce that is held to somebody else, in unix seconds.
    pub const fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }
}
