"""What a run is given and gives back, held against what the blueprint declares."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import yaml

from neurocore.blueprint.model import PLACEHOLDER, Blueprint, InputSpec
from neurocore.codec import SecretRef
from neurocore.errors import InputError, UsageError
from neurocore.yamlfile import nearest

MAX_DATA_FILE = 64 * 1024 * 1024
MAX_TITLE = 200
_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def check_inputs(blueprint: Blueprint, data: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The data a run starts with: defaults filled in, types checked, secrets as references.

    Text is read as the declared type where that loses nothing (`"3"` as an integer). Where no inputs are declared,
    anything goes. Raises InputError whose `problems` has a sentence per input.
    """
    problems: dict[str, str] = {}
    for key in data:
        if not isinstance(key, str):
            problems[str(key)] = "An input's name must be text."
        elif blueprint.inputs and key not in blueprint.inputs:
            problems[key] = f"{blueprint.name} has no input {key[:80]!r}{nearest(key, blueprint.inputs)}"
    checked = {key: value for key, value in data.items() if not blueprint.inputs}
    for name, spec in blueprint.inputs.items():
        if name in data:
            try:
                checked[name] = _secret(data[name], environ) if spec.secret else _fit(data[name], spec)
            except ValueError as error:
                problems[name] = str(error)
        elif spec.default is not msgspec.UNSET:
            checked[name] = _secret(spec.default, environ) if spec.secret else _fit(spec.default, spec)
        elif spec.is_required:
            what = f" ({spec.description})" if spec.description else ""
            problems[name] = f"{name}{what} is needed: give {_WORDS[spec.type]}."
    if problems:
        raise InputError(" ".join(problems.values()), problems)
    return checked


def check_outputs(blueprint: Blueprint, data: Mapping[str, Any]) -> None:
    """Raise InputError when an output that the blueprint declares is missing or of another type."""
    problems = {}
    for name, spec in blueprint.outputs.items():
        if name not in data:
            if spec.is_required:
                problems[name] = f"The flow ended without setting its output {name!r}."
            continue
        try:
            _fit(data[name], spec, lenient=False)
        except ValueError as error:
            problems[name] = f"The output {name!r} does not fit: {error}"
    if problems:
        raise InputError(" ".join(problems.values()), problems)


def read_data_option(pairs: Iterable[str], blueprint: Blueprint | None = None) -> dict[str, Any]:
    """`k=v` pairs of a command line: read by the input's declared type, else as YAML scalars; `k=@file` reads a file.

    Raises UsageError.
    """
    data: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--data takes key=value, not {pair[:80]!r}.")
        if key in data:
            raise UsageError(f"--data gives {key!r} twice.")
        if text.startswith("@"):
            text = _read(key, Path(text[1:]))
        spec = blueprint.inputs.get(key) if blueprint is not None else None
        typed = spec is not None and (spec.secret or spec.type in ("string", "date", "datetime", "decimal", "path"))
        data[key] = text if typed else _yaml(key, text)
    return data


def render_title(blueprint: Blueprint, data: Mapping[str, Any]) -> str:
    """The blueprint's title with the inputs filled in, at most 200 characters; empty without a title."""

    def value(match: re.Match[str]) -> str:
        first, *rest = match.group(1).split(".")
        found: Any = data.get(first)
        for part in rest:
            found = found.get(part) if isinstance(found, dict) else None
        return "•••" if isinstance(found, SecretRef) else "" if found is None else str(found)[:MAX_TITLE]

    title = " ".join(PLACEHOLDER.sub(value, blueprint.title or "").split())
    return title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"


def _read(key: str, path: Path) -> str:
    try:
        if path.stat().st_size > MAX_DATA_FILE:
            raise UsageError(f"--data {key}=@{path}: the file is larger than 64 MiB; give its path as the value.")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--data {key}=@{path} cannot be read as text: {error}.") from error


def _yaml(key: str, text: str) -> Any:
    from neurocore.yamlfile import parse

    if not text.strip():
        return text
    document = parse(text)
    if document.problems:
        if text.lstrip()[:1] in "[{":
            raise UsageError(f"--data {key}: {document.problems[0].message}")
        return text
    return document.data


def _secret(value: Any, environ: Mapping[str, str]) -> SecretRef:
    if isinstance(value, SecretRef):
        value = value.reference
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("A secret input takes only a reference such as ${NAME}, so that its value is stored nowhere.")
    if match.group(1) not in environ:
        raise ValueError(f"The environment has no {match.group(1)}; set it, or put it into .env.")
    return SecretRef(value)


_WORDS = {
    "any": "a value", "string": "text", "integer": "a whole number", "number": "a number", "decimal": "a decimal number",
    "boolean": "true or false", "list": "a list", "mapping": "a mapping", "date": "a date (2026-03-31)",
    "datetime": "a date and time (2026-03-31T12:00:00+00:00)", "path": "a path",
}  # fmt: skip


def _fit(value: Any, spec: InputSpec, *, lenient: bool = True) -> Any:
    result = _FITS[spec.type](value, lenient)
    if result is _NO:
        raise ValueError(f"Expected {_WORDS[spec.type]}, not {_said(value)}.")
    if spec.enum is not None and result not in spec.enum:
        choice = ", ".join(map(str, spec.enum[:20]))
        raise ValueError(f"Expected one of {choice}, not {_said(value)}.")
    return result


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


_NO: Any = object()


def _integer(value: Any, lenient: bool) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if lenient and isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,400}\s*", value):
        return int(value)
    return int(value) if lenient and isinstance(value, float) and value.is_integer() else _NO


def _number(value: Any, lenient: bool) -> Any:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return value
    try:
        return float(value) if lenient and isinstance(value, str) else _NO
    except ValueError:
        return _NO


def _decimal(value: Any, lenient: bool) -> Any:
    if isinstance(value, Decimal):
        return value
    if lenient and (isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool))):
        try:
            return Decimal(str(value).strip())
        except InvalidOperation:
            return _NO
    return _NO


def _boolean(value: Any, lenient: bool) -> Any:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    return words.get(value.strip().lower(), _NO) if lenient and isinstance(value, str) else _NO


def _date(value: Any, lenient: bool) -> Any:
    if type(value) is dt.date:
        return value
    try:
        return dt.date.fromisoformat(value.strip()) if lenient and isinstance(value, str) else _NO
    except ValueError:
        return _NO


def _datetime(value: Any, lenient: bool) -> Any:
    if isinstance(value, dt.datetime):
        return value
    try:
        return dt.datetime.fromisoformat(value.strip()) if lenient and isinstance(value, str) else _NO
    except ValueError:
        return _NO


def _structured(kinds: tuple[type, ...]) -> Callable[[Any, bool], Any]:
    def fit(value: Any, lenient: bool) -> Any:
        if lenient and isinstance(value, str):
            try:
                value = yaml.safe_load(value) if len(value) < 1024 * 1024 else value
            except yaml.YAMLError:
                return _NO
        return value if isinstance(value, kinds) else _NO

    return fit


_FITS: dict[str, Callable[[Any, bool], Any]] = {
    "any": lambda value, lenient: value,
    "string": lambda value, lenient: value if isinstance(value, str) else _NO,
    "integer": _integer,
    "number": _number,
    "decimal": _decimal,
    "boolean": _boolean,
    "list": _structured((list, tuple)),
    "mapping": _structured((dict,)),
    "date": _date,
    "datetime": _datetime,
    "path": lambda value, lenient: Path(value) if isinstance(value, str) and lenient else value if isinstance(value, Path) else _NO,
}
