//! A client command's way to the service: profile, client, evidence.

use std::sync::Arc;

use pinseal_client::api::NetworkInfo;
use pinseal_client::operation::WalletStatus;
use pinseal_client::receipt::ReceiptError;
use pinseal_client::values::ValueError;
use pinseal_client::{
    Account, Address, Amount, Api, AppCredentials, Attested, Client, Configuration, EvidenceError, FileProfile,
    OperationError, Platform, Protection,
};
use pinseal_protocol::intent::AccountIndex;

use crate::args::ClientArgs;
use crate::context;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::profile::Chosen;
use crate::{trouble, trust};

/// Hex digits of an address.
const ADDRESS_DIGITS: usize = 40;

/// Everything a client command needs.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The profile.
    pub(crate) chosen: Chosen,
    /// The client.
    pub(crate) client: Client,
    pub(super) output: Output,
}

impl Connection {
    /// Opens the profile; nothing is sent yet.
    ///
    /// # Errors
    /// Arguments or profile are unusable.
    pub(crate) fn open(arguments: &ClientArgs, output: Output) -> Outcome<Self> {
        context::note_flags(arguments);
        Self::of(Chosen::resolve(arguments)?, output)
    }

    /// As [`Connection::open`], for whoever is logged in: where somebody else logs in on the profile while the command runs, it ends.
    ///
    /// # Errors
    /// Arguments or profile are unusable.
    pub(crate) async fn own(arguments: &ClientArgs, output: Output) -> Outcome<Self> {
        let connection = Self::open(arguments, output)?;
        let client = connection.client.own().await.map_err(|error| trouble::api(error.into()))?;
        Ok(Self { client, ..connection })
    }

    /// As [`Connection::open`] with everything resolved.
    ///
    /// # Errors
    /// The profile is unusable.
    pub(crate) fn of(chosen: Chosen, output: Output) -> Outcome<Self> {
        let service = &chosen.service;
        context::note_service(&service.server, chosen.local.is_some());
        let server = service.server.parse().map_err(|error| Failure::usage(format!("{}: {error}", service.server)))?;
        let app =
            AppCredentials { id: service.app_id.clone(), key: service.app_key.duplicate(), platform: Platform::Server };
        let store = Arc::new(FileProfile::new(&chosen.directory));
        let configuration = Configuration::new(server, app, trust::policy(service)?, store);
        let client =
            Client::new(configuration).map_err(|error| Failure::failed("client", crate::deployment::chain(&error)))?;
        Ok(Self { chosen, client, output })
    }

    /// The host's API.
    pub(crate) const fn api(&self) -> &Api {
        self.client.api()
    }

    /// Verifies the enclave's evidence. Comes before any question for a PIN. What software evidence is worth is said at length when the
    /// deployment is first trusted, and later in a word: who reads the same warning every time reads none.
    ///
    /// # Errors
    /// The evidence is not to be believed.
    pub(crate) async fn attest(&self) -> Outcome<Attested> {
        self.attest_telling(false).await
    }

    /// As [`Connection::attest`], and says at length what the evidence is worth.
    ///
    /// # Errors
    /// The evidence is not to be believed.
    pub(crate) async fn attest_telling(&self, at_length: bool) -> Outcome<Attested> {
        let attested = self.attest_told(at_length).await?;
        waiting(&attested).map_or(Ok(attested), Err)
    }

