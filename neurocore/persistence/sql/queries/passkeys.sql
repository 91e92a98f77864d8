-- Passkeys, and the challenges that browsers must answer.
-- A line `-- name: sentence` begins a query.

-- insert_passkey: A passkey of a person who has not too many.
INSERT INTO passkeys (id, person, name, rp_id, public_key, sign_count, created_at)
SELECT :id, p.person, :name, :rp_id, :public_key, :sign_count, :created_at FROM people AS p
WHERE p.id = :person_id AND (SELECT count(*) FROM passkeys AS k WHERE k.person = p.person) < :most
ON CONFLICT (id) DO NOTHING

-- list_passkeys: The passkeys of a person.
SELECT k.*, p.id AS person_id FROM passkeys AS k JOIN people AS p ON p.person = k.person
WHERE p.id = :person_id ORDER BY k.created_at, k.id

-- find_passkey: A passkey.
SELECT k.*, p.id AS person_id FROM passkeys AS k JOIN people AS p ON p.person = k.person WHERE k.id = :id

-- use_passkey: A use of a passkey whose counter rose, or which does not count.
UPDATE passkeys SET sign_count = :sign_count, used_at = :at
WHERE id = :id AND (sign_count < :sign_count OR (sign_count = 0 AND :sign_count = 0))

-- remove_passkey: Remove one passkey of a person.
DELETE FROM passkeys WHERE id = :id AND person = (SELECT person FROM people WHERE id = :person_id)

-- remove_passkeys: Remove all passkeys of a person.
DELETE FROM passkeys WHERE person = (SELECT person FROM people WHERE id = :person_id)

-- forget_challenges: Challenges that nobody can answer any more.
DELETE FROM challenges WHERE expires_at <= :now

-- insert_challenge: A challenge, unless too many of its kind wait.
INSERT INTO challenges (key, kind, person, expires_at)
SELECT :key, :kind, (SELECT person FROM people WHERE id = :person_id), :expires_at
WHERE (:person_id IS NULL OR EXISTS (SELECT 1 FROM people WHERE id = :person_id)) AND (
    SELECT count(*) FROM challenges
    WHERE kind = :kind AND person IS (SELECT person FROM people WHERE id = :person_id)
) < :most
ON CONFLICT (key) DO NOTHING

-- take_challenge: Use a challenge up.
DELETE FROM challenges
WHERE key = :key AND kind = :kind AND expires_at > :now
    AND person IS (SELECT person FROM people WHERE id = :person_id)
