"""What the hashes in a history cover: gate digests and the seals of answers, each by the rules of its own version.

The version is a prefix of the stored text, `2:<hex>`; a text without a prefix has version 1. So each hash determines
how it is verified, in every store, export and form. New hashes have version `CURRENT`; those of gates `GATE`, and
`RULED` if the gate has rules about who answers and when. The rules of older versions never change, and a chain never
returns to an older one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from neurocore import codec
from neurocore.errors import StoreError

if TYPE_CHECKING:
    from neurocore.persistence.records import Answer, Event, GateRecord

CURRENT, GATE, RULED = 3, 2, 3
_PREFIXES = {str(version): version for version in range(2, CURRENT + 1)}

#: A gate's inputs, by name: the value in a list of one, or an empty list if the context has none.
Inputs = Mapping[str, list[Any]]


def version_of(text: str) -> int:
    """Return the version of a stored hash. Raises StoreError for one that a newer NeuroCore wrote."""
    prefix, colon, _ = text.partition(":")
    if not colon:
        return 1
    if prefix in _PREFIXES:
        return _PREFIXES[prefix]
    raise StoreError(
        f"The hash {text[:12]}… was written by a newer NeuroCore; install that version: "
        "pip install --upgrade neurocore-ai."
    )


# -------------------------------------------------------------------- answers


def answer_seal(answer: Answer, run_id: str, prev_hash: str, version: int = CURRENT) -> str:
    """Return the seal of an answer after the one with `prev_hash`: over the run, that hash and all its fields."""
    return _seal(version, _ANSWERS[version](answer, run_id, prev_hash))


def is_sealed(answer: Answer, run_id: str, prev_hash: str) -> bool:
    """Return whether an answer was sealed so after `prev_hash`, and its version is not older than that hash's."""
    version = version_of(answer.hash)
    if prev_hash and version < version_of(prev_hash):
        return False
    return answer.hash == answer_seal(answer, run_id, prev_hash, version)


def _answer_1(answer: Answer, run_id: str, prev_hash: str) -> list[Any]:
    return [
        run_id, prev_hash, answer.node_id, answer.visit, answer.approved, answer.by, answer.known_by, answer.at,
        answer.note, answer.digest, answer.data,
    ]  # fmt: skip


def _answer_2(answer: Answer, run_id: str, prev_hash: str) -> list[Any]:
    """List the sealed fields, with data as encoded bytes, which can be compared even if its classes are not known."""
    body = _answer_1(answer, run_id, prev_hash)
    return ["answer", 2, *body[:-1], codec.encode(answer.data)]


def _answer_3(answer: Answer, run_id: str, prev_hash: str) -> list[Any]:
    """List the sealed fields. Of a person who signed in, the id counts, and not the label, which may be forgotten."""
    body = _answer_2(answer, run_id, prev_hash)
    who = answer.by if answer.person is None else None
    added = [who, answer.person, answer.face, answer.token, list(answer.groups), answer.answer, answer.facts]
    return ["answer", 3, *body[2:7], *body[8:], *added]


_ANSWERS: dict[int, Callable[[Answer, str, str], list[Any]]] = {1: _answer_1, 2: _answer_2, 3: _answer_3}


# -------------------------------------------------------------------- events


def event_seal(event: Event, run_id: str, prev_hash: str) -> str:
    """Return the seal of an event after the one with `prev_hash`, in hexadecimal. It covers no label of a person."""
    who = event.who if event.person is None else None
    body = [
        "event", 1, run_id, prev_hash, event.at, event.kind, who, event.known_by, event.person, event.face, event.token,
        codec.encode(event.data),
    ]  # fmt: skip
    return hashlib.sha256(codec.canonical(body)).hexdigest()


# -------------------------------------------------------------------- gates


def gate_digest(gate: GateRecord, inputs: Inputs | None = None, version: int | None = None) -> str:
    """Return the digest of what a gate shows (promise 6): over run, node, visit, message, policy, and their inputs.

    Version 1 covers the values shown. Version 2 covers the stored message, which is never rendered again, and the
    SHA-256 of `inputs`: the values shown and those in the message. Version 3 covers the whole policy, as the blueprint
    has it. Without `inputs`, the values shown are used.
    """
    if version is None:
        version = RULED if gate.policy.is_ruled else GATE
    return _seal(version, _GATES[version](gate, shown_inputs(gate) if inputs is None else inputs))


def shown_inputs(gate: GateRecord) -> Inputs:
    """Return the inputs of a gate whose message contains only the values that it shows."""
    values = gate.values
    keys = values if gate.policy.show is None else gate.policy.show
    return {key: [values[key]] if key in values else [] for key in keys}


def _gate_1(gate: GateRecord, _inputs: Inputs) -> list[Any]:
    return [gate.run_id, gate.node_id, gate.visit, gate.message, _policy(gate), codec.restore(gate.shown)]


def _gate_2(gate: GateRecord, inputs: Inputs) -> list[Any]:
    return ["gate", 2, gate.run_id, gate.node_id, gate.visit, gate.message, _policy(gate), _hash_of(inputs)]


def _gate_3(gate: GateRecord, inputs: Inputs) -> list[Any]:
    policy = msgspec.to_builtins(gate.policy)
    return ["gate", 3, gate.run_id, gate.node_id, gate.visit, gate.message, policy, _hash_of(inputs)]


def _hash_of(inputs: Inputs) -> str:
    return hashlib.sha256(codec.canonical(dict(inputs))).hexdigest()


def _policy(gate: GateRecord) -> list[Any]:
    policy = gate.policy
    return [policy.require, policy.on_reject, policy.note, list(policy.show or ())]


_GATES: dict[int, Callable[[GateRecord, Inputs], list[Any]]] = {1: _gate_1, 2: _gate_2, 3: _gate_3}


def _seal(version: int, body: list[Any]) -> str:
    sealed = hashlib.sha256(codec.canonical(body)).hexdigest()
    return sealed if version == 1 else f"{version}:{sealed}"
