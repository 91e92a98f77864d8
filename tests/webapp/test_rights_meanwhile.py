"""Rights are read again within the transaction that records an answer, and a gate keeps how it was opened."""

from __future__ import annotations

import re

import pytest

from neurocore.access.actor import Face, KnownBy, called
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people
from neurocore.errors import Forbidden
from neurocore.persistence.admin import check
from neurocore.persistence.records import GateStatus
from neurocore.runs.decide import decide_gate
from tests.webapp.test_signin import ROOT, quick_hashes, team

__all__ = ["quick_hashes", "team"]


def disable(team):
    people.disable("anna", store=team.store, actor=ROOT)


def take_the_role(team):
    people.revoke("anna", [Grant(Role.APPROVER)], store=team.store, actor=ROOT)


def revoke_the_tokens(team):
    store = team.store
    for one in store.list_tokens():
        store.revoke_token(one.id, at=store.clock.now(), entry=people.entry_of(store, ROOT, "token-revoked"))


def between(team, monkeypatch, happens):
    """Let something happen after an answer was checked, and before its transaction begins."""
    kind = type(team.store)
    answer = kind.answer_gate

    def late(store, *given, **named):
        monkeypatch.setattr(kind, "answer_gate", answer)
        happens(team)
        return answer(store, *given, **named)

    monkeypatch.setattr(kind, "answer_gate", late)


@pytest.mark.parametrize("happens", [disable, take_the_role])
def test_who_loses_the_right_while_the_answer_is_under_way_decides_nothing(team, monkeypatch, happens):
    run_id = team.run()
    team.sign_in("anna")
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": team.gate(run_id).digest}
    between(team, monkeypatch, happens)
    answer = team.send(f"/runs/{run_id}/decision", form)
    assert answer.status_code == 403
    assert team.gate(run_id).status is GateStatus.OPEN
    assert not team.gate(run_id).answers


def test_a_token_that_is_revoked_while_its_answer_is_under_way_decides_nothing(team, monkeypatch):
    run_id = team.run()
    team.sign_in("anna")
    page = team.send("/account/tokens", {"name": "script", "scope": ["view", "answer"]}).text
    secret = re.search(r"nrc_[\w-]+", page)[0]
    between(team, monkeypatch, revoke_the_tokens)
    body = {"approved": True, "gate": "review", "digest": team.gate(run_id).digest}
    answer = team.browser().post(
        f"/api/v1/runs/{run_id}/decision", json=body, headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 403, answer.text
    assert not team.gate(run_id).answers


def test_an_answer_says_who_gave_it_by_an_id_and_where(team):
    run_id = team.run()
    people.set_groups("anna", ["board"], store=team.store, actor=ROOT)
    team.sign_in("anna")
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": team.gate(run_id).digest}
    team.send(f"/runs/{run_id}/decision", form)
    (answer,) = team.gate(run_id).answers
    anna = people.find_person("anna", team.store)
    assert (answer.person, answer.by, answer.known_by, answer.face) == (anna.id, "anna", "session", "web")
    assert answer.groups == ("board",)
    told = [one for one in team.store.load_events(run_id) if one.kind == "answered"]
    assert [(one.person, one.face, one.token) for one in told] == [(anna.id, "web", None)]
    assert check(team.store).problems == []


def test_a_gate_keeps_the_mode_in_which_it_opened(team):
    run_id = team.run()
    assert team.gate(run_id).auth_mode == "local"
    team.store.auth_mode = "open"
    for known_by in (KnownBy.CLAIMED, KnownBy.TYPED):
        with pytest.raises(Forbidden, match="since this gate opened"):
            decide_gate(
                run_id, approved=True, actor=called("anna", face=Face.WEB, known_by=known_by), run_store=team.store
            )
    assert not team.gate(run_id).answers
