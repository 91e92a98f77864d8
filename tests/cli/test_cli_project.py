"""`init`, `validate`, `schema`, `skill` and `config`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from .conftest import Project, environment


def test_init_makes_a_project_that_runs_at_once(runner, tmp_path):
    root = tmp_path / "hello world"
    made = runner("init", str(root))
    project = Project(root)

    assert made.exit_code == 0, made.output
    assert "neurocore run hello" in made.stdout
    waiting = project.json("run", "hello", "--data", "name=Ada")
    assert waiting["status"] == "suspended"
    assert waiting["title"] == "A greeting for Ada"
    done = project.script("runs", "approve", waiting["run_id"], "--by", "ada", code=0)
    assert "completed" in done.stdout
    assert "Approved by ada" in (root / "outbox" / "ada.txt").read_text()
    assert project.json("validate")["blueprints"][0]["problems"] == []
    assert project.json("doctor")["ok"] is True
    assert ".env" in (root / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize(
    ("args", "next_"),
    [
        (["-C", "e", "init", "sub"], "cd e/sub"), (["-C", "e", "init", "."], "cd e"), (["-C", ".", "init", "."], None),
        (["-C", "e", "init", "../a b"], "cd 'e/../a b'"), (["init", "sub"], "cd sub"), (["init", "."], None),
    ],
)  # fmt: skip
def test_what_init_says_to_type_next_works_from_where_one_stands(runner, tmp_path, args, next_):
    (tmp_path / "here").mkdir()
    with contextlib.chdir(tmp_path / "here"):
        if "e" in args:
            Path("e").mkdir()
        told = runner(*args).stdout.split("Type next:\n")[1].splitlines()
    assert [one.strip() for one in told[: 2 if next_ else 1]] == [
        *([next_] if next_ else []), "neurocore run hello --data name=Ada",
    ]  # fmt: skip


def test_the_tests_that_init_and_skill_new_make_pass(runner, tmp_path):
    root = tmp_path / "fresh"
    runner("init", str(root))
    project = Project(root)
    project.ok("skill", "new", "word-count")
    project.ok("skill", "new", "fetch_rates", "--async")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], cwd=root, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert {"word-count", "fetch_rates"} <= {skill["name"] for skill in project.json("skill", "list")["skills"]}


def test_init_touches_nothing_that_is_there(runner, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    refused = runner("init", str(tmp_path / "mine"))
    file = runner("init", str(tmp_path / "mine" / "thesis.txt"))

    assert refused.exit_code == 4
    assert file.exit_code == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_init_takes_an_empty_folder_and_one_with_only_git(runner, tmp_path):
    (tmp_path / ".git").mkdir()

    assert runner("init", str(tmp_path), "--json").exit_code == 0
    assert (tmp_path / "neurocore.yaml").is_file()


def test_init_where_nothing_can_be_written_leaves_nothing(runner, tmp_path):
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path  # root may write everywhere else
    tmp_path.chmod(0o500)
    result = runner("init", str(folder / "new"))
    tmp_path.chmod(0o700)

    assert result.exit_code == 1
    assert "cannot" in result.stderr
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a b", "../x", "x" * 80, "ünï"])
def test_a_name_that_cannot_be_a_skills_is_refused(project, name):
    assert project.call("skill", "new", name).exit_code == 2
    assert not (project.root / "tests").exists()


def test_a_new_skill_never_takes_the_place_of_another(project):
    assert project.call("skill", "new", "http").exit_code == 4
    assert project.call("skill", "new", "count").exit_code == 4
    project.ok("skill", "new", "mine")
    assert project.call("skill", "new", "mine").exit_code == 4


def test_validate_names_line_and_column_and_ends_1(project):
    (project.root / "blueprints" / "wrong.yaml").write_text(
        "name: wrong\ncomponents:\n  - {name: a, type: cuont}\n"
        "flow:\n  steps:\n    - component: b\n      condition: '1 +'\n"
    )

    document = project.json("validate", "wrong", code=1)
    told = project.ok("validate", "wrong", code=1)

    problems = document["blueprints"][0]["problems"]
    assert {problem["line"] for problem in problems} >= {6, 7}
    assert "6:" in told
    assert "flow.steps[0].component" in told
    (project.root / "blueprints" / "wrong.yaml").write_text(
        "name: wrong\ncomponents:\n  - {name: a, type: cuont}\nflow: {steps: [{component: a}]}\n"
    )
    problem = project.json("validate", "wrong", code=1)["blueprints"][0]["problems"][0]
    assert (problem["line"], problem["path"]) == (3, "components[0].type")
    assert "'count'" in problem["message"]


def test_validate_names_the_place_of_a_template_that_is_none(project):
    """Found only by the run, it would stop in the middle of it."""
    blueprint = """name: wrong
