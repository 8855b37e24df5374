#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::bytes::ByteVec;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::Issuer;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, Nonce, RequestId, Sequence, Version};
use pinseal_protocol::log::{Frontier, empty_root, leaf_hash};
use pinseal_protocol::manifest::{Ed25519Public, HpkePublic};
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{Method, RequestHeader, SealedRequest, SignedBeginReply, Suite};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{AccessToken, P256Public, StorageClaims, StorageKey, StorageToken};
use pinseal_protocol::wire::{Batch, BatchId, RecordWrite, ToEnclave};
use pinseal_store::vault::{VaultError, storage_audience};

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DEPLOYMENT: DeploymentId = DeploymentId([5; 16]);

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut [0x57; 32]))
}

/// A pipeline, a login service, and an enclave played by the test.
struct Bench {
    pipeline: Pipeline,
    vault: Arc<Vault>,
    now: UnixSeconds,
    tickets: u64,
}

fn note(checkpoint: &Checkpoint) -> Vec<u8> {
    checkpoint.to_note(&Ed25519Public([3; 32]), |_| [9; 64])
}

fn wallet(number: u8) -> UserIdHash {
    UserIdHash([number; 32])
}

fn request(method: Method, number: u8) -> SealedRequest {
    SealedRequest {
        header: RequestHeader {
            version: 1,
            suite: Suite::X25519Aes256Gcm,
            manifest: Hash32([1; 32]),
            method,
            request: RequestId([number; 16]),
            challenge: ByteVec::from(vec![2; 40]),
            token: Hash32([3; 32]),
            device: DeviceId([4; 32]),
            receipt_size: 0,
        },
        enc: HpkePublic([number; 32]),
        ciphertext: ByteVec::from(vec![number; 64]),
    }
}

fn reply(number: u8) -> SealedReply {
    SealedReply { request: RequestId([number; 16]), ciphertext: ByteVec::from(vec![number; 96]) }
}

fn token(number: u8, method: Method, jti: &str) -> StorageToken {
    let claims = StorageClaims {
        iss: "login".into(),
        aud: storage_audience(&DEPLOYMENT),
        wallet: wallet(number).to_string(),
        operation: method.name().into(),
        jti: jti.into(),
        iat: NOW.0,
        exp: NOW.0 + 600,
    };
    StorageToken::new(storage_key().sign(&claims).unwrap())
}

