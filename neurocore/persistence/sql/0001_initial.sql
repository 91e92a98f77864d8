-- Version 1. Times are microseconds since 1970 in UTC. `run` is the row number of a run: short, and in the order of arrival.

CREATE TABLE blueprints (
    id          INTEGER PRIMARY KEY,
    hash        TEXT NOT NULL UNIQUE,      -- of the stored text, so that two spellings of one definition are both kept
    name        TEXT NOT NULL,
    version     TEXT NOT NULL,
    flow_type   TEXT NOT NULL,
    definition  TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    run                INTEGER PRIMARY KEY,
    run_id             TEXT NOT NULL UNIQUE,
    blueprint          INTEGER NOT NULL REFERENCES blueprints (id),
    blueprint_name     TEXT NOT NULL,
    title              TEXT,
    title_key          TEXT,               -- the title in small letters: what a search compares
    status             TEXT NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    finished_at        INTEGER,
    duration_ms        REAL,
    suspended_at_node  TEXT,
    suspension_reason  TEXT,
    current_nodes      TEXT,
    nodes_done         INTEGER NOT NULL,
    nodes_total        INTEGER NOT NULL,
    started_by         TEXT,
    known_by           TEXT,
    replay_of          TEXT,
    tags               TEXT,
    epoch              INTEGER NOT NULL,
    owner              TEXT,
    lease_until        INTEGER,
    owed               TEXT,
    deaths             INTEGER NOT NULL,
    cancel_requested   TEXT,
    version            INTEGER NOT NULL,
    open_gates         INTEGER NOT NULL DEFAULT 0,
    legacy             TEXT,
    replay_only        TEXT,
    error              TEXT,
    failure            TEXT,
    blueprint_hash     TEXT,
    blueprint_path     TEXT
) STRICT;

-- Each list has an index in the order of its page. The first one has what a search looks at, too.
CREATE INDEX runs_newest ON runs (created_at, run, title_key, run_id);
CREATE INDEX runs_by_status ON runs (status, created_at);
CREATE INDEX runs_by_blueprint ON runs (blueprint_name, created_at);
CREATE INDEX runs_by_both ON runs (blueprint_name, status, created_at);
CREATE INDEX runs_by_title ON runs (title_key, created_at) WHERE title_key IS NOT NULL;
CREATE INDEX runs_by_starter ON runs (started_by, created_at) WHERE started_by IS NOT NULL;
CREATE INDEX runs_active ON runs (run) WHERE owed IS NOT NULL OR status = 'running';
CREATE INDEX runs_waiting ON runs (created_at) WHERE open_gates > 0;

-- What a run was given, apart from its row: every step writes the row anew, and must not write this with it.
CREATE TABLE run_inputs (
    run           INTEGER PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    initial_data  BLOB NOT NULL
) STRICT;

CREATE TABLE run_tags (
    tag         TEXT NOT NULL,
    created_at  INTEGER NOT NULL,          -- the run's, so that a page of one tag is in order
    run         INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at, run)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_tags_by_run ON run_tags (run);

