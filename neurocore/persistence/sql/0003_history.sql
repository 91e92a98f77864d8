-- Version 3. A process of an older version cannot drive a run here: it does not know what it must heed from now on. It is
-- recognised by its owner's token, which had no prefix then. Asked at a claim and at a new run alone, never at a step.
CREATE TRIGGER runs_not_claimed_by_older BEFORE UPDATE OF owner ON runs
WHEN NEW.epoch <> OLD.epoch AND NEW.owner GLOB '????????????????????????????????@*'
    AND substr(NEW.owner, 1, 32) NOT GLOB '*[^0-9a-f]*' BEGIN
    SELECT RAISE(ABORT, 'a newer NeuroCore has brought it up to date; install that version and restart');
END;

CREATE TRIGGER runs_not_created_by_older BEFORE INSERT ON runs
WHEN NEW.owner GLOB '????????????????????????????????@*' AND substr(NEW.owner, 1, 32) NOT GLOB '*[^0-9a-f]*' BEGIN
    SELECT RAISE(ABORT, 'a newer NeuroCore has brought it up to date; install that version and restart');
END;