impl Bench {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let issuer = Issuer { issuer: "login".into(), audience: "aud".into(), key: P256Public::of(&key) };
        let vault = Arc::new(Vault::new(issuer, storage_key(), &DEPLOYMENT));
        let checkpoint = Checkpoint {
            deployment: DEPLOYMENT,
            size: 0,
            root: empty_root(),
            sequence: Sequence(0),
            previous: Hash32([0; 32]),
            time: NOW,
            state: Hash32([0; 32]),
        };
        let anchored = Newest { note: note(&checkpoint), checkpoint, frontier: Frontier::default() };
        Self { pipeline: Pipeline::new(Arc::clone(&vault), anchored, 0), vault, now: NOW, tickets: 0 }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.pipeline.step(self.now, event)
    }

    fn ask(&mut self, ask: Ask) -> (Ticket, Vec<Action>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        (ticket, self.step(Event::Ask { ticket, ask }))
    }

    /// A sealed request `number` for a wallet, its token named by `jti`.
    fn seal(&mut self, wallet: u8, number: u8, jti: &str) -> (Ticket, Vec<Action>) {
        let token = token(wallet, Method::Sign, jti);
        let token = self.vault.check(token.expose_secret(), &self::wallet(wallet), Method::Sign, self.now);
        self.ask(Ask::Sealed { token, request: Box::new(request(Method::Sign, number)) })
    }

    fn begin(&mut self, known: Option<u8>) -> (Ticket, Vec<Action>) {
        let wallet = known.map(wallet);
        self.ask(Ask::Begin { access_token: AccessToken::from("token".to_owned()), method: Method::Sign, wallet })
    }

    /// Answers every load with a record.
    fn load(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut out = Vec::new();
        for action in actions {
            match action {
                Action::Load { call, load } => {
                    let grant = match load {
                        Load::Sealed { grant, .. } => Some(grant),
                        Load::Begin { .. } => None,
                    };
                    let loaded = Ok(Loaded { grant, outer: Some(vec![7]), consistency: None });
                    out.extend(self.step(Event::Loaded { call, loaded }));
                }
                action => out.push(action),
            }
        }
        out
    }

    /// A sealed call that reached the enclave.
    fn sent(&mut self, wallet: u8, number: u8) -> (Ticket, CallId) {
        let (ticket, actions) = self.seal(wallet, number, &format!("jti {number}"));
        let actions = self.load(actions);
        match actions.as_slice() {
            [Action::Send(ToEnclave::Sealed { call, outer: Some(_), .. })] => (ticket, *call),
            other => panic!("{other:?}"),
        }
    }

    /// The batch an enclave makes of these writes.
    fn batch(&self, writes: &[(CallId, u8, u64)]) -> Batch {
        let anchored = self.pipeline.anchored();
        let mut frontier = anchored.frontier.clone();
        let entries: Vec<ByteVec> = writes.iter().map(|write| format!("{write:?}").into_bytes().into()).collect();
        for entry in &entries {
            frontier.append(leaf_hash(entry), |_| {});
        }
        let checkpoint = Checkpoint {
            size: frontier.size(),
            root: frontier.root(),
            sequence: Sequence(anchored.checkpoint.sequence.0 + 1),
            previous: anchored.checkpoint.hash(),
            ..anchored.checkpoint
        };
        let record = |(call, number, version): &(CallId, u8, u64)| RecordWrite {
            call: *call,
            wallet: wallet(*number),
            version: Version(*version),
            hash: Hash32([*number; 32]),
            outer: vec![*number].into(),
        };
        Batch {
            batch: BatchId(checkpoint.sequence.0),
            previous: anchored.note.clone().into(),
            checkpoint: note(&checkpoint).into(),
            frontier,
            records: writes.iter().map(record).collect(),
            entries,
        }
    }

    fn commit(&mut self, writes: &[(CallId, u8, u64)]) -> Vec<Action> {
        let batch = self.batch(writes);
        self.step(Event::Enclave(FromEnclave::Commit(batch)))
    }

    /// Commit, store, anchor, as it should go.
    fn write(&mut self, writes: &[(CallId, u8, u64)]) {
        let actions = self.commit(writes);
        let [Action::Store { batch, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        let (id, next) = (batch.batch, batch.checkpoint.to_vec());
        let actions = self.step(Event::Stored { batch: id, stored: Stored::Yes });
        assert!(matches!(actions.as_slice(), [Action::Advance { .. }]), "{actions:?}");
        let actions = self.step(Event::Advanced { batch: id, advanced: Advanced::Receipt(next.clone()) });
        match actions.as_slice() {
            [Action::Send(ToEnclave::Committed { batch, receipt })] => {
                assert_eq!((*batch, receipt.as_slice()), (id, next.as_slice()));
            }
            other => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, call: CallId, number: u8) -> Vec<Action> {
        self.step(Event::Enclave(FromEnclave::Replied { call, reply: reply(number) }))
    }
}

fn answers(actions: &[Action]) -> Vec<(Ticket, Result<Answer, CallError>)> {
    let answer = |action: &Action| match action {
        Action::Answer { ticket, answer } => Some((*ticket, answer.clone())),
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

fn error(actions: &[Action]) -> CallError {
    match answers(actions).as_slice() {
        [(_, Err(error))] => *error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_leaves_only_after_charge_and_settle_are_stored_and_anchored() {
    let mut bench = Bench::new();
    let (ticket, call) = bench.sent(1, 1);
    for version in [1, 2] {
        bench.write(&[(call, 1, version)]);
    }
    let actions = bench.reply(call, 1);
    assert_eq!(answers(&actions), [(ticket, Ok(Answer::Sealed(reply(1))))]);
    assert_eq!((bench.pipeline.batches(), bench.pipeline.wallets()), (2, 1));
    assert_eq!(bench.pipeline.depths().calls, 0);
}

#[test]
fn superseded_records_are_dropped_when_idle_and_named_to_the_next_batch() {
    let mut bench = Bench::new();
    let dropped = |actions: &[Action]| match actions {
        [Action::DropOld { anchored }] => Some(anchored.0),
        [] => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(dropped(&bench.step(Event::Idle)), Some(0), "what a crash left behind");
    assert_eq!(dropped(&bench.step(Event::Idle)), None);
    let (_, call) = bench.sent(1, 1);
    bench.write(&[(call, 1, 1)]);
    assert_eq!(dropped(&bench.step(Event::Idle)), None, "a new wallet supersedes nothing");
    let actions = bench.commit(&[(call, 1, 2)]);
    assert_eq!(dropped(&bench.step(Event::Idle)), None, "not while a batch is in flight");
    let [Action::Store { batch, anchored, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(anchored.0, 1);
    let (batch, next) = (batch.batch, batch.checkpoint.to_vec());
    bench.step(Event::Stored { batch, stored: Stored::Yes });
    bench.step(Event::Advanced { batch, advanced: Advanced::Receipt(next) });
    assert_eq!(dropped(&bench.step(Event::Idle)), Some(2));
}

#[test]
fn one_call_per_wallet_is_under_way_and_the_others_go_in_order() {
    let mut bench = Bench::new();
    let (_, first) = bench.sent(1, 1);
    let waiting: Vec<Ticket> = (2..5)
        .map(|number| {
            let (ticket, actions) = bench.seal(1, number, &number.to_string());
            assert!(actions.is_empty(), "{actions:?}");
            ticket
        })
        .collect();
    // Another wallet does not wait.
    bench.sent(2, 100);
    let mut call = first;
    for (number, ticket) in (2..5).zip(&waiting) {
        let actions = bench.reply(call, number - 1);
        let actions = bench.load(actions);
        let next = actions.iter().find_map(|action| match action {
            Action::Send(ToEnclave::Sealed { call, request, .. }) => Some((*call, request.header.request)),
            _ => None,
        });
        assert_eq!(next.unwrap().1, RequestId([number; 16]));
        call = next.unwrap().0;
        assert!(answers(&actions).iter().all(|(answered, _)| answered != ticket));
    }
}

#[test]
fn beyond_the_line_a_wallet_is_busy_and_the_token_stays_unused() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 0);
    for number in 0..WALLET_WAITING_MAX {
        let number = u8::try_from(number + 1).unwrap();
        assert!(bench.seal(1, number, &number.to_string()).1.is_empty());
    }
    assert_eq!(error(&bench.seal(1, 200, "late").1), CallError::Refused(Refusal::Busy));
    assert_eq!(error(&bench.begin(Some(1)).1), CallError::Refused(Refusal::Busy));
    bench.reply(call, 0);
    assert!(bench.seal(1, 200, "late").1.is_empty(), "the same token is taken once there is room");
}

#[test]
fn an_identical_resend_waits_for_the_same_answer_and_gets_it_again_later() {
    let mut bench = Bench::new();
    let (first, call) = bench.sent(1, 1);
    let mut waiting = vec![first];
    for _ in 1..RESENDS_MAX {
        let (ticket, actions) = bench.seal(1, 1, "jti 1");
        assert!(actions.is_empty(), "{actions:?}");
        waiting.push(ticket);
    }
    assert_eq!(error(&bench.seal(1, 1, "jti 1").1), CallError::Overloaded);
    let actions = bench.reply(call, 1);
    let expected: Vec<_> = waiting.iter().map(|ticket| (*ticket, Ok(Answer::Sealed(reply(1))))).collect();
    assert_eq!(answers(&actions), expected);
    // Even when the token has expired meanwhile.
    bench.now = UnixSeconds(NOW.0 + 599);
    let (ticket, actions) =
        bench.ask(Ask::Sealed { token: Err(VaultError::Expired), request: Box::new(request(Method::Sign, 1)) });
    assert_eq!(answers(&actions), [(ticket, Ok(Answer::Sealed(reply(1))))]);
    bench.now = UnixSeconds(NOW.0 + 600);
    let (_, actions) =
        bench.ask(Ask::Sealed { token: Err(VaultError::Expired), request: Box::new(request(Method::Sign, 1)) });
    assert_eq!(error(&actions), CallError::StorageToken(VaultError::Expired));
    assert_eq!((bench.pipeline.depths().replies, bench.pipeline.depths().reply_bytes), (0, 0));
}

#[test]
fn a_changed_request_under_the_same_id_is_another_request() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    bench.reply(call, 1);
    let mut changed = request(Method::Sign, 1);
    changed.ciphertext[0] ^= 1;
    let token = bench.vault.check(token(1, Method::Sign, "jti 1").expose_secret(), &wallet(1), Method::Sign, NOW);
    let (_, actions) = bench.ask(Ask::Sealed { token, request: Box::new(changed) });
    assert_eq!(error(&actions), CallError::StorageToken(VaultError::Spent));
}

#[test]
fn without_a_good_storage_token_nothing_reaches_the_enclave() {
    let mut bench = Bench::new();
    for refused in [VaultError::Invalid, VaultError::Expired] {
        let (_, actions) = bench.ask(Ask::Sealed { token: Err(refused), request: Box::new(request(Method::Sign, 1)) });
        assert_eq!(error(&actions), CallError::StorageToken(refused));
    }
    bench.sent(1, 1);
    assert_eq!(error(&bench.seal(1, 2, "jti 1").1), CallError::StorageToken(VaultError::Spent));
}

#[test]
fn only_a_receipt_that_the_enclave_may_have_forgotten_comes_with_a_proof() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let proof = |bench: &Bench, seen| bench.pipeline.batches.proof_for(seen);
    for version in 1..=200 {
        bench.write(&[(call, 1, version)]);
        // The next write goes under a grant of its own.
        let token = token(1, Method::Sign, &format!("grant {version}"));
        let grant = bench.vault.verify(token.expose_secret(), &wallet(1), Method::Sign, NOW).unwrap();
        bench.pipeline.calls.get_mut(&call).unwrap().grant = Some(grant);
    }
    // Nothing to prove of an empty log, and nothing can be proved of one longer than ours.
    assert_eq!((proof(&bench, 0), proof(&bench, 201)), (None, None));
    for seen in 1..=200_u64 {
        let remembered = 200 - seen < pinseal_protocol::limits::RECENT_CHECKPOINTS as u64 / 2;
        assert_eq!(proof(&bench, seen), (!remembered).then_some((seen, 200)), "{seen}");
    }
}

#[test]
fn too_long_a_request_is_malformed() {
    let mut bench = Bench::new();
    let mut long = request(Method::Sign, 1);
    long.ciphertext = vec![0; pinseal_protocol::limits::REQUEST_BYTES_MAX].into();
    let token = bench.vault.check(token(1, Method::Sign, "a").expose_secret(), &wallet(1), Method::Sign, NOW);
    assert_eq!(
        error(&bench.ask(Ask::Sealed { token, request: Box::new(long) }).1),
        CallError::Refused(Refusal::Malformed)
    );
    let access_token = AccessToken::from("x".repeat(3_000));
    let (_, actions) = bench.ask(Ask::Begin { access_token, method: Method::Sign, wallet: None });
    assert_eq!(error(&actions), CallError::Refused(Refusal::TokenInvalid));
}

#[test]
fn a_write_no_grant_covers_aborts_its_batch() {
    let mut bench = Bench::new();
    let (_, one) = bench.sent(1, 1);
    let (_, two) = bench.sent(2, 2);
    for writes in [vec![(one, 2, 1)], vec![(CallId(99), 1, 1)], vec![(two, 2, 1), (one, 3, 1)]] {
        let actions = bench.commit(&writes);
        assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Aborted { .. })]), "{actions:?}");
    }
    // Two writes are what signing is entitled to.
    bench.write(&[(one, 1, 1)]);
    bench.write(&[(one, 1, 2)]);
    let actions = bench.commit(&[(one, 1, 3)]);
    assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Aborted { .. })]), "{actions:?}");
}

