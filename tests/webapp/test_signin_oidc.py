"""Sign-in by a provider (OpenID Connect): the way there and back, and every answer that is a lie."""

from __future__ import annotations

import html
import re

import pytest

from neurocore.access.actor import Face, this_user
from neurocore.access.roles import Grant, Role
from neurocore.auth import Auth, GrantSettings, OidcSettings
from tests.webapp.conftest import Site
from tests.webapp.provider import CLIENT, SECRET, Provider

ROOT = this_user(Face.CLI)


class Oidc(Site):
    """A site where this provider signs people in; the group finance approves, and everybody of the group all looks."""

    def __init__(self, root, provider, web=None, **settings):
        self.provider = provider
        grants = [GrantSettings(role="approver", to=["group:finance"]), GrantSettings(role="viewer", to=["group:all"])]
        given = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET, "name": "Acme", **settings}
        super().__init__(root, auth=Auth(mode="oidc", grants=grants, oidc=OidcSettings(**given)), **(web or {}))

    def leave(self, target="/", client=None, status=200):
        """Begin a sign-in; the address of the provider."""
        client = client or self.client
        token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/login").text)[1]
        page = client.post("/login/oidc", data={"csrf_token": token, "next": target})
        assert page.status_code == status, page.text
        found = re.search(r'<a href="([^"]+)">Continue to', page.text)
        return html.unescape(found[1]) if found else page.text

    def come(self, sub="248", target="/", client=None, **more):
        """Sign in; the last answer of the server."""
        client = client or self.client
        return client.get(self.provider.back(self.leave(target, client), sub, **more))

    def browser(self):
        return self.app.test_client()


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def team(tmp_path, provider):
    site = Oidc(tmp_path, provider)
    yield site
    site.store.close()


def test_the_way_there_and_back(team):
    run_id = team.run()
    assert team.client.get(f"/runs/{run_id}").headers["Location"] == f"/login?next=/runs/{run_id}"
    page = team.client.get(f"/login?next=/runs/{run_id}").text
    assert "Sign in with Acme" in page
    assert team.provider.asked == [], "nothing is asked before somebody signs in"
    answer = team.come(target=f"/runs/{run_id}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/runs/{run_id}")
    page = team.client.get(f"/runs/{run_id}").text
    assert "Answering as <b>ann</b>" in page
    gate = team.gate(run_id)
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest}
    assert team.client.post(f"/runs/{run_id}/decision", data=form).status_code == 303
    (said,) = team.gate(run_id).answers
    assert (said.by, said.known_by) == ("ann", "session")
    ann = team.store.load_person(username="ann")
    assert (ann.label, ann.groups, ann.password) == ("Ann Smith", ("finance",), None)
    assert [one.kind for one in team.store.list_entries()] == ["user-came"]
