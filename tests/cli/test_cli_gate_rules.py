"""Gates with rules at the command line: what became of an answer, what is missing, withdrawals and comments."""

from __future__ import annotations

import json
import re

import pytest

from neurocore.persistence.gate_policy import Escalation, Stage
from neurocore.readable import moment

from .conftest import ruled

STAGES = {"stages": (Stage(approvers=("ann", "bea"), required=2), Stage(approvers=("ingrid",)))}


def answer(project, run_id, name, *args, code=0):
    done = project.call("runs", "approve", run_id, "--by", name, "-q", *args)
    assert done.exit_code == code, done.output
    return done


def gate(project, run_id):
    return project.json("runs", "inspect", run_id)["gates"][-1]


def test_an_answer_of_two_is_recorded_and_says_who_is_missing(project):
    run_id = ruled(project, "pair", approvers=("ann", "bea", "carl"), required=2)
    first = answer(project, run_id, "ann").stdout
    assert first.startswith("Recorded at review as ann; 1 more of ann, bea or carl is needed.\n")
    again = " ".join(answer(project, run_id, "ann").stdout.split())
    assert "Already approved by ann just now; nothing was changed; 1 more of ann, bea or carl is needed." in again
    assert "waits at review" in again
    assert answer(project, run_id, "bea").stdout.startswith("Approved review as bea.\n✓ completed")
    assert "approved by ann and bea just now" in project.ok("runs", "inspect", run_id)


def test_the_document_of_an_answer_says_its_effect(project):
    run_id = ruled(project, "pair", approvers=("ann", "bea", "carl"), required=3)
    told = json.loads(answer(project, run_id, "ann", "--json").stdout)
    assert told["status"] == "suspended"
    assert (told["decision"]["effect"], told["decision"]["missing"]) == ("recorded", "2 more of ann, bea or carl")
    assert "2 more of ann, bea or carl are needed" in " ".join(answer(project, run_id, "ann").stdout.split())
    assert json.loads(answer(project, run_id, "ann", "--json").stdout)["decision"]["effect"] == "repeated"


@pytest.mark.parametrize(
    ("rules", "name", "said"),
    [
        ({"approvers": ("ann",)}, "eve", "This gate asks ann"),
        (STAGES, "ingrid", "Stage 1 of this gate asks ann or bea"),
        ({"undo": "1min", "required": 2}, "ann", None),
    ],
    ids=["not asked", "not yet", "asked"],
)
def test_who_is_not_asked_is_refused_with_4_and_one_sentence(project, rules, name, said):
    run_id = ruled(project, "asks", **rules)
    done = answer(project, run_id, name, code=0 if said is None else 4)
    if said is not None:
        assert re.fullmatch(rf"Error: {said}\.\n", done.stderr)
        assert done.stdout == ""
        assert gate(project, run_id)["answers"] == []


def test_who_started_a_run_does_not_approve_it_and_may_reject_it(project):
    run_id = ruled(project, "own", self_approval=False)
    starter = project.json("runs", "inspect", run_id)["run"]["started_by"]
    assert "You started this run" in answer(project, run_id, starter, code=4).stderr
    assert "Who started this run does not approve it." in project.ok("runs", "inspect", run_id)
    assert "Rejected review" in answer(project, run_id, starter, "--reject", "--note", "no").stdout


def test_what_decides_can_be_withdrawn_until_it_takes_effect(project):
    run_id = ruled(project, "held", undo="1min")
    told = answer(project, run_id, "ann").stdout
    assert re.match(r"Approved review as ann\. This takes effect at [0-9: -]+; you can\n  withdraw it until then", told)
    assert told.endswith("Type next:\n  neurocore runs withdraw held\n")
    shown = gate(project, run_id)
    assert shown["decision"] == {"outcome": "approve", "cause": "answers", "at": shown["answers"][0]["at"], "by": "ann"}
    assert (moment(shown["held_until"]) - moment(shown["decision"]["at"])).total_seconds() == 60
    assert "unless ann" in project.ok("runs", "inspect", run_id)
    other = project.call("runs", "withdraw", run_id, "--by", "bea")
    assert (other.exit_code, other.stdout) == (4, "")
    taken = project.ok("runs", "withdraw", run_id, "--by", "ann", "--gate", "review", "--visit", "1")
    assert taken.startswith("Withdrew your answer at review; 1 more approval is needed.\n◌ waits at review")
    assert [one["answer"] for one in gate(project, run_id)["answers"]] == ["approve", "withdraw"]


