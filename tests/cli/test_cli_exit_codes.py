"""Exit codes (design §4): what a script may rely on."""

from __future__ import annotations

import pytest

from neurocore import errors
from neurocore.cli.errors import exit_code


def test_a_completed_run_ends_0(project):
    assert project.json("run", "plain")["status"] == "completed"


def test_a_failed_run_ends_1_and_says_why_on_stderr(project):
    result = project.call("run", "plain", "--data", "mode=fail")

    assert result.exit_code == 1
    assert "the bank said no" in result.stderr
    assert "failed at act" in result.stdout


def test_a_suspended_run_ends_0_and_5_only_with_exit_code(project):
    project.ok("run", "gated")
    project.ok("run", "gated", "--exit-code", code=5)
    project.ok("run", "plain", "--exit-code")


def test_a_failed_run_ends_1_with_exit_code_too(project):
    project.ok("run", "plain", "--data", "mode=fail", "--exit-code", code=1)


@pytest.mark.parametrize(
    "args",
    [
        ("run", "plain", "--data", "mode"),
        ("run", "plain", "--data", "mood=fine"),
        ("run", "plain", "--data", "mode=a", "--data", "mode=b"),
        ("run", "plain", "--data", "mode=@no-such-file"),
        ("run", "plain", "--nonsense"),
        ("run",),
        ("runs", "list", "--status", "done"),
        ("runs", "list", "--limit", "0"),
        ("runs", "list", "--since", "soon"),
        ("runs", "nonsense"),
        ("schema", "nonsense"),
        ("runs", "approve", "x" * 3, "--visit", "0"),
        ("run", "plain", "--run-id", "../etc"),
    ],
)
def test_what_cannot_be_used_ends_2_with_a_sentence_and_changes_nothing(project, args):
    result = project.call(*args)

    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert result.stderr.strip()
    assert project.json("runs", "list")["runs"] == []


@pytest.mark.parametrize("verb", ["inspect", "resume", "replay", "approve", "cancel", "watch", "logs"])
def test_a_run_that_is_not_there_ends_3(project, verb):
    result = project.call("runs", verb, "0123")

    assert result.exit_code == 3, result.output
    assert "0123" in result.stderr


def test_a_blueprint_that_is_not_there_ends_3_and_names_the_nearest(project):
    result = project.call("run", "gatet")

    assert result.exit_code == 3
    assert "'gated'" in result.stderr


def test_an_ambiguous_id_ends_3_with_the_candidates(project):
    for run_id in ("batch-1", "batch-2"):
        project.ok("run", "plain", "--run-id", run_id)

    result = project.call("runs", "inspect", "batch")

    assert result.exit_code == 3
    assert "batch-1" in result.stderr
    assert "batch-2" in result.stderr


def test_a_whole_id_that_begins_another_is_ambiguous_until_it_is_said_to_be_whole(project):
    for run_id in ("batch", "batch-2"):
        project.ok("run", "plain", "--run-id", run_id)

    result = project.call("runs", "inspect", "batch")
    assert result.exit_code == 3
    assert "batch, batch-2; give more of the id, or =batch for that one" in result.stderr
    assert project.json("runs", "inspect", "=batch")["run"]["run_id"] == "batch"


def test_resume_at_an_undecided_gate_ends_4_and_names_approve(project):
    run_id = project.run()

    result = project.call("runs", "resume", run_id)

    assert result.exit_code == 4
    assert f"neurocore runs approve {run_id}" in result.stderr


def test_resuming_a_completed_run_ends_4(project):
    project.ok("runs", "resume", project.run("plain"), code=4)


def test_cancelling_an_ended_run_ends_4(project):
    project.ok("runs", "cancel", project.run("plain"), code=4)


def test_an_id_that_is_taken_ends_4_and_leaves_the_run_as_it_is(project):
    project.ok("run", "plain", "--run-id", "batch-1")

    result = project.call("run", "plain", "--run-id", "batch-1", "--data", "mode=fail")

    assert result.exit_code == 4, result.output
    assert result.stderr.strip() == (
        "Error: A run with the id batch-1 exists already; use another id, or leave it out to get a new one."
    )
    assert project.json("runs", "inspect", "batch-1")["run"]["status"] == "completed"


def test_deleting_a_run_that_waits_ends_4_and_deletes_nothing(project):
    run_id, ended = project.run(), project.run("plain")

    project.ok("runs", "delete", ended, run_id, "--yes", code=4)

    assert len(project.json("runs", "list")["runs"]) == 2


def test_approve_ends_0_and_the_run_goes_on(project):
    document = project.json("runs", "approve", project.run(), "--by", "ada")

    assert document["status"] == "completed"
    assert document["decision"]["effect"] == "took_effect"
    assert document["decision"]["by"] == "ada"


def test_a_rejection_that_took_effect_ends_0(project):
    run_id = project.run()

    result = project.call("runs", "approve", run_id, "--reject", "--note", "too much")

    assert result.exit_code == 0, result.output
    assert "rejected at review" in result.stdout
    assert project.json("runs", "inspect", run_id)["run"]["failure"]["kind"] == "rejected"


def test_approve_ends_1_when_the_run_then_fails(project):
    result = project.call("runs", "approve", project.run("gated", "--data", "mode=fail"))

    assert result.exit_code == 1
    assert "the bank said no" in result.stderr


