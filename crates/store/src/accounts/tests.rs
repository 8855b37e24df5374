#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod codes;

use super::*;
use crate::sqlite::{SqlError, Sqlite};

const DEVICE: DeviceId = DeviceId([3; 32]);

fn app() -> AppId {
    AppId::new("app")
}

fn token(number: u8) -> Hash32 {
    Hash32([number; 32])
}

/// A database with one session, whose refresh token is `token(1)`.
fn with_session(directory: &tempfile::TempDir) -> Sqlite {
    let db = Sqlite::open(&directory.path().join("pinseal.db")).unwrap();
    db.create_app(App { id: app(), name: "App".into(), created_at: UnixSeconds(0) }).unwrap();
    let session = db.open_session(NewSession {
        issuer: "test".into(),
        subject: "ada".into(),
        email: "ada@example.test".into(),
        password_hash: None,
        fresh_user: UserId::new("user"),
        id: SessionId::new("session"),
        app: app(),
        device: DEVICE,
        refresh_hash: token(1),
        now: UnixSeconds(100),
        expires_at: UnixSeconds(1_000),
    });
    assert!(session.unwrap().is_some());
    db
}

/// Exchanges `token(presented)` for the one after it.
fn rotate(db: &Sqlite, presented: u8) -> RotationOutcome {
    let rotation = Rotation {
        presented: token(presented),
        device: DEVICE,
        app: app(),
        successor: token(presented + 1),
        successor_masked: [0xaa; 32],
        now: UnixSeconds(100 + u64::from(presented)),
        expires_at: UnixSeconds(1_000),
        opened_after: UnixSeconds(0),
    };
    db.rotate(rotation).unwrap()
}

fn masked(db: &Sqlite) -> Vec<[u8; 32]> {
    db.read(|connection| -> Result<Vec<[u8; 32]>, SqlError> {
        let sql = "SELECT hash FROM refresh_tokens WHERE successor_masked IS NOT NULL";
        let rows: rusqlite::Result<Vec<_>> = connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect();
        Ok(rows?)
    })
    .unwrap()
}

#[test]
fn a_successor_is_kept_masked_only_until_it_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    assert!(matches!(rotate(&db, 1), RotationOutcome::Rotated(_)));
    assert_eq!(masked(&db), [token(1).0]);
    assert!(
        matches!(rotate(&db, 1), RotationOutcome::Repeated(_, [0xaa, ..])),
        "while it is unused it can be fetched again"
    );
    assert!(matches!(rotate(&db, 2), RotationOutcome::Rotated(_)));
    assert_eq!(masked(&db), [token(2).0]);
    assert!(matches!(rotate(&db, 1), RotationOutcome::Reused));
}

/// Every request asks for these rows; each is asked for twice before the write, so that the second answer is the kept one.
#[test]
fn what_a_write_changed_is_seen_by_whatever_is_asked_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let (id, user, key) = (SessionId::new("session"), UserId::new("user"), token(9));
    let new = NewAppKey { hash: key, app: app(), platform: Platform::Server, now: UnixSeconds(100) };
    assert_eq!(db.app_key(&key).unwrap(), None);
    db.create_app_key(new).unwrap();
    for _ in 0..2 {
        assert!(db.app_key(&key).unwrap().is_some());
        assert!(db.session(&id, UnixSeconds(200)).unwrap().is_some());
        assert_eq!(db.user(&user, &app()).unwrap().unwrap().wallet, None);
    }
    assert!(db.bind_wallet(&user, UserIdHash([5; 32])).unwrap());
    assert_eq!(db.user(&user, &app()).unwrap().unwrap().wallet, Some(UserIdHash([5; 32])));
    assert!(matches!(rotate(&db, 1), RotationOutcome::Rotated(_)));
    assert_eq!(db.session(&id, UnixSeconds(200)).unwrap().unwrap().last_used_at, UnixSeconds(101));
    assert!(db.revoke_app_key(&key, UnixSeconds(200)).unwrap());
    assert_eq!(db.app_key(&key).unwrap(), None);
    // Another handle on the same database, as every part of the host has one.
    assert!(db.clone().revoke(&user, &id, UnixSeconds(200)).unwrap());
    assert_eq!(db.session(&id, UnixSeconds(200)).unwrap(), None);
}

