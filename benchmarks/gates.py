"""What the rules of a gate cost when somebody decides, against a gate without rules."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Row, milliseconds, side_by_side
from neurocore.access.actor import Face, KnownBy, this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people
from neurocore.auth import Auth
from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import NullDispatcher
from neurocore.persistence import SQLiteRunStore
from neurocore.runs.decide import decide_gate
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked, resume_blueprint
from neurocore.skills.loader import discover_skills

#: Rules of every kind that one answer of finance decides.
RULES: dict[str, dict[str, object]] = {
    "approvers by group": {"approvers": ["group:finance"]},
    "not who started it": {"self_approval": False},
    "two stages, of which one is decided": {
        "stages": [{"approvers": ["group:board"]}, {"approvers": ["group:finance"]}],
    },
    "not who approved another gate": {"distinct_from": ["first"]},
    "a deadline and an escalation": {
        "deadline": "2d", "on_deadline": "reject", "approvers": ["ingrid", "group:finance"],
        "escalate": {"after": "1d", "to": ["group:board"]},
    },
    "a fresh sign-in": {"fresh_login": "10m"},
}  # fmt: skip
GRANTS = (Grant(Role.APPROVER),)


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about rules."""
    times, rounds = (5, 3) if quick else (20, 9)
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        found = [bench.row(name, rules, times, rounds) for name, rules in RULES.items()]
        bench.store.close()
    return found


class _Bench:
    """A history in which people sign in, and two of them."""

    def __init__(self, root: Path) -> None:
        self.config = NeuroCoreConfig(project_root=root, auth=Auth(mode="local"))
        self.config.data_dir.mkdir()
        self.store = SQLiteRunStore(self.config.runs_db_path)
        self.store.auth_mode = "local"
        self.registry = discover_skills(self.config)
        for name, group in (("ann", "finance"), ("ingrid", "board")):
            people.add_person(name, store=self.store, actor=this_user(Face.CLI), grants=GRANTS, groups=[group])

    def row(self, name: str, rules: dict[str, object], times: int, rounds: int) -> Row:
        """Deciding at a gate with these rules, in turn with one that has none."""
        cost, floor, ratio = side_by_side(
            lambda: self._cost(rules, times), lambda: self._cost({}, times), rounds=rounds
        )
        return Row(f"deciding with {name}", f"{cost:.2f} ms", f"{floor:.2f} ms", f"{ratio:.2f}", "≤ 2")

    def _cost(self, rules: dict[str, object], times: int) -> float:
        return statistics.median(milliseconds(self._ready(rules)) for _ in range(times))

    def _ready(self, rules: dict[str, object]) -> Callable[[], None]:
        """Start a run that waits at a gate with these rules; return what decides it."""
        gate = json.dumps({"name": "pay", **rules})
        text = f"name: x\nflow: {{steps: [{{approval: {{name: first}}}}, {{approval: {gate}}}]}}"
        context = execute_blueprint_tracked(parse_blueprint(text), self.registry, self.config, run_store=self.store)
        run_id = context.metadata.run_id
        self._decide(run_id, "ingrid")
        resume_blueprint(run_id, self.registry, self.config, run_store=self.store)
        if "stages" in rules:
            self._decide(run_id, "ingrid")
        return lambda: self._decide(run_id, "ann")

    def _decide(self, run_id: str, name: str) -> None:
        person = self.store.load_person(username=name)
        assert person is not None
        actor = people.actor_of(
            person,
            self.config,
            self.store,
            known_by=KnownBy.SESSION,
            face=Face.WEB,
            signed_in_at=self.store.clock.now(),
        )
        decide_gate(run_id, approved=True, actor=actor, run_store=self.store, dispatch=NullDispatcher())