def test_a_withdrawal_names_what_was_seen_and_happens_once(project):
    run_id = ruled(project, "pair", answers=("ann",), required=2)
    assert "has changed" in project.call("runs", "withdraw", run_id, "--by", "ann", "--digest", "3:x").stderr
    digest = gate(project, run_id)["digest"]
    told = project.json("runs", "withdraw", run_id, "--by", "ann", "--digest", digest)
    assert (told["status"], told["waits"][0]["node"]) == ("suspended", "review")
    again = project.call("runs", "withdraw", run_id, "--by", "ann")
    assert again.exit_code == 4
    assert "You have given no answer at gate review" in again.stderr
    for one in ("ann", "bea"):
        answer(project, run_id, one)
    late = project.call("runs", "withdraw", run_id, "--by", "bea")
    assert (late.exit_code, "it is decided" in late.stderr) == (4, True)


@pytest.mark.parametrize(("args", "code"), [
    (("withdraw", "nothing"), 3), (("comment", "nothing", "x"), 3), (("comment", "pair"), 2),
    (("comment", "pair", "  "), 2), (("comment", "pair", "x", "--gate", "nope"), 4),
    (("withdraw", "pair", "--by", "two\nlines"), 2), (("comment", "pair", "x", "--by", " "), 2),
    (("withdraw", "pair", "--visit", "0"), 2), (("withdraw", "pair", "--visit", "7"), 4),
])  # fmt: skip
def test_what_cannot_be_done_ends_with_its_code(project, args, code):
    ruled(project, "pair", answers=("ann",), required=2)
    done = project.call("runs", *args)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert "Traceback" not in done.output


def test_a_comment_is_read_by_everybody_who_looks_and_decides_nothing(project):
    run_id = ruled(project, "pair", required=2)
    assert project.ok("runs", "comment", run_id, "Is this\x1b[2J the annual one?", "--by", "vera", "--gate", "review")
    told = project.json("runs", "comment", run_id, "Yes.", "--by", "ann")
    assert (told["status"], told["decision"]) == ("suspended", None)
    shown = project.ok("runs", "inspect", run_id)
    assert "\x1b" not in shown
    assert "vera just now: “Is this\\x1b[2J the annual one?”" in shown
    assert "ann just now: “Yes.”" in shown
    assert [one["who"] for one in project.json("runs", "inspect", run_id)["events"] if one["kind"] == "commented"] == [
        "vera", "ann",
    ]  # fmt: skip
    plain = project.run()
    project.ok("runs", "comment", plain, "Hm.", "--by", "vera")
    assert "vera just now: “Hm.”" in project.ok("runs", "inspect", plain)


def test_inspect_reads_well_at_80_columns(project):
    run_id = ruled(
        project, "long", **STAGES, undo="10s", distinct_from=("entry",), escalate=Escalation(after="4h", to=("boss",)),
    )  # fmt: skip
    answer(project, run_id, "ann", "--note", "I compared every line of it with the ledger, and the sums are right.")
    answer(project, run_id, "bea")
    project.ok("runs", "withdraw", run_id, "--by", "bea")
    project.ok("runs", "comment", run_id, "Which of the invoices of the last year is it about? " * 3, "--by", "vera")
    shown = project.ok("runs", "inspect", run_id)
    part = shown[shown.index("    A rejection needs") : shown.index("\nType next")]
    part = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-01-01 12:00:00", part)
    assert (
        part
        == """\
    A rejection needs a note.

    ◌ Stage 1 asks ann or bea: 1 of 2 approved
        ann approved just now: “I compared every line of it with the ledger, and
          the sums are right.”
    – Stage 2 asks ingrid: 0 of 1 approved
    – bea approved just now (withdrawn just now)
    Missing: 1 more of ann or bea, then 1 more of ingrid.
    Who approved entry does not approve this gate.
    At 2026-01-01 12:00:00 it also asks boss.
    The answer that decides can be withdrawn for 10s.

    Comments
      vera just now: “Which of the invoices of the last year is it about? Which
        of the invoices of the last year is it about? Which of the invoices of
        the last year is it about?”
"""
    )
    assert all(len(one) <= 80 for one in shown.splitlines())


