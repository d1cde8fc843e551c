-- Hosts compare fencing tokens of one store only, so each has a name.
CREATE TABLE store (name TEXT NOT NULL) STRICT;
INSERT INTO store VALUES (lower(hex(randomblob(8))));

-- What somebody asked of a run. It stays: whoever resumes the run reads it again.
CREATE TABLE messages (
    run TEXT NOT NULL,
    number INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
