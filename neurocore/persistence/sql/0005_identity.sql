-- Version 5. Passkeys, sign-ins at a provider, who acts by what, and a chain of hashes over the events of each run.

-- When a provider or a proxy said last in which groups a person is.
ALTER TABLE people ADD COLUMN groups_at INTEGER;

-- How the person of a session signed in, and what signing out at the provider needs.
ALTER TABLE sessions ADD COLUMN known_by TEXT NOT NULL DEFAULT 'session';
ALTER TABLE sessions ADD COLUMN id_token TEXT;

CREATE TABLE passkeys (
    id          TEXT PRIMARY KEY,          -- the credential's, in base64url
    person      INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    rp_id       TEXT NOT NULL,             -- the host for which it was made
    public_key  BLOB NOT NULL,             -- in COSE
    sign_count  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX passkeys_by_person ON passkeys (person);

-- What a browser must answer next, once: the challenge of a passkey, or the state of a sign-in at a provider.
CREATE TABLE challenges (
    key         TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    person      INTEGER REFERENCES people (person) ON DELETE CASCADE,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who acted, beside the name that people see. `hash` covers an event and the hash of the run's event before it; events of
-- older versions have none.
ALTER TABLE events ADD COLUMN person TEXT;
ALTER TABLE events ADD COLUMN face TEXT;
ALTER TABLE events ADD COLUMN token TEXT;
ALTER TABLE events ADD COLUMN hash BLOB;

ALTER TABLE answers ADD COLUMN person TEXT;
ALTER TABLE answers ADD COLUMN face TEXT;
ALTER TABLE answers ADD COLUMN token TEXT;
ALTER TABLE answers ADD COLUMN groups TEXT;

-- What waits in the blueprints that somebody may see.
CREATE INDEX gates_open_of_blueprint ON gates (blueprint_name) WHERE status = 'open';

-- How people were known when the gate opened.
ALTER TABLE gates ADD COLUMN auth_mode TEXT NOT NULL DEFAULT 'open';

-- The last hash of the run's events.
ALTER TABLE tombstones ADD COLUMN last_event TEXT NOT NULL DEFAULT '';

-- Attempts to sign in that no limit counts any more.
CREATE INDEX attempts_by_since ON attempts (since);

-- The runs of one person that wait to begin.
CREATE INDEX runs_unbegun ON runs (started_by) WHERE owed = 'start';
