"""Every verb of the library with actors of each role: each asks for its right, whoever calls it."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest
from msgspec import structs

import neurocore.accounts
import neurocore.runs
from neurocore.access.actor import Face, KnownBy
from neurocore.access.permission import Action
from neurocore.access.roles import Grant, Role
from neurocore.access.table import OFFERED
from neurocore.accounts import passkeys, people, tokens
from neurocore.accounts.credentials import Site
from neurocore.blueprint.load import load_blueprint
from neurocore.config import Persistence
from neurocore.errors import Forbidden, NeuroCoreError
from neurocore.runs import adopt, cancel, decide, delete, replay, resume, start, withdraw
from neurocore.runs.start import NewRun
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team

__all__ = ["quick_hashes", "team"]

#: What takes an actor, and is no verb: it says who acts, or asks on behalf of one.
HELPERS = {
    "acting",
    "entry_of",
    "answer_of",
    "refuse_unless_signed_in",
    "still_allowed",
    "require_own",
    "event_of",
    "check_glass",
}


class Verbs:
    """Each verb as a call for one actor, on runs of one blueprint and the account of somebody else."""

    def __init__(self, team, name="payout"):
        self.team, self.name, self.options = team, name, {"run_store": team.store}
        self.waits = team.run(name)
        self.ended = team.run(name)
        cancel.cancel_run(self.ended, config=team.config, actor=ROOT, **self.options)
        self.path = team.root / "blueprints" / f"{name}.yaml"

    def new(self, actor):
        return NewRun(blueprint=load_blueprint(self.path), actor=actor, blueprint_path=self.path)

    def runs(self, actor):
        """The verbs of runs."""
        team, it, all_of_it = self.team, self.options, (self.team.registry, self.team.config)
        gate = team.store.load_gates(self.waits)[-1]
        run = team.store.load_summary(self.waits)
        blueprint = load_blueprint(self.path)
        return {
            "create_run": (Action.START, lambda: start.create_run(self.new(actor), *all_of_it, **it)),
            "run_here": (Action.START, lambda: start.run_here(self.new(actor), *all_of_it, **it)),
            "execute_untracked": (Action.START, lambda: start.execute_untracked(self.new(actor), *all_of_it, **it)),
            "execute_blueprint_tracked": (
                Action.START, lambda: start.execute_blueprint_tracked(blueprint, *all_of_it, actor=actor, **it)
            ),
            "create_replay": (
                Action.REPLAY, lambda: replay.create_replay(self.waits, *all_of_it, actor=actor, **it)
            ),
            "replay_run": (Action.REPLAY, lambda: replay.replay_run(self.waits, *all_of_it, actor=actor, **it)),
            "request_resume": (
                Action.RESUME, lambda: resume.request_resume(self.waits, *all_of_it, actor=actor, **it)
            ),
            "resume_blueprint": (
                Action.RESUME, lambda: resume.resume_blueprint(self.waits, *all_of_it, actor=actor, **it)
            ),
            "answer_input": (
                Action.ANSWER, lambda: decide.answer_input(run, gate, {"x": 1}, team.store, actor=actor)
            ),
            "decide_gate": (
                Action.ANSWER, lambda: decide.decide_gate(self.waits, approved=True, actor=actor, **it)
            ),
            "withdraw_answer": (
                Action.ANSWER, lambda: withdraw.withdraw_answer(self.waits, actor=actor, **it)
            ),
            "comment": (Action.COMMENT, lambda: withdraw.comment(self.waits, "Why?", actor=actor, **it)),
            "cancel_run": (
                Action.CANCEL, lambda: cancel.cancel_run(self.waits, actor=actor, config=team.config, **it)
            ),
            "delete_run": (Action.DELETE, lambda: delete.delete_run(self.ended, actor=actor, **it)),
            "prune_runs": (
                Action.DELETE, lambda: delete.prune_runs(team.store, before="2000-01-01T00:00:00+00:00", actor=actor)
            ),
            "adopt_runs": (Action.ADOPT, lambda: adopt.adopt_runs(None, actor=actor, **it)),
        }  # fmt: skip

    def accounts(self, actor):
        """The verbs of accounts, on that of vera."""
        store, team = self.team.store, self.team
        vera = people.find_person("vera", store)
        by = {"store": store, "actor": actor}
        site = Site("localhost", "http://localhost")
        token = {"name": "t", "scopes": ["view"], "blueprints": [], "days": "1", "config": team.config}
        manage = {
            "add_person": lambda: people.add_person(f"new-{actor.label}", **by),
            "grant": lambda: people.grant("vera", [Grant(Role.ADMIN)], **by),
            "revoke": lambda: people.revoke("vera", [Grant(Role.VIEWER)], **by),
            "set_groups": lambda: people.set_groups("vera", ["x"], **by),
            "enable": lambda: people.enable("vera", **by),
            "disable": lambda: people.disable("vera", **by),
            "reset": lambda: people.reset("vera", **by),
            "link_identity": lambda: people.link_identity("vera", "oidc", "subject", **by),
            "make_link": lambda: people.make_link(vera, **by),
        }
        own = {
            "set_password": lambda: people.set_password(vera, "another staple of horses", **by),
            "create": lambda: tokens.create(vera, **token, **by),
            "enrol": lambda: passkeys.enrol(vera, "key", "{}", site=site, **by),
            "remove": lambda: passkeys.remove(vera, "none", **by),
        }
        return {
            **{name: (Action.ADMINISTER, call) for name, call in manage.items()},
            **{name: (Action.OWN, call) for name, call in own.items()},
        }


def actor_with(team, *grants, name="walker"):
    person = people.add_person(name, store=team.store, actor=ROOT, grants=grants, password=PASSWORD)
    return people.actor_of(person, team.config, team.store, known_by=KnownBy.SESSION, face=Face.LIBRARY)


def asks(call):
    """Whether a verb raises Forbidden."""
    try:
        call()
    except Forbidden:
        return True
    except NeuroCoreError:
        return False
    return False


def test_the_list_of_verbs_is_whole(team):
    verbs = Verbs(team)
    known = {**verbs.runs(ROOT), **verbs.accounts(ROOT)}
    found = set()
    for package in (neurocore.runs, neurocore.accounts):
        for module in pkgutil.iter_modules(package.__path__):
            loaded = import_module(f"{package.__name__}.{module.name}")
            for name, one in inspect.getmembers(loaded, inspect.isfunction):
                takes = {"actor", "new"} & set(inspect.signature(one).parameters)
                if takes and not name.startswith("_") and one.__module__ == loaded.__name__:
                    found.add(name)
    assert found - HELPERS == set(known)
    offered = {action for action, _ in known.values()} | {Action.VIEW}
    assert offered - {Action.OWN} == {action for action, faces in OFFERED.items() if Face.LIBRARY in faces}


@pytest.mark.parametrize("role", [*Role, None])
def test_every_verb_asks_for_its_right(team, role):
    grants = [] if role is None else [Grant(role)]
    verbs, actor = Verbs(team), actor_with(team, *grants)
    wrong = []
    for name, (action, call) in {**verbs.runs(actor), **verbs.accounts(actor)}.items():
        may = action is not Action.OWN and any(grant.allows(action, "payout") for grant in grants)
        if asks(call) == may:
            wrong.append((name, action))
    assert not wrong


@pytest.mark.parametrize("role", list(Role))
def test_a_right_for_one_blueprint_is_none_for_another(team, role):
    verbs, actor = Verbs(team, "payout"), actor_with(team, Grant(role, "asking"))
    wrong = [name for name, (_, call) in {**verbs.runs(actor), **verbs.accounts(actor)}.items() if not asks(call)]
    assert not wrong


def test_what_is_one_s_own_is_changed_by_oneself_alone(team):
    verbs = Verbs(team)
    vera = people.find_person("vera", team.store)
    itself = people.actor_of(vera, team.config, team.store, known_by=KnownBy.SESSION, face=Face.WEB)
    boss = actor_with(team, *[Grant(role) for role in Role])
    for name, (action, call) in verbs.accounts(boss).items():
        assert asks(call) == (action is Action.OWN), f"{name}: nobody chooses a password for somebody else"
    people.enable("vera", store=team.store, actor=ROOT)
    for name, (action, call) in verbs.accounts(itself).items():
        if action is Action.OWN:
            vera = people.find_person("vera", team.store)
            assert not asks(call), name


def test_a_right_is_asked_before_a_verb_tells_how_a_run_is(team):
    verbs, actor = Verbs(team), actor_with(team)
    verbs.waits = verbs.ended
    with pytest.raises(Forbidden):
        cancel.cancel_run(verbs.ended, actor=actor, config=team.config, run_store=team.store)


def test_where_no_history_is_kept_a_run_needs_its_right_too(team):
    config = structs.replace(team.config, persistence=Persistence(enabled=False))
    blueprint = load_blueprint(team.root / "blueprints" / "asking.yaml")
    with pytest.raises(Forbidden):
        start.execute_blueprint_tracked(blueprint, team.registry, config, actor=actor_with(team))


def test_a_token_for_some_blueprints_adopts_and_prunes_nothing(team):
    actor = actor_with(team, *[Grant(role) for role in Role])
    assert actor.rights is not None
    actor = structs.replace(actor, rights=structs.replace(actor.rights, scopes=tuple(Action), only=("asking",)))
    verbs = Verbs(team)
    for name in ("adopt_runs", "prune_runs", "delete_run", "cancel_run"):
        assert asks(verbs.runs(actor)[name][1]), name
