-- Everything that NeuroCore asks of its database. A line `-- name: sentence` begins a query. What stands in braces is
-- put in: {narrow} and {narrow_step}, a list's columns, here; in sqlite_reads.py {filters}, a WHERE from its fixed table; {order}, ASC or DESC.

-- narrow: The columns of a run in a list; the wide ones are never read there. `rows.run_of` reads them by their place.
    r.run, r.run_id, r.blueprint_name, r.title, r.status, r.created_at, r.updated_at, r.finished_at,
    r.duration_ms, r.suspended_at_node, r.suspension_reason, r.current_nodes, r.nodes_done, r.nodes_total, r.started_by,
    r.known_by, r.replay_of, r.tags, r.epoch, r.owner, r.lease_until, r.owed, r.deaths, r.cancel_requested, r.version,
    r.legacy, r.replay_only, r.held, r.error, r.failure, r.blueprint_hash, r.blueprint_path, b.version AS blueprint_version, b.flow_type

-- narrow_gate: The columns of a gate occurrence without what it shows.
g.run, g.node_id, g.visit, g.kind, g.name, g.step_index, g.opened_at, g.message, x'80' AS shown, g.digest, g.policy,
    g.deadline, g.status, g.closed_at, g.void_reason, r.run_id

-- narrow_answer: The columns of an answer, under names that a gate has none of.
a.id AS answer_id, a.node_id AS answer_node, a.visit AS answer_visit, a.approved, a.by, a.known_by, a.at, a.note,
a.digest AS answer_digest, a.data, a.prev_hash, a.hash

-- narrow_ended: The columns of a step that ended its visit.
s.step_index, s.commit_index, s.component, s.node_id, s.visit, s.status, s.edges_taken, s.output_keys, s.skill_version

-- narrow_step: The columns of a step in a list. `rows.step_of` reads them by their place.
    s.run, s.step_index, s.component, s.node_id, s.visit, s.attempt, s.skill_type, s.skill_version, s.status,
    s.reason, s.port, s.edges_taken, s.started_at, s.duration_ms, s.error, s.error_type, s.output_keys, s.commit_index

-- find_run: The row number of a run, its epoch, and why it stands still.
SELECT run, epoch, held FROM runs WHERE run_id = ?

-- find_suspended_run: The row number of a run that nobody drives, as long as nobody has claimed it.
SELECT run FROM runs WHERE run_id = ? AND epoch = ? AND status = 'suspended' AND held IS NULL

-- insert_blueprint: Keep a definition once.
INSERT INTO blueprints (hash, name, version, flow_type, definition) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING

-- find_blueprint: The row number of a definition.
SELECT id FROM blueprints WHERE hash = ?

