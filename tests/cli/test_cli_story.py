"""`runs inspect` reads like a story, and says what to type next."""

from __future__ import annotations

import json
import shlex

import pytest


def test_a_waiting_run_says_what_for_what_happened_where_it_stands_and_what_next(project):
    run_id = project.run("gated", "--data", "batch=june", "--tag", "monthly", "--by", "ada")

    told = project.ok("runs", "inspect", run_id)

    parts = ["Payments of june", run_id, "What it was for", "Started by ada", "monthly", "batch  june", "What happened",
             "load", "set rows", "review", "Where it is", "Release june?", "rows", "A rejection needs a note",
             "Type next:", f"neurocore runs approve {run_id[:8]}", "--reject --note"]  # fmt: skip
    place = 0
    for part in parts:
        found = told.find(part, place)
        assert found >= 0, f"{part!r} is not in the rest of\n{told[place:]}"
        place = found + len(part)


def test_every_line_fits_80_columns(project):
    run_id = project.run("gated", "--data", f"batch={'a long word and ' * 40}", "--by", "ada")
    project.ok("runs", "approve", run_id, "--by", "bob", "--note", "It is all as it should be, and more " * 9)

    for args in ((), ("--full",)):
        told = project.ok("runs", "inspect", run_id, *args).split("\nBlueprint\n")[
            0
        ]  # the YAML stays as it was written
        assert [one for one in told.splitlines() if len(one) > 80] == []


def test_where_several_gates_wait_each_is_named(project):
    (project.root / "blueprints" / "two.yaml").write_text(
        "name: two\nflow:\n  type: graph\n  nodes:\n"
        "    - approval: {name: sum, message: Is it right?}\n    - approval: {name: payee, message: Is it known?}\n"
        "  edges: []\n"
    )

    told = project.ok("run", "two")

    first, second = told.index("sum waits for a decision:"), told.index("payee waits for a decision:")
    assert first < told.index("Is it right?") < second < told.index("Is it known?")


def test_a_decided_gate_says_who_when_and_the_note(project):
    run_id = project.run()
    project.ok("runs", "approve", run_id, "--by", "bob", "--note", "checked twice")

    told = project.ok("runs", "inspect", run_id)

    assert "approved by bob" in told
    assert "“checked twice”" in told
    assert "completed in" in told


def test_an_answer_that_was_voided_says_why_it_did_not_count(project):
    run_id = project.run()
    project.ok("runs", "approve", run_id, "--by", "ada", "--no-resume")
    file = project.root / "blueprints" / "gated.yaml"
    file.write_text(file.read_text().replace("Release {{ batch }}?", "Release all of {{ batch }}?"))
    project.ok("runs", "resume", run_id, "--latest")

    told = project.ok("runs", "inspect", run_id).split("Where it is")[0]

    assert told.index("approved by ada") < told.index("voided: the blueprint has changed since it was approved")


def test_a_failed_step_and_its_retry_are_both_there(project):
    run_id = project.run("plain", "--data", "mode=fail", code=1)
    project.ok("runs", "resume", run_id, code=1)

    told = project.ok("runs", "inspect", run_id)

    assert told.count("ValueError: the bank said no") == 2
    assert "(attempt 2)" in told
    assert f"neurocore runs resume {run_id[:8]}" in told
    assert f"neurocore runs replay {run_id[:8]}" in told


def test_a_rejected_run_offers_a_replay_and_no_resume(project):
    run_id = project.run()
    project.ok("runs", "approve", run_id, "--reject", "--note", "no", "--by", "bob")

    told = project.ok("runs", "inspect", run_id)

    assert "rejected by bob" in told
    assert "runs replay" in told
    assert "runs resume" not in told


def test_a_replay_names_the_run_it_came_from(project):
    run_id = project.run("plain")
    again = project.json("runs", "replay", run_id, "--tag", "again")

    told = project.ok("runs", "inspect", again["run_id"])

    assert f"A replay of run {run_id[:8]}" in told
    assert again["tags"] == ["again"]


def test_full_shows_values_configuration_tracebacks_logs_activity_and_yaml(project):
    run_id = project.run("plain", "--data", "mode=log")
    failed = project.run("plain", "--data", "mode=fail", code=1)

    told = project.ok("runs", "inspect", run_id, "--full")
    of_failed = project.ok("runs", "inspect", failed, "--full")

    assert "logged by the skill" in told
    assert "Activity" in told
    assert "type: act" in told
    assert "Traceback" in of_failed
    assert 'raise ValueError("the bank said no")' in of_failed


def test_a_step_that_waits_for_data_says_how_to_give_it(project):
    run_id = project.run("asking")

    told = project.ok("runs", "inspect", run_id)
    assert "Which number?" in told
    assert f"neurocore runs resume {run_id[:8]} --data KEY=VALUE" in told

    done = project.json("runs", "resume", run_id, "--data", "number=7")
    assert (done["status"], done["data"]["answer"]) == ("completed", 7)


