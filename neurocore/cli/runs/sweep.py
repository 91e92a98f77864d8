"""`neurocore runs sweep`: nothing that is owed stays undone."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING

import click

from neurocore.cli.drive import Terminated, stoppable
from neurocore.cli.live import view
from neurocore.cli.output import emit, out, warn
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, safe, safe_json
from neurocore.cli.types import json_option

if TYPE_CHECKING:
    from neurocore.cli.documents import SweepDocument
    from neurocore.runtime.dispatch import Dispatcher


@click.command()
@click.option("--watch", is_flag=True, help="Keep at it until stopped.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=5.0, show_default=True, metavar="SECONDS",
    help="How often to look, with --watch.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
@pass_project
def sweep(project: Project, watch: bool, interval: float, quiet: bool, as_json: bool) -> None:
    """Go on with every run that is owed (decided, not resumed) or lost (its process died).

    Sweeping twice, or in two places, is harmless. With --watch, stop it by Ctrl-C or SIGTERM; what runs is handed back.
    """
    if watch:
        _keep_at_it(project, interval, as_json)
    else:
        _once(project, quiet, as_json)


def _once(project: Project, quiet: bool, as_json: bool) -> None:
    from neurocore.runtime.dispatch import InlineDispatcher

    with view(quiet=quiet) as shown:
        dispatch = InlineDispatcher(project.registry, project.config, project.store, on_event=shown)
        document = _sweep(project, dispatch)
    if as_json:
        emit(document)
    elif not _print(document):
        out("Nothing is owed and nothing is lost.")


def _keep_at_it(project: Project, interval: float, as_json: bool) -> None:
    from neurocore.runtime.dispatch import ThreadDispatcher

    dispatch = ThreadDispatcher(project.registry, project.config, project.store)
    pause = threading.Event()
    try:
        with stoppable(), contextlib.suppress(KeyboardInterrupt, Terminated):
            while True:
                document = _sweep(project, dispatch)
                if as_json and (document.owed or document.lost or document.failed or document.errors):
                    out(safe_json(json.dumps(_plain(document), ensure_ascii=False)))
                elif not as_json:
                    _print(document)
                pause.wait(interval)
    finally:
        dispatch.close(grace=10.0)


def _sweep(project: Project, dispatch: Dispatcher) -> SweepDocument:
    from neurocore.cli.documents import SweepDocument
    from neurocore.persistence.base import utcnow_iso
    from neurocore.runtime.sweep import sweep_once

    found = sweep_once(project.config, run_store=project.store, dispatch=dispatch)
    return SweepDocument(
        at=utcnow_iso(),
        owed=list(found.owed),
        lost=list(found.lost),
        failed=list(found.failed),
        errors=dict(found.errors),
    )


def _print(document: SweepDocument) -> bool:
    """Say what was found; False when that was nothing."""
    for word, ids in (
        ("was owed", document.owed),
        ("was lost", document.lost),
        ("was lost, and is failed now", document.failed),
    ):
        for run_id in ids:
            error = document.errors.get(run_id)
            out(f"Run {run_id} {word}" + (f": {line(error)}" if error else "."))
    rest = {run_id: text for run_id, text in document.errors.items() if run_id not in (*document.owed, *document.lost)}
    for text in rest.values():
        warn(safe(text))
    return bool(document.owed or document.lost or document.failed or document.errors)


def _plain(document: SweepDocument) -> dict[str, object]:
    import msgspec

    plain: dict[str, object] = msgspec.to_builtins(document)
    return plain
