"""Pipes, terminals and signals, with real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from neurocore.persistence import SQLiteRunStore
from tests.locks import nobody_can_look_at

from .conftest import command, environment, wait_for

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(project, *args: str, keys: bytes = b"", until: str = "", **env: str) -> tuple[str, int]:
    """What a person sees in a terminal of 80 columns, and the exit code."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        command(*args), cwd=project.root, stdin=child, stdout=child, stderr=child, start_new_session=True,
        env=environment(TERM="xterm", COLUMNS="80", **env), preexec_fn=lambda: _make_controlling(child),  # noqa: PLW1509  (nothing else runs here)
    )  # fmt: skip
    os.close(child)
    seen, sent = b"", False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([parent], [], [], 0.1)
        if ready:
            try:
                data = os.read(parent, 65536)
            except OSError:  # Linux says so when the last process of the terminal has gone
                break
            if not data:
                break
            seen += data
        if keys and not sent and until in seen.decode("utf-8", "replace"):
            os.write(parent, keys)
            sent = True
        if process.poll() is not None and not ready:
            break
    os.close(parent)
    return seen.decode("utf-8", "replace").replace("\r\n", "\n"), process.wait(timeout=30)


def _make_controlling(descriptor: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def test_data_goes_to_stdout_and_talk_to_stderr(project):
    done = project.script("run", "plain", "--data", "mode=print", "--json", code=0)

    assert json.loads(done.stdout)["status"] == "completed"
    assert "printed by the skill" in done.stderr
    assert "act completed" in done.stderr


def test_what_a_program_of_a_skill_writes_to_its_stdout_stays_out_of_the_data(project):
    (project.root / "skills" / "shell.py").write_text(
        "import subprocess\nfrom neurocore import Skill, SkillMeta\n"
        "class Shell(Skill):\n    skill_meta = SkillMeta(name='shell')\n"
        "    def process(self, context):\n        subprocess.run(['echo', 'from a program'], check=True)\n"
        "        return context\n"
    )
    (project.root / "blueprints" / "shell.yaml").write_text(
        "name: shell\ncomponents: [{name: a, type: shell}]\nflow: {steps: [{component: a}]}\n"
    )
    done = project.script("run", "shell", "--json", code=0)

    assert json.loads(done.stdout)["status"] == "completed"
    assert "from a program" in done.stderr


@pytest.mark.parametrize(("closed", "code"), [(">&-", 1), ("2>&-", 0), (">&- 2>&-", 1), ("<&-", 0), ("> /dev/null", 0)])
def test_a_stream_that_was_closed_breaks_no_run_off(project, closed, code):
    shell = f"{' '.join(command('run', 'plain', '--run-id', 'closed'))} {closed}"

    done = subprocess.run(["bash", "-c", shell], cwd=project.root, env=environment(), check=False, timeout=60)

    assert done.returncode == code
    assert project.json("runs", "inspect", "closed")["run"]["status"] == "completed"


def test_quiet_says_nothing_but_errors(project):
    assert project.script("run", "plain", "--quiet", code=0).stderr == ""
    assert "the bank said no" in project.script("run", "plain", "-q", "--data", "mode=fail", code=1).stderr


def test_a_pipe_gets_plain_lines_of_80_columns(project):
    for _ in range(2):
        project.run("gated", "--data", f"batch={'long ' * 30}")

    listed = project.script("runs", "list", code=0).stdout

    assert "\x1b" not in listed
    assert all(len(one) <= 80 for one in listed.splitlines()), listed
    assert len(listed.splitlines()) == 3


def test_a_reader_that_goes_away_ends_it_quietly(project):
    (project.root / "long").write_text("x" * 300_000)  # more than a pipe holds
    project.ok("run", "plain", "--run-id", "long", "--data", "rows=@long")
    shell = " ".join(command("db", "export"))

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{shell} | head -c 10"], cwd=project.root, capture_output=True, text=True,
        env=environment(), check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (141, ""), "as a program that SIGPIPE ends"


def test_a_run_goes_on_when_nobody_reads_its_progress_or_its_result(project):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        command("run", "plain", "--run-id", "unread", "--data", "mode=fail"), cwd=project.root, stdout=writing,
        stderr=writing,
        env=environment(),
    )  # fmt: skip
    os.close(writing)

    assert process.wait(timeout=60) == 1
    assert project.json("runs", "inspect", "unread")["run"]["failure"]["message"].endswith("the bank said no")