def test_a_step_that_waits_for_data_is_told_once_and_not_as_a_decision(project):
    progress = project.call("run", "asking").stderr

    assert progress.splitlines()[1:] == ["ask started", "ask waits"]


def test_where_several_wait_each_command_names_its_own(project):
    (project.root / "blueprints" / "several.yaml").write_text(
        "name: several\ncomponents: [{name: ask, type: ask}]\nflow:\n  type: graph\n  nodes:\n"
        "    - {id: first number, component: ask}\n    - {id: second, component: ask}\n"
        "    - approval: {name: sum, message: Is it right?}\n  edges: []\n"
    )
    run_id = project.run("several")

    outcome = project.json("runs", "inspect", run_id)
    refused = project.call("runs", "resume", run_id)
    nowhere = project.call("runs", "resume", run_id, "--gate", "third", "--data", "number=7")

    approve = f"neurocore runs approve {run_id} --gate sum"
    first, second = (
        f"neurocore runs resume {run_id} --gate {name} --data KEY=VALUE" for name in ("'first number'", "second")
    )
    assert outcome["next"][:2] == [approve, f"{approve} --reject"]
    assert sorted(outcome["next"][2:]) == [first, second], "which of two that run at once waits first is not said"
    for command in (first, approve, second):
        project.ok(*shlex.split(command.replace("KEY=VALUE", "number=7"))[1:])
    assert project.json("runs", "inspect", run_id)["run"]["status"] == "completed"
    assert (refused.exit_code, nowhere.exit_code) == (4, 4)
    assert f"waits for a decision at gate sum; decide with `neurocore runs approve {run_id} --gate <node>`" in (
        refused.stderr
    )
    assert "waits for nothing at third; it waits at sum, " in nowhere.stderr


def test_resume_without_data_at_an_input_is_refused_and_says_how(project):
    result = project.call("runs", "resume", project.run("asking"))

    assert result.exit_code == 4
    assert "--data" in result.stderr


def test_an_answer_without_resume_is_recorded_and_the_run_is_owed(project):
    run_id = project.run()

    document = project.json("runs", "approve", run_id, "--no-resume", "--by", "ada")

    assert (document["status"], document["state"]) == ("suspended", "owed")
    assert "decided at review, not yet resumed" in project.ok("runs", "inspect", run_id)
    assert project.json("runs", "sweep")["owed"] == [run_id]
    assert project.json("runs", "inspect", run_id)["run"]["status"] == "completed"


def test_full_cuts_nothing_of_the_activity(project):
    run_id = project.run()
    note = "The supplier's new account was confirmed by telephone, " * 4 + "and written down."
    project.ok("runs", "approve", run_id, "--reject", "--note", note)
    cancelled = project.run("asking")
    project.ok("runs", "cancel", cancelled, "--note", note)

    told = project.ok("runs", "inspect", cancelled, "--full")
    activity = project.ok("runs", "inspect", run_id, "--full").split("Activity")[1].split("Blueprint")[0]

    assert note in " ".join(told.split())
    assert "approved no" in " ".join(activity.split())
    assert "…" not in activity + told
    assert [one for one in (told + activity).splitlines() if len(one) > 80] == []


def test_full_shows_data_that_was_given_whole_however_deep(project):
    run_id = project.run("asking")
    project.ok("runs", "resume", run_id, "--data", "number=7", "--data", "of={bank: {name: Lead & Silver Bank}}")

    activity = project.ok("runs", "inspect", run_id, "--full").split("\nActivity\n")[1].split("\nBlueprint\n")[0]

    assert "number  7" in activity
    assert "Lead & Silver Bank" in activity
    assert [one for one in activity.splitlines() if len(one) > 80] == []


@pytest.mark.parametrize(
    "value",
    ["{account: DE89 3704 0044 0532 0130 00, of: Cyclewerk}", f"['{'A long sentence in a list, ' * 9}']",
     f"{{{'a_key_with_a_long_name_' * 3}: 1, second: [2]}}"],
)  # fmt: skip
def test_full_shows_a_value_whole_that_would_be_cut_on_one_line(project, value):
    run_id = project.run("plain", "--data", f"rows={value}")

    context = project.ok("runs", "inspect", run_id, "--full").split("\nContext\n")[1].split("\nActivity\n")[0]

    assert "…" not in context
    assert [one for one in context.splitlines() if len(one) > 80] == []


