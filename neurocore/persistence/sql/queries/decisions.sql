-- Gates and answers of a run.
-- A line `-- name: sentence` begins a query.

-- find_suspended_run: The row number of a run without a driver, unless it was claimed.
SELECT run FROM runs WHERE run_id = :run_id AND epoch = :epoch AND status = 'suspended' AND held IS NULL

-- upsert_gate: A gate occurrence in its current state.
INSERT INTO gates (
    run, node_id, visit, kind, name, step_index, opened_at, message, shown, digest, policy, deadline, status, closed_at,
    void_reason, decided_by, auth_mode, due_at, blueprint_name
) VALUES (:run, :node_id, :visit, :kind, :name, :step_index, :opened_at, :message, :shown, :digest, :policy,
    :deadline, :status, :closed_at, :void_reason, :decided_by, :auth_mode, :due_at, (SELECT blueprint_name FROM runs WHERE run = :run))
ON CONFLICT (run, node_id, visit) DO UPDATE SET
    kind = excluded.kind, name = excluded.name, step_index = excluded.step_index, opened_at = excluded.opened_at,
    message = excluded.message, shown = excluded.shown, digest = excluded.digest, policy = excluded.policy,
    deadline = excluded.deadline, status = excluded.status, closed_at = excluded.closed_at,
    void_reason = excluded.void_reason, due_at = excluded.due_at, decided_by = coalesce(excluded.decided_by, decided_by)

-- decide_gate: Open becomes decided, once, for the digest the answer was given on (promise 4).
UPDATE gates SET status = 'decided', closed_at = :closed_at, decided_by = :decided_by
WHERE run = :run AND node_id = :node_id AND visit = :visit AND status = 'open' AND digest = :digest

-- look_again: When an open occurrence with this digest must be looked at next.
UPDATE gates SET due_at = :due_at
WHERE run = :run AND node_id = :node_id AND visit = :visit AND status = 'open' AND digest = :digest

-- due_gates: Open occurrences that must be looked at by now, those that wait longest first.
SELECT r.run_id, g.node_id, g.visit FROM gates AS g CROSS JOIN runs AS r ON r.run = g.run
WHERE g.status = 'open' AND g.due_at <= :now AND r.held IS NULL ORDER BY g.due_at LIMIT :limit

-- void_gate: Open becomes voided, once.
UPDATE gates SET status = 'voided', closed_at = :closed_at, void_reason = :void_reason
WHERE run = :run AND node_id = :node_id AND visit = :visit AND status = 'open'

-- last_answer: The end of a run's chain of answers.
SELECT hash FROM answers WHERE run = :run ORDER BY id DESC LIMIT 1

-- insert_answer: An answer; answers are only ever added (promise 8).
INSERT INTO answers (
    run, node_id, visit, approved, by, known_by, at, note, digest, data, person, face, token, groups, answer, facts,
    prev_hash, hash
) VALUES (:run, :node_id, :visit, :approved, :by, :known_by, :at, :note, :digest, :data, :person, :face, :token,
    :groups, :answer, :facts, :prev_hash, :hash)

-- owe_decision: A decided run must continue (promise 5); one that is owed already stays so.
UPDATE runs SET owed = coalesce(owed, 'decision'), updated_at = :updated_at, version = version + 1 WHERE run = :run

-- touch: Something about the run changed.
UPDATE runs SET version = version + 1 WHERE run = :run

-- load_gates: A run's gate occurrences in the order they opened, each once for each of its answers.
SELECT g.*, r.run_id, {narrow_answer} FROM gates AS g JOIN runs AS r ON r.run = g.run
LEFT JOIN answers AS a ON a.run = g.run AND a.node_id = g.node_id AND a.visit = g.visit
WHERE r.run_id = :run_id ORDER BY g.opened_at, g.step_index, a.id

-- load_gates_narrow: A run's gate occurrences without what they show, each once for each of its answers.
SELECT {narrow_gate}, {narrow_answer} FROM gates AS g JOIN runs AS r ON r.run = g.run
LEFT JOIN answers AS a ON a.run = g.run AND a.node_id = g.node_id AND a.visit = g.visit
WHERE r.run_id = :run_id ORDER BY g.opened_at, g.step_index, a.id

-- load_gate: One gate occurrence.
SELECT g.*, r.run_id FROM gates AS g JOIN runs AS r ON r.run = g.run
WHERE r.run_id = :run_id AND g.node_id = :node_id AND g.visit = :visit

-- answer_hashes: The stored answers of a run.
SELECT a.hash FROM answers AS a JOIN runs AS r ON r.run = a.run WHERE r.run_id = :run_id

-- gate_answers: The answers at one occurrence, in order.
SELECT {narrow_answer} FROM answers AS a WHERE a.run = :run AND a.node_id = :node_id AND a.visit = :visit ORDER BY a.id
