//! What transactions are shown beside: how high their chains are, and what those that wait are waiting for.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pinseal_networks::{Gateway, NonceView, TxRecord};
use pinseal_protocol::intent::EvmAddress;
use pinseal_server::{Room, TxBody};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bodies;

/// How long nodes are waited for: what is shown is written down, and better late with less than later with more.
const PATIENCE: Duration = Duration::from_secs(2);
/// Seconds for which a height is good enough: two looks of whoever follows transactions.
const HEIGHT_SECONDS: u64 = 4;

/// The place of whoever shows one transaction, and has it already.
pub(super) struct Placed;

impl Room for Placed {
    fn place(&self, _: &str) -> Option<Box<dyn Send>> {
        Some(Box::new(()))
    }
}

/// Of transactions of one sender, asked once for each network; what no node tells in time is left out.
#[derive(Default)]
pub(super) struct Surroundings {
    heads: HashMap<String, u64>,
    queues: HashMap<String, NonceView>,
}

/// What is to be found out of one network.
#[derive(Default)]
struct Wanted {
    /// How high it is, as a depth depends on it.
    height: bool,
    /// Whose queue, and up to which nonce, as something waits.
    queue: Option<(EvmAddress, u64)>,
}

impl Surroundings {
    /// Asks for the newest block only where a depth depends on it, and for a queue only where something waits; every network at the same time, and
    /// none for longer than [`PATIENCE`].
    pub(super) async fn of(gateway: &Gateway, records: &[TxRecord], room: &dyn Room) -> Self {
        Self::within(PATIENCE, gateway, records, room).await
    }

    async fn within(patience: Duration, gateway: &Gateway, records: &[TxRecord], room: &dyn Room) -> Self {
        let mut known = Self::default();
        let mut asking = JoinSet::new();
        for (network, mut wanted) in wanted(records) {
            if wanted.height
                && let Some(height) = gateway.height_told(&network, Some(HEIGHT_SECONDS))
            {
                known.heads.insert(network.clone(), height);
                wanted.height = false;
            }
            if (wanted.height || wanted.queue.is_some())
                && let Some(place) = room.place(&network)
            {
                let gateway = gateway.clone();
                asking.spawn(async move {
                    let _place = place;
                    let (height, queue) = ask(&gateway, &network, &wanted, patience).await;
                    (network, height, queue)
                });
            }
        }
        // A question that panicked told nothing.
        while let Some(asked) = asking.join_next().await {
            let Ok((network, height, queue)) = asked else { continue };
            known.heads.extend(height.map(|height| (network.clone(), height)));
            known.queues.extend(queue.map(|queue| (network, queue)));
        }
        known
    }

    /// A transaction as the API shows it. A chain of which nothing new is known is at least as high as it once was.
    pub(super) fn shown(&self, gateway: &Gateway, record: &TxRecord) -> TxBody {
        let network = record.network.as_str();
        let queue = self.queues.get(network).filter(|_| bodies::may_wait(record));
        let gap = queue.and_then(|queue| queue.gap_below(record.nonce));
        let head = self.heads.get(network).copied().or_else(|| gateway.height_told(network, None));
        bodies::transaction(record, head, gap, gateway.network(network))
    }
}

fn wanted(records: &[TxRecord]) -> BTreeMap<String, Wanted> {
    let mut networks = BTreeMap::<String, Wanted>::new();
    for record in records {
        let wanted = networks.entry(record.network.to_string()).or_default();
        wanted.height |= bodies::needs_head(record);
        if bodies::may_wait(record) {
            let (_, highest) = wanted.queue.get_or_insert((record.sender, record.nonce));
            *highest = record.nonce.max(*highest);
        }
    }
    networks
}