-- insert_run: A new run; an id that is taken is a conflict.
INSERT INTO runs (
    run_id, blueprint, blueprint_name, title, title_key, status, created_at, updated_at, finished_at, duration_ms,
    suspended_at_node, suspension_reason, current_nodes, nodes_done, nodes_total, started_by, known_by, replay_of,
    tags, epoch, owner, lease_until, owed, deaths, cancel_requested, legacy, replay_only, held, error, failure,
    blueprint_hash, blueprint_path, version
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- update_run: Replace every column of a run but its place in the order; its version is raised in any case.
UPDATE runs SET
    run_id = ?, blueprint = ?, blueprint_name = ?, title = ?, title_key = ?, status = ?, created_at = ?, updated_at = ?,
    finished_at = ?, duration_ms = ?, suspended_at_node = ?, suspension_reason = ?, current_nodes = ?, nodes_done = ?,
    nodes_total = ?, started_by = ?, known_by = ?, replay_of = ?, tags = ?, epoch = ?, owner = ?, lease_until = ?,
    owed = ?, deaths = ?, cancel_requested = ?, legacy = ?, replay_only = ?, held = ?, error = ?, failure = ?, blueprint_hash = ?,
    blueprint_path = ?, version = max(?, version + 1)
WHERE run = ?

-- keep_inputs: What a run was given.
INSERT INTO run_inputs (run, initial_data) VALUES (?, ?)
ON CONFLICT (run) DO UPDATE SET initial_data = excluded.initial_data

-- insert_tag: One tag of a run.
INSERT INTO run_tags (tag, created_at, run) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- delete_tags: Before a run's tags are written anew.
DELETE FROM run_tags WHERE run = ?

-- claim: The right to drive a run, if nobody has claimed it in between (promise 3), and it does not stand still.
UPDATE runs SET epoch = epoch + 1, owner = ?, owed = NULL, status = 'running',
    cancel_requested = CASE WHEN status IN ('running', 'suspended') THEN cancel_requested END,
    finished_at = NULL, error = NULL, failure = NULL, updated_at = ?, version = version + 1
WHERE run_id = ? AND epoch = ? AND owner IS ? AND held IS NULL
RETURNING epoch

-- commit_step: The run's row while it goes on; epoch and owner keep out one who lost the claim.
UPDATE runs SET updated_at = ?, duration_ms = ?, current_nodes = ?, nodes_done = ?, deaths = ?, version = version + 1
WHERE run = ? AND run_id = ? AND epoch = ? AND owner IS ?
RETURNING cancel_requested, owed, version, blueprint_hash

-- commit_run: The run's row when its state changes.
UPDATE runs SET
    status = ?, updated_at = ?, finished_at = ?, duration_ms = ?, suspended_at_node = ?, suspension_reason = ?,
    current_nodes = ?, nodes_done = ?, owner = ?, lease_until = ?, owed = ?, deaths = ?, error = ?, failure = ?,
    version = version + 1
WHERE run = ? AND run_id = ? AND epoch = ? AND owner IS ?
RETURNING cancel_requested, owed, version, blueprint_hash

-- redefine_run: The run goes on with another definition (`--latest`).
UPDATE runs SET blueprint = ?, blueprint_hash = ?, nodes_total = ? WHERE run = ?

-- is_decided: Whether a decided gate of the run waits to be consumed.
SELECT EXISTS (SELECT 1 FROM gates WHERE run = ? AND status = 'decided')

-- decided_gates: The decided gates of the run that wait to be consumed.
SELECT node_id, visit FROM gates WHERE run = ? AND status = 'decided'

-- upsert_step: A step, or its final form in place of the suspended one.
INSERT INTO steps (
    run, step_index, component, node_id, visit, attempt, skill_type, skill_version, status, reason, port, edges_taken,
    started_at, duration_ms, error, error_type, output_keys, commit_index, config, changes, traceback, context_snapshot
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, step_index) DO UPDATE SET
    component = excluded.component, node_id = excluded.node_id, visit = excluded.visit, attempt = excluded.attempt,
    skill_type = excluded.skill_type, skill_version = excluded.skill_version, status = excluded.status,
    reason = excluded.reason, port = excluded.port, edges_taken = excluded.edges_taken,
    started_at = excluded.started_at, duration_ms = excluded.duration_ms, error = excluded.error,
    error_type = excluded.error_type, output_keys = excluded.output_keys, commit_index = excluded.commit_index,
    config = excluded.config, changes = excluded.changes, traceback = excluded.traceback,
    context_snapshot = excluded.context_snapshot

-- insert_log: One line that a skill logged.
INSERT INTO logs (run, step_index, line, at, level, message) VALUES (?, ?, ?, ?, ?, ?)

-- insert_event: One entry of a run's activity.
INSERT INTO events (run, at, kind, who, known_by, data) VALUES (?, ?, ?, ?, ?, ?)

-- delete_events: Before a run's activity is written anew.
DELETE FROM events WHERE run = ?

-- upsert_gate: A gate occurrence as it stands now.
INSERT INTO gates (
    run, node_id, visit, kind, name, step_index, opened_at, message, shown, digest, policy, deadline, status, closed_at,
    void_reason, decided_by, blueprint_name
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT blueprint_name FROM runs WHERE run = ?))
ON CONFLICT (run, node_id, visit) DO UPDATE SET
    kind = excluded.kind, name = excluded.name, step_index = excluded.step_index, opened_at = excluded.opened_at,
    message = excluded.message, shown = excluded.shown, digest = excluded.digest, policy = excluded.policy,
    deadline = excluded.deadline, status = excluded.status, closed_at = excluded.closed_at,
    void_reason = excluded.void_reason, decided_by = coalesce(excluded.decided_by, decided_by)

-- decide_gate: Open becomes decided, once, for the digest the answer was given on (promise 4).
UPDATE gates SET status = 'decided', closed_at = ?, decided_by = ?
WHERE run = ? AND node_id = ? AND visit = ? AND status = 'open' AND digest = ?

