//! Pages of the log. What they show counts for nothing until it is proved.

use pinseal_protocol::limits::HISTORY_WRITES_MAX;

use super::exchange::Call;
use super::{Api, ApiError, LogItem, Page};

impl Api {
    /// Entries of the writes to the caller's wallet, newest first, proved in the tree of `size`.
    pub(crate) async fn wallet_history(
        &self,
        size: u64,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<Page<LogItem>, ApiError> {
        self.log_page(Call::get(&["v1", "wallet", "history"]), size, limit, cursor).await
    }

    /// Entries about the deployment itself, newest first, proved in the tree of `size`.
    pub(crate) async fn log_events(&self, size: u64, cursor: Option<&str>) -> Result<Page<LogItem>, ApiError> {
        self.log_page(Call::get(&["v1", "log", "events"]), size, u64::MAX, cursor).await
    }

    async fn log_page(
        &self,
        call: Call<'_>,
        size: u64,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<Page<LogItem>, ApiError> {
        let mut call = call.query("size", size).query("limit", limit.clamp(1, HISTORY_WRITES_MAX as u64));
        if let Some(cursor) = cursor {
            call = call.query("cursor", cursor);
        }
        self.authorized(&call).await
    }
}
