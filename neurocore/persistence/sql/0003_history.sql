-- Version 3. Where a history lives: `home` is the number of its file. A copy that NeuroCore makes has none, and says when and
-- how it was made.
CREATE TABLE history (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    id          TEXT NOT NULL,
    home        TEXT,
    copied_at   INTEGER,
    copied_how  TEXT
) STRICT;

INSERT INTO history (one, id) VALUES (1, lower(hex(randomblob(16))));

-- Why a run stands still until somebody adopts it: it came with a copy, or by an import.
ALTER TABLE runs ADD COLUMN held TEXT;
CREATE INDEX runs_held ON runs (run, open_gates) WHERE held IS NOT NULL;

-- A process of an older version cannot drive a run here: it does not know what it must heed from now on. It is recognised
-- by its owner's token, which had no prefix then. Asked at a claim and at a new run alone, never at a step.
CREATE TRIGGER runs_not_claimed_by_older BEFORE UPDATE OF owner ON runs
WHEN NEW.epoch <> OLD.epoch AND NEW.owner GLOB '????????????????????????????????@*'
    AND substr(NEW.owner, 1, 32) NOT GLOB '*[^0-9a-f]*' BEGIN
    SELECT RAISE(ABORT, 'a newer NeuroCore has brought it up to date; install that version and restart');
END;

CREATE TRIGGER runs_not_created_by_older BEFORE INSERT ON runs
WHEN NEW.owner GLOB '????????????????????????????????@*' AND substr(NEW.owner, 1, 32) NOT GLOB '*[^0-9a-f]*' BEGIN
    SELECT RAISE(ABORT, 'a newer NeuroCore has brought it up to date; install that version and restart');
END;