-- void_gate: Open becomes voided, once.
UPDATE gates SET status = 'voided', closed_at = ?, void_reason = ?
WHERE run = ? AND node_id = ? AND visit = ? AND status = 'open'

-- last_answer: The end of a run's chain of answers.
SELECT hash FROM answers WHERE run = ? ORDER BY id DESC LIMIT 1

-- insert_answer: An answer; answers are only ever added (promise 8).
INSERT INTO answers (run, node_id, visit, approved, by, known_by, at, note, digest, data, prev_hash, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- owe_decision: A decided run must be driven on (promise 5).
UPDATE runs SET owed = 'decision', updated_at = ?, version = version + 1 WHERE run = ?

-- set_owed: Mark a run as owed, or not, unless it is over for good, or under another claim than the one that is named.
UPDATE runs SET owed = ?, version = version + 1
WHERE run_id = ? AND held IS NULL AND status NOT IN ('completed', 'cancelled')
    AND (? IS NULL OR (epoch = ? AND owner IS ?))
RETURNING run

-- touch: Something about the run changed.
UPDATE runs SET version = version + 1 WHERE run = ?

-- request_cancel: Ask whoever drives the run to stop, unless it has ended.
UPDATE runs SET cancel_requested = ?, version = version + 1
WHERE run_id = ? AND held IS NULL AND status IN ('running', 'suspended')
RETURNING run

-- signals: What the driver of a run must notice.
SELECT epoch, owner, cancel_requested, owed, version FROM runs WHERE run_id = ?

-- delete_run: A run and, by cascade, all that belongs to it.
DELETE FROM runs WHERE run_id = ?

-- insert_tombstone: What is left of a deleted run.
INSERT INTO tombstones (run_id, blueprint_name, deleted_at, deleted_by, last_hash) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run_id) DO NOTHING

-- load_tombstone: What is left of a deleted run.
SELECT run_id, blueprint_name, deleted_at, deleted_by, last_hash FROM tombstones WHERE run_id = ?

-- load_run: The whole row of a run with its definition.
SELECT {narrow}, i.initial_data, b.definition
FROM runs AS r JOIN run_inputs AS i ON i.run = r.run JOIN blueprints AS b ON b.id = r.blueprint WHERE r.run_id = ?

-- load_summary: A run's row without its wide columns.
SELECT {narrow} FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint WHERE r.run_id = ?

-- load_initial_data: What a run was given.
SELECT i.run, i.initial_data FROM run_inputs AS i JOIN runs AS r ON r.run = i.run WHERE r.run_id = ?

-- load_definition: The definition that a run goes by.
SELECT b.definition FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint WHERE r.run_id = ?

-- load_ended: What the loop needs of each step that ended its visit. `rows.ended_of` reads them by their place.
SELECT {narrow_ended} FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = ? AND s.edges_taken IS NOT NULL

-- load_recorded: What a driver goes on from: each step with what it changed; and the inputs, at -1.
SELECT {narrow_ended}, s.changes FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = :run_id
UNION ALL
SELECT -1, -1, '', NULL, 0, '', NULL, NULL, NULL, i.initial_data
FROM run_inputs AS i JOIN runs AS r ON r.run = i.run WHERE r.run_id = :run_id

-- open_steps: The steps that ended no visit, with what they logged.
SELECT {narrow_step}, s.config, s.changes, s.traceback, s.context_snapshot, (
    SELECT json_group_array(json_object('at', l.at, 'level', l.level, 'message', l.message))
    FROM (SELECT * FROM logs WHERE run = s.run AND step_index = s.step_index ORDER BY line) AS l
) AS logs FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = ? AND s.edges_taken IS NULL ORDER BY s.commit_index

-- load_steps: Every step of a run, in order.
SELECT {narrow_step}, s.config, s.changes, s.traceback, s.context_snapshot
FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = ? ORDER BY s.step_index

-- load_step: One step.
SELECT {narrow_step}, s.config, s.changes, s.traceback, s.context_snapshot
FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = ? AND s.step_index = ?

-- load_changes: What the steps did to the context, and the inputs at -1; `rows.fold_changes` puts them in order.
SELECT s.commit_index, s.changes FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.changes IS NOT NULL
UNION ALL
SELECT -1, i.initial_data FROM run_inputs AS i JOIN runs AS r ON r.run = i.run WHERE r.run_id = :run_id

