"""A run as text for people: what it was for, what happened, where it is, and which commands can follow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neurocore.cli.answers import answered_by, decided
from neurocore.cli.brief import short_id
from neurocore.cli.gate import gate_lines
from neurocore.cli.output import columns, mark, paint
from neurocore.cli.project import Project
from neurocore.cli.text import WHOLE, ago, cut, line, near, safe, short, since, when, width, wrapped
from neurocore.cli.values import block, named, on_a_line
from neurocore.documents import make
from neurocore.documents.masking import masked
from neurocore.documents.run_state import failed_word, kind, nodes_told
from neurocore.persistence.projections import still
from neurocore.persistence.records import GateStatus, RunStatus, StepStatus
from neurocore.readable import counted, took

if TYPE_CHECKING:
    from neurocore.documents.runs import DecisionDocument
    from neurocore.persistence.records import CurrentNode, Event, GateRecord, LogLine, RunRecord, StepRecord

#: Without `--full`, only the first and the last steps of a long run are shown,
FIRST, LAST = 5, 30
#: and only the last lines of the log of a failed step.
LAST_SAID = 8


def ending(run: RunRecord, project: Project, *, decision: DecisionDocument | None = None) -> list[str]:
    """Return what a command that drove a run prints at its end: the status, the outputs, the next commands."""
    gates = project.store.load_gates(run.run_id)
    state = project.state(run)
    room = columns()
    lines = wrapped(decided(decision), room, "", "  ") if decision is not None else []
    sign, words = standing(run, state)
    about, left = line(run.title) or line(run.blueprint_name), room - width(words) - 5
    if left < min(16, width(about)):
        lines += [*_signed(sign, words, "", "bold"), f"  {cut(about, room - 2)}"]
    else:
        lines.append(f"{mark(sign)} {paint(words, 'bold')} · {cut(about, left)}")
    lines.append(f"  run {line(run.run_id)}")
    waiting = make.open_gates(gates, run)
    for gate in waiting:
        which = [*_signed("suspended", f"{_waits(gate)}:", "  "), ""] if len(waiting) > 1 else []
        lines += ["", *which, *gate_lines(gate, run, project, indent="    " if which else "  ")]
    if not waiting:
        lines += _outputs(run, project)
    commands = project.next_commands(run, gates, state)
    return [*lines, *_next(commands if run.status is not RunStatus.COMPLETED else [])]


def story(run: RunRecord, project: Project, *, full: bool = False) -> list[str]:
    """Return the story of the whole run."""
    store = project.store
    gates, events = store.load_gates(run.run_id), store.load_events(run.run_id)
    state = project.state(run)
    room = columns()
    lines = [*_heading(run, state), *_purpose(run, project, full), ""]
    lines.append(paint("What happened", "bold"))
    lines += _steps(run, project, gates, full) or ["  Nothing yet."]
    if not full:  # with --full, the activity shows them completely
        lines += _warnings(events, room)
    lines += ["", paint("Where it is", "bold"), *_standing(run, project, gates, state, full)]
    if full:
        lines += _context(run, project, room)
        lines += _activity(events, room)
        lines += _definition(run, project)
    commands = project.next_commands(run, gates, state)
    if not full:
        commands.append(f"{project.called} runs inspect {project.named(run)} --full")
    return [*lines, *_next(commands)]


def standing(run: RunRecord, state: str) -> tuple[str, str]:
    """Return the state of a run as (kind for the sign, a few words)."""
    if state == "held":
        return "held", f"{standing(run, 'idle')[1]} (held)"
    found = kind(run, state)
    if run.status is RunStatus.SUSPENDED:
        if run.owed is not None:
            return "owed", f"decided at {line(run.suspended_at_node or 'its gate')}, not yet resumed"
        return "suspended", f"waits at {line(run.suspended_at_node or 'a gate')}"
    if run.status is RunStatus.RUNNING:
        nodes = ", ".join(line(node.node_id) for node in run.working_nodes)
        if run.current_nodes and not nodes:
            nodes = f"{line(run.current_nodes[0].node_id)}, which waits for its next attempt"
        words = {
            "lost": f"lost: its process died at {nodes or 'its start'}",
            "owed": "pending: no process drives it yet",
            "cannot_tell": f"running {nodes}, or its process died: NeuroCore cannot tell",
        }
        return (state, words[state]) if state in words else ("running", f"running {nodes}".strip())
    if run.status is RunStatus.FAILED:
        word = failed_word(run)
        return found, f"{word} at {line(run.failure.node)}" if run.failure and run.failure.node else word
    worked = f" in {took(run.duration_ms)}" if run.duration_ms is not None else ""
    return run.status.value, run.status.value + (worked if run.status is RunStatus.COMPLETED else "")


# ---------------------------------------------------------------- the parts


def _signed(sign: str, words: str, indent: str = "", *styles: str) -> list[str]:
    """Return words after the sign of a status, on as many lines as they need."""
    first, *rest = wrapped(words, columns() - width(indent) - 2)
    return [f"{indent}{mark(sign)} {paint(first, *styles)}", *(f"{indent}  {paint(one, *styles)}" for one in rest)]


def _heading(run: RunRecord, state: str) -> list[str]:
    sign, words = standing(run, state)
    name = f"{line(run.blueprint_name)} {line(run.blueprint_version)}"
    title = line(run.title)
    head = [paint(one, "bold") for one in wrapped(title, columns())] if title else []
    whose = wrapped(f"{name} · run {line(run.run_id)}", columns(), "", "  ")
    if not title:
        whose[0] = whose[0].replace(name, paint(name, "bold"), 1)
    return [*head, *whose, *_signed(sign, words, "", "bold")]


def _purpose(run: RunRecord, project: Project, full: bool) -> list[str]:
    room = columns()
    lines = ["", paint("What it was for", "bold")]
    description = run.blueprint_snapshot.get("description")
    if description:
        lines += wrapped(safe(description).strip(), room, "  ")
    who = f" by {line(run.started_by)}" if run.started_by else ""
    lines += wrapped(f"Started{who} {ago(run.created_at)} ({when(run.created_at)}).", room, "  ", "    ")
    if run.replay_of:
        lines.append(f"  A replay of run {short_id(run.replay_of, project.store)}.")
    if run.tags:
        lines += wrapped(f"Tags: {', '.join(line(tag) for tag in run.tags)}.", room, "  ", "    ")
    if run.initial_data:
        lines += named(masked(run.initial_data), indent="  ", room=room, most=None if full else 4)
    if run.legacy:
        lines += wrapped(safe(run.legacy), room, "  ! ", "    ")
    return lines


def _steps(run: RunRecord, project: Project, gates: Sequence[GateRecord], full: bool) -> list[str]:
    store = project.store
    steps = store.load_steps(run.run_id) if full else store.step_summaries(run.run_id)
    by_visit = {(gate.node_id, gate.visit): gate for gate in gates}
    skipped = len(steps) - FIRST - LAST
    running = run.current_nodes if run.status is RunStatus.RUNNING else []
    names = [_step_name(step) for step in steps]
    gutter = min(max((width(name) for name in (*names, *map(_node_name, running))), default=0), 28)
    lines: list[str] = []
    for place, (step, name) in enumerate(zip(steps, names, strict=True)):
        if not full and skipped > 1 and FIRST <= place < FIRST + skipped:
            if place == FIRST:
                lines.append(paint(f"     … {counted(skipped, 'more step')} (`runs inspect --full` shows all)", "dim"))
            continue
        gate = by_visit.get((step.node_id, step.visit))
        by = answered_by(gate, run, project) if gate is not None and gate.decision is not None else ""
        lines += _step(place + 1, step, name, gutter, gate, by, full)
        if full:
            lines += _step_in_full(step, project)
        elif step.status in (StepStatus.FAILED, StepStatus.CANCELLED):
            whole = store.load_step(run.run_id, step.step_index)
            lines += _last_said(whole.logs if whole is not None else [])
    for node in running:
        name = cut(_node_name(node), gutter)
        lasts = f"next try at {when(node.not_before)}" if node.is_paused else f"for {since(node.started_at)}"
        lines.append(f"     {mark('running')} {name}{' ' * (gutter - width(name))}  {lasts}")
    return lines


def _warnings(events: Sequence[Event], room: int) -> list[str]:
    said = [line(str(event.data.get("message", ""))) for event in events if event.kind == "warning"]
    lines = [f"     {mark('warning')} {cut(one, room - 7)}" for one in said[:FIRST]]
    if len(said) > FIRST:
        more = counted(len(said) - FIRST, "more warning")
        lines.append(paint(f"     … {more} (`runs inspect --full` shows all)", "dim"))
    return lines


def _step_name(step: StepRecord) -> str:
    return _name(step.node_id or step.component, step.visit, step.attempt)


def _node_name(node: CurrentNode) -> str:
    return _name(node.node_id, node.visit, node.attempt)


def _name(node: str, visit: int, attempt: int = 1) -> str:
    name = line(node) + (f" (visit {visit})" if visit > 1 else "")
    return name + (f" (attempt {attempt})" if attempt > 1 else "")


def _step(
    number: int, step: StepRecord, name: str, gutter: int, gate: GateRecord | None, by: str, full: bool
) -> list[str]:
    voided = gate is not None and gate.status is GateStatus.VOIDED
    status = "voided" if voided and step.status is StepStatus.SUSPENDED else step.outcome
    first, *rest = _what_step_did(step, gate, by) or [""]
    if not full:
        name, first = cut(name, gutter), cut(first, columns() - gutter - 9)
    indent = " " * (gutter + 9)
    lines = wrapped(first, columns(), indent)
    names = wrapped(name, columns(), " " * 7)
    if width(name) <= gutter:
        names = [f"{names[0]}{' ' * (gutter - width(name))}  {lines.pop(0)[len(indent) :]}"]
    lines = [f"  {number:>2} {mark(status)} {names[0][7:]}", *names[1:], *lines]
    for one in rest:
        lines += wrapped(one, columns(), indent)
    return [one.rstrip() for one in lines]


def _what_step_did(step: StepRecord, gate: GateRecord | None, by: str) -> list[str]:
    if gate is not None and gate.decision is not None and gate.kind == "gate":
        answer = gate.decision
        word = "approved" if answer.approved else "rejected"
        said = [f"{word} by {by} {ago(answer.at)}, after {_waited(gate)}"]
        said += [f"“{safe(answer.note)}”"] if answer.note else []
        return said + (_why_void(gate) if gate.status is GateStatus.VOIDED else [])
    if gate is not None and gate.status is GateStatus.VOIDED:
        return _why_void(gate)
    if step.status is StepStatus.SUSPENDED:
        return [f"waiting for {since(gate.opened_at)}"] if gate is not None else ["waited"]
    if step.status is StepStatus.CANCELLED:
        return [f"{line(step.reason or 'cancelled')}, after {took(step.duration_ms)}"]
    if step.status is StepStatus.SKIPPED:
        return [f"skipped: {line(step.reason or step.error or 'not needed')}"]
    keys = ", ".join(line(key) for key in step.output_keys)
    parts = [took(step.duration_ms)] + ([f"set {keys}"] if keys else [])
    if step.port:
        parts.append(f"port {line(step.port)}")
    if step.status is StepStatus.FAILED:
        kind = f"{line(step.error_type)}: " if step.error_type else ""
        return [f"failed after {took(step.duration_ms)}", f"{kind}{safe(step.error or 'no reason is recorded')}"]
    return [" · ".join(parts)]


def _why_void(gate: GateRecord) -> list[str]:
    return [f"voided: {line(gate.void_reason or 'it is closed')}"]


def _waited(gate: GateRecord) -> str:
    from neurocore.readable import moment

    opened, closed = moment(gate.opened_at), moment(gate.closed_at or "")
    return took((closed - opened).total_seconds() * 1000) if opened and closed else "a while"


def _step_in_full(step: StepRecord, project: Project) -> list[str]:
    room, indent = columns(), " " * 7
    lines: list[str] = []
    document = make.step(step, full=True, schema=project.schema_of(step.skill_type or ""))
    if document.config:
        lines += [
            f"{indent}{paint('config', 'dim')}",
            *named(document.config, indent=f"{indent}  ", room=room, most=None),
        ]
    if document.changes:
        lines += [
            f"{indent}{paint('set', 'dim')}",
            *named(document.changes, indent=f"{indent}  ", room=room, most=None),
        ]
    if document.deleted:
        lines.append(f"{indent}{paint('deleted', 'dim')}")
        lines += wrapped(", ".join(line(key) for key in document.deleted), room, f"{indent}  ")
    if document.traceback:
        lines += [f"{indent}{paint('traceback', 'dim')}"]
        lines += [f"{indent}  {one}" for one in safe(document.traceback).rstrip().split("\n")]
    if document.logs:
        lines.append(f"{indent}{paint('said', 'dim')}")
        for one in document.logs:
            lines += wrapped(f"{one.level.lower():<7} {line(one.message)}", room, f"{indent}  ", f"{indent}          ")
    return lines


def _last_said(logs: Sequence[LogLine]) -> list[str]:
    """Return the end of the log of a failed step, such as the output of its program."""
    room, indent = columns(), " " * 10
    more = [f"{indent}({counted(len(logs) - LAST_SAID, 'line')} before; `runs logs` shows all)"]
    lines = more if len(logs) > LAST_SAID else []
    for one in logs[-LAST_SAID:]:
        lines += wrapped(f"{one.level.lower():<7} {line(one.message)}", room, indent, f"{indent}        ")
    return lines


def _standing(run: RunRecord, project: Project, gates: Sequence[GateRecord], state: str, full: bool) -> list[str]:
    waiting = make.open_gates(gates, run)
    room = columns()
    done = nodes_told(run, project.store.step_summaries(run.run_id)) if run.nodes_total else ""
    worked = f"{took(run.duration_ms)} of work" if run.duration_ms is not None else ""
    so_far = ", ".join(part for part in (done, worked) if part)
    ended = f" {ago(run.finished_at)} ({when(run.finished_at)})" if run.finished_at else ""
    lines: list[str] = []
    if run.held is not None:
        lines += wrapped(safe(still(run.run_id, run.held)), room, "  ", "    ")
    if run.status is RunStatus.RUNNING and state == "driven":
        lines += wrapped(f"{line(project.driver(run))} drives it.", room, "  ", "    ")
    elif state == "lost":
        lines.append("  Its process died. Completed steps are kept; resume continues the run.")
    elif state == "cannot_tell":
        lines += wrapped(safe(project.why_unknown(run)), room, "  ", "    ")
    elif state == "owed":
        lines.append("  It is pending: no process drives it yet. The sweep continues it; resume continues it now.")
    elif run.status.ended:
        word = {"completed": "It completed", "failed": "It failed", "cancelled": "It was cancelled"}[run.status.value]
        lines += [f"  {word}{ended}."]
        if run.error and run.status is not RunStatus.COMPLETED:
            lines += [paint(one, "red") for one in wrapped(safe(run.error), room, "  ")]
    if so_far:
        lines.append(f"  {so_far[0].upper()}{so_far[1:]}.")
    for gate in waiting:
        lines += [*_signed("suspended", f"{_waits(gate)} (opened {ago(gate.opened_at)}):", "  "), ""]
        lines += gate_lines(gate, run, project, indent="    ", full=full)
    return lines or ["  Nothing has happened yet."]


def _waits(gate: GateRecord) -> str:
    return f"{_name(gate.node_id, gate.visit)} waits for {'data' if gate.kind == 'input' else 'a decision'}"


def _outputs(run: RunRecord, project: Project) -> list[str]:
    """Return the result of a completed run: its declared outputs, or else what its steps set."""
    if run.status is not RunStatus.COMPLETED:
        return []
    context = make.context_of(run, project.store)
    declared = run.blueprint_snapshot.get("outputs") or {}
    hidden = {"approval", "approvals"}
    keys = [
        key for key in context if (key in declared if declared else key not in run.initial_data and key not in hidden)
    ]
    lines = named({key: context[key] for key in keys[:15]}, indent="  ", room=columns(), most=4)
    if len(keys) > 15:
        lines.append(f"  … {counted(len(keys) - 15, 'more key')}")
    return lines


def _context(run: RunRecord, project: Project, room: int) -> list[str]:
    context = make.context_of(run, project.store)
    return ["", paint("Context", "bold"), *(named(context, indent="  ", room=room, most=None) or ["  It is empty."])]


def _activity(events: Sequence[Event], room: int) -> list[str]:
    lines = ["", paint("Activity", "bold")]
    for event in events:
        who = f" by {line(event.who)}" if event.who else ""
        known = f" ({line(event.known_by)})" if event.known_by and event.known_by != "system" else ""
        given = {key: value for key, value in masked(event.facts).items() if value not in (None, {})}
        deep = {
            key: value
            for key, value in given.items()
            if isinstance(value, (dict, list)) and not on_a_line(value, WHOLE)
        }
        data = ", ".join(f"{line(key)} {short(value, WHOLE)}" for key, value in given.items() if key not in deep)
        said = f"{when(event.at)}  {line(event.kind)}{who}{known}{f': {data}' if data else ''}"
        lines += wrapped(said, room, "  ", " " * 23)
        lines += named(deep, indent=" " * 23, room=room, most=None)
    return lines


def _definition(run: RunRecord, project: Project) -> list[str]:
    source, document = project.definition(run)
    lines = ["", paint("Blueprint", "bold")]
    if run.blueprint_path:
        lines += wrapped(f"from {line(near(Path(run.blueprint_path)))}", columns(), "  ", "    ")
    if source is not None:
        return [*lines, "", *(f"  {one}".rstrip() for one in safe(source).rstrip().split("\n"))]
    return [*lines, *block(document, indent="  ", room=columns(), most=None)]


def _next(commands: Sequence[str]) -> list[str]:
    return ["", "Type next:", *(f"  {line(command)}" for command in commands)] if commands else []
