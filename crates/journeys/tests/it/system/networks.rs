//! A host without networks: what these tests sign is not sent, and what a host says about sending is said by the test.

use pinseal_server::{
    BalancesBody, Boxed, FeesBody, NetworkBody, Networks, NetworksError, PrepareCall, PreparedBody, Room, TxBody,
    TxPageBody,
};
use pinseal_store::accounts::UserId;

type Answer<'a, T> = Boxed<'a, Result<T, NetworksError>>;

pub(crate) struct NoNetworks;

fn unknown<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(NetworksError::UnknownNetwork) })
}

impl Networks for NoNetworks {
    fn list(&self) -> Answer<'_, Vec<NetworkBody>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn caip2(&self, _: &str) -> Option<String> {
        None
    }

    fn fees(&self, _: String) -> Answer<'_, FeesBody> {
        unknown()
    }

    fn balances(&self, _: String, _: String, _: Vec<String>) -> Answer<'_, BalancesBody> {
        unknown()
    }

    fn prepare(&self, _: PrepareCall) -> Answer<'_, PreparedBody> {
        unknown()
    }

    fn sender(&self, _: &str, _: &str) -> Result<String, NetworksError> {
        Err(NetworksError::UnknownNetwork)
    }

    fn broadcast(&self, _: String, _: String, _: UserId) -> Answer<'_, TxBody> {
        unknown()
    }

    fn transaction(&self, _: String, _: String, _: Vec<String>) -> Answer<'_, TxBody> {
        unknown()
    }

    fn history<'a>(
        &'a self,
        _: Option<String>,
        _: String,
        _: usize,
        _: Option<String>,
        _: &'a dyn Room,
    ) -> Answer<'a, TxPageBody> {
        Box::pin(async { Ok(TxPageBody { items: Vec::new(), next_cursor: None }) })
    }

    fn call(&self, _: String, _: String, _: serde_json::Value) -> Answer<'_, serde_json::Value> {
        unknown()
    }

    fn release(&self, _: String) -> Answer<'_, ()> {
        Box::pin(async { Err(NetworksError::UnknownReservation) })
    }
}
