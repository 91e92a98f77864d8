"""The state of a run as a word for people, and the actions that are possible in it."""

from __future__ import annotations

from msgspec import Struct

from neurocore.access.permission import Action, Resource, may
from neurocore.documents.run_state import failed_word, kind
from neurocore.persistence.ownership import owner_label
from neurocore.persistence.records import Owed, RunRecord, RunStatus
from neurocore.runs.actions import why_not_resumable
from webapp.security.actors import sender
from webapp.security.permissions import refusal
from webapp.services import Services


class Standing(Struct, frozen=True):
    """The state of a run: `kind` selects icon and colour, `label` is the word that people read.

    `kind` is a status, `lost`, `owed`, `cannot_tell` or `held`. `live` is true while the state can change.
    """

    kind: str
    label: str
    live: bool
    driving: str | None = None


def standing(run: RunRecord, services: Services) -> Standing:
    """Combine status, liveness and the dispatcher's state into one word."""
    if run.held is not None:
        return Standing("held", "held", True, "held")
    held = services.dispatcher.state(run.run_id)
    if run.status is RunStatus.FAILED and held is not None:
        return Standing("running", "continues" if held == "running" else "queued", True, held)
    if run.status.ended:
        label = failed_word(run) if run.status is RunStatus.FAILED else run.status.value
        return Standing(run.status.value, label, False)
    live = services.liveness(run)
    found = kind(run, live)
    label = _owed(run, held) if found == "owed" else _LABELS.get(found, found)
    return Standing(found, label, True, live)


#: The labels that differ from the kind.
_LABELS = {"cancelled": "being cancelled", "cannot_tell": "cannot tell", "suspended": "waiting"}


def _owed(run: RunRecord, held: str | None) -> str:
    if held is not None:
        return "queued" if held == "queued" else "running"
    return "decided, pending" if run.owed == Owed.DECISION else "pending"


def token(run: RunRecord, services: Services) -> str:
    """Return a string that changes whenever anything may change that a page shows of the run; refreshes compare it."""
    live = "ended" if run.status.ended and run.held is None else services.liveness(run)
    held = services.dispatcher.state(run.run_id)
    return f"{run.version}.{run.epoch}{live[0]}{held[0] if held else ''}"


#: Why a dashboard with `--no-dispatch` does not resume runs.
NOT_FROM_HERE = "this dashboard only records; use `neurocore runs resume`, or keep `runs sweep --watch` running"


class Choice(Struct, frozen=True):
    """A button. `reason` says why it is disabled; it is None if the button can be pressed."""

    name: str
    label: str
    reason: str | None = None


def choices(run: RunRecord, services: Services) -> dict[str, Choice]:
    """Return the actions that make sense in this state, each with a reason if it is not possible."""
    found = [_resume(run, services), Choice("replay", "Replay", _no_replay(run))]
    if not run.status.ended:
        asked = f"{run.cancel_requested} has already asked for it" if run.cancel_requested else None
        found.append(Choice("cancel", "Cancel", asked if run.held is None else f"it is held: {run.held}"))
    else:
        found.append(Choice("delete", "Delete"))
    return {choice.name: _if_allowed(choice, run) for choice in found if choice is not None}


def _if_allowed(choice: Choice, run: RunRecord) -> Choice:
    """Return the choice, with the reason where whoever looks at the page may not do it."""
    verdict = may(sender(), Action(choice.name), Resource(blueprint=run.blueprint_name, run_id=run.run_id))
    return choice if verdict.allowed else Choice(choice.name, choice.label, _inside(refusal(verdict)))


def _inside(sentence: str) -> str:
    """Return a sentence as a part of another."""
    return sentence[:1].lower() + sentence[1:]


def _resume(run: RunRecord, services: Services) -> Choice | None:
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        return None
    held = services.dispatcher.state(run.run_id)
    if held is not None:
        return Choice("resume", "Resume", f"it is already {held} here") if run.status is RunStatus.FAILED else None
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
        return None  # it waits for people, who answer in the panel
    return Choice("resume", "Resume")


def _no_replay(run: RunRecord) -> str | None:
    return None if run.blueprint_hash or not run.legacy else "version 0.4 did not store its blueprint"
