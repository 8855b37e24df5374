//! The files of a profile: `trust.json` (pins, receipt and what was signed) and `session.json` (secrets of the login).

use std::collections::BTreeMap;

use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{DeploymentId, Hash32, UnixSeconds, UserIdHash};
use pinseal_protocol::manifest::Ed25519Public;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{PinnedDeployment, PinnedWallet, Profile, Protection, Receipt, Session, UserName};
use crate::outgoing::{Content, Known, Ledger, Outgoing, Standing};
use crate::values::{Address, Amount, HexBytes, Network};
use pinseal_protocol::secret::SecretText;

/// The only format this version writes and reads.
const PROFILE_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    version: u32,
    deployment: Option<DeploymentEntry>,
    wallets: BTreeMap<String, WalletEntry>,
    receipt: Option<ReceiptEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protection: Option<ProtectionEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outgoing: Vec<OutgoingEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeploymentEntry {
    id: String,
    log_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletEntry {
    wallet: String,
    addresses: BTreeMap<String, Address>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptEntry {
    note: HexBytes,
    size: u64,
    root: String,
    manifest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectionEntry {
    configuration: String,
    anchor: String,
    floor: String,
    required: u8,
    witnesses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tpm: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutgoingEntry {
    network: Network,
    from: Address,
    nonce: u64,
    hash: String,
    to: Option<Address>,
    value: Amount,
    input: String,
    summary: String,
    signed_at: u64,
    standing: String,
    known: String,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    accepted: bool,
}

impl OutgoingEntry {
    fn of(entry: &Outgoing) -> Self {
        let Outgoing { network, from, nonce, hash, content, summary, signed_at, standing, known, stays_accepted } =
            entry;
        Self {
            network: network.clone(),
            from: *from,
            nonce: *nonce,
            hash: hash.to_string(),
            to: content.to,
            value: content.value,
            input: content.input.to_string(),
            summary: summary.clone(),
            signed_at: signed_at.0,
            standing: standing.name().to_owned(),
            known: known.name().to_owned(),
            accepted: *stays_accepted,
        }
    }

    fn read(self) -> Option<Outgoing> {
        Some(Outgoing {
            network: self.network,
            from: self.from,
            nonce: self.nonce,
            hash: Hash32::from_hex(&self.hash)?,
            content: Content { to: self.to, value: self.value, input: Hash32::from_hex(&self.input)? },
            summary: self.summary,
            signed_at: UnixSeconds(self.signed_at),
            standing: Standing::ALL.into_iter().find(|standing| standing.name() == self.standing)?,
            known: Known::ALL.into_iter().find(|known| known.name() == self.known)?,
            stays_accepted: self.accepted,
        })
    }
}

impl ProtectionEntry {
    fn of(protection: &Protection) -> Self {
        let Protection { configuration, anchor, floor, required, witnesses, tpm } = protection;
        let (anchor, floor) = (anchor.to_string(), floor.to_string());
        Self {
            configuration: configuration.to_string(),
            anchor,
            floor,
            required: *required,
            witnesses: witnesses.clone(),
            tpm: tpm.clone(),
        }
    }

    fn read(self) -> Option<Protection> {
        Some(Protection {
            configuration: Hash32::from_hex(&self.configuration)?,
            anchor: level(&self.anchor)?,
            floor: level(&self.floor)?,
            required: self.required,
            witnesses: self.witnesses,
            tpm: self.tpm,
        })
    }
}

fn level(text: &str) -> Option<AnchorLevel> {
    AnchorLevel::ALL.iter().copied().find(|level| level.to_string() == text)
}

/// Everything of a profile but secrets.
pub(super) struct Trust {
    pub(super) deployment: Option<PinnedDeployment>,
    pub(super) wallets: BTreeMap<UserName, PinnedWallet>,
    pub(super) receipt: Option<Receipt>,
    pub(super) protection: Option<Protection>,
    pub(super) floor: Option<AnchorLevel>,
    pub(super) outgoing: Ledger,
}

pub(super) fn write_trust(profile: &Profile) -> Option<Vec<u8>> {
    let file = TrustFile {
        version: PROFILE_VERSION,
        deployment: profile
            .deployment
            .as_ref()
            .map(|pinned| DeploymentEntry { id: pinned.deployment.to_string(), log_key: pinned.log.to_string() }),
        wallets: profile
            .wallets
            .iter()
            .map(|(user, pinned)| {
                let entry = WalletEntry { wallet: pinned.wallet.to_string(), addresses: pinned.addresses.clone() };
                (user.as_str().to_owned(), entry)
            })
            .collect(),
        receipt: profile.receipt.as_ref().map(|receipt| ReceiptEntry {
            note: HexBytes(receipt.note.clone()),
            size: receipt.size,
            root: receipt.root.to_string(),
            manifest: receipt.manifest.to_string(),
        }),
        protection: profile.protection.as_ref().map(ProtectionEntry::of),
        floor: profile.floor.map(|floor| floor.to_string()),
        outgoing: profile.outgoing.entries().iter().map(OutgoingEntry::of).collect(),
    };
    serde_json::to_vec_pretty(&file).ok()
}

/// `None` for anything this version did not write: a client that forgets its pins must never do so silently.
pub(super) fn read_trust(bytes: &[u8]) -> Option<Trust> {
    let file: TrustFile = serde_json::from_slice(bytes).ok()?;
    if file.version != PROFILE_VERSION {
        return None;
    }
    let deployment = match file.deployment {
        Some(entry) => Some(PinnedDeployment {
            deployment: DeploymentId::from_hex(&entry.id)?,
            log: Ed25519Public::from_hex(&entry.log_key)?,
        }),
        None => None,
    };
    let mut wallets = BTreeMap::new();
    for (user, entry) in file.wallets {
        let wallet = UserIdHash::from_hex(&entry.wallet)?;
        wallets.insert(UserName::new(&user), PinnedWallet { wallet, addresses: entry.addresses });
    }
    let receipt = match file.receipt {
        Some(entry) => Some(Receipt {
            note: entry.note.0,
            size: entry.size,
            root: Hash32::from_hex(&entry.root)?,
            manifest: Hash32::from_hex(&entry.manifest)?,
        }),
        None => None,
    };
    let protection = match file.protection {
        Some(entry) => Some(entry.read()?),
        None => None,
    };
    let floor = match file.floor {
        Some(text) => Some(level(&text)?),
        None => None,
    };
    let outgoing = file.outgoing.into_iter().map(OutgoingEntry::read).collect::<Option<_>>()?;
    Some(Trust { deployment, wallets, receipt, protection, floor, outgoing: Ledger::of_file(outgoing)? })
}

#[derive(Serialize)]
struct SessionOut<'a> {
    version: u32,
    user: &'a str,
    user_id: &'a str,
    session_id: &'a str,
    access_token: &'a str,
    access_expires: u64,
    refresh_token: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionIn {
    version: u32,
    user: String,
    user_id: String,
    session_id: String,
    access_token: SecretText,
    access_expires: u64,
    refresh_token: SecretText,
}

pub(super) fn write_session(session: &Session) -> Option<Zeroizing<Vec<u8>>> {
    let file = SessionOut {
        version: PROFILE_VERSION,
        user: session.user.as_str(),
        user_id: &session.user_id,
        session_id: &session.session_id,
        access_token: session.access_token.expose_secret(),
        access_expires: session.access_expires.0,
        refresh_token: session.refresh_token.expose_secret(),
    };
    serde_json::to_vec(&file).ok().map(Zeroizing::new)
}

pub(super) fn read_session(bytes: &[u8]) -> Option<Session> {
    let file: SessionIn = serde_json::from_slice(bytes).ok()?;
    (file.version == PROFILE_VERSION).then(|| Session {
        user: UserName::new(&file.user),
        user_id: file.user_id,
        session_id: file.session_id,
        access_token: file.access_token,
        access_expires: UnixSeconds(file.access_expires),
        refresh_token: file.refresh_token,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::*;

    /// What version 1 of the files looks like; a client that cannot read it forgets whom it trusted.
    const TRUST: &str = r#"{
  "version": 1,
  "deployment": {
    "id": "01010101010101010101010101010101",
    "log_key": "0202020202020202020202020202020202020202020202020202020202020202"
  },
  "wallets": {
    "ann@example.org": {
      "wallet": "0303030303030303030303030303030303030303030303030303030303030303",
      "addresses": {
        "m/44'/60'/0'/0/0": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
      }
    }
  },
  "receipt": {
    "note": "0405",
    "size": 6,
    "root": "0707070707070707070707070707070707070707070707070707070707070707",
    "manifest": "0808080808080808080808080808080808080808080808080808080808080808"
  },
  "protection": {
    "configuration": "0909090909090909090909090909090909090909090909090909090909090909",
    "anchor": "L4",
    "floor": "L1",
    "required": 2,
    "witnesses": [
      "w.test/1+01020304+BAAA"
    ]
  },
  "floor": "L4",
  "outgoing": [
    {
      "network": "eip155:1",
      "from": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
      "nonce": 7,
      "hash": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
      "to": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
      "value": "13",
      "input": "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
      "summary": "Sends 1 ETH.",
      "signed_at": 12,
      "standing": "waiting",
      "known": "awaited"
    }
  ]
}"#;
    const SESSION: &str = concat!(
        r#"{"version":1,"user":"ann@example.org","user_id":"u1","session_id":"s1","access_token":"a","#,
        r#""access_expires":9,"refresh_token":"r"}"#
    );

    #[test]
    fn both_files_are_read_and_written_as_version_1() {
        let trust = read_trust(TRUST.as_bytes()).unwrap();
        let session = read_session(SESSION.as_bytes()).unwrap();
        assert_eq!(*write_session(&session).unwrap(), SESSION.as_bytes());
        let profile = Profile {
            session: Some(session),
            deployment: trust.deployment,
            wallets: trust.wallets,
            receipt: trust.receipt,
            protection: trust.protection,
            floor: trust.floor,
            outgoing: trust.outgoing,
            ..Profile::new().unwrap()
        };
        assert_eq!(String::from_utf8(write_trust(&profile).unwrap()).unwrap(), TRUST);
        assert_eq!(profile.wallet().unwrap().wallet, UserIdHash([3; 32]));
        assert_eq!(profile.receipt.unwrap().size, 6);
    }

    #[test]
    fn files_from_before_transactions_were_kept_have_none() {
        let (before, _) = TRUST.split_once(",\n  \"outgoing\"").unwrap();
        let trust = read_trust(format!("{before}\n}}").as_bytes()).unwrap();
        assert_eq!(trust.outgoing, Ledger::default());
        let entry =
            TRUST.split_once("\"outgoing\": [").unwrap().1.trim_end_matches("}").trim_end().trim_end_matches(']');
        let many = |count: usize| format!("{before},\n\"outgoing\": [{}]}}", vec![entry; count].join(","));
        assert!(read_trust(many(1_024).as_bytes()).is_some());
        assert!(read_trust(many(1_025).as_bytes()).is_none());
    }

    #[test]
    fn what_stays_accepted_is_written_and_files_from_before_that_have_none() {
        let accepted = TRUST.replace("\"awaited\"", "\"told\",\n      \"accepted\": true");
        for (text, stays_accepted) in [(TRUST, false), (&accepted, true)] {
            let trust = read_trust(text.as_bytes()).unwrap();
            assert!(trust.outgoing.entries().iter().all(|entry| entry.stays_accepted == stays_accepted));
            let profile = Profile { outgoing: trust.outgoing, ..Profile::new().unwrap() };
            let written = String::from_utf8(write_trust(&profile).unwrap()).unwrap();
            assert_eq!(written.split_once("\"outgoing\"").unwrap().1, text.split_once("\"outgoing\"").unwrap().1);
        }
        assert!(read_trust(accepted.replace("true", "1").as_bytes()).is_none());
    }

    #[test]
    fn unknown_members_and_versions_are_refused() {
        assert!(read_trust(TRUST.replace("\"receipt\"", "\"recipe\"").as_bytes()).is_none());
        assert!(read_trust(TRUST.replace("\"L4\"", "\"L9\"").as_bytes()).is_none());
        assert!(read_trust(TRUST.replace("\"waiting\"", "\"settled\"").as_bytes()).is_none());
        assert!(read_trust(TRUST.replace("\"size\": 6", "\"size\": -6").as_bytes()).is_none());
        assert!(read_session(SESSION.replace(":1,", ":2,").as_bytes()).is_none());
    }
}