    /// As [`Connection::attest_telling`], also where the operators put an older state back: to show what there is to show all the same.
    ///
    /// # Errors
    /// The evidence is not to be believed.
    pub(crate) async fn attest_told(&self, at_length: bool) -> Outcome<Attested> {
        let attested =
            self.output.progress("verifying the evidence", self.client.attest()).await.map_err(trouble::evidence)?;
        if self.chosen.service.development {
            if at_length || attested.is_first_use() {
                wrapped(attested.verified().statement, WIDTH)
                    .iter()
                    .for_each(|line| self.output.note(self.output.paint(Style::Yellow, line)));
            } else {
                self.output.note(self.output.paint(Style::Dim, "development: software evidence"));
            }
        } else if at_length || attested.is_first_use() {
            wrapped(attested.verified().statement, WIDTH).iter().for_each(|line| self.output.note(line));
        }
        if attested.is_first_use() {
            self.output.note(format!("This device trusts deployment {} from now on.", attested.manifest().deployment));
        }
        if let Some(before) = attested.protection_before() {
            let lines = changed(before, &Protection::of(attested.manifest()));
            self.output.notice("protection_changed", &lines.join("\n"));
            lines.iter().for_each(|line| self.output.note(self.output.paint(Style::Yellow, line)));
            // A program, or a log, is told each time, until a person was.
            if self.output.is_seen() {
                attested.acknowledge_protection().await.map_err(|error| trouble::evidence(error.into()))?;
            }
        }
        Ok(attested)
    }

    /// As [`Connection::attest`], also where the operators put an older state back: to accept that.
    ///
    /// # Errors
    /// The evidence is not to be believed.
    pub(crate) async fn attest_to_accept(&self) -> Outcome<Attested> {
        self.output.progress("verifying the evidence", self.client.attest()).await.map_err(trouble::evidence)
    }

    /// Runs a sealed operation; verifies evidence anew, once, if the enclave has restarted in between. Whoever gave their PIN gave it to what
    /// ran before: where something else protects it now, it goes nowhere.
    ///
    /// # Errors
    /// The enclave's, the host's or the network's reason; or what protects a PIN was changed in between.
    pub(crate) async fn sealed<T>(
        &self,
        label: &str,
        attested: &Attested,
        work: impl AsyncFn(&Attested) -> Result<T, OperationError>,
    ) -> Outcome<T> {
        match self.output.progress(label, work(attested)).await {
            Err(error) if error.wants_new_evidence() => {
                let before = Protection::of(attested.manifest());
                let attested = self.attest().await?;
                if Protection::of(attested.manifest()) != before {
                    return Err(trouble::protection_changed());
                }
                match self.output.progress(label, work(&attested)).await {
                    Err(error) => Err(explained(&attested, error).await),
                    Ok(done) => Ok(done),
                }
            }
            Err(error) => Err(explained(attested, error).await),
            Ok(done) => Ok(done),
        }
    }

    /// An account; the enclave is asked for it if this device has not seen it yet.
    ///
    /// # Errors
    /// No such account, or it cannot be vouched for.
    pub(crate) async fn account(&self, number: u32) -> Outcome<Account> {
        let index = index(number)?;
        match self.client.account(index).await {
            Ok(account) => Ok(account),
            Err(pinseal_client::AccountError::Unknown | pinseal_client::AccountError::NoWallet) => {
                let attested = self.attest().await?;
                let accounts = self
                    .sealed("asking the enclave for the address", &attested, async |attested| {
                        attested.list_accounts(&[index]).await
                    })
                    .await?;
                accounts
                    .first()
                    .copied()
                    .ok_or_else(|| Failure::failed("account_unknown", "the enclave named no account"))
            }
            Err(error) => Err(trouble::account(error)),
        }
    }

    /// The network that something is signed for. Where nobody looks on, the server does not choose it: it is asked for by its chain, or is the
    /// development chain.
    ///
    /// # Errors
    /// As [`Connection::network`]; or what was asked for is the server's to interpret, and nobody looks on.
    pub(crate) async fn network_to_sign(&self, asked: Option<&str>, is_unattended: bool) -> Outcome<NetworkInfo> {
        let network = self.network(asked).await?;
        let named = asked.or(self.chosen.local.as_ref().and_then(|local| local.network.as_deref()));
        if is_unattended && named != Some(network.caip2.as_str()) {
            return Err(Failure::usage(
                "with --yes a network is named by its chain: which chain a name means, the server says",
            )
            .advise(format!("if it is the chain you mean, give --network {}", network.caip2)));
        }
        Ok(network)
    }

