"""Which gates wait for whoever looks, and which for others: on the pages, in the badge and in the API."""

from __future__ import annotations

import re

import pytest

from neurocore.access.roles import Grant, Role
from neurocore.accounts import people
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team

__all__ = ["quick_hashes", "team"]


@pytest.fixture
def waiting(team):
    """A gate of `payout` and two of `two` wait; pia may answer those of `payout` alone, and sees all."""
    grants = [Grant(Role.VIEWER), Grant(Role.APPROVER, "payout")]
    people.add_person("pia", store=team.store, actor=ROOT, grants=grants, password=PASSWORD)
    return team, team.run(), team.run("two")


def sections(page):
    """The run ids under each heading of the page."""
    parts = re.split(r'<h2 id="h-(\w+)"', page)
    return {
        name: set(re.findall(r'href="/runs/(\w+)#', text)) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_what_i_may_answer_and_what_others_may_are_told_apart(waiting):
    team, mine, theirs = waiting
    team.sign_in("pia")
    page = team.client.get("/approvals").text
    found = sections(page)
    assert (found["waiting"], found["others"]) == ({mine}, {theirs})
    assert ">For me " in page
    assert ">For others " in page
    assert sections(team.client.get("/approvals?for=me").text) == {"waiting": {mine}}
    assert sections(team.client.get("/approvals?for=others").text) == {"others": {theirs}}
    assert sections(team.client.get("/approvals?for=decided").text) == {"decided": set()}
    assert sections(team.client.get("/approvals?for=me&blueprint=two").text) == {"waiting": set()}


def test_the_badge_and_the_first_page_count_what_waits_for_me(waiting):
    team, mine, theirs = waiting
    team.sign_in("pia")
    home = team.client.get("/").text
    assert re.search(r'<span class="badge" title="1 gate waiting">1<', home)
    assert f"/runs/{mine}#" in home
    assert f"/runs/{theirs}#" not in home
    assert '<a href="/approvals?for=others">2 gates for others</a>' in home


def test_nothing_waits_for_somebody_who_only_looks(waiting):
    team, mine, theirs = waiting
    team.sign_in("vera")
    page = team.client.get("/approvals").text
    found = sections(page)
    assert (found["waiting"], found["others"]) == (set(), {mine, theirs})
    assert "Nothing waits for you." in page
    assert 'class="badge"' not in page


def test_a_stranger_is_not_told_how_many_gates_wait(waiting):
    team, *_ = waiting
    assert 'class="badge"' not in team.browser().get("/login").text


def test_what_is_not_seen_waits_for_nobody_else_either(waiting):
    team, mine, _ = waiting
    team.sign_in("paul")
    page = team.client.get("/approvals").text
    assert sections(page)["waiting"] == {mine}
    assert "others" not in sections(page)
    assert sections(team.client.get("/approvals?for=others").text) == {"others": set()}


def test_the_api_tells_them_apart_too(waiting):
    team, mine, theirs = waiting
    team.sign_in("pia")

    def ids(entries):
        return {one["run"]["run_id"] for one in entries}

    found = team.client.get("/api/v1/approvals").json
    assert (ids(found["waiting"]), ids(found["others"]), found["open"]) == ({mine}, {theirs}, 3)
    assert team.client.get("/api/v1/approvals?for=others").json["waiting"] == []
    assert team.client.get("/api/v1/approvals?for=us").status_code == 422


def test_the_page_changes_when_something_begins_to_wait_for_others(waiting):
    team, *_ = waiting
    team.sign_in("pia")
    live = {"HX-Request": "true", "HX-Request-Type": "partial"}
    for path in ("/approvals", "/"):
        version = re.search(r"v=([\w.-]+)", team.client.get(path).text)[1]
        assert team.client.get(f"{path}?v={version}", headers=live).status_code == 204
        team.run("two")
        assert team.client.get(f"{path}?v={version}", headers=live).status_code == 200


def test_the_account_shows_what_i_have_decided(waiting):
    team, mine, _ = waiting
    team.sign_in("pia")
    assert "You have decided nothing yet." in team.client.get("/account").text
    gate = team.gate(mine)
    form = {"decision": "reject", "gate": "review", "visit": "1", "digest": gate.digest, "note": "too much"}
    team.send(f"/runs/{mine}/decision", form)
    page = team.client.get("/account").text.partition('id="h-decisions"')[2]
    assert f'href="/runs/{mine}"' in page
    assert "rejected" in page
    team.client.post("/logout", data={"csrf_token": team.token()})
    team.sign_in("anna")
    assert "You have decided nothing yet." in team.client.get("/account").text