async fn ask(
    gateway: &Gateway,
    network: &str,
    wanted: &Wanted,
    patience: Duration,
) -> (Option<u64>, Option<NonceView>) {
    let height = async {
        if !wanted.height {
            return None;
        }
        timeout(patience, gateway.block_number(network)).await.ok()?.ok()
    };
    let queue = async {
        let (sender, highest) = wanted.queue?;
        timeout(patience, gateway.nonces_below(network, sender, highest)).await.ok()?.ok()
    };
    tokio::join!(height, queue)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use pinseal_networks::{Caip2, GatewayConfig, Inclusion, Registry, RpcLimits, TxStatus};
    use pinseal_protocol::ids::{Hash32, UnixSeconds};
    use pinseal_store::Sqlite;
    use tokio::net::TcpListener;

    use super::*;

    /// Ends a test that would otherwise wait for ever; nothing that passes comes near it.
    const LONG: Duration = Duration::from_secs(20);
    const NETWORKS: [&str; 2] = ["eip155:1", "eip155:10"];

    /// Says which places were asked for, and gives them or none.
    struct Asked(Mutex<Vec<String>>, bool);

    impl Room for Asked {
        fn place(&self, network: &str) -> Option<Box<dyn Send>> {
            self.0.lock().unwrap().push(network.to_owned());
            self.1.then(|| Box::new(()) as Box<dyn Send>)
        }
    }

    /// Of networks at whose nodes everybody waits for a minute.
    fn gateway(directory: &std::path::Path, nodes: &[TcpListener]) -> Gateway {
        let entry = |(caip2, node): (&str, &TcpListener)| {
            let url = format!("http://{}", node.local_addr().unwrap());
            format!(
                "[[network]]\ncaip2 = {caip2:?}\naliases = []\nname = \"A network\"\nsymbol = \"ETH\"\ndecimals = 18\nrpc_urls = [{url:?}]\n\
                 finality_blocks = 12\nstatus = \"active\"\ntestnet = true\nfee_cap_gwei = 100\n"
            )
        };
        let registry =
            Registry::parse(&NETWORKS.into_iter().zip(nodes).map(entry).collect::<String>(), "test").unwrap();
        let minute = Duration::from_secs(60);
        let limits = RpcLimits { exchange_time_max: minute, call_time_max: minute, ..RpcLimits::default() };
        let store = Arc::new(Sqlite::open(&directory.join("host.db")).unwrap());
        Gateway::new(registry, store, GatewayConfig { limits, ..GatewayConfig::default() }).unwrap()
    }

    fn record(network: &str, nonce: u64, status: TxStatus) -> TxRecord {
        TxRecord {
            network: Caip2::parse(network).unwrap(),
            hash: Hash32([1; 32]),
            sender: EvmAddress([2; 20]),
            nonce,
            recipient: None,
            value: pinseal_client::Amount::default().0,
            raw: Vec::new(),
            created: UnixSeconds(1),
            updated: UnixSeconds(1),
            status,
            explorer_url: None,
        }
    }

    /// On each network one that is mined and one that waits for an earlier nonce.
    fn records() -> Vec<TxRecord> {
        let at = Inclusion {
            block_number: 7,
            block_hash: Hash32([3; 32]),
            success: true,
            gas_used: 21_000,
            gas_price: None,
        };
        let both = |network| [record(network, 0, TxStatus::Final(at)), record(network, 9, TxStatus::Pending)];
        NETWORKS.into_iter().flat_map(both).collect()
    }

    #[tokio::test]
    async fn nodes_that_keep_silent_are_waited_for_a_moment_and_done_without() {
        let directory = tempfile::tempdir().unwrap();
        let silent = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let (gateway, records) = (gateway(directory.path(), &silent), records());
        for has_room in [true, false] {
            let room = Asked(Mutex::default(), has_room);
            let asked = Surroundings::within(Duration::from_millis(50), &gateway, &records, &room);
            let known = timeout(LONG, asked).await.unwrap();
            assert_eq!(*room.0.lock().unwrap(), NETWORKS, "a place each");
            let shown: Vec<TxBody> = records.iter().map(|record| known.shown(&gateway, record)).collect();
            let told = |body: &TxBody| (body.status.clone(), body.confirmations, body.waits_for.is_some());
            let (deep, waiting) = (("final".to_owned(), 12, false), ("pending".to_owned(), 0, false));
            let expected = [deep.clone(), waiting.clone(), deep, waiting];
            assert_eq!(shown.iter().map(told).collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn one_network_is_not_waited_for_before_the_next_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let silent = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let (gateway, records) = (gateway(directory.path(), &silent), records());
        let both = async {
            let mut held = Vec::new();
            for node in &silent {
                held.push(timeout(LONG, node.accept()).await.unwrap().unwrap());
            }
        };
        tokio::select! {
            _ = Surroundings::within(2 * LONG, &gateway, &records, &Placed) => panic!("nobody answers"),
            () = both => {}
        }
    }
}
