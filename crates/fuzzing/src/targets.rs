//! The targets, by what they feed.

pub(crate) mod anchor_file;
pub(crate) mod boot;
pub(crate) mod chain;
pub(crate) mod conversation;
pub(crate) mod envelope;
pub(crate) mod evidence;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod logo;
pub(crate) mod nitro_chain;
pub(crate) mod outside;
pub(crate) mod record;
pub(crate) mod tokens;
pub(crate) mod tpm;
pub(crate) mod wire;
pub(crate) mod witness_answer;
pub(crate) mod witnesses;
