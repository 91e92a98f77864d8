"""An open gate as a reviewer reads it in a terminal: nothing that the reviewer decides on is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurocore.cli.answers import rule_lines
from neurocore.cli.brief import short_id
from neurocore.cli.output import columns, paint
from neurocore.cli.project import Project
from neurocore.cli.text import ago, cut, line, safe, short, width, wrapped
from neurocore.cli.values import named, on_a_line
from neurocore.differences import first_difference
from neurocore.documents.masking import masked
from neurocore.readable import counted

if TYPE_CHECKING:
    from neurocore.documents.gates import DifferenceDocument, LastApprovedDocument
    from neurocore.persistence.records import GateRecord, RunRecord

#: Values up to this size in bytes are shown completely; with `--full`, all are.
SHOWN_AT_ONCE = 200_000


def gate_lines(gate: GateRecord, run: RunRecord, project: Project, *, indent: str, full: bool = False) -> list[str]:
    """Return the lines of an open gate: the message, the values, what has changed, and what each answer does."""
    room, whole = columns(), full or len(gate.shown) <= SHOWN_AT_ONCE
    lines = wrapped(safe(gate.message), room, indent)
    values = masked(gate.values)
    if values:
        lines += ["", *named(values, indent=f"{indent}  ", room=room, most=None if whole else 12)]
    if not whole:
        told = f"Its values have {len(gate.shown) / 1e6:,.1f} MB; `runs inspect --full` shows all of them."
        lines += ["", *(paint(one, "yellow") for one in wrapped(told, room, indent))]
    if gate.kind == "input":
        return lines
    approved = project.last_approved(run, gate)
    if approved is not None:
        lines += ["", *_since(approved, project, indent, room, whole=whole)]
    outlook = project.preview(run, gate)
    if outlook is not None:
        lines.append("")
        for word, colour, one in (("Approve", "green", outlook.approve), ("Reject", "red", outlook.reject)):
            sentence = wrapped(f"→ {line(one.sentence)}", room - width(indent) - 8, "", "  ")
            lines.append(f"{indent}{paint(word.ljust(7), colour)} {sentence[0]}")
            lines += [f"{indent}        {rest}" for rest in sentence[1:]]
    if gate.policy.note != "optional":
        needed = "Every answer" if gate.policy.note == "required" else "A rejection"
        lines.append(f"{indent}{paint(f'{needed} needs a note.', 'dim')}")
    lines += rule_lines(gate, run, project, indent=indent)
    if full:
        lines.append(f"{indent}{paint(f'Digest {gate.digest}', 'dim')}")
    return lines


def change(one: DifferenceDocument, room: int) -> str:
    """Return one difference on one line, such as `1,200 → 1,234`, and say what was not compared."""
    if one.kind == "cut":
        return f"… {one.note}"
    told = _before_and_after(one.before, one.after, one.kind, room - width(one.note or ""))
    return f"{told} ({one.note})" if one.note else told


def _before_and_after(before: Any, after: Any, kind: str, room: int) -> str:
    half = max(12, (room - 3) // 2)
    if kind == "added":
        return f"(new) {short(after, room - 6)}"
    if kind == "removed":
        return f"(gone) {short(before, room - 7)}"
    old, new = short(before, half), short(after, half)
    if isinstance(before, str) and isinstance(after, str) and old.endswith("…") and new.endswith("…"):
        start = first_difference(before, after) - half // 2
        old, new = (cut(f"…{line(text[start:])}" if start > 0 else line(text), half) for text in (before, after))
    return f"{old} → {new}" if old != new else f"{new} (changed inside)"


def _since(approved: LastApprovedDocument, project: Project, indent: str, room: int, *, whole: bool) -> list[str]:
    who = f", by {line(approved.by)} {ago(approved.at)}" if approved.by is not None else ""
    name = short_id(approved.run_id, project.store)
    differences = approved.differences
    if not differences:
        return wrapped(f"The same values as last approved (run {name}{who}).", room, indent, f"{indent}  ")
    lines = wrapped(f"Changed since the last approval (run {name}{who}):", room, indent, f"{indent}  ")
    gutter = min(max(width(line(one.key)) for one in differences), 24)
    for one in differences if whole else differences[:20]:
        key, space = line(one.key), room - gutter - len(indent) - 4
        if whole and one.kind != "cut" and not _fits(one, key, gutter, space):
            told = f"{key} ({one.note})" if one.note else key
            lines += wrapped(told, room, f"{indent}  ", f"{indent}    ")
            sides = {"before": one.before} if one.kind != "added" else {}
            sides |= {"now": one.after} if one.kind != "removed" else {}
            lines += named(sides, indent=f"{indent}    ", room=room, most=None)
            continue
        key = cut(key, gutter)
        lines.append(f"{indent}  {key}{' ' * (gutter - width(key))}  {change(one, space)}")
    if not whole and len(differences) > 20:
        more = counted(len(differences) - 20, "more difference")
        lines.append(f"{indent}  … {more} (`runs inspect --full` shows all)")
    return lines


def _fits(one: DifferenceDocument, key: str, gutter: int, room: int) -> bool:
    """Return whether a difference fits on one line with nothing left out."""
    half = max(12, (room - 3) // 2)
    sides = [side for side, there in ((one.before, one.kind != "added"), (one.after, one.kind != "removed")) if there]
    return width(key) <= gutter and all(on_a_line(side, half if len(sides) == 2 else room - 7) for side in sides)
