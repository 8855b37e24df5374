//! The gateway's errors in the server's words: whose fault it is stays what it was.

use pinseal_networks::{BroadcastError, CallError, GatewayError, PrepareError, Rejection, RpcError};
use pinseal_server::NetworksError;

pub(super) fn gateway(error: GatewayError) -> NetworksError {
    match error {
        GatewayError::UnknownNetwork(_) => NetworksError::UnknownNetwork,
        GatewayError::TooManyTokens => NetworksError::Invalid("token"),
        GatewayError::Rpc(RpcError::Refused(refusal)) => NetworksError::Rejected(refusal.message().to_string()),
        GatewayError::Store(error) => NetworksError::Fault(Box::new(error)),
        error => NetworksError::Unavailable(Box::new(error)),
    }
}

pub(super) fn call(error: CallError) -> NetworksError {
    match error {
        CallError::NotOffered => NetworksError::Invalid("method"),
        CallError::Params => NetworksError::Invalid("params"),
        CallError::Gateway(GatewayError::Rpc(RpcError::Refused(refusal))) => {
            let data = refusal.data().map(<[u8]>::to_vec);
            NetworksError::Refused { reason: refusal.message().to_string(), data }
        }
        // Whoever asks for the longest answer that there is has not found the network down.
        CallError::Gateway(GatewayError::Rpc(error)) if error.is_of_one_answer() => {
            NetworksError::Refused { reason: "the node's answer is too long, or none".into(), data: None }
        }
        CallError::Gateway(error) => gateway(error),
    }
}

pub(super) fn history(error: GatewayError) -> NetworksError {
    gateway(error)
}

pub(super) fn prepare(error: PrepareError) -> NetworksError {
    match error {
        PrepareError::InsufficientFunds => NetworksError::Funds,
        PrepareError::DataTooLong => NetworksError::Invalid("data"),
        PrepareError::WouldRevert(Some(reason)) => NetworksError::Rejected(format!("the call would revert: {reason}")),
        PrepareError::Gateway(error) => gateway(error),
        error => NetworksError::Rejected(error.to_string()),
    }
}

pub(super) fn broadcast(error: BroadcastError) -> NetworksError {
    match error {
        BroadcastError::Transaction(_) => NetworksError::Invalid("raw"),
        BroadcastError::Rejected { rejection: Rejection::InsufficientFunds, .. } => NetworksError::Funds,
        BroadcastError::TooManyOpen => NetworksError::Waiting,
        BroadcastError::Gateway(error) => gateway(error),
        error => NetworksError::Rejected(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_networks::EndpointFault;

    use super::*;

    #[test]
    fn an_answer_that_is_too_long_is_the_questions_fault_and_a_node_that_is_away_is_not() {
        let unavailable = |fault| {
            let network = pinseal_networks::Caip2::parse(pinseal_networks::dev::LOCAL_NETWORK).unwrap();
            CallError::Gateway(GatewayError::Rpc(RpcError::Unavailable { network, endpoint: "none".into(), fault }))
        };
        for fault in [EndpointFault::TooLong, EndpointFault::Malformed("no JSON")] {
            assert!(matches!(call(unavailable(fault)), NetworksError::Refused { data: None, .. }));
        }
        for fault in [EndpointFault::TimedOut, EndpointFault::Status(500), EndpointFault::WrongId] {
            assert!(matches!(call(unavailable(fault)), NetworksError::Unavailable(_)));
        }
    }
}