CREATE TABLE steps (
    run               INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    step_index        INTEGER NOT NULL,
    component         TEXT NOT NULL,
    node_id           TEXT,                -- NULL where it is the component's name
    visit             INTEGER NOT NULL,
    attempt           INTEGER NOT NULL,
    skill_type        TEXT,
    skill_version     TEXT,
    status            TEXT NOT NULL,
    reason            TEXT,
    port              TEXT,
    edges_taken       TEXT,
    started_at        INTEGER NOT NULL,
    duration_ms       REAL,
    error             TEXT,
    error_type        TEXT,
    output_keys       TEXT,
    commit_index      INTEGER NOT NULL,
    config            BLOB,
    changes           BLOB,
    traceback         TEXT,
    context_snapshot  BLOB,
    PRIMARY KEY (run, step_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
    run         INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    step_index  INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    level       TEXT NOT NULL,
    message     TEXT NOT NULL,
    PRIMARY KEY (run, step_index, line)
) STRICT, WITHOUT ROWID;

-- A step that is written again brings all of its lines.
CREATE TRIGGER steps_written_again AFTER UPDATE ON steps BEGIN
    DELETE FROM logs WHERE run = NEW.run AND step_index = NEW.step_index;
END;

CREATE TABLE events (
    id        INTEGER PRIMARY KEY,
    run       INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    who       TEXT,
    known_by  TEXT,
    data      BLOB
) STRICT;

CREATE INDEX events_by_run ON events (run);

CREATE TABLE gates (
    run             INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    node_id         TEXT NOT NULL,
    visit           INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    name            TEXT NOT NULL,
    step_index      INTEGER NOT NULL,
    opened_at       INTEGER NOT NULL,
    message         TEXT NOT NULL,
    shown           BLOB NOT NULL,
    digest          TEXT NOT NULL,
    policy          TEXT NOT NULL,
    deadline        INTEGER,
    status          TEXT NOT NULL,
    closed_at       INTEGER,
    void_reason     TEXT,
    blueprint_name  TEXT NOT NULL,         -- the run's, and who decided: so that each list has its index
    decided_by      TEXT,
    PRIMARY KEY (run, node_id, visit)
) STRICT, WITHOUT ROWID;

CREATE INDEX gates_open ON gates (opened_at) WHERE status = 'open';
CREATE INDEX gates_closed ON gates (status, closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX gates_closed_of_blueprint ON gates (blueprint_name, status, closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX gates_decided_by ON gates (decided_by, closed_at) WHERE decided_by IS NOT NULL;

CREATE TABLE answers (
    id         INTEGER PRIMARY KEY,
    run        INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    node_id    TEXT NOT NULL,
    visit      INTEGER NOT NULL,
    approved   INTEGER,
    by         TEXT NOT NULL,
    known_by   TEXT NOT NULL,
    at         TEXT NOT NULL,              -- as it was hashed
    note       TEXT,
    digest     TEXT,
    data       BLOB,
    prev_hash  TEXT NOT NULL,
    hash       TEXT NOT NULL
) STRICT;

CREATE INDEX answers_by_run ON answers (run);

CREATE TABLE tombstones (
    run_id          TEXT PRIMARY KEY,
    blueprint_name  TEXT NOT NULL,
    deleted_at      TEXT NOT NULL,
    deleted_by      TEXT NOT NULL,
    last_hash       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    key     TEXT PRIMARY KEY,
    at      INTEGER NOT NULL,
    digest  TEXT NOT NULL,
    answer  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (at);

-- How many runs there are, kept in step by the triggers below; `day` counts days since 1970.
CREATE TABLE counts (
    blueprint_name  TEXT NOT NULL,
    status          TEXT NOT NULL,
    n               INTEGER NOT NULL,
    PRIMARY KEY (blueprint_name, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_counts (
    day             INTEGER NOT NULL,
    blueprint_name  TEXT NOT NULL,
    status          TEXT NOT NULL,
    n               INTEGER NOT NULL,
    PRIMARY KEY (day, blueprint_name, status)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER runs_counted_in AFTER INSERT ON runs BEGIN
    INSERT INTO counts VALUES (NEW.blueprint_name, NEW.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO day_counts VALUES (NEW.created_at / 86400000000, NEW.blueprint_name, NEW.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER runs_counted_out AFTER DELETE ON runs BEGIN
    UPDATE counts SET n = n - 1 WHERE blueprint_name = OLD.blueprint_name AND status = OLD.status;
    UPDATE day_counts SET n = n - 1
        WHERE day = OLD.created_at / 86400000000 AND blueprint_name = OLD.blueprint_name AND status = OLD.status;
END;

CREATE TRIGGER runs_counted_over AFTER UPDATE OF status, blueprint_name, created_at ON runs
WHEN OLD.status <> NEW.status OR OLD.blueprint_name <> NEW.blueprint_name OR OLD.created_at <> NEW.created_at BEGIN
    UPDATE counts SET n = n - 1 WHERE blueprint_name = OLD.blueprint_name AND status = OLD.status;
    UPDATE day_counts SET n = n - 1
        WHERE day = OLD.created_at / 86400000000 AND blueprint_name = OLD.blueprint_name AND status = OLD.status;
    INSERT INTO counts VALUES (NEW.blueprint_name, NEW.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO day_counts VALUES (NEW.created_at / 86400000000, NEW.blueprint_name, NEW.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER gates_counted_in AFTER INSERT ON gates WHEN NEW.status = 'open' BEGIN
    UPDATE runs SET open_gates = open_gates + 1 WHERE run = NEW.run;
END;

CREATE TRIGGER gates_counted_out AFTER DELETE ON gates WHEN OLD.status = 'open' BEGIN
    UPDATE runs SET open_gates = open_gates - 1 WHERE run = OLD.run;
END;

CREATE TRIGGER gates_counted_over AFTER UPDATE OF status ON gates WHEN OLD.status <> NEW.status BEGIN
    UPDATE runs SET open_gates = open_gates + (NEW.status = 'open') - (OLD.status = 'open') WHERE run = NEW.run;
END;
