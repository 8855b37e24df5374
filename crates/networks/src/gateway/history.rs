//! What the system sent.

use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::{HistoryQuery, NetworkId, TxRow};

use super::{Gateway, GatewayError};
use crate::record::{Cursor, TxRecord};
use crate::registry::Caip2;

/// Most transactions on a page.
pub const HISTORY_PAGE_MAX: u32 = 100;

/// A page of an account's history.
#[derive(Debug, Clone)]
pub struct HistoryRequest {
    /// Only this network (CAIP-2 id or alias), or all.
    pub network: Option<String>,
    /// Who sent.
    pub address: EvmAddress,
    /// Where the page before ended; `None` for the newest.
    pub cursor: Option<Cursor>,
    /// Transactions wanted; at least 1 and at most [`HISTORY_PAGE_MAX`] are given.
    pub limit: u32,
}

/// Transactions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The transactions.
    pub transactions: Vec<TxRecord>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<Cursor>,
}

impl Gateway {
    /// One transaction this system sent.
    ///
    /// # Errors
    /// [`GatewayError::Store`].
    pub async fn transaction(&self, hash: Hash32) -> Result<Option<TxRecord>, GatewayError> {
        let row = self.with_store(move |store| store.transaction(hash)).await?;
        Ok(row.and_then(|row| self.seen(row)))
    }

    /// What an account sent, newest first.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn history(&self, request: HistoryRequest) -> Result<HistoryPage, GatewayError> {
        let network = match &request.network {
            Some(name) => Some(self.chain(name)?.id.clone()),
            None => None,
        };
        let limit = request.limit.clamp(1, HISTORY_PAGE_MAX);
        let query = HistoryQuery {
            network,
            sender: request.address,
            before: request.cursor.map(|cursor| cursor.0),
            limit: limit + 1,
        };
        let mut rows = self.with_store(move |store| store.history(&query)).await?;
        let page_len = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > page_len;
        rows.truncate(page_len);
        let next = if has_more { rows.last().map(|row| Cursor(row.hash)) } else { None };
        Ok(HistoryPage { transactions: rows.into_iter().filter_map(|row| self.seen(row)).collect(), next })
    }

    /// A row as callers see it; a network that left the registry still shows by its id.
    pub(super) fn seen(&self, row: TxRow) -> Option<TxRecord> {
        let NetworkId(id) = &row.network;
        let caip2 = Caip2::parse(id).ok()?;
        let network = self.inner.registry.network(id);
        Some(TxRecord::new(row, caip2, network))
    }
}
