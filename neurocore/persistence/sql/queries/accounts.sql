-- People who sign in.
-- A line `-- name: sentence` begins a query.

-- save_person: Add a person, or replace one by id.
INSERT INTO people (
    id, username, label, service, password, created_at, signed_in_at, disabled_at, disabled_by, groups_at
)
VALUES (
    :id, :username, :label, :service, :password, :created_at, :signed_in_at, :disabled_at, :disabled_by, :groups_at
)
ON CONFLICT (id) DO UPDATE SET username = excluded.username, label = excluded.label, service = excluded.service,
    password = excluded.password, disabled_at = excluded.disabled_at, disabled_by = excluded.disabled_by,
    groups_at = excluded.groups_at
RETURNING person

-- clear_grants: Before a person's grants are written again.
DELETE FROM grants WHERE person = :person

-- clear_memberships: Before a person's groups are written again.
DELETE FROM memberships WHERE person = :person

-- insert_grant: A role for blueprints that fit a pattern.
INSERT INTO grants (person, role, pattern) VALUES (:person, :role, :pattern)

-- insert_membership: A group of a person.
INSERT INTO memberships (person, name) VALUES (:person, :name)

-- load_person: A person by id or by username.
SELECT p.*,
    (SELECT json_group_array(json_array(g.role, g.pattern)) FROM grants AS g WHERE g.person = p.person) AS grants,
    (SELECT json_group_array(m.name) FROM memberships AS m WHERE m.person = p.person) AS groups
FROM people AS p WHERE p.id = :id OR p.username = :username

-- find_identity: The person who is known so.
SELECT p.id FROM identities AS i JOIN people AS p ON p.person = i.person
WHERE i.mode = :mode AND i.subject = :subject

-- insert_identity: By whom a person is known.
INSERT INTO identities (mode, subject, person) VALUES (:mode, :subject, :person)
ON CONFLICT (mode, subject) DO NOTHING

-- note_groups: When a provider or a proxy named somebody's groups last.
UPDATE people SET groups_at = :at WHERE id = :id

-- list_people: Everybody.
SELECT p.*,
    (SELECT json_group_array(json_array(g.role, g.pattern)) FROM grants AS g WHERE g.person = p.person) AS grants,
    (SELECT json_group_array(m.name) FROM memberships AS m WHERE m.person = p.person) AS groups
FROM people AS p ORDER BY p.username

-- count_admins: Those who may manage accounts.
SELECT count(*) AS count FROM people AS p JOIN grants AS g ON g.person = p.person
WHERE g.role = 'admin' AND g.pattern = '*' AND p.disabled_at IS NULL

-- insert_session: A browser that signed in, if the account is as it was when its password or passkey was checked.
INSERT INTO sessions (key, id, person, signed_in_at, seen_at, agent, known_by, id_token)
SELECT :key, :id, p.person, :signed_in_at, :signed_in_at, :agent, :known_by, :id_token FROM people AS p
WHERE p.id = :person_id AND p.disabled_at IS NULL AND p.password IS :password
    AND (:passkey IS NULL OR EXISTS (SELECT 1 FROM passkeys AS k WHERE k.id = :passkey AND k.person = p.person))

-- note_sign_in: When a person signed in last.
UPDATE people SET signed_in_at = :at WHERE id = :id

-- load_session: A session with its person: every request reads both.
SELECT p.*,
    (SELECT json_group_array(json_array(g.role, g.pattern)) FROM grants AS g WHERE g.person = p.person) AS grants,
    (SELECT json_group_array(m.name) FROM memberships AS m WHERE m.person = p.person) AS groups,
    s.key, s.id AS session_id, s.signed_in_at AS opened_at, s.seen_at, s.agent, s.known_by, s.id_token,
    p.id AS person_id
FROM sessions AS s JOIN people AS p ON p.person = s.person WHERE s.key = :key

-- list_sessions: The sessions of a person.
SELECT s.key, s.id AS session_id, s.signed_in_at AS opened_at, s.seen_at, s.agent, s.known_by, NULL AS id_token,
    p.id AS person_id
FROM sessions AS s JOIN people AS p ON p.person = s.person WHERE p.id = :person_id ORDER BY s.signed_in_at DESC

-- touch_session: When a session was used last.
UPDATE sessions SET seen_at = :at WHERE key = :key

-- end_session: End one session of a person.
DELETE FROM sessions WHERE id = :id AND person = (SELECT person FROM people WHERE id = :person_id)

-- end_sessions: End all sessions of a person but one.
DELETE FROM sessions WHERE id IS NOT :but AND person = (SELECT person FROM people WHERE id = :person_id)

-- insert_token: A token of a person.
INSERT INTO tokens (key, id, person, name, scopes, blueprints, created_at, expires_at)
SELECT :key, :id, p.person, :name, :scopes, :blueprints, :created_at, :expires_at FROM people AS p
WHERE p.id = :person_id

-- load_token: A token.
SELECT t.*, p.id AS person_id FROM tokens AS t JOIN people AS p ON p.person = t.person WHERE t.key = :key

-- list_tokens: The tokens of a person, or of everybody.
SELECT t.*, p.id AS person_id FROM tokens AS t JOIN people AS p ON p.person = t.person
WHERE :person_id IS NULL OR p.id = :person_id ORDER BY t.created_at DESC

-- revoke_token: End a token.
UPDATE tokens SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL

-- insert_link: A one-time link.
INSERT INTO links (key, person, expires_at)
VALUES (:key, (SELECT person FROM people WHERE id = :person_id), :expires_at)

-- forget_links: Links that are over.
DELETE FROM links WHERE expires_at <= :now

-- find_link: A link that is valid.
SELECT p.id AS person_id FROM links AS l LEFT JOIN people AS p ON p.person = l.person
WHERE l.key = :key AND l.expires_at > :now

-- take_link: Use a link up, with all others of the same person, or all for the first admin.
DELETE FROM links
WHERE person IS (SELECT person FROM links WHERE key = :key) AND EXISTS (
    SELECT 1 FROM links WHERE key = :key AND expires_at > :now
)

-- forget_used: What need not be remembered any more.
DELETE FROM challenges WHERE expires_at <= :now

-- use_once: What works once is used.
INSERT INTO challenges (key, kind, expires_at) VALUES (:key, :kind, :expires_at) ON CONFLICT (key) DO NOTHING

-- count_attempt: A failed attempt to sign in; the count begins anew when the first is older than the window.
INSERT INTO attempts (place, count, since) VALUES (:place, 1, :now)
ON CONFLICT (place) DO UPDATE SET count = CASE WHEN since < :from THEN 1 ELSE count + 1 END,
    since = CASE WHEN since < :from THEN :now ELSE since END
RETURNING count

-- forget_attempts: Attempts at other places that no limit counts any more.
DELETE FROM attempts WHERE since < :from AND place <> :place

-- attempts: The failed attempts at a place within the window.
SELECT count FROM attempts WHERE place = :place AND since >= :from

-- clear_attempts: Somebody signed in.
DELETE FROM attempts WHERE place = :place

-- disabled_since: When a person was first disabled after a time.
SELECT min(at) AS at FROM entries
WHERE kind = 'user-disabled' AND at > :after AND json_extract(data, '$.user') = :person_id

-- last_entry: The end of the chain of entries.
SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1

-- insert_entry: Who did what to accounts.
INSERT INTO entries (number, at, kind, actor, data, prev_hash, hash)
VALUES (:number, :at, :kind, :actor, :data, :prev_hash, :hash)

-- list_entries: The chain of entries.
SELECT number, at, kind, actor, data, prev_hash, hash FROM entries ORDER BY number
