"""The payouts example, whole: a batch is checked, released, written for the bank once, and archived."""

from __future__ import annotations

import csv
import json
import re
import signal
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path

import pytest
import sepaxml
import xmlschema
from schwifty import IBAN

from neurocore.access.actor import Face, KnownBy
from neurocore.accounts.people import actor_of, find_person
from neurocore.config import load_config
from neurocore.errors import Forbidden
from neurocore.persistence import build_run_store
from neurocore.runs.decide import decide_gate

PAIN = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"}


def at_the_gate(payouts, batch: str, *more: str) -> str:
    """Run a batch to its gate and return the run's id."""
    payouts.neurocore("run", "payouts", "--data", f"batch={batch}", *more)
    run = payouts.runs()[-1]
    assert (run.status, run.suspended_at_node) == ("suspended", "review")
    return run.run_id


def shown(payouts, run_id: str) -> dict:
    """The context as the reviewer sees it."""
    document = json.loads(payouts.neurocore("runs", "inspect", run_id, "--full", "--json"))
    return document["gates"][-1]["shown"]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("blueprint", ["payouts", "payouts-four-eyes"])
def test_the_blueprint_is_sound(payouts, blueprint):
    assert "no problems" in payouts.neurocore("validate", f"blueprints/{blueprint}.yaml")


def test_an_approved_batch_becomes_a_file_that_the_bank_accepts(payouts):
    run_id = at_the_gate(payouts, "2026-09")
    payouts.neurocore("runs", "approve", run_id, "--by", "ann", "--note", "checked")
    file = payouts.folder / "outbox" / "2026-09.xml"
    schemas = Path(sepaxml.__file__).parent / "schemas"
    xmlschema.XMLSchema(schemas / "pain.001.001.03.xsd").validate(file.read_text("utf-8"))
    message = ET.parse(file)
    paid = table(payouts.folder / "archive" / "2026-09" / "paid.csv")
    amounts = [Decimal(node.text) for node in message.iterfind(".//p:InstdAmt", PAIN)]
    assert len(amounts) == len(paid) == 73
    assert (
        sum(amounts)
        == Decimal(message.findtext(".//p:GrpHdr/p:CtrlSum", "", PAIN))
        == sum(Decimal(row["amount"]) for row in paid)
    )
    assert all(IBAN(node.text).is_valid for node in message.iterfind(".//p:CdtrAcct/p:Id/p:IBAN", PAIN))


def test_the_archive_says_who_approved_what(payouts):
    run_id = at_the_gate(payouts, "2026-09")
    payouts.neurocore("runs", "approve", run_id, "--by", "ann", "--note", "checked")
    record = json.loads((payouts.folder / "archive" / "2026-09" / "record.json").read_text("utf-8"))
    assert record["run"] == run_id
    assert (record["approval"]["by"], record["approval"]["note"]) == ("ann", "checked")
    assert record["totals"]["payments"] == 73


def test_every_wrong_row_is_held_back_with_its_reason(payouts):
    payouts.neurocore("runs", "approve", at_the_gate(payouts, "2026-09"))
    values = shown(payouts, at_the_gate(payouts, "2026-11"))
    reasons = " | ".join(row["why"] for row in values["held_back"])
    for reason in (
        "IBAN: invalid checksum digits", "IBAN: invalid IBAN length", "an account in AE, which is not in SEPA",
        "USD instead of EUR", "CHF instead of EUR", "the amount '1.034,50' is no number",
        "the amount is not above zero", "no payee", "the BIC COBADEFFX is malformed",
        "is not of the account's bank", "the same invoice as in row", "paid already with batch 2026-09",
    ):  # fmt: skip
        assert reason in reasons, reason
    assert len(values["held_back"]) == 17
    assert values["totals"]["payments"] == 200 - 17


