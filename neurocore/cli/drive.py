"""Drive a run from the command line: show its progress, and stop so that it can be resumed.

After Ctrl-C the run has failed, kind interrupted. SIGTERM and a closed terminal release the run as pending, which does
not count as a death of its process.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from neurocore import hangup
from neurocore.cli import errors
from neurocore.cli.live import Terminal, View, view
from neurocore.cli.output import complain, emit, out, say
from neurocore.cli.project import Project
from neurocore.cli.stdout import OutputLost
from neurocore.errors import ExecutionError, Interruption, NeuroCoreError

if TYPE_CHECKING:
    from neurocore.documents.runs import DecisionDocument
    from neurocore.persistence.records import RunRecord


class Terminated(Interruption):
    """A signal told this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def drive(project: Project, verb: Callable[[View], object], *, run_id: str | None = None, quiet: bool = False) -> str:
    """Call a verb that drives a run, and return the run's id. If the run fails, its record says so.

    Raises Interrupted if it was stopped from outside, and every error that prevented the run from being driven.
    """
    with view(quiet=quiet) as shown:
        shown.run_id = run_id
        try:
            with stoppable():
                verb(shown)
        except ExecutionError as error:
            shown.run_id = error.run_id or shown.run_id
            if shown.run_id is None:
                raise
        except KeyboardInterrupt as error:
            raise interrupted(project, shown.run_id) from error
        except Terminated as error:
            raise handed_back(project, shown.run_id, error.number) from error
    if isinstance(shown, Terminal):
        say()
    if shown.run_id is None:
        raise NeuroCoreError("The run ended, but its id is not known.")
    return shown.run_id


def report(project: Project, run_id: str, *, as_json: bool, decision: DecisionDocument | None = None) -> RunRecord:
    """Print the state of the run: the result on stdout, and on stderr why it failed."""
    from neurocore.cli import story
    from neurocore.runs.find import load_run

    run = load_run(run_id, project.store)
    rejected = run.failure is not None and run.failure.kind == "rejected" and decision is not None
    if run.status.value == "failed" and not rejected:
        complain(run.error or "The run failed.")
    try:
        if as_json:
            emit(project.outcome(run, decision))
        else:
            out("\n".join(story.ending(run, project, decision=decision)))
    except OutputLost as lost:
        errors.end_first(lost)  # if the run failed, that determines the exit code
    return run


def ended_well(run: RunRecord) -> int:
    """Return the exit code of a command that drove a run: 1 if it failed, was rejected or cancelled, else 0."""
    return errors.FAILED if run.status.value in ("failed", "cancelled") else errors.DONE


@contextlib.contextmanager
def stoppable(*, goes_on: bool = False) -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the main thread during the block, and SIGHUP too (see `hangup.handled`)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise Terminated(number)

    before = signal.getsignal(signal.SIGTERM)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, stop)
    try:
        with hangup.handled(stop, goes_on=goes_on):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted(project: Project, run_id: str | None) -> errors.Interrupted:
    """Return the exception to raise after Ctrl-C, when the loop has recorded the interruption."""
    if run_id is None:
        return errors.Interrupted("Stopped before the run began.")
    from neurocore.cli.brief import short_id

    name = short_id(run_id, project.store)
    return errors.Interrupted(f"Stopped. Completed steps are kept. To continue:\n  {project.called} runs resume {name}")


def handed_back(project: Project, run_id: str | None, number: int) -> errors.Interrupted:
    """Mark the run as pending after a signal, and return the exception to raise."""
    from neurocore.cli.brief import short_id
    from neurocore.persistence.ownership import hand_back

    name = signal.Signals(number).name
    if run_id is None:
        return errors.Interrupted(f"Stopped by {name} before the run began.", 128 + number)
    with contextlib.suppress(NeuroCoreError):
        hand_back(run_id, project.store, name)
    return errors.Interrupted(
        f"Stopped by {name}. Completed steps are kept. The sweep continues the run; to continue it now:\n"
        f"  {project.called} runs resume {short_id(run_id, project.store)}",
        128 + number,
    )
