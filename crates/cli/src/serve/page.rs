//! The wallet page inside this program.

use pinseal_server::WalletPage;

/// The files of the page, by path; none if it was not built when this program was.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/wallet_page.rs"));

/// True if this program has the page.
pub(crate) const fn is_built() -> bool {
    !FILES.is_empty()
}

/// The page, if this program has it.
pub(super) fn built() -> Option<WalletPage> {
    WalletPage::new(FILES.iter().map(|(name, bytes)| ((*name).to_owned(), axum::body::Bytes::from_static(bytes))))
}
