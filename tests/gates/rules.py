"""Short words for the tests of gate policies: people, answers and instants."""

from __future__ import annotations

from typing import Any

from neurocore.clock import iso
from neurocore.gates.facts import Allowed, Choice, Facts, Given, Verb, Verdict, Who
from neurocore.gates.policy import evaluate, may_answer
from neurocore.persistence.gate_policy import GatePolicy

#: When every gate of these tests opens, in minutes since 1970.
OPENED = 1_000_000


def at(minutes: float) -> str:
    """Return the instant so many minutes after the gate opened."""
    return iso(int((OPENED + minutes) * 60_000_000))


def who(name: str, *groups: str, **more: Any) -> Who:
    known = {"signed_in_at": at(0), "label": name.title(), "id": f"id-{name}"}
    return Who(name=name, groups=groups, **{**known, **more})


ANN, BEA, CARLA = who("ann"), who("bea"), who("carla")
LOCAL = Facts(opened_at=at(0), mode="local", store_mode="local", digest="d")


def says(person: Who, minutes: float, answer: str | None = "approve", **more: Any) -> Given:
    known = {"id": f"{person.name}@{minutes}", "digest": "d"}
    choice = None if answer is None else Choice(answer)
    return Given(**{"who": person, "answer": choice, "at": at(minutes), **known, **more})


def local(**more: Any) -> Facts:
    return Facts(**{**{name: getattr(LOCAL, name) for name in LOCAL.__struct_fields__}, **more})


def verdict(policy: GatePolicy, *answers: Given, facts: Facts = LOCAL, now: float = 60) -> Verdict:
    return evaluate(policy, answers, facts, at(now))


def result(policy: GatePolicy, *answers: Given, facts: Facts = LOCAL, now: float = 60) -> tuple[str, str | None]:
    """Return the state and the outcome."""
    found = verdict(policy, *answers, facts=facts, now=now)
    return found.state.value, None if found.outcome is None else found.outcome.value


def asked(
    policy: GatePolicy, *answers: Given, person: Who, verb: str = "approve", facts: Facts = LOCAL, now: float = 60,
    signed: bool = True,
) -> Allowed:  # fmt: skip
    return may_answer(policy, answers, facts, person, Verb(verb), at(now), signed=signed)


def why_not(policy: GatePolicy, *answers: Given, facts: Facts = LOCAL, now: float = 60) -> list[str | None]:
    return [one.why_not for one in verdict(policy, *answers, facts=facts, now=now).counted]