#[test]
fn a_full_disk_aborts_the_batch_and_the_next_one_follows_the_same_checkpoint() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let before = bench.pipeline.anchored().clone();
    bench.commit(&[(call, 1, 1)]);
    let actions = bench.step(Event::Stored { batch: BatchId(1), stored: Stored::No });
    assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Aborted { batch: BatchId(1) })]), "{actions:?}");
    assert_eq!(*bench.pipeline.anchored(), before);
    bench.write(&[(call, 1, 1)]);
}

#[test]
fn an_unknown_outcome_stops_everything() {
    let failures: [fn(&mut Bench) -> Vec<Action>; 3] = [
        |bench| bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Unknown("disk".into()) }),
        |bench| bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Discontinuous }),
        |bench| {
            bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Yes });
            bench.step(Event::Advanced { batch: BatchId(1), advanced: Advanced::Failed("disk".into()) })
        },
    ];
    for fail in failures {
        let mut bench = Bench::new();
        let (ticket, call) = bench.sent(1, 1);
        let (waiting, _) = bench.seal(1, 2, "b");
        bench.commit(&[(call, 1, 1)]);
        let actions = fail(&mut bench);
        let Some(Action::Stop(stop)) = actions.last() else { panic!("{actions:?}") };
        let error = stop.call_error();
        assert_eq!(answers(&actions), [(ticket, Err(error)), (waiting, Err(error))]);
        assert!(!actions.iter().any(|action| matches!(action, Action::Send(_))), "the enclave is told nothing");
        // Nothing leaves any more, whatever the enclave says.
        assert!(bench.reply(call, 1).is_empty());
        let (ticket, actions) = bench.seal(2, 9, "c");
        assert_eq!(answers(&actions), [(ticket, Err(error))]);
    }
}

