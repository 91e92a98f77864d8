"""Gates with rules on a server: the command line prints the same there as where the history is, for each person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from neurocore.persistence.gate_policy import Escalation, Stage

from .conftest import Project, make_project, ruled
from .servers import config_of, serving
from .test_cli_remote import There, timeless

STAGES = (Stage(approvers=("ann", "bea"), required=2), Stage(approvers=("ingrid",)))


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A server where nobody signs in, over gates in every state."""
    project = make_project(tmp_path_factory.mktemp("open") / "work")
    ruled(project, "fresh", stages=STAGES, self_approval=False, escalate=Escalation(after="4h", to=("boss",)))
    ruled(project, "begun", answers=("ann",), stages=STAGES, undo="10s", distinct_from=("entry",))
    ruled(project, "taken", answers=("ann", "bea"), required=3)
    project.ok("runs", "withdraw", "taken", "--by", "ann")
    ruled(project, "held", answers=("ann",), undo="5min")
    ruled(project, "agreed", answers=("ann", "bea"), required=2)
    ruled(project, "said", required=2)
    for text in ("Is this the annual one?", "I cannot find it in the list of the last year, nor in the one before."):
        project.ok("runs", "comment", "said", text, "--by", "vera")
    home = Project(tmp_path_factory.mktemp("home"))
    with serving(project.root) as url:
        yield There(url, project, home, {})


@pytest.mark.parametrize("full", [(), ("--full",)], ids=["short", "full"])
@pytest.mark.parametrize("run_id", ["fresh", "begun", "taken", "held", "agreed", "said"])
def test_what_is_read_from_a_server_is_what_is_read_where_the_history_is(open_server, run_id, full):
    args, root = ("runs", "inspect", run_id, *full), f"{open_server.project.root}/"
    here, there = open_server.project.call(*args), open_server.call(*args)
    told = [timeless(one.stdout.replace(root, "")) for one in (here, there)]
    assert told[1] == told[0]
    here, there = open_server.project.call(*args, "--json"), open_server.call(*args, "--json")
    assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout)


