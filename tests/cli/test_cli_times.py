"""The same `since` and `until` find the same runs on the command line, on the page and through the API."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from neurocore.config import load_config
from webapp import create_app


@pytest.fixture(params=["setting", "machine"])
def found_by(request, project, monkeypatch) -> Iterator:
    """What the three faces find in a project in Tokyo, as `{face: (runs, since, until)}`."""
    if request.param == "setting":
        (project.root / "neurocore.yaml").write_text("project: {name: work, timezone: Asia/Tokyo}\n")
        monkeypatch.setenv("TZ", "America/New_York")
    else:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    for run_id, at in {
        "before": "2026-03-30T14:59:59",
        "on": "2026-03-31T05:00:00",
        "after": "2026-03-31T15:00:00",
    }.items():
        project.ok("run", "plain", "--run-id", run_id)
        config = load_config(project.root)
        from neurocore.persistence import SQLiteRunStore

        with_time = SQLiteRunStore(config.runs_db_path)
        run = with_time.load_run(run_id)
        assert run is not None
        run.created_at = f"{at}.000000+00:00"
        with_time.save_run(run)
        with_time.close()
    app = create_app(load_config(project.root))
    client = app.test_client()

    def find(**given: str) -> dict:
        options = [part for name, text in given.items() for part in (f"--{name}", text)]
        lists = {
            "command line": project.json("runs", "list", *options),
            "API": client.get("/api/v1/runs", query_string=given).json,
        }
        page = client.get("/runs", query_string=given)
        answers = {
            face: ([run["run_id"] for run in one["runs"]], one["since"], one["until"], one["timezone"])
            for face, one in lists.items()
        }
        runs = [run_id for run_id in ("after", "on", "before") if f'href="/runs/{run_id}"' in page.text]
        return {**answers, "page": (runs, *answers["API"][1:]), "text": page.text}

    yield find
    app.extensions["neurocore"].dispatcher.close()
    app.extensions["neurocore"].store.close()
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ({"since": "2026-03-31", "until": "2026-03-31"}, ["on"]),
        ({"since": "2026-03-31T14:00"}, ["after", "on"]),
        ({"until": "2026-03-31T14:00"}, ["before"]),
        ({"until": "2026-03-31T14:00:01"}, ["on", "before"]),
        ({"since": "2026-03-31T05:00Z"}, ["after", "on"]),
        ({"until": "yesterday"}, ["after", "on", "before"]),
        ({"since": "today"}, []),
        ({"since": "10m"}, []),
        ({"until": "10m"}, ["after", "on", "before"]),
    ],
)
def test_one_text_means_one_time_on_every_face(found_by, given, runs):
    found = found_by(**given)
    text = found.pop("text")
    assert {face: one[0] for face, one in found.items()} == dict.fromkeys(found, runs)
    assert {one[3] for one in found.values()} == {"Asia/Tokyo"}
    if "m" not in "".join(given.values()):  # an age counts from now
        assert len({one[1:] for one in found.values()}) == 1
    for name in given:
        assert f'<label for="f-{name}">{name.capitalize()} (Asia/Tokyo)</label>' in text


def test_the_zone_stands_with_what_is_found(found_by, project):
    said = "Started from 2026-03-31 14:00 (Asia/Tokyo)."
    assert said in found_by(since="2026-03-31T14:00")["text"]
    assert said in project.call("runs", "list", "--since", "2026-03-31T14:00").stderr
    assert "Asia/Tokyo" not in project.ok("runs", "list"), "nothing is said where no time was given"


@pytest.mark.parametrize("text", ["6m", "1 m"])
def test_what_may_be_minutes_or_months_deletes_nothing(project, text):
    project.ok("run", "plain", "--run-id", "kept")
    result = project.call("db", "prune", "--keep", text)
    assert result.exit_code == 2
    assert "such as 90d, 12h, 30min or 2w" in result.stderr
    assert project.json("runs", "list")["runs"]