def test_full_says_whole_which_step_was_skipped_and_why(project):
    name = "a_step_with_a_name_that_is_longer_than_its_column"
    (project.root / "blueprints" / "skipping.yaml").write_text(
        f"name: skipping\ncomponents: [{{name: {name}, type: delay, config: {{seconds: 0}}}}]\n"
        f"flow:\n  type: conditional\n  steps:\n    - {{component: {name}, condition: context.data.none > 1000}}\n"
        f"    - {{component: {name}}}\n"
    )
    run_id = project.run("skipping")

    told = project.ok("runs", "inspect", run_id, "--full").split("\nBlueprint\n")[0]

    assert f"1 – {name}\n" in told
    assert f"2 ✓ {name}#2\n" in told
    assert "'NoneType' and 'int' (nothing has set none)." in " ".join(told.split("Activity")[0].split())
    assert [one for one in told.splitlines() if len(one) > 80] == []


def test_a_long_history_is_shortened_and_full_is_not(project):
    (project.root / "blueprints" / "long.yaml").write_text(
        "name: long\ncomponents: [{name: n, type: delay, config: {seconds: 0}}]\n"
        f"flow: {{steps: [{', '.join(['{component: n}'] * 60)}]}}\n"
    )
    run_id = project.run("long")

    assert "… 25 more steps (`runs inspect --full` shows all)" in project.ok("runs", "inspect", run_id)
    assert "n#60" in project.ok("runs", "inspect", run_id, "--full")


def test_what_is_called_like_a_credential_or_marked_secret_is_masked(project):
    (project.root / "blueprints" / "secret.yaml").write_text(
        "name: secret\ncomponents:\n  - {name: load, type: count, config: {pin: '4321-secret-pin'}}\n"
        "flow: {steps: [{component: load}]}\n"
    )
    run_id = project.run("secret")
    plain = project.run("plain", "--data", "rows={api_key: abcdefgh12345678}")

    for args in (("--full",), ("--full", "--json"), ("--json",), ()):
        assert "4321-secret-pin" not in project.ok("runs", "inspect", run_id, *args)
        assert "abcdefgh12345678" not in project.ok("runs", "inspect", plain, *args)


def test_a_secret_input_is_shown_as_its_reference_everywhere(project):
    (project.root / ".env").write_text("BANK_TOKEN=supersecretvalue\n")
    (project.root / "blueprints" / "bank.yaml").write_text(
        "name: bank\ninputs: {token: {type: string, secret: true}, mode: {default: fine}}\n"
        "components: [{name: act, type: act}]\nflow: {steps: [{component: act}]}\n"
    )
    refused = project.call("run", "bank", "--data", "token=supersecretvalue")
    assert refused.exit_code == 2
    assert "${" in refused.stderr

    run_id = project.run("bank", "--data", "token=${BANK_TOKEN}")

    told = project.ok("runs", "inspect", run_id, "--full") + project.ok("runs", "inspect", run_id, "--full", "--json")
    assert "supersecretvalue" not in told
    assert "${BANK_TOKEN}" in told


def test_an_open_gate_says_what_each_answer_leads_to(project):
    told = project.ok("runs", "inspect", project.run())

    assert "Approve → runs book" in told
    assert "Reject  → the run ends failed" in told


def test_an_open_gate_says_what_differs_from_the_last_approved_run(project):
    first = project.run("gated", "--data", "batch=may")
    project.ok("runs", "approve", first, "--by", "bob")

    second = project.run("gated", "--data", "batch=june")
    told = project.ok("runs", "inspect", second)

    assert f"Changed since the last approval (run {first[:8]}, by bob" in told
    assert "batch  may → june" in told
    same = project.ok("runs", "inspect", project.run("gated", "--data", "batch=may"))
    assert "The same values as last approved" in same


def test_diff_shows_inputs_steps_and_the_blueprint(project):
    first = project.run("gated", "--data", "batch=may")
    file = project.root / "blueprints" / "gated.yaml"
    file.write_text(file.read_text().replace("Release {{ batch }}?", "Really release {{ batch }}?"))
    second = project.run("gated", "--data", "batch=june")
    project.ok("runs", "approve", second)

    told = project.ok("runs", "diff", first, second)
    document = project.json("runs", "diff", first, second)

    assert "batch  may → june" in told
    assert "Really release" in told
    assert [one["key"] for one in document["inputs"]] == ["batch"]
    assert {step["node"]: step["before_status"] for step in document["steps"]} == {
        "load": "completed", "review": "suspended", "book": None,
    }  # fmt: skip
    assert document["same_blueprint"] is False
    assert "The same." in project.ok("runs", "diff", first, first)


def test_diff_tells_every_difference_as_json_and_says_how_many_the_text_leaves_out(project):
    for run_id, factor in (("r1", 1), ("r2", 2)):
        values = json.dumps({f"k{n}": n * factor + 1 for n in range(700)})
        (project.root / "data.json").write_text(values)
        project.ok("run", "plain", "--run-id", run_id, "--data", "rows=@data.json", "--data", "mode=fine")
    inputs = project.json("runs", "diff", "r1", "r2")["inputs"]
    assert len(inputs) == 699
    assert all(one["kind"] == "changed" for one in inputs)
    assert "… 659 more differences (--json has all)" in project.ok("runs", "diff", "r1", "r2")