#[test]
fn a_lost_anchor_fences_this_instance_and_no_reply_leaves_it() {
    let mut bench = Bench::new();
    let (ticket, call) = bench.sent(1, 1);
    bench.commit(&[(call, 1, 1)]);
    bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Yes });
    let lost = Advanced::Lost(b"another".to_vec());
    let actions = bench.step(Event::Advanced { batch: BatchId(1), advanced: lost });
    match actions.as_slice() {
        [Action::Send(ToEnclave::Committed { receipt, .. })] => assert_eq!(receipt.as_slice(), b"another"),
        other => panic!("{other:?}"),
    }
    assert!(bench.reply(call, 1).is_empty(), "even if the enclave did not notice");
    assert_eq!(error(&bench.begin(None).1), CallError::EnclaveGone(Some(Halt::Fenced)));
    let halted = FromEnclave::Halted { halt: Halt::Fenced, detail: "lost".into() };
    let actions = bench.step(Event::Enclave(halted));
    assert_eq!(answers(&actions), [(ticket, Err(CallError::EnclaveGone(Some(Halt::Fenced))))]);
}

#[test]
fn a_halt_is_told_to_everybody_with_its_kind() {
    let mut bench = Bench::new();
    let (one, _) = bench.sent(1, 1);
    let (two, _) = bench.begin(None);
    let (three, _) = bench.ask(Ask::Evidence { nonce: Nonce([1; 32]) });
    let halted = FromEnclave::Halted { halt: Halt::RolledBack, detail: "why".into() };
    let actions = bench.step(Event::Enclave(halted));
    let gone = CallError::EnclaveGone(Some(Halt::RolledBack));
    assert_eq!(answers(&actions), [(one, Err(gone)), (two, Err(gone)), (three, Err(gone))]);
    assert!(bench.step(Event::Disconnected).is_empty(), "the halt stays the reason");
    assert_eq!(error(&bench.begin(None).1), gone);
    assert!(matches!(bench.pipeline.stopped(), Some(Stop::Halted { halt: Halt::RolledBack, .. })));
}

