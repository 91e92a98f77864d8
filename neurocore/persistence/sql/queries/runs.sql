-- Runs, their steps, and what belongs to them.
-- A line `-- name: sentence` begins a query.

-- find_run: The row number of a run, its epoch, and why it is held.
SELECT run, epoch, held FROM runs WHERE run_id = :run_id

-- insert_blueprint: Keep a definition once.
INSERT INTO blueprints (hash, name, version, flow_type, definition)
VALUES (:hash, :name, :version, :flow_type, :definition) ON CONFLICT (hash) DO NOTHING

-- find_blueprint: The row number of a definition.
SELECT id FROM blueprints WHERE hash = :hash

-- insert_run: A new run; a taken id is a conflict.
INSERT INTO runs (
    run_id, blueprint, blueprint_name, title, title_key, status, created_at, updated_at, finished_at, duration_ms,
    suspended_at_node, suspension_reason, current_nodes, nodes_done, nodes_total, started_by, known_by, replay_of,
    tags, epoch, owner, lease_until, owed, deaths, cancel_requested, legacy, replay_only, held, error, failure,
    blueprint_hash, blueprint_path, version
) VALUES (:run_id, :blueprint, :blueprint_name, :title, :title_key, :status, :created_at, :updated_at, :finished_at,
    :duration_ms, :suspended_at_node, :suspension_reason, :current_nodes, :nodes_done, :nodes_total, :started_by,
    :known_by, :replay_of, :tags, :epoch, :owner, :lease_until, :owed, :deaths, :cancel_requested, :legacy,
    :replay_only, :held, :error, :failure, :blueprint_hash, :blueprint_path, :version)

-- update_run: Replace every column of a run except its place in the order, and raise its version.
UPDATE runs SET
    run_id = :run_id, blueprint = :blueprint, blueprint_name = :blueprint_name, title = :title,
    title_key = :title_key, status = :status, created_at = :created_at, updated_at = :updated_at,
    finished_at = :finished_at, duration_ms = :duration_ms, suspended_at_node = :suspended_at_node,
    suspension_reason = :suspension_reason, current_nodes = :current_nodes, nodes_done = :nodes_done,
    nodes_total = :nodes_total, started_by = :started_by, known_by = :known_by, replay_of = :replay_of, tags = :tags,
    epoch = :epoch, owner = :owner, lease_until = :lease_until,
    owed = :owed, deaths = :deaths, cancel_requested = :cancel_requested, legacy = :legacy,
    replay_only = :replay_only, held = :held, error = :error, failure = :failure, blueprint_hash = :blueprint_hash,
    blueprint_path = :blueprint_path, version = max(:version, version + 1)
WHERE run = :run

-- keep_inputs: The inputs of a run.
INSERT INTO run_inputs (run, initial_data) VALUES (:run, :initial_data)
ON CONFLICT (run) DO UPDATE SET initial_data = excluded.initial_data

-- insert_tag: One tag of a run.
INSERT INTO run_tags (tag, created_at, run) VALUES (:tag, :created_at, :run) ON CONFLICT DO NOTHING

-- delete_tags: Before a run's tags are rewritten.
DELETE FROM run_tags WHERE run = :run

-- upsert_step: A step, or its final form in place of the suspended one.
INSERT INTO steps (
    run, step_index, component, node_id, visit, attempt, skill_type, skill_version, status, reason, port, edges_taken,
    started_at, duration_ms, error, error_type, output_keys, commit_index, config, changes, traceback, context_snapshot
) VALUES (:run, :step_index, :component, :node_id, :visit, :attempt, :skill_type, :skill_version, :status, :reason,
    :port, :edges_taken, :started_at, :duration_ms, :error, :error_type, :output_keys, :commit_index, :config,
    :changes, :traceback, :context_snapshot)
ON CONFLICT (run, step_index) DO UPDATE SET
    component = excluded.component, node_id = excluded.node_id, visit = excluded.visit, attempt = excluded.attempt,
    skill_type = excluded.skill_type, skill_version = excluded.skill_version, status = excluded.status,
    reason = excluded.reason, port = excluded.port, edges_taken = excluded.edges_taken,
    started_at = excluded.started_at, duration_ms = excluded.duration_ms, error = excluded.error,
    error_type = excluded.error_type, output_keys = excluded.output_keys, commit_index = excluded.commit_index,
    config = excluded.config, changes = excluded.changes, traceback = excluded.traceback,
    context_snapshot = excluded.context_snapshot

-- insert_log: One line that a skill logged.
INSERT INTO logs (run, step_index, line, at, level, message) VALUES (:run, :step_index, :line, :at, :level, :message)

-- insert_event: One entry of a run's activity.
INSERT INTO events (run, at, kind, who, known_by, data, person, face, token, hash)
VALUES (:run, :at, :kind, :who, :known_by, :data, :person, :face, :token, :hash)

