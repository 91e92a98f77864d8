"""`neurocore runs`: one file per command."""

from __future__ import annotations

import click

from neurocore.cli.lazy import Lazy, LazyGroup

LOOK, MOVE, END = "Inspect", "Decide and continue", "End"

COMMANDS = {
    "list": Lazy("neurocore.cli.runs.list:list_", "List runs, newest first.", LOOK),
    "inspect": Lazy("neurocore.cli.runs.inspect:inspect", "Show the purpose of a run and its state.", LOOK),
    "watch": Lazy("neurocore.cli.runs.watch:watch", "Follow a run until it ends or waits.", LOOK),
    "logs": Lazy("neurocore.cli.runs.logs:logs", "Print what the steps of a run logged.", LOOK),
    "diff": Lazy("neurocore.cli.runs.diff:diff", "Show what differs between two runs.", LOOK),
    "approve": Lazy("neurocore.cli.runs.approve:approve", "Approve or reject at a gate.", MOVE),
    "withdraw": Lazy("neurocore.cli.runs.withdraw:withdraw", "Take your own answer at a gate back.", MOVE),
    "comment": Lazy("neurocore.cli.runs.comment:comment", "Say something about a gate that waits.", MOVE),
    "resume": Lazy("neurocore.cli.runs.resume:resume", "Continue a suspended, failed or lost run.", MOVE),
    "replay": Lazy("neurocore.cli.runs.replay:replay", "Start a new run with the inputs of another run.", MOVE),
    "sweep": Lazy("neurocore.cli.runs.sweep:sweep", "Continue every run that is pending or lost.", MOVE),
    "cancel": Lazy("neurocore.cli.runs.cancel:cancel", "Cancel a run.", END),
    "delete": Lazy("neurocore.cli.runs.delete:delete", "Delete ended runs.", END),
}

#: The commands for words that other tools use.
MEANT = {
    **dict.fromkeys(("show", "view", "get", "info", "status", "describe", "details"), "runs inspect"),
    **dict.fromkeys(("retry", "continue", "unpause"), "runs resume"),
    **dict.fromkeys(("rerun", "repeat", "again"), "runs replay"),
    **dict.fromkeys(("stop", "kill", "abort", "terminate"), "runs cancel"),
    **dict.fromkeys(("rm", "remove", "del"), "runs delete"),
    **dict.fromkeys(("ls", "ps", "history"), "runs list"),
    **dict.fromkeys(("follow", "tail", "wait"), "runs watch"),
    **dict.fromkeys(("decide", "accept", "ok"), "runs approve"),
    **dict.fromkeys(("reject", "deny", "decline"), "runs approve --reject"),
    **dict.fromkeys(("undo", "unapprove", "retract", "take-back"), "runs withdraw"),
    **dict.fromkeys(("say", "remark"), "runs comment"),
    "compare": "runs diff",
    "log": "runs logs",
    "start": "run",
    "prune": "db prune",
}


@click.group(cls=LazyGroup, table=COMMANDS, meant=MEANT)
def runs() -> None:
    """Inspect runs, decide, resume, replay.

    RUN_ID is the id of a run, or any unique prefix of it.
    """