def test_a_rejection_without_its_note_ends_2_and_decides_nothing(project):
    run_id = project.run()

    result = project.call("runs", "approve", run_id, "--reject")

    assert result.exit_code == 2, result.output
    assert "note" in result.stderr
    assert project.json("runs", "inspect", run_id)["gates"][0]["status"] == "open"


def test_the_same_answer_again_ends_0_and_another_one_ends_4(project):
    run_id = project.run()
    project.ok("runs", "approve", run_id, "--by", "ada")

    again = project.json("runs", "approve", run_id, "--by", "ada")
    other = project.call("runs", "approve", run_id, "--by", "bob")

    assert again["decision"]["effect"] == "repeated"
    assert other.exit_code == 4
    assert "ada" in other.stderr


def test_an_answer_on_another_digest_ends_4_and_decides_nothing(project):
    run_id = project.run()

    project.ok("runs", "approve", run_id, "--digest", "0" * 64, code=4)

    assert project.json("runs", "inspect", run_id)["gates"][0]["status"] == "open"


def test_an_answer_on_the_digest_that_was_shown_is_taken(project):
    run_id = project.run()
    digest = project.json("runs", "inspect", run_id)["gates"][0]["digest"]

    document = project.json("runs", "approve", run_id, "--digest", digest)

    assert document["status"] == "completed"


def test_a_replay_that_fails_ends_1(project):
    run_id = project.run("plain", "--data", "mode=fail", code=1)

    assert project.json("runs", "replay", run_id, code=1)["replay_of"] == run_id


def test_every_family_of_errors_has_its_code():
    assert exit_code(errors.ExecutionError("x")) == 1
    assert exit_code(errors.GateRejected("x", run_id="r", node="n", by="b", note=None)) == 1
    assert exit_code(errors.StoreError("x")) == 1
    assert exit_code(errors.ConfigError("x")) == 2
    assert exit_code(errors.BlueprintError("x")) == 2
    assert exit_code(errors.SkillError("x")) == 2
    assert exit_code(errors.RunNotFound("x")) == 3
    assert exit_code(errors.RunAmbiguous("x", [])) == 3
    assert exit_code(errors.RunBusyError("x")) == 4
    assert exit_code(errors.AlreadyDecided("x")) == 4
    assert exit_code(RuntimeError("x")) == 1


def test_what_nobody_expected_is_one_sentence_and_debug_shows_where(project, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("the moon is in the way")

    monkeypatch.setattr("neurocore.config.load_config", broken)

    plain = project.call("runs", "list")
    debug = project.call("--debug", "runs", "list")

    assert plain.exit_code == debug.exit_code == 1
    assert "the moon is in the way" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert len(plain.stderr.strip().splitlines()) == 1
    assert "Traceback" in debug.stderr


def test_a_broken_configuration_ends_2_naming_file_and_line(project):
    (project.root / "neurocore.yaml").write_text("persistence:\n  enabeld: true\n")

    result = project.call("runs", "list")

    assert result.exit_code == 2
    assert "neurocore.yaml:2" in result.stderr
    assert "enabled" in result.stderr


def test_a_blueprint_that_cannot_run_ends_2_naming_file_line_and_column(project):
    (project.root / "blueprints" / "typo.yaml").write_text(
        "name: typo\ncomponents: [{name: a, type: cuont}]\nflow: {steps: [{component: a}]}\n"
    )

    result = project.call("run", "typo")

    assert result.exit_code == 2
    assert (
        "typo cannot run:\n  blueprints/typo.yaml:2:30 components[0].type: There is no skill 'cuont'" in result.stderr
    )


def test_a_history_that_cannot_be_read_ends_1_with_one_sentence(project):
    (project.root / "data").mkdir()
    (project.root / "data" / "runs.db").write_bytes(b"this is no database" * 400)

    result = project.call("runs", "list")

    assert result.exit_code == 1, result.output
    assert "runs.db" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("persistence", ["{enabled: false}", "{backend: memory}"])
def test_a_run_that_is_not_kept_ends_with_the_same_codes_and_document(project, persistence):
    (project.root / "neurocore.yaml").write_text(f"persistence: {persistence}\n")

    waiting = project.json("run", "gated", "--exit-code", "--tag", "monthly", code=5)
    failed = project.json("run", "plain", "--data", "mode=fail", code=1)
    done = project.json("run", "plain")

    assert (waiting["status"], waiting["suspended_at_node"], waiting["tags"]) == ("suspended", "review", ["monthly"])
    assert (failed["status"], failed["failure"]["node"]) == ("failed", "act")
    assert (done["status"], done["nodes_done"], done["data"]["booked"]) == ("completed", 1, True)
    assert waiting["next"] == failed["next"] == [], "what is not kept cannot be gone on with"
    assert "Type next" not in project.ok("run", "gated")
    assert not (project.root / "data").exists()


def test_disabled_persistence_is_said(project):
    (project.root / "neurocore.yaml").write_text("persistence: {enabled: false}\n")

    assert "persistence.enabled" in project.call("runs", "list").stderr
    assert project.json("run", "plain")["data"]["booked"] is True


def test_a_folder_that_is_not_there_ends_2(runner, tmp_path):
    result = runner("-C", str(tmp_path / "nowhere"), "runs", "list")

    assert result.exit_code == 2
    assert "nowhere" in result.stderr
