//! How often nodes are asked what transactions cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinseal_networks::Gateway;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::hostile::{Reply, serve};
use crate::support::{Disk, HandClock, LOCAL, gateway, registry_of};

/// What a node was asked about fees; it answers as often as it is let.
struct Priced {
    asked: AtomicUsize,
    answers: Semaphore,
}

impl Priced {
    fn new(answers: usize) -> Arc<Self> {
        Arc::new(Self { asked: AtomicUsize::new(0), answers: Semaphore::new(answers) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The node's address.
    async fn serve(self: &Arc<Self>, reply: fn() -> Reply) -> String {
        let node = Arc::clone(self);
        serve(move |request: Value| {
            let node = Arc::clone(&node);
            async move {
                if request["method"] == "eth_chainId" {
                    return Reply::Result(json!("0x7a69"));
                }
                node.asked.fetch_add(1, Ordering::SeqCst);
                node.answers.acquire().await.unwrap().forget();
                reply()
            }
        })
        .await
    }
}

fn cheap() -> Reply {
    Reply::Result(json!({"baseFeePerGas": ["0x5", "0x5"], "gasUsedRatio": [0.5], "reward": [["0x1", "0x2", "0x3"]]}))
}

/// Fifty questions at once, and how many were answered.
async fn fifty(gateway: &Gateway) -> usize {
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let gateway = gateway.clone();
        asking.spawn(async move { gateway.fees(LOCAL).await });
    }
    asking.join_all().await.into_iter().filter(Result::is_ok).count()
}

#[tokio::test]
async fn fees_are_read_once_for_all_who_ask_within_three_seconds() {
    let (priced, disk, clock) = (Priced::new(100), Disk::new(), Arc::new(HandClock::default()));
    let url = priced.serve(cheap).await;
    let gateway = gateway(registry_of(&[url]), Arc::new(disk.open()), &clock);
    assert_eq!((fifty(&gateway).await, priced.asked()), (50, 1));
    clock.advance(2);
    assert_eq!((fifty(&gateway).await, priced.asked()), (50, 1));
    clock.advance(1);
    assert_eq!((fifty(&gateway).await, priced.asked()), (50, 2));
}

#[tokio::test]
async fn who_waited_for_fees_that_could_not_be_read_does_not_ask_in_turn() {
    let (priced, disk) = (Priced::new(1_000), Disk::new());
    let url = priced.serve(|| Reply::Status(503)).await;
    let gateway = gateway(registry_of(&[url]), Arc::new(disk.open()), &Arc::default());
    assert_eq!(fifty(&gateway).await, 0);
    assert_eq!(priced.asked(), 2, "once and once more, for the one who asked");
    assert!(gateway.fees(LOCAL).await.is_err());
    assert_eq!(priced.asked(), 4, "whoever comes later asks anew");
}

#[tokio::test]
async fn a_question_about_fees_outlives_whoever_asked() {
    let (priced, disk) = (Priced::new(0), Disk::new());
    let url = priced.serve(cheap).await;
    let gateway = gateway(registry_of(&[url]), Arc::new(disk.open()), &Arc::default());
    tokio::select! {
        _ = gateway.fees(LOCAL) => panic!("the node waits"),
        () = async { while priced.asked() == 0 { tokio::task::yield_now().await } } => {}
    }
    priced.answers.add_permits(1);
    assert!(gateway.fees(LOCAL).await.is_ok());
    assert_eq!(priced.asked(), 1);
}

#[tokio::test]
async fn who_waited_for_an_answer_takes_it_however_long_it_took() {
    let (priced, disk, clock) = (Priced::new(0), Disk::new(), Arc::new(HandClock::default()));
    let url = priced.serve(cheap).await;
    let gateway = gateway(registry_of(&[url]), Arc::new(disk.open()), &clock);
    let asking = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.fees(LOCAL).await.is_ok() }
    });
    while priced.asked() == 0 {
        tokio::task::yield_now().await;
    }
    clock.advance(6);
    let late = tokio::spawn({
        let gateway = gateway.clone();
        async move { fifty(&gateway).await }
    });
    // All of them wait by now: each is polled once before this one is again.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    priced.answers.add_permits(100);
    assert!(asking.await.unwrap());
    assert_eq!((late.await.unwrap(), priced.asked()), (50, 1));
    assert!(gateway.fees(LOCAL).await.is_ok());
    assert_eq!(priced.asked(), 2, "it is not given out as if it were new");
}