#[test]
fn a_disconnect_is_told_to_everybody() {
    let mut bench = Bench::new();
    let (ticket, _) = bench.begin(None);
    let actions = bench.step(Event::Disconnected);
    assert_eq!(answers(&actions), [(ticket, Err(CallError::EnclaveGone(None)))]);
}

#[test]
fn begin_asks_again_with_the_record_the_enclave_names() {
    let mut bench = Bench::new();
    let (ticket, actions) = bench.begin(None);
    let [Action::Send(ToEnclave::Begin { call, outer: None, .. })] = actions.as_slice() else { panic!("{actions:?}") };
    let call = *call;
    let needs = FromEnclave::Begun { call, begun: Begun::NeedsRecord(wallet(1)) };
    let actions = bench.step(Event::Enclave(needs.clone()));
    match actions.as_slice() {
        [Action::Load { load: Load::Begin { wallet: named, named_by_enclave: true, .. }, .. }] => {
            assert_eq!(*named, wallet(1));
        }
        other => panic!("{other:?}"),
    }
    let actions = bench.load(actions);
    assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Begin { outer: Some(_), .. })]), "{actions:?}");
    let signed = SignedBeginReply { reply: vec![1].into(), signature: vec![2].into() };
    let begun = Begun::Reply(wallet(1), signed.clone());
    let actions = bench.step(Event::Enclave(FromEnclave::Begun { call, begun }));
    let answer = Answer::Begun(BeginAnswer { wallet: wallet(1), reply: signed });
    assert_eq!(answers(&actions), [(ticket, Ok(answer))]);
    // The wallet is free again.
    bench.sent(1, 1);
}