    /// The named network, else the development chain, else the only one.
    ///
    /// # Errors
    /// No such network, or several to choose from.
    pub(crate) async fn network(&self, asked: Option<&str>) -> Outcome<NetworkInfo> {
        let networks = self.output.progress("listing networks", self.api().networks()).await.map_err(trouble::api)?;
        let usual = self.chosen.local.as_ref().and_then(|local| local.network.as_deref());
        let names = || networks.iter().map(|network| network.caip2.to_string()).collect::<Vec<_>>().join(", ");
        match (asked.or(usual), networks.as_slice()) {
            (Some(name), _) => {
                let is_it =
                    |network: &&NetworkInfo| network.caip2.as_str() == name || network.name.eq_ignore_ascii_case(name);
                networks.iter().find(is_it).cloned().ok_or_else(|| {
                    Failure::usage(format!("there is no network {name}"))
                        .advise(format!("see `{}`", context::command("networks")))
                })
            }
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                Err(Failure::usage("which network?").advise(format!("give --network with one of {}", names())))
            }
        }
    }
}

/// What keeps a device from giving its PIN that has not accepted a restore yet.
pub(crate) fn waiting(attested: &Attested) -> Option<Failure> {
    let restored = |shown| trouble::evidence(EvidenceError::Receipt(ReceiptError::Restored { shown }));
    attested.restored().map(restored)
}

/// No try is left: why, and what gives some back.
pub(crate) async fn no_try_left(attested: &Attested, wallet: &WalletStatus) -> Failure {
    let own = attested.client().profile().await.ok().map(|profile| profile.device.id());
    let is_tried = attested.restores() > 0 && own.is_some_and(|own| trouble::is_restore_tried(wallet, &own));
    if is_tried { trouble::restore_tried() } else { trouble::no_try_left(wallet) }
}

/// What is told of a failed operation. Who has used up the last try is told what this wallet's state leaves to do.
async fn explained(attested: &Attested, error: OperationError) -> Failure {
    let is_closed = match &error {
        OperationError::WrongPin { tries } => tries.left == 0,
        OperationError::Locked { .. } => true,
        _ => false,
    };
    let failure = trouble::operation(error);
    if !is_closed {
        return failure;
    }
    match attested.status().await {
        Ok(wallet) if wallet.tries.left == 0 => {
            Failure { advice: no_try_left(attested, &wallet).await.advice, ..failure }
        }
        _ => failure,
    }
}

/// An account index.
///
/// # Errors
/// Beyond the wallet's range.
pub(crate) fn index(number: u32) -> Outcome<AccountIndex> {
    AccountIndex::new(number)
        .ok_or_else(|| Failure::usage(format!("accounts are numbered from 0 to {}", AccountIndex::END - 1)))
}

/// An address as typed.
///
/// # Errors
/// Mistyped, or a name.
pub(crate) fn address(text: &str) -> Outcome<Address> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix("0x");
        let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits {
            Some(digits) if digits.len() == ADDRESS_DIGITS && is_hex(digits) => {
                Failure::usage(format!("`{text}`: the checksum in its capital letters is wrong"))
                    .advise("a character is mistyped, so copy the address anew")
            }
            None if text.contains('.') && !text.starts_with('.') => {
                Failure::usage(format!("`{text}` is a name, and names are not looked up"))
                    .advise("give the address it stands for: 0x and 40 hex digits")
            }
            _ => Failure::usage(format!("`{text}` is no address")).advise("an address is 0x and 40 hex digits"),
        }
    })
}