#[test]
fn a_session_ends_when_it_expires_also_while_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let id = SessionId::new("session");
    assert!(db.session(&id, UnixSeconds(999)).unwrap().is_some());
    assert_eq!(db.session(&id, UnixSeconds(1_000)).unwrap(), None);
}

#[test]
fn a_row_that_was_read_while_accounts_were_written_is_not_kept() {
    let memory = Memory::default();
    let session = |name: &str| Session {
        id: SessionId::new(name),
        user: UserId::new("user"),
        app: app(),
        device: DEVICE,
        created_at: UnixSeconds(0),
        last_used_at: UnixSeconds(0),
        expires_at: UnixSeconds(9),
    };
    let id = SessionId::new("session");
    let recall = |found: &str, meanwhile: &dyn Fn()| {
        let read = |_: &SessionId| {
            meanwhile();
            Ok::<_, ()>(Some(session(found)))
        };
        memory.recall(super::memory::Kept::sessions, id.clone(), read).unwrap().unwrap().id
    };
    assert_eq!(recall("old", &|| memory.forget()), SessionId::new("old"));
    assert_eq!(recall("new", &|| ()), SessionId::new("new"), "read again");
    assert_eq!(recall("newer", &|| ()), SessionId::new("new"), "kept");
    memory.forget();
    assert_eq!(recall("newer", &|| ()), SessionId::new("newer"));
}

fn statements(count: u8) -> Vec<AccountRow> {
    let row = |number: u8| AccountRow {
        network: "eip155".into(),
        path: format!("m/44'/60'/0'/0/{number}"),
        address: format!("0x{number:040x}"),
        statement: vec![number; 300],
        signature: vec![number; 64],
    };
    (0..count).map(row).collect()
}

#[test]
fn statements_are_kept_all_or_none_and_wait_for_no_write_again() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let user = UserId::new("user");
    db.limit_pages(0).unwrap();
    assert!(db.keep_accounts(&user, statements(200)).is_err(), "there is no room for all of them");
    assert_eq!(db.accounts(&user).unwrap(), []);
    db.limit_pages(1_000).unwrap();
    db.keep_accounts(&user, statements(16)).unwrap();
    assert_eq!(db.accounts(&user).unwrap().len(), 16);
    let held = db.hold_writes();
    let again = {
        let (db, user) = (db.clone(), user.clone());
        std::thread::spawn(move || db.keep_accounts(&user, statements(16)))
    };
    while !again.is_finished() {
        assert_eq!(db.writes_waiting(), 0, "what is kept already needs no write");
        std::thread::yield_now();
    }
    drop(held);
    again.join().unwrap().unwrap();
    let mut moved = statements(16);
    moved[3].address = "0xabc".into();
    db.keep_accounts(&user, moved.clone()).unwrap();
    assert!(db.accounts(&user).unwrap().contains(&moved[3]));
}

/// How SQLite would go about a statement.
fn plan(db: &Sqlite, statement: &str) -> Vec<String> {
    db.read(|connection| -> Result<Vec<String>, SqlError> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let lines: rusqlite::Result<_> =
            statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get("detail"))?.collect();
        Ok(lines?)
    })
    .unwrap()
}

#[test]
fn a_refresh_does_not_look_through_the_sessions_used_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(&with_session(&directory), super::sessions::FORGET_MASKED);
    assert!(plan.iter().all(|line| line.contains("refresh_tokens_masked (successor=?)")), "{plan:?}");
}

/// Strangers choose how many rows there are, and the sweep runs on the thread that stores everything else.
#[test]
fn a_sweep_looks_at_nothing_that_stays() {
    use super::idempotency::{AGED, ENDED, OF_ENDED};
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    for statement in AGED.map(|(delete, _)| delete).into_iter().chain([ENDED]).chain(OF_ENDED) {
        let plan = plan(&db, statement);
        assert!(!plan.is_empty() && !plan.iter().any(|line| line.contains("SCAN")), "{statement}: {plan:?}");
    }
}