def test_what_is_unusual_is_pointed_out_to_the_reviewer(payouts):
    payouts.neurocore("runs", "approve", at_the_gate(payouts, "2026-09"))
    unusual = {row["payee"]: row["why"] for row in shown(payouts, at_the_gate(payouts, "2026-11"))["unusual"]}
    assert "above 10,000.00 EUR" in unusual["Elbe Stahlrohr KG"]
    assert unusual["Karbonwerk Jena GmbH"] == "a new payee"
    assert unusual["Hansa Kugellager Handels GmbH"] == "5× the usual"


def test_the_limit_is_an_input(payouts):
    high = shown(payouts, at_the_gate(payouts, "2026-11", "--data", "limit=20000"))
    assert not any("above" in row["why"] for row in high["unusual"])


def test_a_rejection_needs_a_note_and_writes_nothing(payouts):
    run_id = at_the_gate(payouts, "2026-10")
    payouts.neurocore("runs", "approve", run_id, "--reject", code=2)
    payouts.neurocore("runs", "approve", run_id, "--reject", "--note", "row 43 is a typing error")
    assert (payouts.runs()[-1].status, payouts.runs()[-1].failure.kind) == ("failed", "rejected")
    assert not (payouts.folder / "outbox").exists()


def test_a_mended_file_resumes_where_it_failed(payouts):
    payouts.neurocore("run", "payouts", "--data", "batch=2026-10-refunds", code=1)
    run = payouts.runs()[-1]
    assert "has no column currency" in run.error
    file = payouts.folder / "inbox" / "2026-10-refunds.csv"
    head, *lines = file.read_text("utf-8").splitlines()
    file.write_text("\n".join([f"{head},currency", *(f"{line},EUR" for line in lines)]), "utf-8")
    payouts.neurocore("runs", "resume", run.run_id)
    assert payouts.runs()[-1].status == "suspended"


@pytest.mark.parametrize("failpoint", ["step.before_run", "step.after_run", "step.before_commit", "step.after_commit"])
@pytest.mark.parametrize("passing", [1, 2])
def test_killed_anywhere_after_the_approval_the_bank_gets_the_batch_once(payouts, failpoint, passing):
    run_id = at_the_gate(payouts, "2026-09")
    payouts.neurocore("runs", "approve", run_id, code=-signal.SIGKILL, NEUROCORE_FAILPOINT=f"{failpoint}@{passing}")
    payouts.neurocore("runs", "sweep")
    assert payouts.runs()[-1].status == "completed"
    assert sorted(path.name for path in (payouts.folder / "outbox").iterdir()) == ["2026-09.xml"]
    assert [path.name for path in (payouts.folder / "archive").iterdir()] == ["2026-09"]
    message = ET.parse(payouts.folder / "outbox" / "2026-09.xml").findtext(".//p:MsgId", "", PAIN)
    record = json.loads((payouts.folder / "archive" / "2026-09" / "record.json").read_text("utf-8"))
    assert record["message_id"] == message


@pytest.mark.parametrize("links", ["links", "no links"])
def test_two_runs_of_one_batch_pay_it_once(payouts, links, request):
    if links == "no links":
        request.getfixturevalue("no_hard_links")
    first, second = at_the_gate(payouts, "2026-09"), at_the_gate(payouts, "2026-09")
    payouts.neurocore("runs", "approve", first)
    before = (payouts.folder / "outbox" / "2026-09.xml").read_bytes()
    payouts.neurocore("runs", "approve", second, code=1)
    assert "was written by another run" in payouts.runs()[-1].error
    assert (payouts.folder / "outbox" / "2026-09.xml").read_bytes() == before


def test_a_batch_that_was_paid_has_nothing_left_to_pay(payouts):
    payouts.neurocore("runs", "approve", at_the_gate(payouts, "2026-09"))
    payouts.neurocore("run", "payouts", "--data", "batch=2026-09", code=1)
    assert "Nothing of batch 2026-09 can be paid" in payouts.runs()[-1].error


def test_an_unknown_batch_says_which_there_are(payouts):
    payouts.neurocore("run", "payouts", "--data", "batch=../secrets", code=1)
    assert "it has 2026-08, 2026-09, 2026-10, 2026-10-refunds, 2026-11" in payouts.runs()[-1].error


