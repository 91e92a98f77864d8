"""`doctor`: what it finds in a project, and what it leaves alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3


def test_doctor_says_how_to_mend_each_thing(project):
    (project.root / "skills" / "broken.py").write_text("1/0\n")
    (project.root / "blueprints" / "broken.yaml").write_text("name: broken\ncomponents: []\nflow: {steps: []}\n")
    (project.root / "blueprints" / "needy.yaml").write_text(
        "name: needy\ncomponents: [{name: a, type: count, config: {pin: '${NO_SUCH_PIN}'}}]\n"
        "flow: {steps: [{component: a}]}\n"
    )
    (project.root / ".git").mkdir()
    (project.root / ".env").write_text("A=1\n")
    project.ok("runs", "approve", project.run(), "--no-resume")

    document = project.json("doctor", code=1)
    told = project.ok("doctor", code=1)

    said = " ".join(finding["message"] for finding in document["findings"])
    for part in ("broken.py:1", "broken.yaml", "NO_SUCH_PIN", ".env", "pending"):
        assert part in said, f"{part} is not in {said}"
    assert all(finding["mend"] for finding in document["findings"] if finding["level"] != "ok")
    assert "neurocore validate blueprints/broken.yaml" in told
    assert [one for one in told.splitlines() if len(one) > 80] == []


def test_doctor_names_the_files_that_carry_the_same_blueprint_s_name_and_which_is_taken(project):
    folder = project.root / "blueprints"
    (folder / "below").mkdir()
    for copy in ("another.yaml", "below/gated.yaml"):
        (folder / copy).write_text((folder / "plain.yaml").read_text())
    (folder / "copy.yaml").write_text((folder / "gated.yaml").read_text().replace("name: gated", "name: a/b"))
    (folder / "copy2.yaml").write_text((folder / "copy.yaml").read_text())

    found = [one for one in project.json("doctor")["findings"] if one["level"] == "warning"]

    assert [one["subject"] for one in found] == ["blueprints", "blueprints"]
    assert found[0]["message"] == (
        "blueprints/another.yaml, blueprints/below/gated.yaml and blueprints/plain.yaml all say `name: plain`; the "
        "dashboard and the API silently use only the first, and `neurocore run plain` silently uses "
        "blueprints/plain.yaml."
    )
    assert found[1]["message"] == (
        "blueprints/copy.yaml and blueprints/copy2.yaml both say `name: a/b`; the dashboard and the API silently use "
        "only the first."
    )
    assert found[0]["mend"] == "Give each blueprint its own name; runs of the same name are shown as one history."
    assert project.json("run", "plain")["blueprint"] == "plain"


def test_doctor_finds_settings_of_a_skill_that_is_not_there(project):
    (project.root / "neurocore.yaml").write_text("skills: {count: {key: rows}, cuont: {key: lines}}\n")

    found = [one for one in project.json("doctor")["findings"] if one["level"] == "warning"]

    assert [one["subject"] for one in found] == ["skills"]
    assert "settings for a skill 'cuont' that does not exist; did you mean 'count'?" in found[0]["message"]


def test_doctor_goes_on_when_the_settings_are_wrong(project):
    (project.root / "neurocore.yaml").write_text("persistance: {}\n")

    document = project.json("doctor", code=1)

    assert "persistence" in next(one for one in document["findings"] if one["level"] == "error")["message"]


def test_doctor_sends_nobody_to_neurocore_yaml_for_what_stands_elsewhere(project):
    (project.root / ".env").write_text("TWO WORDS=1\nNEUROCORE_WEB__PORT=many\n")

    findings = [one for one in project.json("doctor", code=1)["findings"] if one["subject"] == "settings"]

    assert len(findings) == 2
    assert not any("neurocore.yaml" in f"{one['message']} {one['mend']}" for one in findings)


def test_doctor_says_that_a_database_cannot_be_opened(project):
    (project.root / "data" / "runs.db").mkdir(parents=True)

    assert any(
        one["level"] == "error" and one["subject"] == "store" for one in project.json("doctor", code=1)["findings"]
    )


def test_doctor_and_completion_make_no_history_where_there_is_none(project):
    said = " ".join(project.ok("doctor").split())
    typed = {"_NEUROCORE_COMPLETE": "bash_complete", "COMP_WORDS": "neurocore runs inspect ", "COMP_CWORD": "3"}
    project.call(env=typed)

    assert "There is no history yet; the first run makes data/runs.db" in said
    assert not (project.root / "data").exists(), "something was made by looking"


def test_doctor_leaves_an_older_history_as_it_is_and_says_what_brings_it_up(project):
    (project.root / "data").mkdir()
    file = project.root / "data" / "runs.db"
    with contextlib.closing(sqlite3.connect(file)) as old:
        old.execute("CREATE TABLE runs (run_id TEXT, blueprint_snapshot TEXT)")
        old.execute("CREATE TABLE steps (run_id TEXT)")
        old.commit()
    before = file.read_bytes()

    found = next(one for one in project.json("doctor")["findings"] if one["subject"] == "history")

    assert found["level"] == "warning"
    assert "`neurocore db migrate`" in found["mend"]
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == ["runs.db"], "a copy was made, or the file brought up"


def test_doctor_in_no_project_warns_only(runner, tmp_path):
    document = json.loads(runner("-C", str(tmp_path), "doctor", "--json").stdout)

    assert document["ok"] is True
    assert any("neurocore init" in (one["mend"] or "") for one in document["findings"])


def test_doctor_names_what_a_store_in_memory_cannot_do(project):
    (project.root / "neurocore.yaml").write_text("persistence: {backend: memory}\n")

    assert any("lost when the process ends" in one["message"] for one in project.json("doctor")["findings"])
