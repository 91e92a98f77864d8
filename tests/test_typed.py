"""Types are used by many threads, also for the first time."""

from __future__ import annotations

import subprocess
import sys

import pytest

AT_ONCE = """
import sys, threading
from neurocore.blueprint.load import parse_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.persistence import RunRecord

TEXT = "name: b\\ncomponents: [{name: a, type: delay}]\\nflow: {type: sequential, steps: [{component: a}]}"
SNAPSHOT = {"name": "b", "components": [], "flow": {"type": "sequential", "steps": []}}
NODE = {"node_id": "a", "visit": 1, "attempt": 1, "started_at": "2026-01-01"}
RUN = {"run_id": "r1", "blueprint_name": "b", "current_nodes": [NODE], "failure": {"kind": "error", "message": "no"}}
uses = {
    "a blueprint": lambda: parse_blueprint(TEXT),
    "a snapshot": lambda: Blueprint.from_snapshot(SNAPSHOT),
    "a record": lambda: RunRecord.from_dict(RUN),
}
start = threading.Barrier(8)

def use():
    start.wait()
    uses[sys.argv[1]]()

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("use", ["a blueprint", "a snapshot", "a record"])
def test_threads_that_use_a_type_at_once_for_the_first_time_do_not_end_the_process(use):
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", AT_ONCE, use], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