components:
  - name: write
    type: template
    config:
      template: "Dear {{ name"
      file: "{% if %}.txt"
  - {name: call, type: command, config: {argv: [echo, "{{ name | shout }}"]}}
  - {name: later, type: template, config: {template: "{{ ${PART} }}"}}
  - {name: long, type: approval, config: {message: "{{ x "}}
flow:
  steps:
    - component: write
    - component: call
    - component: later
    - component: long
    - approval:
        name: short
        message: "Send {{ x "
"""
    (project.root / "blueprints" / "wrong.yaml").write_text(blueprint)
    (found,) = project.json("validate", "wrong", code=1)["blueprints"]
    problems = [one for one in found["problems"] if one["severity"] == "error"]
    assert [(one["line"], one["column"], one["path"]) for one in problems] == [
        (6, 17, "components[0].config.template"), (7, 13, "components[0].config.file"),
        (8, 55, "components[1].config.argv[1]"), (10, 52, "components[3].config.message"),
        (19, 18, "flow.steps[4].approval.message"),
    ]  # fmt: skip
    assert problems[0]["message"].startswith("write: its template is not a template: ")
    assert problems[2]["message"] == "call: its argv[1] is not a template: No filter named 'shout' (line 1)."
    result = project.call("run", "wrong")
    assert result.exit_code == 2, result.output
    assert f"{Path('blueprints', 'wrong.yaml')}:6:17 " in result.stderr


def test_validate_without_a_name_checks_the_whole_folder(project):
    document = project.json("validate")

    assert [one["name"] for one in document["blueprints"]] == ["asking", "gated", "plain"]
    assert document["ok"] is True


def test_warnings_count_only_with_strict(project):
    (project.root / "blueprints" / "loose.yaml").write_text(
        "name: loose\ncomponents: [{name: a, type: act}, {name: unused, type: act}]\nflow: {steps: [{component: a}]}\n"
    )

    project.ok("validate", "loose")
    project.ok("validate", "loose", "--strict", code=1)


def test_validate_of_a_file_that_is_not_there_ends_3(project):
    assert project.call("validate", "nothing.yaml").exit_code == 3


@pytest.mark.parametrize("what", ["blueprint", "config"])
def test_the_schemas_are_schemas_and_accept_what_is_right(project, what):
    schema = json.loads(project.ok("schema", what))
    jsonschema.Draft202012Validator.check_schema(schema)
    file = {"blueprint": "blueprints/gated.yaml", "config": "neurocore.yaml"}[what]

    jsonschema.validate(yaml.safe_load((project.root / file).read_text()), schema)


def test_skill_list_names_what_is_broken_and_hides_no_other(project):
    (project.root / "skills" / "broken.py").write_text("import nothing_of_this_name\n")

    result = project.call("skill", "list")

    assert result.exit_code == 0
    assert "count" in result.stdout
    assert "broken.py:1" in result.stderr


def test_skill_info_explains_configuration_and_masks_secrets(project):
    (project.root / "neurocore.yaml").write_text("skills: {count: {pin: '99887766'}}\n")

    told = project.ok("skill", "info", "count")

    assert "pin (string, secret)" in told
    assert "sets     rows" in told
    assert "99887766" not in told + project.ok("skill", "info", "count", "--json")
    assert project.call("skill", "info", "coutn").exit_code == 3


def test_config_show_says_where_each_value_comes_from(project, monkeypatch):
    monkeypatch.setenv("NEUROCORE_RUNTIME__MAX_WORKERS", "3")
    (project.root / "neurocore.yaml").write_text(
        "project: {name: work}\nllm: {provider: x, api_key: sk-123456789, base_url: 'https://me:pa55@host/v1'}\n"
        "skills:\n  count: {key: rows, api_token: '${TOKEN}'}\n"
    )
    settings = {one["name"]: one for one in project.json("config", "show")["settings"]}

    assert settings["project.name"] == {"name": "project.name", "value": "work", "origin": "neurocore.yaml:1"}
    assert settings["runtime.max_workers"]["value"] == 3
    assert settings["runtime.max_workers"]["origin"] == "environment NEUROCORE_RUNTIME__MAX_WORKERS"
    assert settings["web.port"]["origin"] == "default"
    assert settings["skills.count.key"]["origin"] == "neurocore.yaml:4"
    assert settings["skills.count.api_token"]["value"] == "${TOKEN}"
    told = project.ok("config", "show") + project.ok("config", "show", "--json")
    assert "sk-123456789" not in told
    assert "pa55" not in told


def test_what_validate_finds_fits_80_columns(project):
    (project.root / "blueprints" / "wrong.yaml").write_text(
        "name: wrong\ninputs: {sum: {type: a-number-of-some-kind-or-other}}\n"
        "components: [{name: count, type: count}]\n"
        "flow: {steps: [{component: count, conditions: 'context.data.sum'}]}\n"
    )

    told = project.ok("validate", code=1)

    assert "did you mean 'condition'?" in " ".join(told.split())
    assert [one for one in told.splitlines() if len(one) > 80] == []


def test_skill_new_refuses_a_name_under_which_the_skill_would_not_be_found(project):
    refused = project.call("skill", "new", "test-word")

    assert refused.exit_code == 2
    assert "test_word.py" in refused.stderr
    assert not (project.root / "skills" / "test_word.py").exists()


def test_skill_new_names_what_it_made_as_seen_from_here(project, runner):
    (project.root / "below").mkdir()

    with contextlib.chdir(project.root / "below"):
        told = runner("skill", "new", "shout").stdout
    made = [word for word in told.split() if word.strip("`").endswith(".py")]

    assert made
    assert all((project.root / "below" / word.strip("`")).is_file() for word in made), told


def test_config_show_masks_what_a_skills_schema_marks_secret(project):
    (project.root / "neurocore.yaml").write_text("skills: {count: {key: lines, pin: '4711-0815'}}\n")

    values = {one["name"]: one["value"] for one in project.json("config", "show", "skills")["settings"]}

    assert values == {"skills.count.key": "lines", "skills.count.pin": "•••"}
    assert "4711" not in project.ok("config", "show")


def test_config_show_of_one_section_or_of_nothing(project):
    assert {one["name"].split(".")[0] for one in project.json("config", "show", "web")["settings"]} == {"web"}
    result = project.call("config", "show", "wbe")
    assert result.exit_code == 3
    assert "'web'" in result.stderr


def test_a_project_is_found_from_a_folder_below_it(project, runner):
    (project.root / "deep" / "down").mkdir(parents=True)

    result = runner("-C", str(project.root / "deep" / "down"), "config", "show", "project.name", "--json")

    assert json.loads(result.stdout)["settings"][0]["value"] == "work"


def test_the_folder_is_where_it_was_after_a_call_in_another(project, runner):
    before = Path.cwd()
    assert runner("-C", str(project.root), "runs", "list").exit_code == 0
    assert Path.cwd() == before


def test_what_to_type_next_works_from_where_one_is(project, runner):
    told = runner("-C", str(project.root), "run", "gated", "--run-id", "far").stdout

    assert f"  neurocore -C {project.root} runs approve far" in told
    assert "  neurocore runs approve far" in project.ok("runs", "inspect", "far")


def test_a_blueprint_can_be_named_by_path_by_file_name_or_by_its_own_name(project):
    (project.root / "blueprints" / "other-file.flow.yaml").write_text(
        "name: pay salaries\ncomponents: [{name: a, type: delay, config: {seconds: 0}}]\n"
        "flow: {steps: [{component: a}]}\n"
    )

    for name in ("blueprints/other-file.flow.yaml", "other-file", "other-file.flow.yaml", "pay salaries"):
        assert project.json("run", name)["blueprint"] == "pay salaries"


def test_a_blueprint_in_a_folder_below_is_named_as_it_is_offered(project):
    (project.root / "blueprints" / "monthly").mkdir()
    (project.root / "blueprints" / "plain.yaml").rename(project.root / "blueprints" / "monthly" / "close.yaml")

    assert "did you mean 'close'?" in project.call("run", "clos").stderr
    assert project.json("run", "close")["blueprint"] == "plain"


def test_data_is_read_by_type_from_files_and_as_yaml(project):
    (project.root / "rows.txt").write_text("from a file\n")

    for given, value in (
        ("3", 3),
        ("[1, two]", [1, "two"]),
        ("false", False),
        ("@rows.txt", "from a file\n"),
        ("", ""),
    ):
        run_id = project.run("plain", "--data", f"rows={given}")
        assert project.json("runs", "inspect", run_id)["run"]["initial_data"]["rows"] == value


READING = [
    ("runs", "list"), ("runs", "list", "--waiting"), ("runs", "inspect", "abc"), ("runs", "logs", "abc"),
    ("runs", "watch", "abc"), ("runs", "diff", "abc", "abd"), ("runs", "approve", "abc"), ("runs", "resume", "abc"),
    ("runs", "replay", "abc"), ("runs", "cancel", "abc"), ("runs", "delete", "abc", "--yes"), ("runs", "sweep"),
    ("db", "stats"), ("db", "check"), ("db", "export"), ("db", "backup", "copy.db"), ("db", "prune", "--keep", "1d"),
]  # fmt: skip


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_in_a_folder_that_is_no_project_nothing_is_made_and_one_sentence_says_so(tmp_path, args):
    nowhere = Project(tmp_path / "nowhere")
    nowhere.root.mkdir()

    result = nowhere.call(*args)

    assert (result.exit_code, result.stdout) == (3, ""), result.output
    assert result.stderr == (
        f"Error: There is no history here: {nowhere.root} and the folders above it have no neurocore.yaml, and "
        "data/runs.db does not exist; go to a project or name it with -C (`neurocore init DIR` makes one).\n"
    )
    assert list(nowhere.root.iterdir()) == []


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_in_a_project_without_a_run_reading_makes_nothing(project, args):
    before = sorted(project.root.rglob("*"))

    result = project.call(*args)

    found = {"abc": 3, "copy.db": 3}.get(args[2] if len(args) > 2 else "", 0)
    assert result.exit_code == found, result.output
    made = [path for path in sorted(project.root.rglob("*")) if path not in before and "__pycache__" not in path.parts]
    assert made == []


def test_an_empty_history_reads_as_one(project):
    listed, stats, checked = project.json("runs", "list"), project.json("db", "stats"), project.json("db", "check")

    assert listed["runs"] == []
    assert (stats["runs"], stats["steps"], stats["by_status"]) == (0, 0, {})
    assert stats["store"] == checked["store"] == f"SQLiteRunStore {project.root / 'data' / 'runs.db'}"
    assert checked["ok"] is True
    assert "No runs yet" in project.call("runs", "list").stderr
    assert "no history yet" in project.call("db", "backup", "copy.db").stderr


def test_a_run_in_a_folder_that_is_no_project_is_kept_there_and_found_again(tmp_path):
    alone = Project(tmp_path / "alone")
    alone.root.mkdir()
    (alone.root / "wait.yaml").write_text("name: wait\nflow: {steps: [{approval: {name: ok, message: Well?}}]}\n")

    run_id = alone.run("wait.yaml")

    assert [run["run_id"] for run in alone.json("runs", "list")["runs"]] == [run_id]
    assert alone.json("runs", "approve", run_id)["status"] == "completed"


def test_an_import_makes_the_history_of_a_new_project(project, tmp_path):
    project.run("plain")
    export = project.root / "export.jsonl"
    project.ok("db", "export", str(export))
    new = Project(tmp_path / "new")
    new.root.mkdir()
    (new.root / "neurocore.yaml").write_text("project: {name: new}\n")

    assert new.json("db", "import", str(export))["runs"] == 1
    assert len(new.json("runs", "list")["runs"]) == 1
