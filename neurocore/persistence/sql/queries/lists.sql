-- Lists over all runs. `sqlite/lists.py` fills in {filters}, a WHERE from its fixed table, and {order}.
-- A line `-- name: sentence` begins a query.

-- page_runs: One page of a list, by key.
SELECT {narrow} FROM runs AS r CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE {filters} ORDER BY r.created_at {order}, r.run {order} LIMIT :limit

-- page_near: The visible ones among the next runs of a list.
SELECT {narrow} FROM (
    SELECT r.created_at, r.run, r.blueprint_name FROM runs AS r
    WHERE {filters} ORDER BY r.created_at {order}, r.run {order} LIMIT :window
) AS w CROSS JOIN runs AS r ON r.run = w.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE w.blueprint_name IN (SELECT value FROM json_each(:blueprints)) LIMIT :limit

-- page_by_names: The next runs of each visible blueprint, put in order; what is rare is found here.
SELECT {narrow} FROM (
    SELECT o.created_at, o.run FROM json_each(:blueprints) AS n CROSS JOIN runs AS o ON o.run IN (
        SELECT r.run FROM runs AS r WHERE r.blueprint_name = n.value AND {filters}
        ORDER BY r.created_at {order}, r.run {order} LIMIT :limit
    ) ORDER BY 1 {order}, 2 {order} LIMIT :limit
) AS w CROSS JOIN runs AS r ON r.run = w.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
ORDER BY w.created_at {order}, w.run {order}

-- page_tagged: One page of the runs with a tag, by key.
SELECT {narrow}
FROM run_tags AS t CROSS JOIN runs AS r ON r.run = t.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE {filters} ORDER BY t.created_at {order}, t.run {order} LIMIT :limit

-- begin_so: How many titles or ids have this prefix, up to a limit.
SELECT max(
    (SELECT count(*) FROM (SELECT 1 FROM runs WHERE title_key >= :title AND title_key < :title_end LIMIT :few)),
    (SELECT count(*) FROM (SELECT 1 FROM runs WHERE run_id >= :id AND run_id < :id_end LIMIT :few))) AS n

-- search_near: The matches among the next runs of a list; a common prefix is found here.
SELECT {narrow} FROM (
    SELECT r.created_at, r.run, r.title_key, r.run_id FROM runs AS r
    WHERE {filters} ORDER BY r.created_at {order}, r.run {order} LIMIT :window
) AS w CROSS JOIN runs AS r ON r.run = w.run CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE (w.title_key >= :title AND w.title_key < :title_end) OR (w.run_id >= :id AND w.run_id < :id_end) LIMIT :limit

-- window: How many next runs of a list there are, up to the limit of search_near.
SELECT count(*) AS n FROM (SELECT 1 FROM runs AS r WHERE {filters} LIMIT :window)

-- search_all: All matches, by the indexes of titles and ids; a rare prefix is found here.
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

-- find_runs: Ids from one text up to another.
SELECT run_id FROM runs WHERE run_id >= :first AND run_id < :end ORDER BY run_id LIMIT :limit

-- find_visible_runs: The same, of some blueprints.
SELECT run_id FROM runs WHERE run_id >= :first AND run_id < :end
    AND +blueprint_name IN (SELECT value FROM json_each(:blueprints)) ORDER BY run_id LIMIT :limit

-- failed_runs: The runs that failed last, by their end.
SELECT {narrow} FROM runs AS r INDEXED BY runs_failed CROSS JOIN blueprints AS b ON b.id = r.blueprint
WHERE r.status = 'failed' AND r.finished_at >= :since
    AND (:blueprints IS NULL OR r.blueprint_name IN (SELECT value FROM json_each(:blueprints)))
ORDER BY r.finished_at DESC, r.run DESC LIMIT :limit

-- list_gates: Occurrences of all runs.
SELECT g.*, r.run_id FROM gates AS g CROSS JOIN runs AS r ON r.run = g.run WHERE {filters} ORDER BY {order} LIMIT :limit

-- list_gates_narrow: Occurrences of all runs, without what they show.
SELECT {narrow_gate}
FROM gates AS g CROSS JOIN runs AS r ON r.run = g.run WHERE {filters} ORDER BY {order} LIMIT :limit

-- count_open_gates: How many gates and inputs wait for a person; those of held runs do not.
SELECT (SELECT count(*) FROM gates WHERE status = 'open')
    - (SELECT coalesce(sum(open_gates), 0) FROM runs WHERE held IS NOT NULL) AS n

-- count_visible_open_gates: The same, of some blueprints.
SELECT (SELECT count(*) FROM json_each(:blueprints) AS n CROSS JOIN gates AS g INDEXED BY gates_open_of_blueprint
        WHERE g.status = 'open' AND g.blueprint_name = n.value)
    - (SELECT coalesce(sum(open_gates), 0) FROM runs
       WHERE held IS NOT NULL AND +blueprint_name IN (SELECT value FROM json_each(:blueprints))) AS n

-- count_held_runs: How many runs are held; in a read-only copy, all unfinished runs are.
SELECT (SELECT count(*) FROM runs WHERE held IS NOT NULL
        AND (:blueprints IS NULL OR +blueprint_name IN (SELECT value FROM json_each(:blueprints))))
    + (SELECT count(*) FROM runs WHERE :is_copy AND held IS NULL
        AND (:blueprints IS NULL OR +blueprint_name IN (SELECT value FROM json_each(:blueprints))) AND (
    status IN ('running', 'suspended') OR owed IS NOT NULL
    OR (status = 'failed' AND replay_only IS NULL AND coalesce(failure, '') NOT LIKE '{"kind":"rejected",%'
        AND coalesce(failure, '') NOT LIKE '{"kind": "rejected",%'))) AS n

-- status_counts: How many runs are in each status.
SELECT status, sum(n) AS n FROM counts GROUP BY status HAVING sum(n) > 0

-- visible_status_counts: How many runs of some blueprints are in each status.
SELECT status, sum(n) AS n FROM counts WHERE blueprint_name IN (SELECT value FROM json_each(:blueprints))
GROUP BY status HAVING sum(n) > 0

-- status_counts_of_blueprint: How many runs of one blueprint are in each status.
SELECT status, n FROM counts WHERE blueprint_name = :blueprint AND n > 0

-- blueprint_counts: How many runs each blueprint has.
SELECT blueprint_name, sum(n) AS n FROM counts WHERE (:status IS NULL OR status = :status)
GROUP BY blueprint_name HAVING sum(n) > 0

-- day_counts: Runs by the day they started and by status.
SELECT day, status, sum(n) AS n FROM day_counts
WHERE day >= :first_day AND (:blueprint IS NULL OR blueprint_name = :blueprint)
    AND (:blueprints IS NULL OR blueprint_name IN (SELECT value FROM json_each(:blueprints)))
GROUP BY day, status HAVING sum(n) > 0 ORDER BY day, status
