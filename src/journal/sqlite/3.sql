-- What runs leave to be done, and what later ones have done of it: whoever asks opens no event.
CREATE TABLE debts (
    -- That of the event which says so.
    place INTEGER PRIMARY KEY,
    cluster TEXT NOT NULL,
    paid INTEGER NOT NULL,
    owed TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX debts_by_cluster ON debts (cluster);