-- order_of_changes: In which order the steps changed the context.
SELECT s.step_index, s.commit_index FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = ? AND s.changes IS NOT NULL ORDER BY s.commit_index

-- load_step_changes: What one step did to the context.
SELECT s.changes FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = ? AND s.step_index = ?

-- step_summaries: Steps beyond an index without their wide columns.
SELECT {narrow_step} FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = ? AND s.step_index > ? ORDER BY s.step_index LIMIT ?

-- load_logs: What a run's skills logged.
SELECT l.step_index, l.at, l.level, l.message FROM logs AS l JOIN runs AS r ON r.run = l.run
WHERE r.run_id = ? ORDER BY l.step_index, l.line

-- load_step_logs: What one step logged.
SELECT l.step_index, l.at, l.level, l.message FROM logs AS l JOIN runs AS r ON r.run = l.run
WHERE r.run_id = ? AND l.step_index = ? ORDER BY l.line

-- load_events: A run's activity.
SELECT e.at, e.kind, e.who, e.known_by, e.data FROM events AS e JOIN runs AS r ON r.run = e.run
WHERE r.run_id = ? ORDER BY e.id

-- load_gates: A run's gate occurrences in the order they opened, each once for each of its answers.
SELECT g.*, r.run_id, {narrow_answer} FROM gates AS g JOIN runs AS r ON r.run = g.run
LEFT JOIN answers AS a ON a.run = g.run AND a.node_id = g.node_id AND a.visit = g.visit
WHERE r.run_id = ? ORDER BY g.opened_at, g.step_index, a.id

-- load_gates_narrow: A run's gate occurrences without what they show, each once for each of its answers.
SELECT {narrow_gate}, {narrow_answer} FROM gates AS g JOIN runs AS r ON r.run = g.run
LEFT JOIN answers AS a ON a.run = g.run AND a.node_id = g.node_id AND a.visit = g.visit
WHERE r.run_id = ? ORDER BY g.opened_at, g.step_index, a.id

-- answer_hashes: Which answers of a run are kept.
SELECT a.hash FROM answers AS a JOIN runs AS r ON r.run = a.run WHERE r.run_id = ?

-- gate_answers: The answers at one occurrence, in order.
SELECT {narrow_answer} FROM answers AS a WHERE a.run = ? AND a.node_id = ? AND a.visit = ? ORDER BY a.id

-- count_open_gates: How many gates and inputs wait for a person; those of runs that stand still do not.
SELECT (SELECT count(*) FROM gates WHERE status = 'open')
    - (SELECT coalesce(sum(open_gates), 0) FROM runs WHERE held IS NOT NULL)

-- load_gate: One gate occurrence.
SELECT g.*, r.run_id FROM gates AS g JOIN runs AS r ON r.run = g.run
WHERE r.run_id = ? AND g.node_id = ? AND g.visit = ?

-- list_gates_narrow: Occurrences of all runs, without what they show.
SELECT {narrow_gate}
FROM gates AS g CROSS JOIN runs AS r ON r.run = g.run WHERE {filters} ORDER BY {order} LIMIT :limit

-- list_gates: Occurrences of all runs.
SELECT g.*, r.run_id FROM gates AS g CROSS JOIN runs AS r ON r.run = g.run WHERE {filters} ORDER BY {order} LIMIT :limit

-- page_runs: One page of a list, by key.
SELECT {narrow} FROM runs AS r CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE {filters} ORDER BY r.created_at {order}, r.run {order} LIMIT :limit

-- page_tagged: One page of the runs that bear a tag, by key.
SELECT {narrow} FROM run_tags AS t CROSS JOIN runs AS r ON r.run = t.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE {filters} ORDER BY t.created_at {order}, t.run {order} LIMIT :limit

-- begin_so: How many titles or ids begin so, as far as one counts.
SELECT max(
    (SELECT count(*) FROM (SELECT 1 FROM runs WHERE title_key >= :title AND title_key < :title_end LIMIT :few)),
    (SELECT count(*) FROM (SELECT 1 FROM runs WHERE run_id >= :id AND run_id < :id_end LIMIT :few)))

-- search_near: What matches among the next runs of a list; a common beginning is found here.
SELECT {narrow} FROM (
    SELECT r.created_at, r.run, r.title_key, r.run_id FROM runs AS r
    WHERE {filters} ORDER BY r.created_at {order}, r.run {order} LIMIT :window
) AS w CROSS JOIN runs AS r ON r.run = w.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE (w.title_key >= :title AND w.title_key < :title_end) OR (w.run_id >= :id AND w.run_id < :id_end) LIMIT :limit

