"""The public address of the verbs, which are in `neurocore.runs`."""

from __future__ import annotations

from neurocore.runs.actions import actions
from neurocore.runs.adopt import adopt_runs
from neurocore.runs.cancel import cancel_run
from neurocore.runs.decide import Decision, decide_gate
from neurocore.runs.delete import delete_run
from neurocore.runs.find import load_run, load_summary, resolve_run_id
from neurocore.runs.replay import create_replay, replay_run
from neurocore.runs.resume import resume_blueprint
from neurocore.runs.start import create_run, execute_blueprint, execute_blueprint_tracked, load_and_run

__all__ = [
    "Decision",
    "actions",
    "adopt_runs",
    "cancel_run",
    "create_replay",
    "create_run",
    "decide_gate",
    "delete_run",
    "execute_blueprint",
    "execute_blueprint_tracked",
    "load_and_run",
    "load_run",
    "load_summary",
    "replay_run",
    "resolve_run_id",
    "resume_blueprint",
]
