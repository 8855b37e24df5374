//! The tables of records and log, one step after the other; those of looking up are in [`super::history`].

/// The tables of this module. Versions, sequences and indices are unsigned and stay below 2^63; times are unix seconds.
pub(crate) const SCHEMA: &str = "
CREATE TABLE records (
    wallet          BLOB PRIMARY KEY CHECK (length(wallet) = 32),
    version         INTEGER NOT NULL,
    hash            BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;
CREATE TABLE outers (
    wallet          BLOB NOT NULL,
    version         INTEGER NOT NULL,
    outer           BLOB NOT NULL,
    UNIQUE (wallet, version)
) STRICT;
CREATE TABLE superseded (
    sequence        INTEGER NOT NULL,
    wallet          BLOB NOT NULL,
    version         INTEGER NOT NULL,
    PRIMARY KEY (sequence, wallet, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_entries (
    position        INTEGER PRIMARY KEY,
    entry           BLOB NOT NULL
) STRICT;
CREATE TABLE log_nodes (
    level           INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    hash            BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    sequence        INTEGER PRIMARY KEY,
    note            BLOB NOT NULL,
    frontier        BLOB NOT NULL
) STRICT;
CREATE TABLE spent_permits (
    token           BLOB NOT NULL,
    number          INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    PRIMARY KEY (token, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_permits_by_expiry ON spent_permits (expires_at);
CREATE TABLE wallet_owners (
    subject         BLOB PRIMARY KEY,
    wallet          BLOB NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
";

/// The fifth step of the schema: used permits in the order in which they expire. Tokens that are used at about the same time expire at about
/// the same time, so the permits of a batch share a few pages where in the order of tokens each took one of its own. The same token has the
/// same time; another token of the same id and another time is refused by the vault, which goes by the id and is told of all these at its start.
pub(crate) const PERMITS_SCHEMA: &str = "
CREATE TABLE permits_by_expiry (
    expires_at      INTEGER NOT NULL,
    token           BLOB NOT NULL,
    number          INTEGER NOT NULL,
    PRIMARY KEY (expires_at, token, number)
) STRICT, WITHOUT ROWID;
INSERT INTO permits_by_expiry (expires_at, token, number) SELECT expires_at, token, number FROM spent_permits;
DROP TABLE spent_permits;
ALTER TABLE permits_by_expiry RENAME TO spent_permits;
";

/// The eighth step: records under the numbers in which they were written, which heads and lists of superseded ones name, and the log's nodes in
/// the order in which they come to be ([`super::log`]). What a batch adds lies at the ends of both tables: of the pages it wrote, an index over
/// (wallet, version) was one in eight, and the ends of every level of the tree one in six.
pub(crate) const ORDER_SCHEMA: &str = "
CREATE TABLE numbered_outers (
    number          INTEGER PRIMARY KEY,
    outer           BLOB NOT NULL
) STRICT;
INSERT INTO numbered_outers (number, outer) SELECT rowid, outer FROM outers;
ALTER TABLE records ADD COLUMN number INTEGER;
UPDATE records SET number = kept.rowid FROM outers AS kept
WHERE kept.wallet = records.wallet AND kept.version = records.version;
CREATE TABLE numbered_superseded (
    sequence        INTEGER NOT NULL,
    number          INTEGER NOT NULL,
    PRIMARY KEY (sequence, number)
) STRICT, WITHOUT ROWID;
INSERT INTO numbered_superseded (sequence, number)
SELECT sequence, outers.rowid FROM superseded JOIN outers USING (wallet, version);
DROP TABLE superseded;
DROP TABLE outers;
ALTER TABLE numbered_outers RENAME TO outers;
ALTER TABLE numbered_superseded RENAME TO superseded;
CREATE TABLE placed_nodes (
    place           INTEGER PRIMARY KEY,
    hash            BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
WITH RECURSIVE shifts (bits) AS (SELECT 0 UNION ALL SELECT bits + 1 FROM shifts WHERE bits < 62)
INSERT INTO placed_nodes (place, hash)
SELECT level + (SELECT sum(leaf >> bits) FROM shifts) AS place, hash
FROM (SELECT level, ((position + 1) << level) - 1 AS leaf, hash FROM log_nodes) ORDER BY place;
DROP TABLE log_nodes;
ALTER TABLE placed_nodes RENAME TO log_nodes;
";