-- window: How many of the next runs of a list there are, as far as search_near looks.
SELECT count(*) FROM (SELECT 1 FROM runs AS r WHERE {filters} LIMIT :window)

-- search_all: What matches anywhere, by the indexes of titles and ids; a rare beginning is found here.
SELECT {narrow} FROM (
    SELECT r.created_at, r.run FROM runs AS r INDEXED BY runs_by_title
    WHERE r.title_key >= :title AND r.title_key < :title_end AND {filters}
    UNION ALL
    SELECT r.created_at, r.run FROM runs AS r INDEXED BY sqlite_autoindex_runs_1
    WHERE r.run_id >= :id AND r.run_id < :id_end AND {filters}
        AND NOT coalesce(r.title_key >= :title AND r.title_key < :title_end, FALSE)
    ORDER BY 1 {order}, 2 {order} LIMIT :limit
) AS w CROSS JOIN runs AS r ON r.run = w.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
ORDER BY w.created_at {order}, w.run {order}

-- active_runs: What a sweep looks through.
SELECT {narrow} FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint
WHERE (r.owed IS NOT NULL OR r.status = 'running') AND r.held IS NULL ORDER BY r.run

-- failed_runs: What failed last, by when it ended.
SELECT {narrow} FROM runs AS r INDEXED BY runs_failed CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE r.status = 'failed' AND r.finished_at >= ? ORDER BY r.finished_at DESC, r.run DESC LIMIT ?

-- find_runs: Ids from one text up to another.
SELECT run_id FROM runs WHERE run_id >= ? AND run_id < ? ORDER BY run_id LIMIT ?

-- status_counts: How many runs are in each status.
SELECT status, sum(n) FROM counts GROUP BY status HAVING sum(n) > 0

-- status_counts_of_blueprint: How many runs of one blueprint are in each status.
SELECT status, n FROM counts WHERE blueprint_name = ? AND n > 0

-- blueprint_counts: How many runs each blueprint has.
SELECT blueprint_name, sum(n) FROM counts WHERE (? IS NULL OR status = ?) GROUP BY blueprint_name HAVING sum(n) > 0

-- day_counts: Runs by the day they started and by status.
SELECT day, status, sum(n) FROM day_counts WHERE day >= ? AND (? IS NULL OR blueprint_name = ?)
GROUP BY day, status HAVING sum(n) > 0 ORDER BY day, status

-- wrong_counts: Counts that differ from the rows they count.
SELECT blueprint_name, status, n FROM counts WHERE n <> 0
EXCEPT SELECT blueprint_name, status, count(*) FROM runs GROUP BY blueprint_name, status

-- wrong_day_counts: Day counts that differ from the rows they count.
SELECT day, blueprint_name, status, n FROM day_counts WHERE n <> 0
EXCEPT SELECT created_at / 86400000000, blueprint_name, status, count(*) FROM runs GROUP BY 1, 2, 3

-- missing_counts: Rows that are not counted.
SELECT blueprint_name, status, count(*) FROM runs GROUP BY blueprint_name, status
EXCEPT SELECT blueprint_name, status, n FROM counts

-- missing_day_counts: Rows that are not counted by day.
SELECT created_at / 86400000000, blueprint_name, status, count(*) FROM runs GROUP BY 1, 2, 3
EXCEPT SELECT day, blueprint_name, status, n FROM day_counts

-- wrong_open_gates: Runs whose number of open gates differs from their gates.
SELECT run_id FROM runs
WHERE open_gates <> (SELECT count(*) FROM gates AS g WHERE g.run = runs.run AND g.status = 'open') LIMIT 1

-- mend_open_gates: The number of open gates, from the gates.
UPDATE runs SET open_gates = (SELECT count(*) FROM gates AS g WHERE g.run = runs.run AND g.status = 'open')
WHERE open_gates <> (SELECT count(*) FROM gates AS g WHERE g.run = runs.run AND g.status = 'open')

-- clear_counts: Before the counts are made anew.
DELETE FROM counts

-- clear_day_counts: Before the counts are made anew.
DELETE FROM day_counts