/// An amount in whole units as typed.
///
/// # Errors
/// Mistyped, or finer than the asset.
pub(crate) fn amount(text: &str, decimals: u8) -> Outcome<Amount> {
    Amount::from_units(text, decimals).map_err(|error| {
        let is_number = text.contains(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.')
            && text.matches('.').count() <= 1;
        match error {
            // What is left of a well-formed number is its size.
            ValueError::Amount if is_number && !text.starts_with('.') && !text.ends_with('.') => {
                Failure::usage(format!("`{text}` is more than any account can hold"))
            }
            error => Failure::usage(format!("`{text}`: {error}")).advise("write it like 0.01 or 25"),
        }
    })
}

/// A point in time for people, in UTC.
pub(crate) fn when(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days to a civil date: Howard Hinnant's algorithm, exact for every date after 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The name of this device, from the machine's unless one is given.
pub(crate) fn device_label(asked: Option<String>) -> String {
    let machine = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        if name.is_empty() { "command line".to_owned() } else { name }
    };
    let mut label = asked.unwrap_or_else(machine);
    while label.len() > pinseal_protocol::limits::LABEL_BYTES_MAX {
        label.pop();
    }
    label
}

/// What the operators changed of what protects a PIN, for a person.
fn changed(before: &Protection, now: &Protection) -> Vec<String> {
    let mut lines = vec![
        "The operators have changed this service's sealed configuration since this device looked last.".to_owned(),
    ];
    if before.anchor != now.anchor {
        lines.push(format!("  freshness anchor: {} before, {} now", before.anchor, now.anchor));
    }
    lines.extend(
        before.witnesses.iter().filter(|key| !now.witnesses.contains(key)).map(|key| format!("  - witness {key}")),
    );
    lines.extend(
        now.witnesses.iter().filter(|key| !before.witnesses.contains(key)).map(|key| format!("  + witness {key}")),
    );
    if before.tpm != now.tpm {
        lines.extend(before.tpm.iter().map(|tpm| format!("  - TPM {tpm}")));
        lines.extend(now.tpm.iter().map(|tpm| format!("  + TPM {tpm}")));
    }
    if now.required > 0 && (before.required, before.witnesses.len()) != (now.required, now.witnesses.len()) {
        lines.push(format!("  {} of {} witnesses cosign every step", now.required, now.witnesses.len()));
    }
    if lines.len() == 1 {
        let kept = if now.tpm.is_some() { "level and TPM are" } else { "level and witnesses are" };
        let base = if now.tpm.is_some() { "what the TPM's index goes on from since a restore, " } else { "" };
        lines.push(format!(
            "  {kept} the same; what differs is {base}the limit of wrong PINs before enrolment pauses, or the key of the token issuer"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_leaves_anchor_and_witnesses_alone_is_not_told_as_an_empty_list() {
        use pinseal_protocol::configuration::AnchorLevel;
        use pinseal_protocol::ids::Hash32;
        let at = |number, anchor, tpm: Option<&str>| Protection {
            configuration: Hash32([number; 32]),
            anchor,
            floor: anchor,
            required: 0,
            witnesses: Vec::new(),
            tpm: tpm.map(str::to_owned),
        };
        for (level, tpm, says) in
            [(AnchorLevel::L2, Some("key 0x01800000"), "index goes on"), (AnchorLevel::L1, None, "token issuer")]
        {
            let lines = changed(&at(1, level, tpm), &at(2, level, tpm));
            assert!(lines.len() == 2 && lines.iter().any(|line| line.contains(says)), "{lines:?}");
        }
    }

    #[test]
    fn dates_are_civil_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_795_305_600, "2026-11-22 00:00:00Z"),
            (4_107_542_399, "2100-02-28 23:59:59Z"),
        ] {
            assert_eq!(when(seconds), text);
        }
    }

    #[test]
    fn a_wrong_address_is_malformed_mistyped_or_a_name() {
        for (text, say) in [
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79c8", "checksum"),
            ("0x7099", "no address"),
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79CG", "no address"),
            ("vitalik.eth", "is a name"),
        ] {
            let failure = address(text).err();
            assert!(failure.as_ref().is_some_and(|failure| failure.sentence.contains(say)), "{text}: {failure:?}");
        }
        assert!(address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").is_ok());
    }

    #[test]
    fn an_amount_is_malformed_too_fine_or_too_high() {
        let told = |text: &str| amount(text, 18).err().map(|failure| failure.sentence).unwrap_or_default();
        for high in ["9".repeat(60), "9".repeat(200)] {
            assert!(told(&high).contains("more than any account"), "{}", told(&high));
        }
        assert!(told("0.0000000000000000001").contains("more decimals"));
        for wrong in ["1e5", "-1", ".5", "1.", "1.2.3", ""] {
            assert!(told(wrong).contains("not an amount"), "{wrong}: {}", told(wrong));
        }
    }
}
