#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

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
