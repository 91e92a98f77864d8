"""Runs that stand still in a copy of a history: every command says so, until somebody adopts them."""

from __future__ import annotations

import shutil

import pytest

from .conftest import Project, make_project

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def copy(project, tmp_path) -> Project:
    """A project with a backup of another one's history: a run at its gate, one that failed, one that is done."""
    project.run("gated", "--run-id", "waits")
    project.run("plain", "--run-id", "failed", "--data", "mode=fail-once", code=1)
    project.run("plain", "--run-id", "done")
    project.ok("db", "backup", "copy.db")
    made = make_project(tmp_path / "copy")
    (made.root / "data").mkdir()
    shutil.move(project.root / "copy.db", made.root / "data" / "runs.db")
    return made


def test_lists_and_stories_say_what_stands_still_and_how_to_let_it_go_on(copy):
    told = copy.ok("runs", "list")
    assert "suspended (held)" in told
    assert "failed (held)" in told
    assert "completed (held)" not in told
    assert copy.call("runs", "list", "--waiting").stdout == ""
    for run_id, words in (("waits", "waits at review (held)"), ("failed", "failed at act (held)")):
        story = copy.ok("runs", "inspect", run_id).replace("\n    ", " ")
        assert words in story
        assert f"Run {run_id} is held: this is a copy of a history (backup of 2" in story
        assert f"neurocore db adopt {run_id}" in story
        assert "runs approve" not in story
        assert "runs resume" not in story
    assert "2 runs are held" in copy.ok("doctor").replace("\n               ", " ")
    assert "2 runs, until `neurocore db adopt`" in copy.ok("db", "stats")
    swept = copy.call("runs", "sweep")
    assert swept.stdout == "No run is pending or lost.\n"
    assert "2 runs are held and were not swept" in swept.stderr
    assert "waits at review (held)" in copy.ok("runs", "watch", "waits")


def test_documents_say_why_a_run_stands_still(copy):
    runs = {one["run_id"]: one for one in copy.json("runs", "list")["runs"]}
    assert {run_id: one["state"] for run_id, one in runs.items()} == {"waits": "held", "failed": "held", "done": "idle"}
    assert runs["done"]["held"] is None
    assert runs["waits"]["held"].startswith("this is a copy of a history (backup of 2")
    shown = copy.json("runs", "inspect", "waits")
    assert shown["next"] == ["neurocore db adopt waits"]
    assert shown["gates"][0]["status"] == "open", "it can still be read"
    still = f"it is held: {runs['waits']['held']}"
    assert {verb: shown["refused"].get(verb) for verb in ("decide", "resume", "cancel", "replay")} == {
        "decide": still, "resume": still, "cancel": still, "replay": None,
    }  # fmt: skip
    assert (copy.json("db", "stats")["held"], copy.json("db", "stats")["open_gates"]) == (2, 0)


@pytest.mark.parametrize(
    "args",
    [
        ("runs", "approve", "waits"), ("runs", "approve", "waits", "--reject", "--note", "no"),
        ("runs", "resume", "waits"), ("runs", "resume", "waits", "--take-over"), ("runs", "resume", "failed"),
        ("runs", "resume", "failed", "--latest"), ("runs", "cancel", "waits"),
    ],
)  # fmt: skip
def test_a_command_that_would_act_on_it_ends_4_naming_adopt(copy, args):
    refused = copy.call(*args)
    assert refused.exit_code == 4
    assert "is held: this is a copy of a history (backup of 2" in refused.stderr
    assert f"`neurocore db adopt {args[2]}` lets it continue here." in refused.stderr
    assert copy.json("db", "stats")["held"] == 2


def test_adopt_takes_some_or_all_and_says_how_many(copy):
    assert copy.call("db", "adopt", "nothing").exit_code == 3
    assert copy.json("db", "adopt", "wai", "--by", "ann") == {"adopted": 1}
    assert "None of these runs is held." in copy.ok("db", "adopt", "waits", "done")
    assert [one["who"] for one in copy.json("runs", "inspect", "waits")["events"] if one["kind"] == "adopted"] == [
        "ann"
    ]
    assert copy.json("runs", "approve", "waits")["status"] == "completed"
    assert "1 run may continue" in copy.ok("db", "adopt")
    (copy.root / "tried").write_text("")
    assert copy.json("runs", "resume", "failed")["status"] == "completed"
    assert "No run is held." in copy.ok("db", "adopt")


def test_restore_and_import_say_how_many_stand_still(project, tmp_path):
    project.script("run", "gated", "--run-id", "waits", code=0)
    project.script("db", "backup", "copy.db", code=0)
    project.script("db", "export", "runs.jsonl", code=0)
    assert project.json("db", "restore", "copy.db")["held"] == 1
    assert "1 unfinished run is held until `neurocore db adopt`." in project.ok("db", "restore", "copy.db")
    other = make_project(tmp_path / "other")
    assert other.json("db", "import", str(project.root / "runs.jsonl"))["held"] == 1
    assert "suspended (held)" in other.ok("runs", "list")


def test_serve_says_what_stands_still_and_adopts_it_where_it_is_asked_to(copy):
    assert "gate waits" not in talk_of_a_server(copy, until="2 runs are held, because this is a copy")
    assert "2 held runs may continue here." in talk_of_a_server(copy, "--adopt", until="1 gate waits")
    assert copy.json("db", "stats")["held"] == 0


def talk_of_a_server(project: Project, *args: str, until: str) -> str:
    """What a dashboard says at its start, up to this."""
    server = project.spawn("serve", "--port", "0", *args)
    assert server.stderr is not None
    said = ""
    while until not in said:
        said += server.stderr.readline() or pytest.fail(f"it ended with {said}")
    server.kill()
    server.communicate(timeout=30)
    return said