HISTORY = ["completed", "completed", "failed", "failed", "suspended"]


def test_the_demo_leaves_a_history_and_a_run_that_waits(payouts):
    said = payouts.python("demo.py", "--no-serve")
    assert [run.status for run in payouts.runs()] == HISTORY
    assert "ann approves" in said


def test_the_demo_started_again_adds_nothing(payouts):
    payouts.python("demo.py", "--no-serve")
    before = payouts.runs()
    assert payouts.python("demo.py", "--no-serve") == ""
    assert payouts.runs() == before


@pytest.fixture
def team(payouts, monkeypatch):
    """The store of `make demo-team`, made twice, in a project where people sign in."""
    payouts.python("demo.py", "--no-serve", "--team")
    assert payouts.python("demo.py", "--no-serve", "--team") == "", "the second time adds nothing"
    monkeypatch.setenv("NEUROCORE_AUTH__MODE", "local")
    store = build_run_store(load_config(payouts.folder))
    yield store
    store.close()


def answer(store, payouts, run_id: str, username: str):
    """Approve as somebody who signed in."""
    person = find_person(username, store)
    actor = actor_of(person, load_config(payouts.folder), store, known_by=KnownBy.SESSION, face=Face.WEB,
                     signed_in_at=store.clock.now())  # fmt: skip
    return decide_gate(run_id, approved=True, actor=actor, run_store=store)


def test_the_demo_of_a_team_adds_six_people_of_different_roles_once(team):
    people = {one.username: ([grant.role for grant in one.grants], list(one.groups)) for one in team.list_people()}
    assert people == {
        "ann": (["approver"], ["finance"]), "bea": (["approver", "operator"], ["finance"]),
        "carla": (["viewer"], []), "ingrid": (["approver"], ["board"]), "jonas": (["operator"], []),
        "root": (["admin"], []),
    }  # fmt: skip


def test_the_demo_of_a_team_leaves_a_run_at_stage_1_that_finance_and_then_the_board_release(team, payouts):
    (run,) = team.list_runs(blueprint="payouts-four-eyes")
    assert (run.status, run.started_by) == ("suspended", "bea")
    with pytest.raises(Forbidden, match=r"You started this run, and .*; ann can"):
        answer(team, payouts, run.run_id, "bea")
    with pytest.raises(Forbidden, match="Stage 1 of this gate asks group finance; ann can"):
        answer(team, payouts, run.run_id, "ingrid")
    assert answer(team, payouts, run.run_id, "ann").verdict.missing == "1 more of group board"
    held = answer(team, payouts, run.run_id, "ingrid")
    assert held.verdict.state == "held"
    assert not (payouts.folder / "outbox" / "2026-12.xml").exists(), "ingrid can withdraw it for ten seconds"


def test_the_demo_of_a_team_says_who_can_do_what(payouts):
    said = payouts.python("-c", "import demo; print(demo.who_can_do_what())")
    assert re.search(
        r"^ +ann +approver +finance +releases payment files, of four eyes the first stage$", said, re.MULTILINE
    )
    assert re.search(r"^ +bea +.*she started it", said, re.MULTILINE)
    assert re.search(r"^ +ingrid +approver +board +releases the second stage", said, re.MULTILINE)


@pytest.mark.parametrize(
    "failpoint", ["run.after_create@2", "step.after_run@4", "answer.after_commit", "end.after_commit"]
)
def test_the_demo_killed_half_way_and_started_again_loses_nothing(payouts, failpoint):
    payouts.python("demo.py", "--no-serve", code=-signal.SIGKILL, NEUROCORE_FAILPOINT=failpoint)
    payouts.python("demo.py", "--no-serve")
    assert [run.status for run in payouts.runs()] == HISTORY
    assert sorted(path.name for path in (payouts.folder / "outbox").iterdir()) == ["2026-08.xml", "2026-09.xml"]
