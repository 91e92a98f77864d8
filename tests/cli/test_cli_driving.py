"""Several gates, sweeps that keep at it, and secrets that stay out of what is said."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest

from neurocore.cli.live import Terminal
from neurocore.cli.runs.watch import _Seen
from neurocore.persistence.records import CurrentNode, RunRecord, RunStatus

from .conftest import wait_for

TWO_GATES = """
name: two
components:
  - {name: legal, type: approval, config: {message: "Is it legal?"}}
  - {name: money, type: approval, config: {message: "Is it paid?"}}
  - {name: load, type: count}
flow:
  type: graph
  nodes: [{id: legal, component: legal}, {id: money, component: money}, {id: load, component: load}]
  edges: [{source: legal, target: load}, {source: money, target: load}]
"""

LEAKY = """
import logging
import sys

from neurocore import Skill, SkillMeta


class Leaky(Skill):
    skill_meta = SkillMeta(name="leaky")

    def process(self, context):
        token = self.config["token"]
        print("token", token)
        print("token", token, file=sys.stderr)
        logging.getLogger("leaky").error("token %s", token)
        if context.get("mode") == "raise":
            raise ValueError(f"{token} was not accepted")
        if context.get("mode") == "return":
            context.set("kept", token)
        return context
"""


@pytest.fixture
def two(project):
    (project.root / "blueprints" / "two.yaml").write_text(TWO_GATES)
    project.ok("run", "two", "--run-id", "both")
    return project


def test_an_answer_that_names_no_gate_while_several_are_open_is_refused_with_their_names(two):
    result = two.call("runs", "approve", "both")

    assert result.exit_code == 4
    assert "legal" in result.stderr
    assert "money" in result.stderr


def test_each_gate_has_its_own_answer_and_inspect_says_how_to_give_it(two):
    told = two.ok("runs", "inspect", "both")
    assert "neurocore runs approve both --gate legal" in told
    assert "neurocore runs approve both --gate money" in told

    first = two.json("runs", "approve", "both", "--gate", "legal", "--visit", "1")
    assert [wait["node"] for wait in first["waits"]] == ["money"]
    assert first["next"][0] == "neurocore runs approve both"
    assert two.json("runs", "approve", "both", "--gate", "money")["status"] == "completed"


def test_a_gate_that_is_not_there_is_refused(two):
    assert two.call("runs", "approve", "both", "--gate", "nothing").exit_code == 4
    assert two.call("runs", "approve", "both", "--gate", "legal", "--visit", "7").exit_code == 4


def test_a_sweep_with_nothing_to_do_says_so(project):
    assert "No run is pending or lost." in project.ok("runs", "sweep")


def test_a_sweep_that_keeps_at_it_goes_on_with_what_comes_and_ends_well_on_sigterm(project):
    run_id = project.run()
    sweeper = project.spawn("runs", "sweep", "--watch", "--interval", "0.1", "--json")
    try:
        project.ok("runs", "approve", run_id, "--no-resume")
        assert sweeper.stdout is not None
        line = sweeper.stdout.readline()
        assert run_id in line
        followed = project.script("runs", "watch", run_id, "--follow", code=0)
        assert "completed" in followed.stdout
    finally:
        sweeper.send_signal(signal.SIGTERM)
        _, said = sweeper.communicate(timeout=30)
    assert (sweeper.returncode, said) == (0, "")


def test_watching_tells_for_how_long_a_step_has_run_not_for_how_long_one_has_watched():
    began = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    node = CurrentNode(node_id="book", visit=1, attempt=1, started_at=began)
    view = Terminal()

    _Seen("r", view).look(RunRecord(run_id="r", blueprint_name="b", status=RunStatus.RUNNING, current_nodes=[node]), [])

    assert [text.plain.strip()[2:] for text in view._now().renderables] == ["book  2 h"]


def test_the_step_that_runs_is_told_by_its_whole_name(project):
    process = project.spawn("run", "plain", "--run-id", "first", "--data", "mode=wait")
    wait_for(project.root / "waiting", process)
    told = project.ok("runs", "inspect", "first")
    (project.root / "go").write_text("")
    process.communicate(timeout=30)

    assert "\n     ● act  for " in told


def test_a_sweep_that_keeps_at_it_says_once_that_skills_changed_on_disk(project):
    run_id = project.run("gated")
    project.ok("runs", "approve", run_id, "--no-resume")
    sweeper = project.spawn("runs", "sweep", "--watch", "--interval", "0.1")
    assert sweeper.stdout is not None
    assert sweeper.stderr is not None
    assert "was pending" in sweeper.stdout.readline()  # by now the skills are loaded
    (project.root / "skills" / "more.py").write_text("")
    told = sweeper.stderr.readline()
    assert told == (
        "Warning: Skills changed on disk since this process started; restart it to use them: skills/more.py (new).\n"
    )
    sweeper.send_signal(signal.SIGTERM)
    _, said = sweeper.communicate(timeout=30)
    assert (sweeper.returncode, said) == (0, "")


def test_a_sweep_that_is_stopped_hands_back_what_does_not_end_in_time(project):
    (project.root / "go").write_text("")
    run_id = project.run("gated", "--data", "mode=wait")
    (project.root / "go").unlink()
    project.ok("runs", "approve", run_id, "--no-resume")
    sweeper = project.spawn("runs", "sweep", "--watch", "--interval", "0.1", "--grace", "0")
    wait_for(project.root / "waiting", sweeper)
    sweeper.send_signal(signal.SIGTERM)
    _, said = sweeper.communicate(timeout=30)

    assert sweeper.returncode == 0, said
    assert "did not end in time" in said
    run = project.json("runs", "inspect", run_id)["run"]
    assert (run["status"], run["state"]) == ("running", "owed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_sweep_that_is_stopped_leaves_a_run_that_goes_on(project, number):
    run_id = project.run("gated", "--data", "mode=wait")
    project.ok("runs", "approve", run_id, "--no-resume")
    sweeper = project.spawn("runs", "sweep")
    wait_for(project.root / "waiting", sweeper)
    sweeper.send_signal(number)
    _, said = sweeper.communicate(timeout=30)

    assert sweeper.returncode == 128 + number
    assert f"neurocore runs resume {run_id[:8]}" in said
    assert "Traceback" not in said
    (project.root / "go").write_text("")
    assert project.json("runs", "resume", run_id)["status"] == "completed"


WARNS = """
name: warns
components:
  - {name: load, type: count}
  - {name: never, type: act}
  - {name: book, type: act}