-- chain_end: The end of a run's chain of events: its last event, or its last answer where events have no hash yet.
SELECT r.run_id,
    (SELECT e.hash FROM events AS e WHERE e.run = r.run ORDER BY e.id DESC LIMIT 1) AS event,
    (SELECT a.hash FROM answers AS a WHERE a.run = r.run ORDER BY a.id DESC LIMIT 1) AS answer
FROM runs AS r WHERE r.run = :run

-- delete_events: Before a run's activity is rewritten.
DELETE FROM events WHERE run = :run

-- delete_run: A run and, by cascade, everything that belongs to it.
DELETE FROM runs WHERE run_id = :run_id

-- ended_run: The blueprint of a run that has ended, to check again that it has.
SELECT blueprint_name, owed FROM runs WHERE run_id = :run_id AND status IN ('completed', 'failed', 'cancelled')

-- insert_tombstone: What remains of a deleted run.
INSERT INTO tombstones (run_id, blueprint_name, deleted_at, deleted_by, last_hash, last_event)
SELECT :run_id, :blueprint_name, :deleted_at, :deleted_by, :last_hash, coalesce((
    SELECT lower(hex(e.hash)) FROM events AS e JOIN runs AS r ON r.run = e.run WHERE r.run_id = :run_id
    ORDER BY e.id DESC LIMIT 1
), :last_event)
WHERE true
ON CONFLICT (run_id) DO NOTHING

-- load_tombstone: What remains of a deleted run.
SELECT run_id, blueprint_name, deleted_at, deleted_by, last_hash, last_event FROM tombstones WHERE run_id = :run_id

-- load_run: The whole row of a run with its definition.
SELECT {narrow}, i.initial_data, b.definition
FROM runs AS r JOIN run_inputs AS i ON i.run = r.run JOIN blueprints AS b ON b.id = r.blueprint WHERE r.run_id = :run_id

-- load_summary: A run's row without its wide columns.
SELECT {narrow} FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint WHERE r.run_id = :run_id

-- load_initial_data: The inputs of a run.
SELECT i.run, i.initial_data FROM run_inputs AS i JOIN runs AS r ON r.run = i.run WHERE r.run_id = :run_id

-- load_definition: The definition of a run.
SELECT b.definition FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint WHERE r.run_id = :run_id

-- load_steps: Every step of a run, in order.
SELECT {narrow_step}, s.config, s.changes, s.traceback, s.context_snapshot
FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = :run_id ORDER BY s.step_index

-- load_step: One step.
SELECT {narrow_step}, s.config, s.changes, s.traceback, s.context_snapshot
FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = :run_id AND s.step_index = :step_index

-- load_changes: What the steps did to the context, and the inputs at -1; `rows.fold_changes` puts them in order.
SELECT s.commit_index, s.changes FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.changes IS NOT NULL
UNION ALL
SELECT -1, i.initial_data FROM run_inputs AS i JOIN runs AS r ON r.run = i.run WHERE r.run_id = :run_id

-- order_of_changes: The order in which the steps changed the context.
SELECT s.step_index, s.commit_index FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.changes IS NOT NULL ORDER BY s.commit_index

-- load_step_changes: What one step did to the context.
SELECT s.changes FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.step_index = :step_index

-- step_summaries: Steps beyond an index without their wide columns.
SELECT {narrow_step} FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.step_index > :after ORDER BY s.step_index LIMIT :limit

-- load_logs: The logs of a run's skills.
SELECT l.step_index, l.at, l.level, l.message FROM logs AS l JOIN runs AS r ON r.run = l.run
WHERE r.run_id = :run_id ORDER BY l.step_index, l.line

-- load_step_logs: The log of one step.
SELECT l.step_index, l.at, l.level, l.message FROM logs AS l JOIN runs AS r ON r.run = l.run
WHERE r.run_id = :run_id AND l.step_index = :step_index ORDER BY l.line

-- load_events: A run's activity.
SELECT e.at, e.kind, e.who, e.known_by, e.data, e.person, e.face, e.token, e.hash FROM events AS e JOIN runs AS r ON r.run = e.run
WHERE r.run_id = :run_id ORDER BY e.id

-- load_request: The response to an idempotency key.
SELECT digest, answer FROM requests WHERE key = :key AND at >= :since

-- keep_request: Store the response to a request; the first one counts.
INSERT INTO requests (key, at, digest, answer) VALUES (:key, :at, :digest, :answer) ON CONFLICT (key) DO NOTHING

-- forget_requests: Keys are kept a day.
DELETE FROM requests WHERE at < :before

-- forget_request: Forget that a request was started.
DELETE FROM requests WHERE key = :key AND digest = :digest