VERBS = [
    ({"approvers": ("ann", "bea"), "required": 2}, [
        ("approve", "ann"), ("approve", "ann"), ("withdraw", "ann"), ("withdraw", "ann"), ("approve", "bea"),
        ("approve", "eve"), ("comment", "eve", "Hm."), ("approve", "ann"), ("withdraw", "ann"),
        ("comment", "eve", "Hm."),
    ]),
    ({"stages": STAGES}, [("approve", "ingrid"), ("approve", "ann"), ("approve", "bea"), ("approve", "ingrid")]),
    ({"undo": "5min"}, [
        ("approve", "ann"), ("approve", "bea"), ("withdraw", "bea"), ("withdraw", "ann"),
        ("approve", "ann", "--reject", "--note", "no"), ("withdraw", "ann", "--digest", "3:stale"),
        ("withdraw", "ann", "--gate", "nope"), ("withdraw", "ann", "--gate", "review", "--visit", "1"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(("rules", "calls"), VERBS, ids=["several", "stages", "undo"])
def test_a_verb_does_and_prints_the_same(open_server, project, rules, calls, as_json):
    run_id = f"verb{[one for _, one in VERBS].index(calls)}{'j' if as_json else 't'}"
    told: dict[str, list[tuple[int, str, str]]] = {}
    ruled(project, "agreed", answers=("ann", "bea"), required=2)  # what is shown is compared with the last approved
    # Two projects: the server would continue the runs of its own that are answered here.
    for side, place, call in (("here", project, project.call), ("there", open_server.project, open_server.call)):
        ruled(place, run_id, **rules)
        told[side] = []
        for verb, name, *more in calls:
            args = ["runs", verb, run_id, *more, "--by", name, *(["-q"] if verb == "approve" else [])]
            done = call(*args, *(["--json"] if as_json else []))
            told[side].append((done.exit_code, *(alike(one, run_id) for one in (done.stdout, done.stderr))))
    assert told["there"] == told["here"]
    assert {code for code, *_ in told["here"]} == {0, 4}


def alike(text: str, run_id: str) -> str:
    text = timeless(text.replace(run_id, "<run>"))
    text = re.sub(r"\d:[0-9a-f]{64}|[0-9a-f]{64}", "<hash>", text)
    text = re.sub(r"The same values as last approved.*?\)\.", "<since>", text, flags=re.DOTALL)
    return re.sub(r'"duration_ms": [\d.]+', "<took>", text)


# ---------------------------------------------------------------- where people sign in


PEOPLE = {"ann": "finance", "bea": "finance", "carl": "finance", "ingrid": "board"}


@pytest.fixture(scope="module")
def team_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A server where people sign in, with a token of each."""
    project = make_project(tmp_path_factory.mktemp("team") / "work")
    (project.root / "neurocore.yaml").write_text("project: {name: work}\nauth: {mode: local}\n")
    tokens = {}
    for name, group in PEOPLE.items():
        project.ok("users", "add", name, "--role", "approver", "--group", group)
        made = project.ok("tokens", "create", "--user", name, "--name", "t", "--scope", "view,answer,comment")
        tokens[name] = made.strip()
    home = Project(tmp_path_factory.mktemp("home"))
    with serving(project.root) as url:
        yield There(url, project, home, tokens)


def test_people_answer_withdraw_and_comment_with_their_tokens(team_server):
    run_id = ruled(team_server.project, "pair", approvers=("group:finance",), required=2)
    first = team_server.call("runs", "approve", run_id, as_="ann")
    assert first.exit_code == 0
    assert first.stdout.startswith("Recorded at review as ann; 1 more of group finance is needed.\n")
    refused = team_server.call("runs", "approve", run_id, as_="ingrid")
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert refused.stderr == "Error: This gate asks group finance; bea and carl can.\n"
    assert team_server.call("runs", "comment", run_id, "Which one?", as_="ingrid").exit_code == 0
    assert team_server.call("runs", "withdraw", run_id, as_="bea").exit_code == 4
    taken = team_server.call("runs", "withdraw", run_id, as_="ann")
    assert taken.stdout.startswith("Withdrew your answer at review; 2 more of group finance are needed.\n")
    shown = team_server.call("runs", "inspect", run_id, as_="carl").stdout
    assert "Asks group finance: 0 of 2 approved" in shown
    assert "ann approved just now (withdrawn just now)" in shown
    assert "ingrid just now: “Which one?”" in shown
    team_server.call("runs", "approve", run_id, as_="bea")
    done = team_server.json("runs", "approve", run_id, as_="carl")
    assert (done["status"], done["decision"]["effect"]) == ("completed", "took_effect")
    late = team_server.call("runs", "withdraw", run_id, as_="carl")
    assert (late.exit_code, "it is decided" in late.stderr) == (4, True)
    (gate,) = team_server.json("runs", "inspect", run_id, as_="ann")["gates"]
    assert [(one["username"], one["answer"], one["counts"]) for one in gate["answers"]] == [
        ("ann", "approve", False), ("ann", "withdraw", False), ("bea", "approve", True), ("carl", "approve", True),
    ]  # fmt: skip
    assert gate["answers"][0]["groups"] == ["finance"]
    local = json.loads(team_server.project.ok("runs", "inspect", run_id, "--json"))
    assert local["gates"] == [gate]


@pytest.mark.parametrize(
    ("rules", "said"), [({"signature": "passkey"}, "signed by a passkey"), ({"fresh_login": "15min"}, "sign in again")]
)
def test_what_a_token_cannot_give_sends_to_the_page(team_server, rules, said):
    run_id = ruled(team_server.project, next(iter(rules)), **rules)
    done = team_server.call("runs", "approve", run_id, as_="ann")
    assert (done.exit_code, done.stdout) == (4, "")
    assert said in done.stderr
    assert done.stderr.endswith(f"on the run's page: {team_server.url}/runs/{run_id}\n")


@pytest.mark.parametrize("args", [("withdraw", "signs"), ("comment", "signs", "Hm.")])
def test_by_is_for_servers_where_nobody_signs_in(team_server, args):
    done = team_server.call("runs", *args, "--by", "eve", as_="ann")
    assert done.exit_code in (2, 3)
    ruled(team_server.project, f"by{args[0]}", required=2)
    done = team_server.call("runs", args[0], f"by{args[0]}", *args[2:], "--by", "eve", as_="ann")
    assert (done.exit_code, "--by is for auth.mode: open" in done.stderr) == (2, True)


def test_the_token_is_in_no_output(team_server):
    for args in (("withdraw", "pair"), ("comment", "pair", "x")):
        done = team_server.home.call(
            "--debug", "runs", *args, env={"NEUROCORE_SERVER": team_server.url, **config_of(team_server.home.root),
                                           "NEUROCORE_TOKEN": team_server.tokens["ann"]},
        )  # fmt: skip
        assert team_server.tokens["ann"] not in done.output