flow:
  settings: {on_condition_error: warn}
  steps:
    - component: load
    - {component: never, condition: "context.data.rows > context.data.nothing_that_anybody_has_ever_set"}
    - approval: {name: review}
    - component: book
"""


def test_a_warning_is_told_once_by_what_drives_the_run_and_by_who_watches_it(project):
    (project.root / "blueprints" / "warns.yaml").write_text(WARNS)
    sentence = "never was skipped: The condition"

    run = project.call("run", "warns", "--run-id", "one")
    told = project.ok("runs", "inspect", "one")
    resumed = project.call("runs", "approve", "one")
    watched = project.call("runs", "watch", "one")

    assert run.stderr.count(f"warning: {sentence}") == 1
    assert sentence not in run.stdout
    (line,) = [one for one in told.splitlines() if sentence in one]
    assert line.startswith("     ! never was skipped: The condition `context.data.rows > ")
    assert line.endswith("…")
    assert len(line) <= 80
    assert sentence not in resumed.stderr
    assert watched.stderr.count(f"warning: {sentence}") == 1
    assert sentence not in project.call("run", "warns", "--quiet").stderr


def test_a_skill_that_changed_meanwhile_is_warned_of_when_its_run_goes_on(project):
    project.run("gated", "--run-id", "one")
    skills = project.root / "skills" / "acts.py"
    skills.write_text(skills.read_text().replace('version="1.2.0"', 'version="1.10.0"'))

    told = project.script("runs", "approve", "one", code=0).stderr  # this process has the module as it was

    assert "warning: load ran with count 1.2.0 before; it is 1.10.0 now.\n" in told


def test_watching_on_goes_beyond_the_gate(project):
    run_id = project.run()
    seen: list[str] = []
    watcher = project.spawn("runs", "watch", run_id, "--follow")

    def read() -> None:
        assert watcher.stderr is not None
        for line in watcher.stderr:
            seen.append(line)
            if "still watching" in line:
                waits.set()

    waits = threading.Event()
    reader = threading.Thread(target=read)
    reader.start()
    assert waits.wait(30)
    project.ok("runs", "approve", run_id)
    assert watcher.wait(timeout=30) == 0
    reader.join(timeout=30)
    assert watcher.stdout is not None
    assert watcher.stderr is not None
    with watcher.stdout, watcher.stderr:
        assert "completed" in watcher.stdout.read()
    assert any("book completed" in line for line in seen)
    assert "review waits: Release may?\n" in seen


def test_a_failed_step_is_tried_again_by_resume_with_what_is_given(project):
    run_id = project.run("plain", "--data", "mode=fail-once", code=1)

    document = project.json("runs", "resume", run_id, "--data", "hint=try the other bank")

    assert document["status"] == "completed"
    assert "hint" in str(project.json("runs", "inspect", run_id)["events"])


def test_latest_takes_the_file_as_it_is_now(project):
    run_id = project.run()
    file = project.root / "blueprints" / "gated.yaml"
    file.write_text(file.read_text().replace('title: "Payments', 'description: New.\ntitle: "Payments'))
    project.ok("runs", "approve", run_id, "--no-resume")

    hashes = [project.json("runs", "inspect", run_id)["run"]["blueprint_hash"]]
    project.call("runs", "resume", run_id, "--latest")
    hashes.append(project.json("runs", "inspect", run_id)["run"]["blueprint_hash"])

    assert hashes[0] != hashes[1]
    old = project.json("runs", "replay", run_id)
    assert old["status"] == "suspended"


@pytest.mark.parametrize("mode", ["fine", "raise", "return"])
def test_no_output_and_no_file_has_the_value_of_a_secret(project, mode):
    secret = "s3cr3t-value-of-the-bank"
    (project.root / ".env").write_text(f"BANK={secret}\n")
    (project.root / "neurocore.yaml").write_text("logging: {file: app.log, level: debug}\n")
    (project.root / "skills" / "leaky.py").write_text(LEAKY)
    (project.root / "blueprints" / "leaky.yaml").write_text(
        "name: leaky\ncomponents: [{name: a, type: leaky, config: {token: '${BANK}'}}]\n"
        "flow: {steps: [{component: a}]}\n"
    )

    done = project.script("run", "leaky", "--run-id", "leak", "--data", f"mode={mode}")
    said = done.stdout + done.stderr
    for args in (("runs", "inspect", "leak", "--full"), ("runs", "inspect", "leak", "--full", "--json"),
                 ("runs", "logs", "leak"), ("runs", "list"), ("db", "export"), ("config", "show")):  # fmt: skip
        result = project.call(*args)
        said += result.stdout + result.stderr

    assert done.returncode == (0 if mode == "fine" else 1)
    assert secret not in said
    leaks = [
        path for path in project.root.rglob("*")
        if path.is_file() and path.name != ".env" and secret.encode() in path.read_bytes()
    ]  # fmt: skip
    assert leaks == []


def test_who_did_what_is_recorded_as_claimed(project):
    run_id = project.run("gated", "--by", "ada")
    project.ok("runs", "approve", run_id, "--by", "bob")

    document = project.json("runs", "inspect", run_id)

    assert document["run"]["started_by"] == "ada"
    assert [(answer["by"], answer["known_by"]) for answer in document["gates"][0]["answers"]] == [("bob", "claimed")]
    assert {event["who"] for event in document["events"]} >= {"ada", "bob"}


def test_without_by_it_is_the_operating_systems_user(project):
    import getpass

    assert project.json("runs", "inspect", project.run())["run"]["started_by"] == getpass.getuser()


NOBODY = "Say who you are, in 1 to 200 characters on one line."


@pytest.mark.parametrize(
    ("by", "sentence"),
    [
        *((by, NOBODY) for by in ("", "   ", "a\nb", "x" * 300, "\x1b[2J")),
        *((by, NOBODY) for by in ("\u200b\u2060", "\u3164", "\u2800", "\u0301")),
        ("ada\u200b", "This name has an invisible character (\\u200b); remove it."),
        ("\u202eada", "This name has an invisible character (\\u202e); remove it."),
        ("ada\x9b31m", "This name has an invisible character (\\x9b); remove it."),
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_refused_by_every_verb_and_nothing_is_done(project, by, sentence):
    waiting, failed = project.run(), project.run("plain", "--data", "mode=fail", code=1)
    asking = project.run("asking")
    before = history(project)

    for args in (
        ("run", "plain"), ("runs", "approve", waiting), ("runs", "approve", asking), ("runs", "resume", failed),
        ("runs", "resume", asking, "--data", "number=1"), ("runs", "replay", failed), ("runs", "cancel", waiting),
        ("runs", "delete", failed, "--yes"), ("db", "prune", "--keep", "0s"),
        ("db", "prune", "--keep", "0s", "--dry-run"),
    ):  # fmt: skip
        result = project.call(*args, "--by", by)
        assert (result.exit_code, result.stdout) == (2, ""), (args, result.output)
        assert result.stderr == f"Error: {sentence}\n", args

    assert history(project) == before


def history(project):
    """Every run with its gates and its activity, without what the time of looking says."""
    ids = [run["run_id"] for run in project.json("runs", "list")["runs"]]
    whole = [project.json("runs", "inspect", run_id) for run_id in ids]
    return [(one["run"]["status"], one["run"]["updated_at"], one["gates"], one["events"]) for one in whole]


@pytest.mark.parametrize(
    "name",
    [
        "\u05d3\u05e0\u05d4\u200f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "Zo\u00eb",
        "\u738b\u5c0f\u660e",
        "7",
    ],
)
def test_names_of_every_script_are_names(project, name):
    assert project.json("runs", "inspect", project.run("plain", "--by", name))["run"]["started_by"] == name


@pytest.mark.parametrize(
    "args",
    [
        ("runs", "list", "--limit", "\u0663"), ("runs", "list", "--limit", "1_0"),
        ("db", "prune", "--keep-last", "\uff13"), ("runs", "sweep", "--interval", "nan"),
        ("runs", "sweep", "--interval", "inf"), ("runs", "sweep", "--grace", "\u0663"),
        ("runs", "approve", "x", "--visit", "\u0661"), ("db", "prune", "--keep", "\u0663d"),
        ("runs", "list", "--since", "\u0663d"), ("serve", "--port", "\u0668\u0660"), ("serve", "--interval", "nan"),
    ],
)  # fmt: skip
def test_only_ascii_digits_are_numbers_among_options(project, args):
    result = project.call(*args)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert "Invalid value" in result.stderr


def test_a_name_is_recorded_without_the_blanks_around_it(project):
    assert project.json("runs", "inspect", project.run("plain", "--by", " ada "))["run"]["started_by"] == "ada"
