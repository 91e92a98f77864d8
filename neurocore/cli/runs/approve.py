"""`neurocore runs approve`: record one person's answer at a gate, then continue the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import structs

from neurocore.cli.drive import drive, report
from neurocore.cli.errors import DONE, FAILED
from neurocore.cli.live import View
from neurocore.cli.output import say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.sign_in import refuse_unless_open
from neurocore.cli.text import line
from neurocore.cli.types import by_option, json_option, run_argument, server_option
from neurocore.errors import DriverUnknown, NotResumable, RunBusyError, UsageError
from neurocore.options import Whole

if TYPE_CHECKING:
    from neurocore.access.actor import Actor
    from neurocore.documents.runs import DecisionDocument
    from neurocore.persistence.records import RunRecord


@click.command()
@run_argument
@click.option("--reject", is_flag=True, help="Reject instead.")
@click.option("--note", metavar="TEXT", help="The reason; some gates require it.")
@by_option
@click.option("--gate", metavar="NODE", help="The gate, if several are open.")
@click.option("--visit", type=Whole(min=1), help="The visit of the gate.")
@click.option(
    "--digest",
    metavar="DIGEST",
    help="The digest that you saw; the answer is refused if the gate has another digest now.",
)
@click.option(
    "--break-glass",
    metavar="REASON",
    help="Decide whatever the rules say about who and how many, as the user who owns the files; say why.",
)
@click.option(
    "--no-resume", is_flag=True, help="Only record the answer; a resume or the sweep continues the run later."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@server_option
@json_option
@pass_project
def approve(
    project: Project, run_id: str, reject: bool, note: str | None, by: str | None, gate: str | None, visit: int | None,
    digest: str | None, break_glass: str | None, no_resume: bool, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Approve (or --reject) what a gate shows, and continue the run.

    The answer is on disk before the run continues. Exits with 0 when the answer took effect (also a rejection), is
    recorded and more are needed, or repeats your earlier answer; 1 when the run then failed for another reason; 4 when
    the answer was refused.
    """
    from neurocore.documents.make import decided
    from neurocore.runs.decide import decide_gate

    whole = project.run_id(run_id)
    if (there := project.elsewhere) is not None:
        if no_resume:
            raise UsageError("--no-resume works only where the history is: a server continues the run itself.")
        if break_glass is not None:
            raise UsageError("--break-glass works only where the history is; admins have it on the run's page.")
        decision = there.decide(
            whole, approved=not reject, note=note, gate=gate, visit=visit, digest=digest, by=by, quiet=quiet
        )  # fmt: skip
        return _ended(report(project, whole, as_json=as_json, decision=decision), decision)
    actor = project.actor(by)
    if break_glass is None:
        refuse_unless_open(project, whole, "answer a gate")
    else:
        actor = _owner(by)
    decision = decided(
        decide_gate(
            whole, approved=not reject, actor=actor, note=note, gate=gate, visit=visit,
            digest=digest, run_store=project.store, break_glass=break_glass,
        )
    )  # fmt: skip
    if not no_resume:
        _go_on(project, whole, decision, quiet=quiet)
    return _ended(report(project, whole, as_json=as_json, decision=decision), decision)


def _owner(by: str | None) -> Actor:
    """Return the user who owns the files, who alone breaks the glass here. Raises UsageError for a claimed name."""
    from neurocore.access.actor import Face, KnownBy, this_user

    if by is not None:
        raise UsageError("Leave --by out: who breaks the glass here is the user of this machine.")
    return structs.replace(this_user(Face.CLI), known_by=KnownBy.OS)


def _ended(run: RunRecord, decision: DecisionDocument) -> int:
    failed_otherwise = run.status.value == "failed" and not (run.failure and run.failure.kind == "rejected")
    return FAILED if failed_otherwise and decision.effect == "took_effect" else DONE


def _go_on(project: Project, run_id: str, decision: DecisionDocument, *, quiet: bool) -> None:
    """Continue the run, unless a live process drives it: that process handles the answer."""
    from neurocore.drivers.dispatch import InlineDispatcher

    run = project.store.load_summary(run_id)
    if run is None or run.owed is None:
        return

    def resume(shown: View) -> None:
        InlineDispatcher(project.registry, project.config, project.store, on_event=shown).submit(run_id)

    try:
        drive(project, resume, run_id=run_id, quiet=quiet)
    except DriverUnknown as error:
        say(f"The answer is recorded. {error}")
    except RunBusyError as error:
        who = line(error.owner or decision.driven_by or "another process")
        say(f"The answer is recorded; {who} continues the run.")
    except NotResumable:
        now = project.store.load_summary(run_id)
        if now is not None and now.owed is not None:
            raise
        say("The answer is recorded, and another process has already continued the run.")
