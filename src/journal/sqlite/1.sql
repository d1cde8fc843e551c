-- One row per run, kept up to date in the transactions of its events: a list of runs opens no event.
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    cluster TEXT NOT NULL,
    playbook TEXT NOT NULL,
    version TEXT,
    trigger TEXT NOT NULL,
    key TEXT,
    started TEXT NOT NULL,
    ended TEXT,
    outcome TEXT,
    last_seq INTEGER NOT NULL,
    -- Who writes it, until it has ended.
    process TEXT,
    -- The fencing token of its lease; none when it only reads.
    token INTEGER
) STRICT;

CREATE INDEX runs_by_start ON runs (started);
CREATE INDEX runs_by_key ON runs (cluster, key) WHERE key IS NOT NULL;

-- A run and its position in one number: no second index, and the events of a run lie together.
CREATE TABLE events (
    place INTEGER PRIMARY KEY,
    v INTEGER NOT NULL,
    at_ms REAL NOT NULL,
    json TEXT NOT NULL,
    run INTEGER AS (place >> 32),
    seq INTEGER AS (place & 4294967295),
    kind TEXT AS (json ->> '$.event')
) STRICT;

-- For people: SELECT * FROM journal WHERE run = '20261123-014607-7k3q';
CREATE VIEW journal AS
    SELECT runs.id AS run, events.seq, events.at_ms, events.kind, events.json
    FROM runs JOIN events
        ON events.place BETWEEN runs.number << 32 AND (runs.number << 32) + 4294967295;

-- The row stays when the lease is given back: tokens never repeat.
CREATE TABLE leases (
    cluster TEXT PRIMARY KEY,
    token INTEGER NOT NULL,
    run TEXT,
    process TEXT,
    expires_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Idempotency keys of runs that have no event yet.
CREATE TABLE announced (
    run TEXT PRIMARY KEY,
    cluster TEXT NOT NULL,
    key TEXT NOT NULL
) STRICT, WITHOUT ROWID;
