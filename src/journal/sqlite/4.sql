-- What is kept about clusters beside their runs: pauses, what somebody was told, what was asked for and not run.
CREATE TABLE notes (
    cluster TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (cluster, kind, id)
) STRICT;

CREATE INDEX notes_by_moment ON notes (kind, at, cluster, id);