def test_a_terminal_gets_colour_and_signs_and_the_steps(project):
    seen, code = on_a_terminal(project, "run", "gated", "--run-id", "seen")

    assert code == 0
    assert "✓\x1b" in seen
    assert "load" in seen
    assert "◌" in seen
    assert "neurocore runs approve seen" in seen


def test_no_color_is_honoured_on_a_terminal(project):
    project.run("gated")
    for args in (
        ("runs", "list"),
        ("runs", "inspect", project.run("plain")),
        ("run", "plain"),
        ("doctor",),
        ("run", "nothing"),
    ):
        seen, _ = on_a_terminal(project, *args, NO_COLOR="1")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", seen), seen


def test_a_list_on_a_terminal_fits_80_columns(project):
    project.run("gated", "--data", f"batch={'日本' * 60}", "--by", "somebody-with-a-long-name")

    seen, _ = on_a_terminal(project, "runs", "list")

    from neurocore.cli.text import width

    assert all(width(ESCAPE.sub("", one)) <= 80 for one in seen.splitlines()), seen


def test_ctrl_c_leaves_a_run_that_resumes(project):
    seen, code = on_a_terminal(
        project, "run", "plain", "--run-id", "stopped", "--data", "mode=wait", keys=b"\x03", until="act"
    )

    assert code == 130
    assert "neurocore runs resume stopped" in seen
    assert "Traceback" not in seen
    run = project.json("runs", "inspect", "stopped")["run"]
    assert (run["status"], run["failure"]["kind"]) == ("failed", "interrupted")
    (project.root / "go").write_text("")
    assert project.json("runs", "resume", "stopped")["status"] == "completed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_hands_the_run_back_and_that_is_no_death(project, number):
    process = project.spawn("run", "plain", "--run-id", "handed", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 128 + number
    assert "neurocore runs resume handed" in said
    assert "Traceback" not in said
    assert project.json("runs", "list")["runs"][0]["state"] == "owed"
    (project.root / "go").write_text("")
    assert project.json("runs", "sweep")["owed"] == ["handed"]
    assert project.json("runs", "inspect", "handed")["run"]["status"] == "completed"


def test_a_killed_run_is_lost_at_once_and_the_sweep_goes_on(project):
    process = project.spawn("run", "plain", "--run-id", "killed", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    process.kill()
    process.communicate(timeout=30)

    assert "lost" in project.ok("runs", "list")
    assert "neurocore runs resume killed" in project.ok("runs", "inspect", "killed")
    assert "lost" in project.ok("doctor")
    (project.root / "go").write_text("")
    assert project.json("runs", "sweep")["lost"] == ["killed"]
    assert project.json("runs", "inspect", "killed")["run"]["status"] == "completed"


def test_a_run_is_left_alone_by_every_command_while_nobody_can_tell_whether_its_process_lives(project):
    process = project.spawn("run", "plain", "--run-id", "hidden", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    process.kill()
    process.communicate(timeout=30)
    (project.root / "go").write_text("")
    (lock,) = (project.root / "data" / "runs.db-owners").glob("*.lock")
    lock.unlink()
    lock.symlink_to(lock)

    assert "cannot tell" in project.ok("runs", "list")
    told = project.ok("runs", "inspect", "hidden")
    assert "cannot tell" in told
    assert f"process {process.pid}" in told
    assert "runs resume hidden --take-over" in told
    assert "left alone" in project.ok("doctor")
    assert "Run hidden was left alone" in project.ok("runs", "sweep")
    assert project.json("runs", "sweep")["left"] == ["hidden"]
    shown = project.json("runs", "inspect", "hidden")
    assert (shown["run"]["state"], shown["run"]["driven_by"]) == ("cannot_tell", None)
    assert "cannot tell" in shown["refused"]["resume"]
    refused = project.call("runs", "resume", "hidden")
    assert refused.exit_code == 4
    assert "neurocore runs resume hidden --take-over" in refused.stderr
    asked = project.call("runs", "cancel", "hidden")
    assert "cannot tell" in asked.stderr
    assert project.json("runs", "resume", "hidden", "--take-over", code=1)["status"] == "cancelled"


def test_an_answer_is_recorded_while_nobody_can_tell_whether_the_process_of_its_run_lives(project):
    project.run("gated", "--run-id", "hidden")
    store = SQLiteRunStore(project.root / "data" / "runs.db")
    owner, _ = nobody_can_look_at(store.owners)
    assert store.claim("hidden", owner=owner, expected_epoch=store.load_run("hidden").epoch)
    store.close()
    answered = project.call("runs", "approve", "hidden")
    assert answered.exit_code == 0
    assert (
        "The answer is recorded. NeuroCore cannot tell whether process 4711 on elsewhere still drives run hidden"
        in answered.stderr
    )
    assert project.json("runs", "inspect", "hidden")["gates"][0]["status"] == "decided"


def test_resume_of_a_run_that_is_driven_is_refused_naming_who(project):
    process = project.spawn("run", "plain", "--run-id", "driven", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    try:
        refused = project.script("runs", "resume", "driven", code=4)
        assert f"process {process.pid}" in refused.stderr
        assert project.json("runs", "inspect", "driven")["run"]["state"] == "driven"
        assert f"process {process.pid}" in project.ok("runs", "inspect", "driven")
    finally:
        (project.root / "go").write_text("")
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_run_is_taken_over_from_a_frozen_process_which_writes_nothing_more(project):
    process = project.spawn("run", "plain", "--run-id", "frozen", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    process.send_signal(signal.SIGSTOP)
    try:
        (project.root / "go").write_text("")
        assert project.json("runs", "resume", "frozen", "--take-over")["status"] == "completed"
        taken = project.json("runs", "inspect", "frozen", "--full")
    finally:
        process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 4, said
    assert "taken over" in said
    assert project.json("runs", "inspect", "frozen", "--full") == taken
    assert [(step["attempt"], step["status"]) for step in taken["steps"]] == [(2, "completed")]
    (event,) = (one for one in taken["events"] if one["kind"] == "taken_over")
    assert event["data"]["from"].startswith(f"process {process.pid} ")
    assert event["data"]["because"] == "take-over"


def test_watch_follows_a_run_that_another_process_drives(project):
    process = project.spawn("run", "plain", "--run-id", "watched", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    watcher = project.spawn("runs", "watch", "watched", "--json")
    assert watcher.stderr is not None
    assert "act started" in watcher.stderr.readline()
    (project.root / "go").write_text("")
    seen, said = watcher.communicate(timeout=60)
    process.communicate(timeout=30)

    assert watcher.returncode == 0, said
    assert json.loads(seen)["status"] == "completed"
    assert "act completed" in said


def test_cancel_asks_the_process_that_drives(project):
    process = project.spawn("run", "gated", "--run-id", "cancelled")
    process.communicate(timeout=30)
    document = project.json("runs", "cancel", "cancelled", "--note", "never mind")

    assert document["status"] == "cancelled"
    assert document["waits"] == []
    assert "neurocore runs replay" in document["next"][0]


def test_delete_asks_on_a_terminal_and_is_refused_without_one(project):
    run_id = project.run("plain")

    refused = project.script("runs", "delete", run_id, stdin=subprocess.DEVNULL, code=2)
    assert "--yes" in refused.stderr
    seen, code = on_a_terminal(project, "runs", "delete", run_id, keys=b"n\n", until="[y/N]")
    assert code == 0
    assert "Nothing was deleted" in seen
    seen, code = on_a_terminal(project, "runs", "delete", run_id, keys=b"y\n", until="[y/N]")
    assert code == 0
    assert f"Deleted run {run_id}" in seen

    gone = project.call("runs", "inspect", run_id)
    assert gone.exit_code == 3
    assert "was deleted by" in gone.stderr


def test_the_installed_script_and_the_module_are_the_same(project):
    from importlib.metadata import entry_points

    script = next(iter(entry_points(group="console_scripts", name="neurocore")))

    assert script.value == "neurocore.cli:main"
    assert project.script("--version", code=0).stdout.startswith("neurocore ")
