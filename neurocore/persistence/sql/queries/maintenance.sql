-- Maintaining a history.
-- A line `-- name: sentence` begins a query.

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

-- recount_open_gates: The number of open gates, from the gates.
UPDATE runs SET open_gates = (SELECT count(*) FROM gates AS g WHERE g.run = runs.run AND g.status = 'open')
WHERE open_gates <> (SELECT count(*) FROM gates AS g WHERE g.run = runs.run AND g.status = 'open')

-- clear_counts: Before the counts are rebuilt.
DELETE FROM counts

-- clear_day_counts: Before the counts are rebuilt.
DELETE FROM day_counts

-- fill_counts: The counts, from the rows.
INSERT INTO counts SELECT blueprint_name, status, count(*) FROM runs GROUP BY blueprint_name, status

-- fill_day_counts: The counts by day, from the rows.
INSERT INTO day_counts
SELECT created_at / 86400000000, blueprint_name, status, count(*) FROM runs GROUP BY 1, 2, 3

-- gaps_in_steps: Runs whose step numbers have gaps.
SELECT r.run_id FROM steps AS s JOIN runs AS r ON r.run = s.run
GROUP BY s.run HAVING min(s.step_index) <> 0 OR max(s.step_index) <> count(*) - 1

-- runs_with_answers: Runs whose chain of answers can be checked.
SELECT DISTINCT r.run_id FROM answers AS a JOIN runs AS r ON r.run = a.run

-- events_of_many: The activity of the runs after a row number, as many as that.
SELECT r.run_id, e.at, e.kind, e.who, e.known_by, e.data, e.person, e.face, e.token, e.hash
FROM events AS e JOIN runs AS r ON r.run = e.run
WHERE e.run > :after AND e.run <= :after + :many ORDER BY e.run, e.id

-- run_after: The next run after a row number.
SELECT min(run) AS run FROM runs WHERE run > :after

-- ended_before: Ended runs that may be pruned, oldest first, without the newest.
SELECT run_id, created_at FROM runs
WHERE created_at < :before AND status IN ('completed', 'failed', 'cancelled') AND owed IS NULL
    AND (created_at, run) <= (SELECT created_at, run FROM runs ORDER BY created_at DESC, run DESC LIMIT 1
        OFFSET :keep_last)
ORDER BY created_at, run LIMIT :limit

-- drop_unused_blueprints: Definitions that no run uses any more.
DELETE FROM blueprints WHERE id NOT IN (SELECT blueprint FROM runs)

-- home: The number of the history's file, or when and how this copy was made.
SELECT home, copied_at, copied_how FROM history

-- set_home: This file is the history's home.
UPDATE history SET home = :home, copied_at = NULL, copied_how = NULL

-- mark_copy: This file is a copy; a copy of a copy says when the first was made.
UPDATE history SET home = NULL, copied_at = coalesce(copied_at, :copied_at),
    copied_how = coalesce(copied_how, :copied_how)

-- hold_unfinished: Unfinished runs in a copy are held; their drivers drive the original.
UPDATE runs SET held = :held, owner = NULL, lease_until = NULL, epoch = epoch + 1, version = version + 1
WHERE held IS NULL AND (
    status IN ('running', 'suspended') OR owed IS NOT NULL
    OR (status = 'failed' AND replay_only IS NULL AND coalesce(failure, '') NOT LIKE '{"kind":"rejected",%'
        AND coalesce(failure, '') NOT LIKE '{"kind": "rejected",%'))
RETURNING run

-- held_runs: Held runs: the named ones, or all.
SELECT run, run_id FROM runs WHERE held IS NOT NULL AND (:run_id IS NULL OR run_id = :run_id) ORDER BY run

-- adopt_run: A held run may continue here.
UPDATE runs SET held = NULL, owner = NULL, version = version + 1 WHERE run = :run

-- size: The size of the history.
SELECT (SELECT count(*) FROM steps) AS steps, (SELECT min(created_at) FROM runs) AS oldest,
    (SELECT max(created_at) FROM runs) AS newest

-- all_run_ids: Every run, oldest first.
SELECT run_id FROM runs ORDER BY run

-- all_tombstones: Every tombstone.
SELECT run_id, blueprint_name, deleted_at, deleted_by, last_hash, last_event FROM tombstones ORDER BY run_id
