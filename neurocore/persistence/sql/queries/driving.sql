-- Driving a run.
-- A line `-- name: sentence` begins a query.

-- claim: Claim the right to drive a run, if nobody has claimed it since (promise 3), and it is not held.
UPDATE runs SET epoch = epoch + 1, owner = :owner, owed = NULL, status = 'running',
    cancel_requested = CASE WHEN status IN ('running', 'suspended') THEN cancel_requested END,
    finished_at = NULL, error = NULL, failure = NULL, updated_at = :updated_at, version = version + 1
WHERE run_id = :run_id AND epoch = :epoch AND owner IS :expected_owner AND held IS NULL
RETURNING epoch

-- commit_step: The run's row while it runs; epoch and owner keep out a driver that lost the claim.
UPDATE runs SET updated_at = :updated_at, duration_ms = :duration_ms, current_nodes = :current_nodes,
    nodes_done = :nodes_done, deaths = :deaths, version = version + 1
WHERE run = :run AND run_id = :run_id AND epoch = :epoch AND owner IS :owner
RETURNING cancel_requested, owed, version, blueprint_hash

-- commit_run: The run's row when its state changes.
UPDATE runs SET
    status = :status, updated_at = :updated_at, finished_at = :finished_at, duration_ms = :duration_ms,
    suspended_at_node = :suspended_at_node, suspension_reason = :suspension_reason,
    current_nodes = :current_nodes, nodes_done = :nodes_done, epoch = :new_epoch, owner = :new_owner,
    lease_until = :lease_until, owed = :owed, deaths = :deaths, error = :error, failure = :failure,
    version = version + 1
WHERE run = :run AND run_id = :run_id AND epoch = :epoch AND owner IS :owner
    AND (held IS NULL OR epoch = :new_epoch)
RETURNING cancel_requested, owed, version, blueprint_hash

-- redefine_run: The run continues with another definition (`--latest`).
UPDATE runs SET blueprint = :blueprint, blueprint_hash = :blueprint_hash, nodes_total = :nodes_total WHERE run = :run

-- is_decided: Whether a decided gate of the run waits to be consumed.
SELECT EXISTS (SELECT 1 FROM gates WHERE run = :run AND status = 'decided') AS decided

-- decided_gates: The decided gates of the run that wait to be consumed.
SELECT node_id, visit FROM gates WHERE run = :run AND status = 'decided'

-- set_owed: Mark a run as owed, or not, unless it has finally ended, or is under another claim than the named one.
UPDATE runs SET owed = :owed, version = version + 1
WHERE run_id = :run_id AND held IS NULL AND status NOT IN ('completed', 'cancelled')
    AND (:epoch IS NULL OR (epoch = :epoch AND owner IS :owner))
RETURNING run

-- request_cancel: Ask the driver of the run to stop, unless it has ended.
UPDATE runs SET cancel_requested = :who, version = version + 1
WHERE run_id = :run_id AND held IS NULL AND status IN ('running', 'suspended')
RETURNING run

-- request_resume: Somebody wants the run to continue. A lost or owed run is found already.
UPDATE runs SET version = version + 1, owed = CASE
    WHEN status = 'failed' OR owed = 'start' OR (status = 'suspended' AND :redefines) THEN 'resume' ELSE owed
END
WHERE run_id = :run_id AND held IS NULL AND status NOT IN ('completed', 'cancelled')
RETURNING run

-- signals: What the driver of a run must notice.
SELECT epoch, owner, cancel_requested, owed, version FROM runs WHERE run_id = :run_id

-- active_runs: The runs that a sweep checks.
SELECT {narrow} FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint
WHERE (r.owed IS NOT NULL OR r.status = 'running') AND r.held IS NULL ORDER BY r.run

-- count_unbegun: How many runs somebody has started that wait to begin.
SELECT count(*) AS n FROM runs INDEXED BY runs_unbegun WHERE owed = 'start' AND started_by = :started_by

-- load_ended: What the loop needs of each step that ended its visit.
SELECT {narrow_ended} FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.edges_taken IS NOT NULL

-- load_recorded: What a driver continues from: each step with what it changed; and the inputs, at -1.
SELECT {narrow_ended}, s.changes FROM steps AS s JOIN runs AS r ON r.run = s.run WHERE r.run_id = :run_id
UNION ALL
SELECT -1, -1, '', NULL, 0, '', NULL, NULL, NULL, i.initial_data
FROM run_inputs AS i JOIN runs AS r ON r.run = i.run WHERE r.run_id = :run_id

-- open_steps: The steps that did not end their visit, with their logs.
SELECT {narrow_step}, s.config, s.changes, s.traceback, s.context_snapshot, (
    SELECT json_group_array(json_object('at', l.at, 'level', l.level, 'message', l.message))
    FROM (SELECT * FROM logs WHERE run = s.run AND step_index = s.step_index ORDER BY line) AS l
) AS logs FROM steps AS s JOIN runs AS r ON r.run = s.run
WHERE r.run_id = :run_id AND s.edges_taken IS NULL ORDER BY s.commit_index
