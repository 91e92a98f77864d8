"""The exceptions that NeuroCore raises deliberately.

Each message is one sentence that says what went wrong, where, and what to do next; faces print it unchanged. A face
chooses its exit code or HTTP status by the family: `UsageError` (the input is wrong), `NotFoundError`, `RefusedError`
(understood, but not done), `StoreError` (the history cannot be read or written) and `ExecutionError` (a run failed).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def said(error: BaseException) -> str:
    """Return an error's message, on one line or more; its own `__str__` may fail."""
    try:
        return str(error).strip()
    except Exception as trouble:
        return f"and its message cannot be shown: {type(trouble).__name__}"


class Interruption(BaseException):
    """Ends the driver on the calling thread at once, from outside of the skill: a signal's handler raises it.

    Everything else that a skill raises is its step's failure.
    """


class NeuroCoreError(Exception):
    """Base of every error of this package."""


class UsageError(NeuroCoreError):
    """The input cannot be used; nothing was done."""


class ConfigError(UsageError):
    """neurocore.yaml, `.env` or an environment override is wrong."""


class InputError(UsageError):
    """The data given to a run, or to a gate's form, does not fit its declaration.

    `problems` maps the name of each input to its sentence.
    """

    def __init__(self, message: str, problems: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or {}


class SkillError(NeuroCoreError):
    """A skill cannot be found, loaded, configured or built."""


class BlueprintError(UsageError):
    """A blueprint cannot be read or is inconsistent; `problems` has every problem, not only the first."""

    def __init__(self, message: str, problems: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)


class ConditionError(BlueprintError):
    """An expression cannot be parsed, or cannot be evaluated within its limits; `column`, from 1, is the place."""

    def __init__(self, message: str, *, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


class CodecError(NeuroCoreError):
    """A value cannot be stored so that it is restored equal and of the same type (promise 9).

    `path` leads to the value (`rows[3].file`), `type_name` is its class.
    """

    def __init__(self, message: str, *, path: str = "", type_name: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.type_name = type_name


class ExecutionError(NeuroCoreError):
    """A run failed; its record was committed before this was raised.

    `run_id` and `node` say where; `kind` is the kind of the run's failure; `__cause__` is the skill's exception, if
    any.
    """

    def __init__(self, message: str, *, run_id: str = "", node: str | None = None, kind: str = "error") -> None:
        super().__init__(message)
        self.run_id = run_id
        self.node = node
        self.kind = kind


class GateRejected(ExecutionError):
    """A person rejected a gate that requires approval, and the run ended there."""

    def __init__(self, message: str, *, run_id: str, node: str, by: str, note: str | None) -> None:
        super().__init__(message, run_id=run_id, node=node, kind="rejected")
        self.by = by
        self.note = note


class NotFoundError(NeuroCoreError):
    """There is nothing with the given name."""


class RunNotFound(NotFoundError):
    """No run has this id or prefix; `tombstone` is set when it was deleted."""

    def __init__(self, message: str, *, run_id: str = "", tombstone: Any = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.tombstone = tombstone


class RunAmbiguous(NotFoundError):
    """Several runs match a prefix; `candidates` lists their ids."""

    def __init__(self, message: str, candidates: Sequence[str]) -> None:
        super().__init__(message)
        self.candidates = list(candidates)


class RefusedError(NeuroCoreError):
    """Understood, allowed in principle, but not possible in this state; nothing was changed."""


class RunExists(RefusedError, ValueError):
    """The id of a new run belongs to another run, which is not changed.

    Also a ValueError, which is what stores raised here before.
    """


class Forbidden(RefusedError):
    """The actor may not do this. `who_can` names at most five people who may."""

    def __init__(self, message: str, *, who_can: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.who_can = tuple(who_can)


class NeedsSignIn(Forbidden):
    """The actor must sign in again first: what they want needs a sign-in of a moment ago."""


class NeedsPasskey(Forbidden):
    """The gate asks for an answer that is signed by a passkey; it is given on the run's page."""


class NotResumable(RefusedError):
    """The run cannot continue from this state (or it waits for a decision that was not given)."""


class RunHeld(NotResumable):
    """The run is held until somebody adopts it: it came with a copy of a history, or by an import."""


class RunBusyError(RefusedError):
    """A live process drives this run; `owner` names it."""

    def __init__(self, message: str, *, run_id: str = "", owner: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id
        self.owner = owner


class DriverUnknown(RunBusyError):
    """It is unknown whether the process that drove this run is alive, so the run is left alone."""


class ClaimLost(RefusedError):
    """Another process took the run over; the previous one wrote nothing (its epoch is old)."""


class DecisionRefused(RefusedError):
    """An answer at a gate was refused."""


class AlreadyDecided(DecisionRefused):
    """The gate occurrence was decided before; the sentence names who decided what, and when."""


class DeadlinePassed(DecisionRefused):
    """The gate's deadline had passed before the answer; it was rejected by that."""


class TooLate(DecisionRefused):
    """The answer came too late for what it wanted: the gate is decided, or its time to withdraw is over."""


class GateChanged(DecisionRefused):
    """The gate no longer shows what the answer was given on (promise 6)."""


class GateAmbiguous(DecisionRefused):
    """Several gates are open and the answer names none; `gates` lists them."""

    def __init__(self, message: str, gates: Sequence[str]) -> None:
        super().__init__(message)
        self.gates = list(gates)


class NoOpenGate(DecisionRefused):
    """The run has no open gate of this name and visit."""


class StoreError(NeuroCoreError):
    """The run store cannot be opened, read or written; nothing was half written."""


class StoreInUse(RefusedError, StoreError):
    """Other processes drive runs of this history, so it is neither replaced nor upgraded."""


class StoreTooNew(StoreError):
    """The database was written by a newer NeuroCore; the sentence names the version to install."""