#[test]
fn a_device_is_looked_for_without_a_look_at_an_accounts_sessions() {
    use super::sessions::{DEVICE_OF_ACCOUNT, DEVICE_OF_ANYBODY};
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let of_anybody = plan(&db, DEVICE_OF_ANYBODY);
    assert!(of_anybody.iter().all(|line| line.contains("INDEX sessions_by_device (device=?)")), "{of_anybody:?}");
    let of_account = plan(&db, DEVICE_OF_ACCOUNT);
    let last = of_account.last().unwrap();
    assert!(last.contains("INDEX sessions_by_device (device=? AND user_id=?)"), "{of_account:?}");
}

/// Whoever may do that without a login would otherwise have everybody's session read from the database again and again.
#[test]
fn signing_up_and_guessing_codes_leaves_what_is_kept_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let id = SessionId::new("session");
    assert!(db.session(&id, UnixSeconds(200)).unwrap().is_some());
    let is_kept = || {
        let kept = db.memory().recall(super::memory::Kept::sessions, id.clone(), |_| Ok::<_, ()>(None));
        kept.unwrap().is_some()
    };
    let email = "eve@example.test";
    let mac = |number: u8| CodeMac { address: Hash32([1; 32]), mac: Hash32([number; 32]) };
    let code = |purpose, number| Code { purpose, mac: mac(number), now: UnixSeconds(1_000) };
    let verify = code(CodePurpose::Verify, 1);
    let sign_up = SignUp { email: email.into(), subject: "eve".into(), password_hash: "hash".into(), code: verify };
    assert_eq!(db.sign_up(sign_up).unwrap(), MailDue::Code);
    assert_eq!(db.verify_email(email, mac(1), UnixSeconds(1_000)).unwrap(), Verification::Verified);
    assert_eq!(db.issue_code(email, code(CodePurpose::Reset, 2)).unwrap(), MailDue::Code);
    let reset = |number: u8| {
        let (email, password_hash) = (email.into(), "other".into());
        db.reset_password(PasswordReset {
            email,
            code: mac(number),
            password_hash,
            device: None,
            now: UnixSeconds(1_000),
        })
    };
    assert!(!reset(3).unwrap());
    assert!(is_kept());
    assert!(reset(2).unwrap());
    assert!(!is_kept(), "a reset ends sessions");
}

/// Also where nobody ever logged in: somebody else signed up with the address, too, so the first thing its owner did was a reset.
#[test]
fn the_device_of_a_reset_is_the_one_that_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let email = "eve@example.test";
    let mac = |number: u8| CodeMac { address: Hash32([1; 32]), mac: Hash32([number; 32]) };
    let code = |purpose, number, now| Code { purpose, mac: mac(number), now: UnixSeconds(now) };
    let verify = code(CodePurpose::Verify, 1, 1_000);
    let sign_up = SignUp { email: email.into(), subject: "eve".into(), password_hash: "hash".into(), code: verify };
    assert_eq!(db.sign_up(sign_up).unwrap(), MailDue::Code);
    assert_eq!(db.verify_email(email, mac(1), UnixSeconds(1_000)).unwrap(), Verification::Verified);
    let reset = |number: u8, device: Option<DeviceId>| {
        let now = 1_000 * u64::from(number);
        assert_eq!(db.issue_code(email, code(CodePurpose::Reset, number, now)).unwrap(), MailDue::Code);
        let seen = |device| SeenDevice {
            device,
            app: app(),
            id: SessionId::new(format!("seen {number}")),
            fresh_user: UserId::new(format!("eve {number}")),
        };
        let reset = PasswordReset {
            email: email.into(),
            code: mac(number),
            password_hash: "other".into(),
            device: device.map(seen),
            now: UnixSeconds(now),
        };
        assert!(db.reset_password(reset).unwrap());
    };
    let is_known = |number: u8| db.is_device_known(email, &DeviceId([number; 32])).unwrap();
    let live = || db.sessions(&UserId::new("eve 2"), UnixSeconds(2_000)).unwrap();
    reset(2, Some(DeviceId([2; 32])));
    assert!(is_known(2) && live().is_empty(), "known, and nothing is open on it");
    assert!(!db.is_device_known("ada@example.test", &DeviceId([2; 32])).unwrap(), "by nobody else");
    reset(3, None);
    assert!(!is_known(2));
    reset(4, Some(DeviceId([4; 32])));
    let week = 7 * 86_400;
    db.sweep(UnixSeconds(4_000 + week - 1)).unwrap();
    assert!(is_known(4));
    db.sweep(UnixSeconds(4_000 + week)).unwrap();
    assert!(!is_known(4), "as for any session that ended then");
}

