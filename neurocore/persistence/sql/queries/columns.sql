-- Lists of columns that other queries name in braces.

-- narrow: The columns of a run in a list; the wide ones are never read there.
    r.run, r.run_id, r.blueprint_name, r.title, r.status, r.created_at, r.updated_at, r.finished_at,
    r.duration_ms, r.suspended_at_node, r.suspension_reason, r.current_nodes, r.nodes_done, r.nodes_total, r.started_by,
    r.known_by, r.replay_of, r.tags, r.epoch, r.owner, r.lease_until, r.owed, r.deaths, r.cancel_requested, r.version,
    r.legacy, r.replay_only, r.held, r.error, r.failure, r.blueprint_hash, r.blueprint_path,
    b.version AS blueprint_version, b.flow_type

-- narrow_gate: The columns of a gate occurrence without what it shows.
g.run, g.node_id, g.visit, g.kind, g.name, g.step_index, g.opened_at, g.message, x'80' AS shown, g.digest, g.policy,
    g.deadline, g.status, g.closed_at, g.void_reason, g.auth_mode, g.due_at, r.run_id

-- narrow_answer: The columns of an answer, under names that a gate has none of.
a.id AS answer_id, a.node_id AS answer_node, a.visit AS answer_visit, a.approved, a.by, a.known_by, a.at, a.note,
a.digest AS answer_digest, a.data, a.prev_hash, a.hash, a.person AS answer_person, a.face, a.token, a.groups,
a.answer, a.facts

-- narrow_ended: The columns of a step that ended its visit.
s.step_index, s.commit_index, s.component, s.node_id, s.visit, s.status, s.edges_taken, s.output_keys, s.skill_version

-- narrow_step: The columns of a step in a list.
    s.run, s.step_index, s.component, s.node_id, s.visit, s.attempt, s.skill_type, s.skill_version, s.status,
    s.reason, s.port, s.edges_taken, s.started_at, s.duration_ms, s.error, s.error_type, s.output_keys, s.commit_index
