"""`neurocore runs sweep`: continue all pending and lost runs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from neurocore.cli.drive import Terminated, handed_back, interrupted, stoppable
from neurocore.cli.live import view
from neurocore.cli.output import emit, out, say, warn
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line
from neurocore.cli.types import json_option
from neurocore.options import Number
from neurocore.readable import counted, safe_json

if TYPE_CHECKING:
    from neurocore.documents.runs import SweepDocument
    from neurocore.drivers.dispatch import Dispatcher


@click.command()
@click.option("--watch", is_flag=True, help="Repeat until stopped.")
@click.option(
    "--interval", type=Number(min=0.1), default=5.0, show_default=True, metavar="SECONDS",
    help="How often to sweep, with --watch.",
)  # fmt: skip
@click.option(
    "--grace", type=Number(min=0), default=10.0, show_default=True, metavar="SECONDS",
    help="How long steps may take to finish when --watch is stopped.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
@pass_project
def sweep(project: Project, watch: bool, interval: float, grace: float, quiet: bool, as_json: bool) -> None:
    """Continue every run that is pending (decided, but not resumed) or lost (its process died).

    It is safe to sweep twice, or in two places. Stop --watch with Ctrl-C or SIGTERM; the runs that are active are
    handed back.
    """
    if watch:
        _keep_at_it(project, interval, grace, as_json)
    else:
        _once(project, quiet, as_json)


def _once(project: Project, quiet: bool, as_json: bool) -> None:
    from neurocore.drivers.dispatch import InlineDispatcher

    with view(quiet=quiet) as shown:
        dispatch = InlineDispatcher(project.registry, project.config, project.store, on_event=shown)
        try:
            with stoppable():
                document = _sweep(project, dispatch)
        except KeyboardInterrupt as error:
            raise interrupted(project, shown.run_id) from error
        except Terminated as error:
            raise handed_back(project, shown.run_id, error.number) from error
    if as_json:
        emit(document)
    else:
        out("\n".join(_told(document)) or "No run is pending or lost.")
        if held := project.store.count_held_runs():
            are = "is" if held == 1 else "are"
            say(f"{counted(held, 'run')} {are} held and {'was' if held == 1 else 'were'} not swept: see `db adopt`.")


def _keep_at_it(project: Project, interval: float, grace: float, as_json: bool) -> None:
    from neurocore.drivers.dispatch import ThreadDispatcher

    dispatch = ThreadDispatcher(project.registry, project.config, project.make_store())
    on_disk = project.registry.on_disk
    pause = threading.Event()
    data = sys.stdout  # what skills print goes to stderr
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            stoppable(goes_on=True),
            contextlib.suppress(KeyboardInterrupt, Terminated),
        ):
            left: list[str] = []
            while True:
                if on_disk is not None and (news := on_disk.news()) is not None:
                    warn(news)
                document = _sweep(project, dispatch)
                document.left, left = [one for one in document.left if one not in left], document.left
                for text in _lines(document) if as_json else _told(document):
                    data.write(f"{text}\n")
                    data.flush()
                pause.wait(interval)
    finally:
        stuck = dispatch.close(grace)
        if stuck:
            _leave_at_once(project, len(stuck))


def _leave_at_once(project: Project, count: int) -> NoReturn:
    """End the process, because nothing else can end the threads of steps that did not end in time."""
    try:
        say(f"{counted(count, 'step')} did not end in time; the next sweep continues the runs.")
        project.close()
        sys.stdout.flush()
    finally:  # even if the message cannot be printed any more
        os._exit(0)


def _sweep(project: Project, dispatch: Dispatcher) -> SweepDocument:
    from neurocore.clock import utcnow_iso
    from neurocore.documents.runs import SweepDocument
    from neurocore.drivers.sweep import sweep_once

    found = sweep_once(project.config, run_store=project.store, dispatch=dispatch)
    return SweepDocument(
        at=utcnow_iso(), owed=list(found.owed), lost=list(found.lost), failed=list(found.failed),
        errors=dict(found.errors), left=list(found.left),
    )  # fmt: skip


def _told(document: SweepDocument) -> list[str]:
    """Return a sentence for each run that was found."""
    found = {
        "was pending": document.owed, "was lost": document.lost, "was lost, and has failed now": document.failed,
        "was left alone: NeuroCore cannot tell whether its process is alive": document.left,
        "could not be continued": [one for one in document.errors if one not in (*document.owed, *document.lost)],
    }  # fmt: skip
    return [
        f"Run {line(run_id)} {word}" + (f": {line(document.errors[run_id])}" if run_id in document.errors else ".")
        for word, run_ids in found.items()
        for run_id in run_ids
    ]


def _lines(document: SweepDocument) -> list[str]:
    """Return the document on one line if something was found."""
    if not (document.owed or document.lost or document.failed or document.errors or document.left):
        return []
    return [safe_json(json.dumps(msgspec.to_builtins(document), ensure_ascii=False))]