def test_inspect_json_says_what_the_rules_give(project):
    run_id = ruled(project, "two", **STAGES)
    answer(project, run_id, "ann", "--note", "fine")
    shown = gate(project, run_id)
    assert shown["policy"]["stages"] == [{"approvers": ["ann", "bea"], "required": 2}, {"approvers": ["ingrid"]}]
    assert (shown["stage"], shown["required"], shown["approved_by"]) == (1, 2, ["ann"])
    assert shown["missing"] == "1 more of ann or bea, then 1 more of ingrid"
    assert (shown["deadline"], shown["overdue"], shown["escalated_at"], shown["decision"]) == (None, False, None, None)
    (given,) = shown["answers"]
    assert (given["id"], given["hash_version"], given["face"]) == (given["hash"], 3, "cli")
    assert (given["answer"], given["counts"], given["why_not"], given["username"]) == ("approve", True, None, None)
    for name in ("bea", "ingrid"):
        answer(project, run_id, name)
    decided = gate(project, run_id)
    assert decided["decision"]["outcome"] == "approve"
    assert decided["decision"]["by"] == "ingrid"
    assert (decided["stage"], decided["missing"], decided["approved_by"]) == (2, None, ["ann", "bea", "ingrid"])


def test_a_gate_without_rules_shows_none(project):
    run_id = project.run()
    assert "Missing" not in project.ok("runs", "inspect", run_id)
    shown = gate(project, run_id)
    assert (shown["policy"], shown["required"], shown["missing"]) == (
        {"show": ["rows", "batch"]}, 1, "1 more approval",
    )  # fmt: skip
    asks = project.json("run", "asking")["run_id"]
    assert gate(project, asks)["missing"] is None


@pytest.mark.parametrize("args", [("approve", "pair"), ("withdraw", "pair"), ("comment", "pair", "Hm.")])
def test_where_people_sign_in_this_command_line_does_not_speak_at_gates(project, args):
    ruled(project, "pair", required=2)
    (project.root / "neurocore.yaml").write_text(
        "project: {name: work}\nauth: {mode: local}\nweb: {public_url: 'https://flows.example'}\n"
    )
    done = project.call("runs", *args)
    assert done.exit_code == 4
    assert "https://flows.example/runs/pair" in done.stderr
    assert "`neurocore login --server https://flows.example`" in done.stderr
    assert project.call("runs", *args, "--by", "ann").exit_code == 2


def test_words_of_other_tools_lead_to_withdraw(project):
    assert "runs withdraw" in project.call("runs", "undo", "x").stderr


def test_who_owns_the_files_breaks_the_glass_with_a_reason(project):
    run_id = ruled(project, "stuck", approvers=("ann",), required=2)
    reason = "Ann and Bea are ill, and the payment is due today."
    short = project.call("runs", "approve", run_id, "--break-glass", "short")
    assert (short.exit_code, "Say why" in short.stderr) == (2, True)
    claimed = project.call("runs", "approve", run_id, "--break-glass", reason, "--by", "ann")
    assert (claimed.exit_code, "Leave --by out" in claimed.stderr) == (2, True)
    project.ok("runs", "approve", run_id, "--break-glass", reason, "-q")
    document = project.json("runs", "inspect", run_id)
    assert document["run"]["status"] == "completed"
    (gate,) = document["gates"]
    assert (gate["decision"]["cause"], gate["answers"][0]["known_by"]) == ("break_glass", "os")
    assert gate["answers"][0]["break_glass"] == reason
    assert ", breaking the glass" in project.ok("runs", "inspect", run_id)