/// Somebody who logs in again and again makes the database remember a bounded number of sessions, and ends none that lives.
#[test]
fn a_user_has_a_bounded_number_of_sessions_live_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let email = "ada@example.test";
    let mac = CodeMac { address: Hash32([1; 32]), mac: Hash32([2; 32]) };
    let code = Code { purpose: CodePurpose::Verify, mac, now: UnixSeconds(1) };
    let sign_up = SignUp { email: email.into(), subject: "ada".into(), password_hash: "hash".into(), code };
    db.sign_up(sign_up).unwrap();
    let open = |number: u64| {
        let mut device = [0; 32];
        device[..8].copy_from_slice(&number.to_be_bytes());
        let new = NewSession {
            issuer: EMAIL_ISSUER.into(),
            subject: "ada".into(),
            email: email.into(),
            password_hash: None,
            fresh_user: UserId::new("ada"),
            id: SessionId::new(format!("session {number}")),
            app: app(),
            device: DeviceId(device),
            refresh_hash: Hash32(device),
            now: UnixSeconds(1_000 + number),
            expires_at: UnixSeconds(100_000),
        };
        db.open_session(new).unwrap().unwrap()
    };
    let first = open(0);
    for number in 1..270 {
        let session = open(number);
        assert!(db.revoke(&session.user, &session.id, UnixSeconds(1_000 + number)).unwrap());
    }
    let rows = |connection: &rusqlite::Connection| -> Result<i64, SqlError> {
        Ok(connection.query_row("SELECT count(*) FROM sessions WHERE user_id = 'ada'", [], |row| row.get(0))?)
    };
    assert_eq!(db.read(rows).unwrap(), 258, "the first, the last, and 256 that ended before");
    assert!(db.session(&first.id, UnixSeconds(2_000)).unwrap().is_some(), "the oldest is still open");
    let known = |number: u64| {
        let mut device = [0; 32];
        device[..8].copy_from_slice(&number.to_be_bytes());
        db.is_device_known(email, &DeviceId(device)).unwrap()
    };
    assert!(known(0) && known(269) && known(150) && !known(2));
}

#[test]
fn a_theme_changes_part_by_part_and_belongs_to_one_app() {
    let directory = tempfile::tempdir().unwrap();
    let db = with_session(&directory);
    let other = AppId::new("other");
    db.create_app(App { id: other.clone(), name: "Other".into(), created_at: UnixSeconds(0) }).unwrap();
    let shown = |id: &AppId| {
        let found = db.registered_app(id).unwrap().unwrap();
        (found.app.name, found.theme, db.app_logo(id).unwrap())
    };
    let before = ("App".to_owned(), Theme::default(), None);
    assert_eq!(shown(&app()), before);
    let accent = Accent { light: Rgb { channels: [1, 2, 3] }, dark: Rgb { channels: [255, 254, 253] } };
    let change = |change: ThemeChange| assert!(db.change_theme(&app(), change).unwrap());
    change(ThemeChange { accent: Change::Set(accent), logo: Change::Set(vec![7]), ..ThemeChange::default() });
    assert_eq!(shown(&app()), ("App".into(), Theme { accent: Some(accent), has_logo: true }, Some(vec![7])));
    assert_eq!((accent.light.to_string(), accent.dark.to_string()), ("#010203".into(), "#fffefd".into()));
    change(ThemeChange { name: Some("Shop".into()), logo: Change::Remove, ..ThemeChange::default() });
    assert_eq!(shown(&app()), ("Shop".into(), Theme { accent: Some(accent), has_logo: false }, None));
    change(ThemeChange { name: Some("App".into()), accent: Change::Remove, ..ThemeChange::default() });
    assert_eq!(shown(&app()), before);
    assert_eq!(shown(&other), ("Other".into(), Theme::default(), None));
    assert!(!db.change_theme(&AppId::new("nobody"), ThemeChange::default()).unwrap());
    assert_eq!(db.app_logo(&AppId::new("nobody")).unwrap(), None);
}
