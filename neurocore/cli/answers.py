"""The answers at a gate for a terminal: who is asked, who has answered, what is missing, and what became of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neurocore.cli.output import columns, mark, paint
from neurocore.cli.project import Project
from neurocore.cli.text import ago, line, safe, when, width, wrapped

if TYPE_CHECKING:
    from neurocore.documents.gates import AnswerDocument, GateDocument
    from neurocore.documents.runs import DecisionDocument
    from neurocore.persistence.gate_policy import GatePolicy
    from neurocore.persistence.records import Event, GateRecord, RunRecord

_DONE = {"approve": "approved", "reject": "rejected"}


def decided(decision: DecisionDocument) -> str:
    """Return what became of an answer, in a sentence."""
    word, node, by = "Approved" if decision.approved else "Rejected", line(decision.node), line(decision.by)
    lacks = _lacks(decision.missing) or "."
    if decision.effect == "repeated":
        return f"Already {word.lower()} by {by} {ago(decision.at)}; nothing was changed{lacks}"
    if decision.effect == "recorded" and decision.held_until is not None:
        until = when(decision.held_until)
        return f"{word} {node} as {by}. This takes effect at {until}; you can withdraw it until then."
    if decision.effect == "recorded":
        return f"Recorded at {node} as {by}{lacks}"
    return f"{word} {node} as {by}."


def withdrawn(node: str, run: RunRecord, project: Project) -> str:
    """Return what holds at a gate after an answer was withdrawn, in a sentence."""
    open_ones = [one for one in run.gates if one.node_id == node and one.status.value == "open"]
    missing = project.gate_document(run, open_ones[-1]).missing if open_ones else None
    return f"Withdrew your answer at {line(node)}{_lacks(missing) or '.'}"


def _lacks(missing: str | None) -> str:
    """Return the end of a sentence that says what is missing."""
    if missing is None:
        return ""
    return f"; {line(missing)} {'is' if missing.startswith('1 ') else 'are'} needed."


def answered_by(gate: GateRecord, run: RunRecord, project: Project) -> str:
    """Return by whom a gate was decided: all whose approvals count, or whoever rejected it."""
    answer = gate.decision
    if answer is None:
        return ""
    names = [answer.by]
    if gate.policy.is_ruled and answer.approved:
        names = project.gate_document(run, gate).approved_by or names
    told = line(names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}")
    reason = answer.facts.get("break_glass")
    return f"{told}, breaking the glass: {line(str(reason))}" if reason else told


def rule_lines(gate: GateRecord, run: RunRecord, project: Project, *, indent: str) -> list[str]:
    """Return what the rules of an open gate give, and what was said about it; nothing for a gate with neither."""
    from neurocore.gates.evidence import comments_on

    comments = comments_on(gate, project.store.load_events(run.run_id))
    lines: list[str] = []
    if gate.policy.is_ruled:
        found = project.gate_document(run, gate)
        lines += ["", *_stages(found, indent), *_others(found, indent)]
        for sentence in [*_where_it_is(found), *_limits(gate, found)]:
            lines += wrapped(sentence, columns(), indent, f"{indent}  ")
    if comments:
        lines += ["", *_comments(comments, indent)]
    return lines


def _stages(gate: GateDocument, indent: str) -> list[str]:
    from neurocore.gates.standing import in_words

    answers = {one.by: one for one in gate.answers if one.counts and one.answer == "approve"}
    lines: list[str] = []
    for number, stage in enumerate(gate.stages, 1):
        asked = in_words(stage.approvers) if stage.approvers else "everybody with the role approver"
        place = f"Stage {number} asks" if len(gate.stages) > 1 else "Asks"
        done = len(stage.approved_by)
        sign = "completed" if done >= stage.required else "suspended" if number == gate.stage else "skipped"
        told = f"{place} {line(asked)}: {done} of {stage.required} approved"
        first, *rest = wrapped(told, columns() - width(indent) - 2)
        lines += [f"{indent}{mark(sign)} {first}", *(f"{indent}  {one}" for one in rest)]
        for one in (answers[name] for name in stage.approved_by if name in answers):
            lines += wrapped(_said(one), columns(), f"{indent}    ", f"{indent}      ")
    return lines


def _said(answer: AnswerDocument) -> str:
    """Return one answer: who, when, and the note."""
    word = _DONE.get(answer.answer or "", "answered")
    note = f": “{safe(answer.note)}”" if answer.note else ""
    return f"{line(answer.by)} {word} {ago(answer.at)}{note}"


def _others(gate: GateDocument, indent: str) -> list[str]:
    """Return the answers that do not count, each with the reason."""
    lines: list[str] = []
    for one in gate.answers:
        if not one.counts and one.answer != "withdraw":
            why = f"withdrawn {ago(one.withdrawn_at)}" if one.withdrawn_at else (one.why_not or "it does not count")
            first, *rest = wrapped(f"{_said(one)} ({line(why.rstrip('.'))})", columns() - width(indent) - 2)
            lines += [f"{indent}{mark('skipped')} {first}", *(f"{indent}  {more}" for more in rest)]
    return lines


def _where_it_is(gate: GateDocument) -> list[str]:
    decision = gate.decision
    if gate.held_until is not None and decision is not None:
        word = _DONE.get(decision.outcome or "", "answered").capitalize()
        by = line(decision.by or "nobody")
        return [f"{word} by {by}; this takes effect at {when(gate.held_until)}, unless {by} withdraws it."]
    return [f"Missing: {line(gate.missing)}."] if gate.missing else []


def _limits(gate: GateRecord, found: GateDocument) -> list[str]:
    """Return the rules about who and when, a sentence each."""
    rules = gate.policy
    told = []
    if not rules.self_approval:
        told.append("Who started this run does not approve it.")
    if rules.distinct_from:
        told.append(f"Who approved {line(' or '.join(rules.distinct_from))} does not approve this gate.")
    if found.deadline is not None:
        then = "; then it is rejected" if rules.on_deadline == "reject" else ""
        due = when(found.deadline)
        told.append(f"It was due {due}, and is overdue." if found.overdue else f"It is due {due}{then}.")
    return [*told, *_escalation(rules, gate, found), *_ways(rules)]


def _escalation(rules: GatePolicy, gate: GateRecord, found: GateDocument) -> list[str]:
    from neurocore.gates.standing import after, in_words

    if rules.escalate is None:
        return []
    who = line(in_words(rules.escalate.to))
    if found.escalated_at is not None:
        return [f"Since {when(found.escalated_at)} it also asks {who}."]
    return [f"At {when(after(gate.opened_at, rules.escalate.after))} it also asks {who}."]


def _ways(rules: GatePolicy) -> list[str]:
    told = []
    if rules.undo != "0s":
        told.append(f"The answer that decides can be withdrawn for {line(rules.undo)}.")
    if rules.fresh_login is not None:
        told.append(f"It asks for a sign-in at most {line(rules.fresh_login)} ago: answer on the run's page.")
    if rules.signature != "none":
        told.append("It asks for an answer signed by a passkey: answer on the run's page.")
    return told


def _comments(comments: Sequence[Event], indent: str) -> list[str]:
    lines = [f"{indent}{paint('Comments', 'bold')}"]
    for one in comments:
        told = f"{line(one.who or 'somebody')} {ago(one.at)}: “{safe(str(one.data.get('text', '')))}”"
        lines += wrapped(told, columns(), f"{indent}  ", f"{indent}    ")
    return lines
