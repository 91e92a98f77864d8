-- Version 4. People who sign in, what they may do, their sessions, tokens and one-time links, failed attempts to sign in, and
-- the chain of entries about accounts.
CREATE TABLE people (
    person        INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    username      TEXT NOT NULL UNIQUE,
    label         TEXT NOT NULL,
    service       INTEGER NOT NULL DEFAULT 0,
    password      TEXT,
    created_at    INTEGER NOT NULL,
    signed_in_at  INTEGER,
    disabled_at   INTEGER,
    disabled_by   TEXT
) STRICT;

-- By whom a person is known to those that sign people in: compared byte for byte.
CREATE TABLE identities (
    mode     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    person   INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    PRIMARY KEY (mode, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    person   INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    role     TEXT NOT NULL,
    pattern  TEXT NOT NULL,
    PRIMARY KEY (person, role, pattern)
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    person   INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    PRIMARY KEY (person, name)
) STRICT, WITHOUT ROWID;

-- Secrets are kept as their SHA-256: who reads the file can use none of them.
CREATE TABLE sessions (
    key           TEXT PRIMARY KEY,
    id            TEXT NOT NULL,
    person        INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    signed_in_at  INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    agent         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    key         TEXT PRIMARY KEY,
    id          TEXT NOT NULL,
    person      INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    blueprints  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    key         TEXT PRIMARY KEY,
    person      INTEGER REFERENCES people (person) ON DELETE CASCADE,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    place  TEXT PRIMARY KEY,
    count  INTEGER NOT NULL,
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who did what to accounts: each entry names the hash of the one before it.
CREATE TABLE entries (
    number     INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    data       TEXT NOT NULL,
    prev_hash  TEXT NOT NULL,
    hash       TEXT NOT NULL
) STRICT;
