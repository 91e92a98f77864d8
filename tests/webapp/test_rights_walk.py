"""Every route with every role and every token: exactly what the table of rights says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neurocore.access.actor import Face
from neurocore.access.permission import Action
from neurocore.access.roles import FOR_ALL, Grant, Role
from neurocore.access.table import OFFERED
from neurocore.accounts import people, tokens
from neurocore.persistence.people import Passkey
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team
from webapp.security import permissions
from webapp.security.permissions import SAFE_METHODS, action_of, is_public

__all__ = ["quick_hashes", "team"]

SCOPES = [one for one in Action if one not in tokens.NEVER]
#: Routes that would end the session with which the others are asked for.
LAST = ("account.signing_out",)
#: Routes of another mode, which answer 404 here, whoever asks.
OTHER_MODE = "oidc."
#: What some routes take in their query.
ASKED = {"runs.compare_with": ("with",)}


class Walk:
    """Every route of a site but static files, as a request with values that exist."""

    def __init__(self, team, whose):
        self.team = team
        person = people.find_person(whose, team.store)
        people.add_person("zoe", store=team.store, actor=ROOT)
        token = tokens.create(
            person, name="of the walk", scopes=["view"], blueprints=[], days="1", store=team.store, config=team.config,
            actor=ROOT,
        )  # fmt: skip
        passkey = Passkey(
            id="abc", person=person.id, name="key", rp_id="localhost", public_key=b"key", sign_count=0,
            created_at=team.store.clock.now(),
        )  # fmt: skip
        team.store.add_passkey(passkey, most=9, entry=people.entry_of(team.store, ROOT, "passkey-added"))
        self.values = {
            "run_id": team.run(), "other_id": team.run(fail="write"), "name": "payout", "index": 0, "what": "context",
            "secret": people.make_link(person, store=team.store, actor=ROOT), "username": "zoe", "session_id": "none",
            "token_id": token.token.id, "passkey_id": passkey.id, "filename": "icon.svg",
        }  # fmt: skip
        self.values["with"] = self.values["other_id"]

    def routes(self) -> Iterator[tuple[str, str, str, Action | None]]:
        """The method, the address and the endpoint of each route, and the action that its view declares."""
        app = self.team.app
        adapter = app.url_map.bind("localhost")
        there = [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
        rules = [rule for rule in there if not rule.endpoint.startswith(OTHER_MODE)]
        assert len(rules) >= 55
        for rule in sorted(rules, key=lambda rule: (rule.endpoint in LAST, rule.rule)):
            view = app.view_functions[rule.endpoint]
            wanted = None if is_public(view) else action_of(view) or Action.VIEW
            for method in sorted((rule.methods or set()) - {"OPTIONS"}):
                values = {name: self.values[name] for name in (*rule.arguments, *ASKED.get(rule.endpoint, ()))}
                yield method, adapter.build(rule.endpoint, values, method), rule.endpoint, wanted

    def bearer(self, person, scope):
        """The header of a new token for one action."""
        made = tokens.create(
            person, name="one", scopes=[scope], blueprints=[], days="1", store=self.team.store,
            config=self.team.config, actor=ROOT,
        )  # fmt: skip
        return {"Authorization": f"Bearer {made.secret}"}

    def asked(self, method, path, client, **options):
        """Send a request as a page or a program would, and return its answer."""
        if method in SAFE_METHODS:
            return client.open(path, method=method, **options)
        if path.startswith("/api/"):
            return client.open(path, method=method, json={}, **options)
        return client.open(path, method=method, data={"csrf_token": self.team.token(client)}, **options)


def refused(answer):
    """Return whether an answer says that this is not for the sender."""
    leads_to_sign_in = answer.status_code == 303 and answer.headers["Location"].startswith("/login?next=")
    return answer.status_code in (401, 403, 404) or leads_to_sign_in


@pytest.mark.parametrize("role", [*Role, None])
def test_a_session_passes_exactly_the_routes_of_its_role(team, role):
    grants = [] if role is None else [Grant(role)]
    people.add_person("walker", store=team.store, actor=ROOT, grants=grants, password=PASSWORD)
    walk = Walk(team, "walker")
    team.sign_in("walker")
    wrong = []
    for method, path, _, wanted in walk.routes():
        by_token_only = path.startswith("/api/") and method not in SAFE_METHODS
        passes = wanted in (None, Action.OWN, Action.IDENTIFY) or any(
            grant.allows(wanted, "payout") for grant in grants
        )
        answer = walk.asked(method, path, team.client)
        if refused(answer) == (passes and not by_token_only):
            wrong.append((method, path, wanted, answer.status_code))
    assert not wrong


def test_who_has_not_signed_in_passes_public_routes_alone(team):
    walk, stranger = Walk(team, "vera"), team.browser()
    wrong = []
    for method, path, _, wanted in walk.routes():
        answer = walk.asked(method, path, stranger)
        if refused(answer) == (wanted is None):
            wrong.append((method, path, wanted, answer.status_code))
    assert not wrong


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_of_one_scope_passes_exactly_the_routes_of_that_scope(team, scope):
    person = people.add_person("walker", store=team.store, actor=ROOT, grants=[Grant(role) for role in Role])
    walk = Walk(team, "walker")
    bearer, wrong = walk.bearer(person, scope), []
    for method, path, _, wanted in walk.routes():
        answer = walk.asked(method, path, team.client, headers=bearer)
        if refused(answer) == (wanted in (None, Action.IDENTIFY, scope)):
            wrong.append((method, path, wanted, answer.status_code))
    assert not wrong


@pytest.mark.parametrize("role", list(Role))
def test_a_token_is_for_no_more_than_its_owner_may_do(team, role):
    person = people.add_person("walker", store=team.store, actor=ROOT, grants=[Grant(role)])
    walk, wrong = Walk(team, "walker"), []
    for scope in SCOPES:
        bearer = walk.bearer(person, scope)
        for method, path, _, wanted in walk.routes():
            passes = wanted in (None, Action.IDENTIFY) or (wanted is scope and Grant(role).allows(wanted, "payout"))
            answer = walk.asked(method, path, team.client, headers=bearer)
            if refused(answer) == passes:
                wrong.append((scope, method, path, wanted, answer.status_code))
    assert not wrong


def test_options_tells_nobody_what_only_some_may_see(team):
    walk = Walk(team, "vera")
    stranger = team.browser()
    for rule in team.app.url_map.iter_rules():
        if "OPTIONS" not in (rule.methods or set()) or is_public(team.app.view_functions[rule.endpoint]):
            continue
        path = rule.rule.replace("<run_id>", walk.values["run_id"]).replace("<path:name>", "payout")
        answer = stranger.open(path, method="OPTIONS")
        assert refused(answer) or answer.status_code == 405, path


def test_the_faces_of_the_table_are_those_of_the_routes(team):
    found = {action: set() for action in Action}
    for rule in team.app.url_map.iter_rules():
        view = team.app.view_functions[rule.endpoint]
        if not is_public(view):
            found[action_of(view) or Action.VIEW].add(Face.API if rule.rule.startswith("/api/") else Face.WEB)
    assert found == {action: set(faces) & {Face.API, Face.WEB} for action, faces in OFFERED.items()}


def test_what_is_for_everything_is_no_scope_of_a_token():
    assert FOR_ALL <= tokens.NEVER


def test_the_factory_refuses_a_route_that_reads_by_post_and_names_no_action(team):
    team.app.add_url_rule("/forgotten", "forgotten", lambda: "", methods=["PUT"])
    with pytest.raises(RuntimeError, match="PUT /forgotten"):
        permissions.check(team.app)