-- fill_counts: The counts, from the rows.
INSERT INTO counts SELECT blueprint_name, status, count(*) FROM runs GROUP BY blueprint_name, status

-- fill_day_counts: The counts by day, from the rows.
INSERT INTO day_counts
SELECT created_at / 86400000000, blueprint_name, status, count(*) FROM runs GROUP BY 1, 2, 3

-- gaps_in_steps: Runs whose steps do not count from 0 without a gap.
SELECT r.run_id FROM steps AS s JOIN runs AS r ON r.run = s.run
GROUP BY s.run HAVING min(s.step_index) <> 0 OR max(s.step_index) <> count(*) - 1

-- runs_with_answers: Runs whose chain of answers can be checked.
SELECT DISTINCT r.run_id FROM answers AS a JOIN runs AS r ON r.run = a.run

-- ended_before: Ended runs that may be pruned, oldest first, leaving the newest out.
SELECT run_id, created_at FROM runs
WHERE created_at < ? AND status IN ('completed', 'failed', 'cancelled') AND owed IS NULL
    AND (created_at, run) <= (SELECT created_at, run FROM runs ORDER BY created_at DESC, run DESC LIMIT 1 OFFSET ?)
ORDER BY created_at, run LIMIT ?

-- ended_run: The blueprint of a run that has ended, to see once more that it has.
SELECT blueprint_name, owed FROM runs WHERE run_id = ? AND status IN ('completed', 'failed', 'cancelled')

-- drop_unused_blueprints: Definitions that no run has any more.
DELETE FROM blueprints WHERE id NOT IN (SELECT blueprint FROM runs)

-- home: The number of the file that the history lives in, or when and how this copy of it was made.
SELECT home, copied_at, copied_how FROM history

-- set_home: The history lives in this file.
UPDATE history SET home = ?, copied_at = NULL, copied_how = NULL

-- mark_copy: This file is a copy; a copy of a copy says when the first was made.
UPDATE history SET home = NULL, copied_at = coalesce(copied_at, ?), copied_how = coalesce(copied_how, ?)

-- hold_unfinished: What is unfinished in a copy stands still there; who drove it drives the original.
UPDATE runs SET held = ?, owner = NULL, lease_until = NULL, epoch = epoch + 1, version = version + 1
WHERE held IS NULL AND (
    status IN ('running', 'suspended') OR owed IS NOT NULL
    OR (status = 'failed' AND replay_only IS NULL AND coalesce(failure, '') NOT LIKE '{"kind":"rejected",%'
        AND coalesce(failure, '') NOT LIKE '{"kind": "rejected",%'))
RETURNING run

-- held_runs: Runs that stand still, those that are named or all.
SELECT run, run_id FROM runs WHERE held IS NOT NULL AND (? IS NULL OR run_id = ?) ORDER BY run

-- count_held_runs: How many runs stand still; in a copy that can only be read, all that are unfinished do.
SELECT (SELECT count(*) FROM runs WHERE held IS NOT NULL) + (SELECT count(*) FROM runs WHERE ? AND held IS NULL AND (
    status IN ('running', 'suspended') OR owed IS NOT NULL
    OR (status = 'failed' AND replay_only IS NULL AND coalesce(failure, '') NOT LIKE '{"kind":"rejected",%'
        AND coalesce(failure, '') NOT LIKE '{"kind": "rejected",%')))

-- adopt_run: A run that stands still may go on here.
UPDATE runs SET held = NULL, owner = NULL, version = version + 1 WHERE run = ?

-- size: How much there is.
SELECT (SELECT count(*) FROM steps) AS steps, (SELECT min(created_at) FROM runs) AS oldest,
    (SELECT max(created_at) FROM runs) AS newest

-- all_run_ids: Every run, oldest first.
SELECT run_id FROM runs ORDER BY run

-- all_tombstones: Every tombstone.
SELECT run_id, blueprint_name, deleted_at, deleted_by, last_hash FROM tombstones ORDER BY run_id

-- load_request: What an idempotency key was answered with.
SELECT digest, answer FROM requests WHERE key = ? AND at >= ?

-- keep_request: Remember the answer to a request; the first one counts.
INSERT INTO requests (key, at, digest, answer) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING

-- forget_requests: Keys are kept a day.
DELETE FROM requests WHERE at < ?

-- forget_request: Take back that a request was begun.
DELETE FROM requests WHERE key = ? AND digest = ?
