"""Check a run's inputs and outputs against what the blueprint declares."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from neurocore.blueprint.model import Blueprint, InputSpec, name_problem
from neurocore.codec import SecretRef
from neurocore.context import reserved_problem
from neurocore.errors import InputError, UsageError
from neurocore.forms import spelled
from neurocore.readable import listed
from neurocore.secrets import MASK, looks_secret
from neurocore.yamlfile import TWICE, nearest, parse, said, scalar

MAX_DATA_FILE = 64 * 1024 * 1024
#: How many characters of an input's name a message shows.
MAX_NAME = 200


def check_inputs(
    blueprint: Blueprint,
    data: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    nameable: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return the data that a run starts with: defaults added, types checked, secrets as resolvable references.

    Text is read as the declared type if that loses nothing (`"3"` as an integer). If no inputs are declared, any data
    is allowed. `nameable` are the variables that the data may name beside the blueprint's defaults; None means any.
    `environ` must contain the variables of secrets. Raises InputError whose `problems` has a sentence per input.
    """
    data = {_declared(key, blueprint): value for key, value in data.items()}
    checked, problems = _held_against(blueprint, data, environ)
    if nameable is not None:
        problems |= _not_nameable(blueprint, data, nameable)
    if problems:
        raise _input_error(problems)
    return checked


def _declared(key: Any, blueprint: Blueprint) -> Any:
    """Return the declared name of the input that is meant: it may be given in another Unicode form."""
    return (spelled(blueprint.inputs, key) or key) if isinstance(key, str) else key


