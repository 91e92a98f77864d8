"""SIGHUP while something is driven: the log file is opened again, and only a closed terminal ends it."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurocore.persistence import SQLiteRunStore
from tests.waiting import until

from .conftest import Project, command, environment, wait_for
from .test_cli_pipes import _make_controlling

RUN = ("run", "plain", "--run-id", "driven", "--data", "mode=wait")
SWEEP = ("runs", "sweep", "--watch")
SERVE = ("serve", "--port", "0")


@pytest.fixture
def logging_to_a_file(project: Project) -> Path:
    """Where the project's log is."""
    (project.root / "neurocore.yaml").write_text("project: {name: work}\nlogging: {file: nc.log}\n")
    return project.root / "logs" / "nc.log"


@contextlib.contextmanager
def driving(project: Project, args: tuple[str, ...], **popen: Any) -> Iterator[subprocess.Popen[str]]:
    """The command as a process that drives the run `driven`, whose step waits for a file."""
    if args != RUN:  # then it finds the run, which another process has handed back
        process = project.spawn(*RUN)
        wait_for(project.root / "waiting", process)
        process.terminate()
        process.communicate(timeout=60)
        (project.root / "waiting").unlink()
    settings: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **popen}
    process = subprocess.Popen(command(*args), cwd=project.root, env=environment(), text=True, **settings)
    try:
        wait_for(project.root / "waiting", process)
        yield process
    finally:
        (project.root / "go").write_text("")
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def status(project: Project) -> str:
    store = SQLiteRunStore(project.root / "data" / "runs.db")
    with contextlib.closing(store):
        run = store.load_summary("driven")
    assert run is not None
    return "owed" if run.owed else run.status.value


@pytest.mark.parametrize("args", [RUN, SWEEP, SERVE], ids=" ".join)
def test_a_rotated_log_is_opened_again_and_the_step_goes_on(project, logging_to_a_file, args):
    with driving(project, args) as process:
        logging_to_a_file.rename(logging_to_a_file.with_name("nc.log.1"))
        process.send_signal(signal.SIGHUP)
        until(lambda: logging_to_a_file.exists() and "was opened again" in logging_to_a_file.read_text())
        assert process.poll() is None
        (project.root / "go").write_text("")
        until(lambda: status(project) == "completed")
        if args != RUN:
            process.terminate()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("args", [SWEEP, SERVE], ids=" ".join)
def test_what_keeps_at_it_goes_on_without_a_log_file_too(project, args):
    with driving(project, args) as process:
        process.send_signal(signal.SIGHUP)
        (project.root / "go").write_text("")
        until(lambda: status(project) == "completed")
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("args", "code"), [(RUN, 129), ((*SWEEP, "--grace", "0.1"), 0), ((*SERVE, "--grace", "0.1"), 0)],
    ids=["run", "sweep", "serve"],
)  # fmt: skip
def test_a_terminal_that_is_closed_ends_it_and_the_run_is_handed_back(project, logging_to_a_file, args, code):
    parent, child = pty.openpty()
    with driving(
        project, args, stdin=child, stdout=child, stderr=child, start_new_session=True,
        preexec_fn=lambda: _make_controlling(child),
    ) as process:  # fmt: skip
        os.close(child)
        os.close(parent)
        assert process.wait(timeout=60) == code
        assert status(project) == "owed"


@pytest.mark.parametrize("args", [RUN, SWEEP, SERVE], ids=" ".join)
def test_under_nohup_the_log_is_opened_again_and_a_closed_terminal_ends_nothing(project, logging_to_a_file, args):
    parent, child = pty.openpty()

    def begin() -> None:
        _make_controlling(child)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with driving(project, args, stdin=child, start_new_session=True, preexec_fn=begin) as process:
        os.close(child)
        logging_to_a_file.rename(logging_to_a_file.with_name("nc.log.1"))
        os.close(parent)
        until(lambda: logging_to_a_file.exists() and "was opened again" in logging_to_a_file.read_text())
        assert process.poll() is None
        (project.root / "go").write_text("")
        until(lambda: status(project) == "completed")