#[test]
fn begin_ends_when_the_enclave_keeps_asking() {
    let mut bench = Bench::new();
    let (_, actions) = bench.begin(Some(1));
    let [Action::Load { call, load: Load::Begin { named_by_enclave: false, .. } }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    let call = *call;
    bench.load(actions);
    let needs = FromEnclave::Begun { call, begun: Begun::NeedsRecord(wallet(1)) };
    for _ in 0..ROUNDS_MAX {
        let actions = bench.step(Event::Enclave(needs.clone()));
        assert!(matches!(actions.as_slice(), [Action::Load { .. }]), "{actions:?}");
        bench.load(actions);
    }
    assert_eq!(error(&bench.step(Event::Enclave(needs))), CallError::Refused(Refusal::RecordStale));
    assert_eq!(bench.pipeline.depths().calls, 0);
    bench.sent(1, 1);
}

#[test]
fn begin_waits_while_a_sealed_call_holds_the_wallet() {
    let mut bench = Bench::new();
    let (_, sealed) = bench.sent(1, 1);
    let (_, actions) = bench.begin(None);
    let [Action::Send(ToEnclave::Begin { call, .. })] = actions.as_slice() else { panic!("{actions:?}") };
    let needs = FromEnclave::Begun { call: *call, begun: Begun::NeedsRecord(wallet(1)) };
    assert!(bench.step(Event::Enclave(needs)).is_empty(), "its record is about to change");
    let actions = bench.reply(sealed, 1);
    assert!(matches!(actions.as_slice(), [Action::Answer { .. }, Action::Load { load: Load::Begin { .. }, .. }]));
}

#[test]
fn a_record_of_another_user_is_not_opened_for_a_begin() {
    let mut bench = Bench::new();
    let failures = [
        (LoadFailure::Foreign, CallError::Refused(Refusal::TokenInvalid)),
        (LoadFailure::Token(VaultError::Invalid), CallError::Refused(Refusal::TokenInvalid)),
        (LoadFailure::Token(VaultError::Expired), CallError::Refused(Refusal::TokenExpired)),
        (LoadFailure::Storage, CallError::Storage),
    ];
    for (failure, expected) in failures {
        let (_, actions) = bench.begin(Some(1));
        let [Action::Load { call, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        let actions = bench.step(Event::Loaded { call: *call, loaded: Err(failure) });
        assert_eq!(error(&actions), expected);
    }
}

#[test]
fn refusals_in_clear_are_told_and_not_kept() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let refused = FromEnclave::Refused { call, refusal: Refusal::StaleManifest };
    assert_eq!(error(&bench.step(Event::Enclave(refused))), CallError::Refused(Refusal::StaleManifest));
    assert_eq!(bench.pipeline.depths().replies, 0);
}

#[test]
fn too_many_calls_are_refused_and_no_more_than_the_bound_are_in_flight() {
    let mut bench = Bench::new();
    let mut sent = 0;
    for _ in 0..CALLS_MAX {
        let (_, actions) = bench.ask(Ask::Evidence { nonce: Nonce([1; 32]) });
        assert!(answers(&actions).is_empty());
        sent += actions.len();
    }
    assert_eq!((sent, bench.pipeline.depths().in_flight), (IN_FLIGHT_MAX, IN_FLIGHT_MAX));
    assert_eq!(error(&bench.ask(Ask::Evidence { nonce: Nonce([1; 32]) }).1), CallError::Overloaded);
    assert_eq!(error(&bench.seal(1, 1, "a").1), CallError::Overloaded);
    let done = FromEnclave::Evidence { call: CallId(1), document: vec![1].into() };
    let actions = bench.step(Event::Enclave(done));
    assert!(matches!(actions.as_slice(), [Action::Answer { .. }, Action::Send(ToEnclave::Evidence { .. })]));
    assert!(answers(&bench.seal(1, 1, "a").1).is_empty(), "the token of the call that was not taken is unused");
}

#[test]
fn a_late_reply_is_kept_for_the_resend() {
    let mut bench = Bench::new();
    let (ticket, call) = bench.sent(1, 1);
    bench.now = UnixSeconds(NOW.0 + CALL_SECONDS_MAX);
    let actions = bench.step(Event::Idle);
    assert_eq!(answers(&actions), [(ticket, Err(CallError::Timeout))]);
    let (again, actions) = bench.seal(1, 1, "jti 1");
    assert!(answers(&actions).is_empty(), "still under way");
    assert_eq!(answers(&bench.reply(call, 1)), [(again, Ok(Answer::Sealed(reply(1))))]);
}

#[test]
fn a_call_that_timed_out_in_the_line_never_starts_and_its_token_stays_unused() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let (ticket, _) = bench.seal(1, 2, "b");
    bench.now = UnixSeconds(NOW.0 + CALL_SECONDS_MAX);
    let actions = bench.step(Event::Idle);
    assert!(answers(&actions).contains(&(ticket, Err(CallError::Timeout))));
    let actions = bench.reply(call, 1);
    assert!(actions.is_empty(), "{actions:?}");
    let (_, actions) = bench.seal(1, 2, "b");
    assert!(matches!(actions.as_slice(), [Action::Load { .. }]), "{actions:?}");
}

#[test]
fn an_enclave_that_breaks_the_conversation_is_dropped() {
    let breaches: [fn(&Bench, CallId) -> FromEnclave; 8] = [
        |_, _| FromEnclave::Replied { call: CallId(99), reply: reply(1) },
        |_, call| FromEnclave::Replied { call, reply: reply(2) },
        |_, _| FromEnclave::Refused { call: CallId(99), refusal: Refusal::Busy },
        |_, call| FromEnclave::Begun { call, begun: Begun::Refused(Refusal::Busy) },
        |_, call| FromEnclave::Evidence { call, document: vec![].into() },
        |_, _| FromEnclave::Ready { manifest: vec![].into(), wallets: 0 },
        |_, _| FromEnclave::RollForward { previous: vec![].into(), checkpoint: vec![].into() },
        |bench, call| FromEnclave::Commit(Batch { previous: vec![1].into(), ..bench.batch(&[(call, 1, 1)]) }),
    ];
    for breach in breaches {
        let mut bench = Bench::new();
        let (ticket, call) = bench.sent(1, 1);
        let frame = breach(&bench, call);
        let actions = bench.step(Event::Enclave(frame));
        assert_eq!(answers(&actions), [(ticket, Err(CallError::EnclaveGone(None)))]);
        assert!(matches!(actions.last(), Some(Action::Stop(Stop::Protocol(_)))));
    }
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    bench.commit(&[(call, 1, 1)]);
    let actions = bench.commit(&[(call, 1, 2)]);
    assert!(matches!(actions.last(), Some(Action::Stop(Stop::Protocol("two batches in flight")))));
}

/// A small generator, so that a failing schedule is named by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

#[test]
fn under_random_schedules_every_caller_is_answered_once_and_wallets_are_never_shared() {
    for seed in 1..40_u64 {
        let mut bench = Bench::new();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // What the played loader and enclave still owe.
        let mut loads: Vec<(CallId, Load)> = Vec::new();
        let mut enclave: Vec<(CallId, Option<(u8, RequestId)>)> = Vec::new();
        let mut asked = Vec::new();
        let mut answered = Vec::new();
        let mut number = 0_u8;
        for _ in 0..400 {
            let actions = match dice.roll(6) {
                0 | 1 if number < 200 => {
                    number += 1;
                    let wallet = u8::try_from(dice.roll(3)).unwrap();
                    let (ticket, actions) = bench.seal(wallet, number, &number.to_string());
                    asked.push(ticket);
                    actions
                }
                2 => {
                    let (ticket, actions) = bench.begin(None);
                    asked.push(ticket);
                    actions
                }
                3 if !loads.is_empty() => {
                    let (call, load) = loads.swap_remove(dice.roll(loads.len()));
                    let grant = match load {
                        Load::Sealed { grant, .. } => Some(grant),
                        Load::Begin { .. } => None,
                    };
                    bench.step(Event::Loaded { call, loaded: Ok(Loaded { grant, outer: None, consistency: None }) })
                }
                4 if !enclave.is_empty() => {
                    let (call, sealed) = enclave.swap_remove(dice.roll(enclave.len()));
                    let frame = match sealed {
                        Some((_, request)) => FromEnclave::Replied { call, reply: reply(request.0[0]) },
                        None if dice.roll(2) == 0 => FromEnclave::Begun { call, begun: Begun::NeedsRecord(wallet(0)) },
                        None => FromEnclave::Begun { call, begun: Begun::Refused(Refusal::TokenInvalid) },
                    };
                    bench.step(Event::Enclave(frame))
                }
                5 if dice.roll(4) == 0 => {
                    bench.now = UnixSeconds(bench.now.0 + 9);
                    bench.step(Event::Idle)
                }
                _ => bench.step(Event::Idle),
            };
            for action in actions {
                match action {
                    Action::Load { call, load } => loads.push((call, load)),
                    Action::Send(ToEnclave::Sealed { call, request, .. }) => {
                        enclave.push((call, Some((0, request.header.request))));
                    }
                    Action::Send(ToEnclave::Begin { call, .. }) => enclave.push((call, None)),
                    Action::Answer { ticket, .. } => answered.push(ticket),
                    Action::DropOld { .. } => {}
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            let mut held: Vec<UserIdHash> = loads
                .iter()
                .map(|(_, load)| match load {
                    Load::Sealed { grant, .. } => *grant.wallet(),
                    Load::Begin { wallet, .. } => *wallet,
                })
                .collect();
            held.sort_unstable();
            assert!(held.windows(2).all(|pair| pair[0] != pair[1]), "seed {seed}: two calls share a wallet");
        }
        answered.extend(answers(&bench.step(Event::Disconnected)).into_iter().map(|(ticket, _)| ticket));
        answered.sort_unstable();
        assert_eq!(answered, asked, "seed {seed}");
        assert_eq!(bench.pipeline.depths().in_flight, 0);
    }
}