def _held_against(
    blueprint: Blueprint, data: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the data as the blueprint declares it, and the problem with each input."""
    problems: dict[str, str] = {}
    checked: dict[str, Any] = {}
    for key, value in data.items():
        wrong = _key_problem(key, blueprint)
        if wrong:
            problems[str(key)[:MAX_NAME]] = wrong
        elif key not in blueprint.inputs:
            checked[key] = value
    for name, spec in blueprint.inputs.items():
        try:
            if name in data:
                checked[name] = _secret(data[name], environ) if spec.secret else _fit(name, data[name], spec)
            elif _is_missing(spec):
                problems[name] = f"It is required: give {_WORDS[spec.type]}{_for(spec)}."
            elif spec.default is not msgspec.UNSET:
                checked[name] = _default(name, spec, environ)
        except ValueError as error:
            problems[name] = str(error)
    return checked, problems


def _not_nameable(blueprint: Blueprint, data: Mapping[str, Any], nameable: Collection[str]) -> dict[str, str]:
    """Return a sentence for each input that names a forbidden variable; it reveals nothing about the environment."""
    problems = {}
    for key, value in data.items():
        spec = blueprint.inputs.get(key)
        text = value.reference if isinstance(value, SecretRef) else value if spec is not None and spec.secret else None
        match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        by_default = spec is not None and spec.secret and text == spec.default
        if isinstance(value, SecretRef) and match is None:
            problems[str(key)[:MAX_NAME]] = _SECRET_ONLY
        elif match is not None and not by_default and match.group(1) not in nameable:
            problems[str(key)[:MAX_NAME]] = (
                f"{match.group(1)[:200]} cannot be named here: neurocore.yaml lists "
                f"{listed(sorted(nameable)) if nameable else 'nothing'} under secrets.inputs."
            )
    return problems


def check_outputs(blueprint: Blueprint, data: Mapping[str, Any]) -> None:
    """Raise InputError when an output that the blueprint declares is missing or of another type."""
    problems = {}
    for name, spec in blueprint.outputs.items():
        if name not in data:
            if spec.is_required:
                problems[name] = "The flow ended without setting this output."
            continue
        try:
            _fit(name, data[name], spec, given=False)
        except ValueError as error:
            problems[name] = str(error)
    if problems:
        raise _input_error(problems)


def spec_problems(spec: InputSpec, *, is_output: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the problems of a declaration itself: the key, and the sentence."""
    if is_output and spec.secret:
        yield "secret", "An output cannot be secret, because no step may record a secret's value."
        return
    if spec.secret:
        if spec.type not in ("any", "string"):
            yield "type", "A secret input is text: leave its type out, or say string."
        if spec.enum is not None:
            yield "enum", "A secret input cannot offer choices; remove `enum`."
        if isinstance(spec.default, str) and not _REFERENCE.fullmatch(spec.default):
            yield "default", _SECRET_ONLY
        return
    bare = msgspec.structs.replace(spec, enum=None)
    for choice in spec.enum or ():
        try:
            _fit("", choice, bare)
        except ValueError as error:
            yield "enum", str(error)
    if spec.enum == []:
        yield "enum", "A choice needs at least one value."
    if spec.default is not msgspec.UNSET and spec.default is not None:
        if is_output:
            yield "default", "An output has no default; the flow sets it."
        elif spec.required:
            yield "required", "It has a default, so it need not be given; remove one of the two."
        try:
            _fit("", spec.default, spec)
        except ValueError as error:
            yield "default", str(error)


def read_data_option(
    pairs: Iterable[str], blueprint: Blueprint | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Read the `key=value` pairs of a command line, each by the input's declared type, else as a YAML scalar.

    `key=@file` reads a file, `key=@@text` is text that begins with @. Lists and mappings are written as JSON or as YAML
    in brackets. Raises UsageError, or InputError with a sentence per key for values that do not fit their type, and
    also for everything else that `check_inputs` would refuse, so that all problems are reported at once.
    """
    texts = data_texts(pairs, blueprint)
    return read_texts(texts, blueprint, environ)


def data_texts(pairs: Iterable[str], blueprint: Blueprint | None = None) -> dict[str, str]:
    """Return the text of each key in the `key=value` pairs of a command line, with files read. Raises UsageError."""
    texts: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--data takes key=value, not {pair[:80]!r}.")
        key = key if blueprint is None else _declared(key, blueprint)
        if key in texts:
            raise UsageError(f"--data gives {key[:80]!r} twice; give it once.")
        if text.startswith("@@"):
            text = text[1:]
        elif text.startswith("@"):
            text = _read(key, Path(text[1:]))
        texts[key] = text
    return texts


def read_texts(
    texts: Mapping[str, str],
    blueprint: Blueprint | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    nameable: Collection[str] | None = None,
) -> dict[str, Any]:
    """Read each text by the input's declared type, else as a YAML scalar. Raises InputError as `read_data_option`.

    `nameable` is as in `check_inputs`.
    """
    data: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, text in texts.items():
        key = name if blueprint is None else _declared(name, blueprint)
        spec = blueprint.inputs.get(key) if blueprint is not None else None
        try:
            data[key] = _as_text_says(text) if spec is None else text if spec.secret else _typed(key, text, spec)
        except ValueError as error:
            problems[key] = str(error)
    if problems:
        rest = _held_against(blueprint, data, environ)[1] if blueprint is not None else {}
        if blueprint is not None and nameable is not None:
            rest |= _not_nameable(blueprint, data, nameable)
        raise _input_error(rest | problems)
    return data


# -------------------------------------------------------------------- reading


def _key_problem(key: Any, blueprint: Blueprint) -> str | None:
    if not isinstance(key, str):
        return "An input's name must be text."
    if (problem := reserved_problem(key)) is not None:
        return problem
    if blueprint.inputs and key not in blueprint.inputs:
        return f"{blueprint.name} has no such input{nearest(key, blueprint.inputs)}"
    return None if key in blueprint.inputs else name_problem(key)


def _input_error(problems: dict[str, str]) -> InputError:
    sentences = [f"{name if not name_problem(name) else said(name)}: {text}" for name, text in problems.items()]
    return InputError(" ".join(sentences), problems)


def _is_missing(spec: InputSpec) -> bool:
    if spec.default is msgspec.UNSET:
        return spec.is_required
    return spec.default is None and spec.required is True


def _default(name: str, spec: InputSpec, environ: Mapping[str, str]) -> Any:
    if spec.default is None:
        return None
    return _secret(spec.default, environ) if spec.secret else copy.deepcopy(_fit(name, spec.default, spec))


def _for(spec: InputSpec) -> str:
    return f" ({spec.description})" if spec.description else ""


def _read(key: str, path: Path) -> str:
    try:
        if not path.is_file():
            why = "that is not a file" if path.exists() else "there is no such file"
            raise UsageError(f"--data {key[:80]}=@{path}: {why}.")
        if path.stat().st_size > MAX_DATA_FILE:
            raise UsageError(f"--data {key[:80]}=@{path}: the file is larger than 64 MiB; give its path as the value.")
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"--data {key[:80]}=@{str(path)[:200]!r} cannot be read as UTF-8 text: {error}.") from error


def _as_text_says(text: str) -> Any:
    """Read a value without a declared type: text in brackets or quotes as YAML, anything else as a scalar."""
    if text[:1] in ("[", "{", '"', "'"):
        found = _structure(text)
        if found is not None and (isinstance(found, str) or text[0] in "[{"):
            return found
        if text[0] in "[{":
            raise ValueError(f"{said(text)} is neither JSON nor YAML; put quotes around it if it is text.")
        return text
    return scalar(text) if text else text


def _typed(key: str, text: str, spec: InputSpec) -> Any:
    if spec.type == "any":
        return _fit(key, _as_text_says(text), spec)
    return _fit(key, text, spec)


def _structure(text: str) -> Any:
    """Return the value of a text as JSON, or else as YAML (within its limits); None if it is neither.

    Raises ValueError, with the sentence, for a mapping with a duplicate key.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except _Twice:
        raise
    except (ValueError, RecursionError) as error:
        document = parse(text)
        twice = [problem.message for problem in document.problems if problem.message.endswith(TWICE)]
        if twice and len(twice) == len(document.problems):
            raise _Twice(twice[0]) from error
        return None if document.problems else document.data


class _Twice(ValueError):
    """A key appears twice, so its value is ambiguous."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(f"The key {said(name)} {TWICE}")
        found[name] = value
    return found


_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_SECRET_ONLY = "A secret input takes only a reference such as ${NAME}, so that its value is stored nowhere."  # noqa: S105


def _secret(value: Any, environ: Mapping[str, str]) -> SecretRef:
    if isinstance(value, SecretRef):
        value = value.reference
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_SECRET_ONLY)
    if match.group(1) not in environ:
        raise ValueError(f"The environment has no {match.group(1)[:200]}; set it, or put it into .env.")
    return SecretRef(value)


# -------------------------------------------------------------------- types


_WORDS = {
    "any": "a value",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "decimal": "a decimal number",
    "boolean": "true or false",
    "list": "a list",
    "mapping": "a mapping",
    "date": "a date (2026-03-31)",
    "datetime": "a date and time (2026-03-31T12:00:00+00:00)",
    "path": "a path",
}

_NO: Any = object()


def _fit(name: str, value: Any, spec: InputSpec, *, given: bool = True) -> Any:
    """Return the value as its type, or raise ValueError with the sentence. `given` values may be text for the value."""
    result = _FITS[spec.type](value, given)
    shown = MASK if looks_secret(name) else said(value)
    if result is _NO:
        raise ValueError(f"Expected {_WORDS[spec.type]}, not {shown}.")
    if spec.enum is not None and not any(_same(result, _FITS[spec.type](one, True)) for one in spec.enum):
        choice = ", ".join(str(one)[:80] for one in spec.enum[:20])
        raise ValueError(f"Expected one of {choice}, not {shown}.")
    return result


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,400}\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,3})?\s*", re.ASCII)


def _integer(value: Any, given: bool) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if given and isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return int(value) if given and isinstance(value, float) and value.is_integer() else _NO


def _number(value: Any, given: bool) -> Any:
    if _is_number(value):
        return value
    if not given or not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return _NO
    return int(value) if _INTEGER.fullmatch(value) else float(value)


def _decimal(value: Any, given: bool) -> Any:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value) if given else value
    text = str(value) if isinstance(value, float) else value
    return Decimal(text.strip()) if given and isinstance(text, str) and _NUMBER.fullmatch(text) else _NO


def _boolean(value: Any, given: bool) -> Any:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    return words.get(value.strip().lower(), _NO) if given and isinstance(value, str) else _NO


def _date(value: Any, given: bool) -> Any:
    if type(value) is dt.date:
        return value
    try:
        return dt.date.fromisoformat(value.strip()) if given and isinstance(value, str) else _NO
    except ValueError:
        return _NO


def _datetime(value: Any, given: bool) -> Any:
    if isinstance(value, dt.datetime):
        return value
    try:
        return dt.datetime.fromisoformat(value.strip()) if given and isinstance(value, str) else _NO
    except ValueError:
        return _NO


def _path(value: Any, given: bool) -> Any:
    if isinstance(value, str) and value and "\0" not in value:
        return Path(value) if given else value
    return value if isinstance(value, Path) else _NO


def _structured(*kinds: type) -> Callable[[Any, bool], Any]:
    def fit(value: Any, given: bool) -> Any:
        if given and isinstance(value, str):
            value = _structure(value)
        return value if isinstance(value, kinds) else _NO

    return fit


_FITS: dict[str, Callable[[Any, bool], Any]] = {
    "any": lambda value, _: value,
    "string": lambda value, _: value if isinstance(value, str) else _NO,
    "integer": _integer,
    "number": _number,
    "decimal": _decimal,
    "boolean": _boolean,
    "list": _structured(list, tuple),
    "mapping": _structured(dict),
    "date": _date,
    "datetime": _datetime,
    "path": _path,
}
