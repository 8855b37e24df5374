//! The commands, one module per noun.

pub(crate) mod app;
pub(crate) mod backup;
pub(crate) mod balance;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod dev;
pub(crate) mod devices;
pub(crate) mod evidence;
pub(crate) mod history;
pub(crate) mod login;
pub(crate) mod mailbox;
pub(crate) mod networks;
pub(crate) mod pin;
pub(crate) mod ready;
pub(crate) mod restore;
pub(crate) mod resume;
pub(crate) mod send;
pub(crate) mod sessions;
pub(crate) mod sign;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod transactions;
pub(crate) mod view;
pub(crate) mod wallet;
pub(crate) mod witness;
