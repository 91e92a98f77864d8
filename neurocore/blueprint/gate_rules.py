"""Check the rules of one gate against each other: what no gate can mean, in one sentence per mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from neurocore import typed
from neurocore.blueprint.conditions import compile_condition
from neurocore.blueprint.gate_keys import GateKeys
from neurocore.blueprint.inputs import spec_problems
from neurocore.blueprint.model import TYPE_ALIASES, InputSpec, name_problem
from neurocore.errors import ConditionError
from neurocore.moments import age
from neurocore.yamlcheck import check
from neurocore.yamlfile import Document, Place, said

Problem = tuple[Place, str]

KEYS = GateKeys.__struct_fields__
#: Keys that this version reads and cannot apply yet: a rule that is not applied must not stand in a blueprint.
NOT_YET = ("remind", "form", "editable", "request_changes", "bulk", "signature")
LONGEST = timedelta(days=366)
LONGEST_UNDO = timedelta(minutes=5)
_APPROVER = re.compile(r"group:[^\s:]{1,100}|[a-z0-9][a-z0-9._@+-]{0,99}")
_DURATION = re.compile(r"[0-9]{1,6}\s*(s|m|min|h|d|w)")
#: What the data of an answer has beside the fields of a form.
_OF_ANSWERS = frozenset({"approved", "by", "note"})


def rule_problems(config: Mapping[str, Any]) -> list[Problem]:
    """Return the place (below the gate's keys) and the sentence of each mistake in a gate's rules."""
    rules = rules_in(config)
    if not rules:
        return []
    document = Document(None, [], {})
    keys = check(document, rules, GateKeys)
    if keys is None:
        wrong = [(tuple(_place(one.path)), one.message) for one in document.problems]
        return wrong or [((), "These rules cannot be read.")]
    return [
        *_approvers(keys), *_times(keys), *_answers(keys), *_values(keys, config.get("show")), *_forms(keys.form or {}),
    ]  # fmt: skip


def not_yet(config: Mapping[str, Any]) -> list[Problem]:
    """Return a problem for each rule that this version cannot apply yet."""
    rules = rules_in(config)
    return [
        ((key,), f"This version of NeuroCore cannot apply `{key}` yet, so it does not take it; remove it.")
        for key in NOT_YET
        if rules.get(key) not in (None, False, [], {}, "none")
    ]


def rules_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a gate's configuration that is about people, time and what they give."""
    return {key: config[key] for key in KEYS if config.get(key) is not None}


def duration(text: str) -> timedelta | None:
    """Return the duration that a text such as `4h` means; None if it means none, or more than a year."""
    found = age(text) if _DURATION.fullmatch(text) else None
    return found if found is not None and found <= LONGEST else None


def form_of(config: Mapping[str, Any]) -> dict[str, InputSpec]:
    """Return the fields of a gate's form, with short forms written out; the form is valid (`rule_problems`)."""
    found = config.get("form") or {}
    return {name: typed.convert(written_out(spec), InputSpec) for name, spec in found.items()}


def written_out(spec: Any) -> Any:
    """Expand `key: string` to `key: {type: string}`, and `key:` to a value of any type."""
    if spec is None:
        return {}
    if isinstance(spec, str):
        spec = {"type": spec}
    if isinstance(spec, dict) and isinstance(spec.get("type"), str):
        return {**spec, "type": TYPE_ALIASES.get(spec["type"], spec["type"])}
    return spec


def _place(path: str) -> Iterator[str | int]:
    """Yield the parts of a place as a problem writes it."""
    for part in re.findall(r"[^.\[\]]+", path):
        yield int(part) if part.isdigit() else part


# -------------------------------------------------------------------- who


def _approvers(keys: GateKeys) -> Iterator[Problem]:
    yield from _names(("approvers",), keys.approvers)
    for number, stage in enumerate(keys.stages or ()):
        yield from _names(("stages", number, "approvers"), stage.approvers)
    if keys.stages is not None:
        for name, default in (("approvers", []), ("required", 1)):
            if getattr(keys, name) != default:
                yield (name,), f"With `stages`, each stage has its own {name}; remove this one."
        if not keys.stages:
            yield ("stages",), "Give at least one stage, or leave `stages` out."
    if keys.escalate is not None:
        yield from _names(("escalate", "to"), keys.escalate.to)
        if not keys.escalate.to:
            yield ("escalate", "to"), "Say who is asked as well: usernames, or group:NAME."


def _names(place: Place, names: list[str]) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if not _APPROVER.fullmatch(name):
            yield (
                (*place, number),
                f"{said(name)} is neither a username (lower-case letters, digits, . _ @ + -) nor group:NAME.",
            )
        elif name in names[:number]:
            yield (*place, number), f"{said(name)} is named twice; remove one."


# -------------------------------------------------------------------- when


def _times(keys: GateKeys) -> Iterator[Problem]:
    after = keys.escalate.after if keys.escalate is not None else None
    written: list[tuple[Place, str | None]] = [
        (("escalate", "after"), after), (("remind",), keys.remind), (("fresh_login",), keys.fresh_login),
        (("undo",), keys.undo),
    ]  # fmt: skip
    for place, text in written:
        if text is None:
            continue
        length = duration(text)
        if length is None:
            yield place, f"Expected a duration such as 10m, 4h or 2d (at most a year), not {said(text)}."
        elif not length and place != ("undo",):
            yield place, "This duration is 0; give a longer one, or leave the key out."
        elif place == ("undo",) and length > LONGEST_UNDO:
            yield place, f"An answer can be withdrawn for at most 5m, not {text}."
    yield from _deadline(keys)


def _deadline(keys: GateKeys) -> Iterator[Problem]:
    if keys.deadline is None:
        if keys.on_deadline != "keep":
            yield ("on_deadline",), "There is no deadline; add `deadline`, or remove this."
        return
    if _DURATION.fullmatch(keys.deadline):
        length = duration(keys.deadline)
        if not length:
            yield ("deadline",), f"A deadline is 1s to a year after the opening, not {said(keys.deadline)}."
        return
    try:
        compile_condition(keys.deadline)
    except ConditionError as error:
        yield ("deadline",), f"Expected a duration such as 4h, or an expression that gives a time: {error}"


# -------------------------------------------------------------------- what


def _answers(keys: GateKeys) -> Iterator[Problem]:
    others = [name for name, on in (("form", keys.form), ("editable", keys.editable)) if on]
    others += ["signature"] if keys.signature != "none" else []
    if keys.bulk and others:
        yield ("bulk",), f"A gate with {' and '.join(others)} is answered one by one; remove `bulk`."


def _values(keys: GateKeys, show: Any) -> Iterator[Problem]:
    if keys.editable and not isinstance(show, list):
        yield ("editable",), "`editable` names keys of `show`, so write `show` too."
        return
    for number, key in enumerate(keys.editable):
        if key not in show:
            yield (
                ("editable", number),
                f"{said(key)} cannot be edited, because the gate does not show it; add it to `show`.",
            )
        elif key in keys.editable[:number]:
            yield ("editable", number), f"{said(key)} is named twice; remove one."


def _forms(form: Mapping[str, Any]) -> Iterator[Problem]:
    for name, spec in form.items():
        problem = name_problem(name) if name else "A field needs a name."
        if name in _OF_ANSWERS:
            problem = f"A form cannot call a field {name!r}, which every answer has."
        if problem is not None:
            yield ("form", name), problem
            continue
        document = Document(None, [], {})
        found = check(document, written_out(spec), InputSpec)
        if found is None:
            yield from ((("form", name, *_place(one.path)), one.message) for one in document.problems)
        elif found.secret:
            yield ("form", name, "secret"), "What people give at a gate is recorded, so no field of it is secret."
        else:
            yield from ((("form", name, key), sentence) for key, sentence in spec_problems(found))
            yield from _storable(name, found)


def _storable(name: str, spec: InputSpec) -> Iterator[Problem]:
    """Report values that the stored rules, which are JSON, cannot keep."""
    for key in ("default", "enum"):
        value = getattr(spec, key)
        plain = None if value is msgspec.UNSET else msgspec.to_builtins(value, str_keys=True)
        try:
            is_kept = msgspec.json.decode(msgspec.json.encode(plain)) == plain
        except (TypeError, OverflowError, ValueError):
            is_kept = False
        if not is_kept:
            yield ("form", name, key), f"{said(value)} cannot be stored with the gate; give text, numbers or lists."


def named_in(keys: GateKeys) -> Iterable[tuple[Place, list[str], int]]:
    """Return the place, the approvers and the required number of each stage."""
    if keys.stages is None:
        return [(("approvers",), keys.approvers, keys.required)]
    return [(("stages", number), one.approvers, one.required) for number, one in enumerate(keys.stages)]


def keys_of(config: Mapping[str, Any]) -> GateKeys | None:
    """Return the rules in a gate's configuration, or None if they are not valid."""
    document = Document(None, [], {})
    keys: GateKeys | None = check(document, rules_in(config), GateKeys)
    return keys
