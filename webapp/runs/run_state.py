"""Where a run stands, in a word for people, and what may be done with it now."""

from __future__ import annotations

from msgspec import Struct

from neurocore.documents.run_state import failed_word, kind
from neurocore.persistence.ownership import owner_label
from neurocore.persistence.records import Owed, RunRecord, RunStatus
from neurocore.runs.actions import why_not_resumable
from webapp.services import Services


class Standing(Struct, frozen=True):
    """`kind` picks icon and colour: a status, `lost`, `owed`, `cannot_tell` or `held`. `label` is its word."""

    kind: str
    label: str
    live: bool
    driving: str | None = None


def standing(run: RunRecord, services: Services) -> Standing:
    """Status, liveness and what the dispatcher has, as one word; `live` where something may still change by itself."""
    if run.held is not None:
        return Standing("held", "held", True, "held")
    held = services.dispatcher.state(run.run_id)
    if run.status is RunStatus.FAILED and held is not None:
        return Standing("running", "goes on" if held == "running" else "queued", True, held)
    if run.status.ended:
        label = failed_word(run) if run.status is RunStatus.FAILED else run.status.value
        return Standing(run.status.value, label, False)
    live = services.liveness(run)
    found = kind(run, live)
    label = _owed(run, held) if found == "owed" else _LABELS.get(found, found)
    return Standing(found, label, True, live)


#: What people read, where it is not the kind itself.
_LABELS = {"cancelled": "being cancelled", "cannot_tell": "cannot tell", "suspended": "waiting"}


def _owed(run: RunRecord, held: str | None) -> str:
    if held is not None:
        return "queued" if held == "queued" else "running"
    return {Owed.START: "to be started", Owed.DECISION: "decided, to go on"}.get(Owed(run.owed or "resume"), "to go on")


def token(run: RunRecord, services: Services) -> str:
    """What a refresh compares: it differs when anything of the run that a page shows may differ."""
    live = "ended" if run.status.ended and run.held is None else services.liveness(run)
    held = services.dispatcher.state(run.run_id)
    return f"{run.version}.{run.epoch}{live[0]}{held[0] if held else ''}"


#: Why nothing is resumed under `--no-dispatch`.
NOT_FROM_HERE = "this dashboard records only; use `neurocore runs resume` or keep `runs sweep --watch` running"


class Choice(Struct, frozen=True):
    """A button: `reason` says why it cannot be pressed now, and is None when it can."""

    name: str
    label: str
    reason: str | None = None


def choices(run: RunRecord, services: Services) -> dict[str, Choice]:
    """The actions that make sense in this state, each with the reason where it is not possible."""
    found = [_resume(run, services), Choice("replay", "Replay", _no_replay(run))]
    if not run.status.ended:
        asked = f"{run.cancel_requested} asked for it already" if run.cancel_requested else None
        found.append(Choice("cancel", "Cancel", asked if run.held is None else f"it is held: {run.held}"))
    else:
        found.append(Choice("delete", "Delete"))
    return {choice.name: choice for choice in found if choice is not None}


def _resume(run: RunRecord, services: Services) -> Choice | None:
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        return None
    held = services.dispatcher.state(run.run_id)
    if held is not None:
        return Choice("resume", "Resume", f"it is {held} here already") if run.status is RunStatus.FAILED else None
    if (reason := why_not_resumable(run)) is not None:
        return Choice("resume", "Resume", reason.replace(f"Run {run.run_id}", "it").rstrip("."))
    if not services.drives:
        return Choice("resume", "Resume", NOT_FROM_HERE)
    state = services.liveness(run)
    if state == "driven":
        is_driven = Choice("resume", "Resume", f"{owner_label(run.owner)} drives it")
        return None if run.status is RunStatus.RUNNING else is_driven
    if state == "cannot_tell":
        return Choice("resume", "Resume", f"NeuroCore cannot tell whether {owner_label(run.owner)} still drives it")
    if run.status is RunStatus.SUSPENDED and run.owed is None:
        return None  # it waits for people; the panel is what goes on from here
    return Choice("resume", "Resume")


def _no_replay(run: RunRecord) -> str | None:
    return None if run.blueprint_hash or not run.legacy else "0.4 did not keep its blueprint"
