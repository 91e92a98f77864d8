"""Read YAML that people wrote: safely, within limits, and remembering where each value stands.

Used for blueprints and for neurocore.yaml. Only plain data is made (safe YAML); a document of more than 1 MiB, nested
deeper than 40, with a key twice, or whose aliases unfold to more than 100,000 values is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, inspect

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_VALUES = 100_000

Place = tuple[str | int, ...]


class Problem(Struct, frozen=True, kw_only=True):
    """One finding: a sentence, and where it is. `severity` is `error` or `warning`; lines and columns count from 1."""

    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None
    file: str | None = None
    severity: str = "error"

    def __str__(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where += f":{self.line}:{self.column}"
        parts = [part for part in (where, self.path) if part]
        return f"{' '.join(parts)}: {self.message}" if parts else self.message


class Document(Struct):
    """What a YAML text holds: plain `data`, `problems` found on the way, and the place of each value."""

    data: Any
    problems: list[Problem]
    marks: dict[Place, tuple[int, int]]
    file: str | None = None

    def problem(self, path: Place, message: str, *, severity: str = "error") -> Problem:
        """A finding at `path`, or at the nearest value above it that has a place."""
        at = path
        while at and at not in self.marks:
            at = at[:-1]
        line, column = self.marks.get(at, (None, None))
        return Problem(
            message=message, path=dotted(path), line=line, column=column, file=self.file, severity=severity
        )


def read_file(path: Path) -> tuple[str | None, Problem | None]:
    """The text of a file, or the problem that it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return None, Problem(message=f"It cannot be read: {error.strerror or error}.", file=str(path))
    if len(data) > MAX_BYTES:
        return None, Problem(message="It is larger than 1 MiB, the limit for YAML files.", file=str(path))
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        return None, Problem(message=f"It is not UTF-8 text (byte {error.start}); save it as UTF-8.", file=str(path))


def parse(text: str, *, file: str | None = None) -> Document:
    """Parse one YAML document; whatever is wrong stands in `problems`, and nothing is raised."""
    document = Document(data=None, problems=[], marks={}, file=file)
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        document.problems.append(Problem(message="It is larger than 1 MiB, the limit for YAML.", file=file))
        return document
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _Builder(document).build(node, (), 0)
    except _TooMuch as error:
        document.problems.append(Problem(message=str(error), file=file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        what = " ".join(part for part in (error.context, error.problem) if part) or "it does not parse"
        document.problems.append(Problem(message=f"This is no YAML: {what}.", line=line, column=column, file=file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        document.problems.append(Problem(message=f"This is no YAML: {str(error).splitlines()[0]}.", file=file))
    return document


def check(document: Document, data: Any, kind: Any) -> Any:
    """Turn `data` into `kind` (a msgspec type); every misfit becomes a problem, and then None is returned."""
    before = len(document.problems)
    _check(document, data, inspect.type_info(kind), ())
    if len(document.problems) > before:
        return None
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, ValueError) as error:
        document.problems.append(Problem(message=f"{error}.", file=document.file))
        return None


def nearest(name: Any, names: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest of the names, or the whole choice when none is near."""
    known = list(names)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known[:20])}." if known else "."


def dotted(path: Place) -> str:
    """`flow.steps[2].component`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


class _TooMuch(Exception):
    pass


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_events(text: str) -> None:
    """Refuse what would unfold too far before anything is built of it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _TooMuch(f"It is nested more than {MAX_DEPTH} deep.")
        if count > 4 * MAX_VALUES:
            raise _TooMuch(f"It has more than {MAX_VALUES:,} values.")


class _Builder:
    """Nodes to plain data, with duplicate keys found and aliases counted."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.scalars = yaml.SafeLoader("")
        self.count = 0

    def build(self, node: Any, path: Place, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            raise _TooMuch("Its aliases unfold too far (or into themselves); write the values out.")
        self.document.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, place), depth + 1) for place, item in enumerate(node.value)]
        try:
            return self.scalars.construct_object(node)
        except (yaml.constructor.ConstructorError, ValueError) as error:
            problem = getattr(error, "problem", None) or str(error)
            self.document.problems.append(self.document.problem(path, f"This value cannot be read: {problem}."))
            return None

    def _mapping(self, node: Any, path: Place, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.build(key_node, (*path, "<key>"), depth + 1)
            self.document.marks.pop((*path, "<key>"), None)
            if isinstance(key, (list, dict)):
                self.document.problems.append(self.document.problem(path, "A key must be text."))
                continue
            mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in result:
                self.document.marks[(*path, str(key))] = mark
                self.document.problems.append(
                    self.document.problem((*path, str(key)), f"The key {key!r} stands here twice; keep one of them.")
                )
                continue
            value_path = (*path, key if isinstance(key, (str, int)) and not isinstance(key, bool) else str(key))
            result[key] = self.build(value_node, value_path, depth + 1)
        return result


_WORDS = {
    inspect.StrType: "text", inspect.IntType: "a whole number", inspect.FloatType: "a number",
    inspect.BoolType: "true or false", inspect.ListType: "a list", inspect.DictType: "a mapping",
    inspect.NoneType: "nothing",
}  # fmt: skip


def _word(kind: Any) -> str:
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(map(str, kind.values))
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_word(one) for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.StructType):
        return "a mapping"
    return next((word for one, word in _WORDS.items() if isinstance(kind, one)), "another value")


def _said(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _check(document: Document, value: Any, kind: Any, path: Place) -> None:
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.AnyType):
        return
    if isinstance(kind, inspect.UnionType):
        options = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if value is None and any(isinstance(one, inspect.NoneType) for one in kind.types):
            return
        if any(isinstance(one, inspect.AnyType) for one in options):
            return
        if len(options) == 1:
            _check(document, value, options[0], path)
            return
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        _check_struct(document, value, kind, path)
        return
    elif isinstance(kind, inspect.ListType) and isinstance(value, list):
        for place, item in enumerate(value):
            _check(document, item, kind.item_type, (*path, place))
        return
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                document.problems.append(document.problem((*path, str(key)), f"A key must be text, not {_said(key)}; quote it."))
            _check(document, item, kind.value_type, (*path, key))
        return
    elif _scalar_fits(value, kind):
        try:
            msgspec.convert(value, _annotated(kind))
        except msgspec.ValidationError as error:
            document.problems.append(document.problem(path, f"{str(error).replace('`', '')}."))
        return
    hint = nearest(value, [str(one) for one in kind.values]) if isinstance(kind, inspect.LiteralType) else "."
    document.problems.append(document.problem(path, f"Expected {_word(kind)}, not {_said(value)}{hint}"))


def _scalar_fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, inspect.LiteralType):
        return value in kind.values
    if isinstance(kind, inspect.StrType):
        return isinstance(value, str)
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.IntType):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, inspect.FloatType):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return False


def _annotated(kind: Any) -> Any:
    from typing import Annotated, Literal

    if isinstance(kind, inspect.LiteralType):
        return Literal[kind.values]
    if isinstance(kind, inspect.StrType):
        return Annotated[str, msgspec.Meta(min_length=kind.min_length, max_length=kind.max_length, pattern=kind.pattern)]
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        base = int if isinstance(kind, inspect.IntType) else float
        return Annotated[base, msgspec.Meta(gt=kind.gt, ge=kind.ge, lt=kind.lt, le=kind.le)]
    return bool


def _check_struct(document: Document, value: dict[Any, Any], kind: Any, path: Place) -> None:
    fields = {one.encode_name: one for one in kind.fields if one.encode_name != "source" or path}
    for key, item in value.items():
        one = fields.get(key) if isinstance(key, str) else None
        if one is None:
            document.problems.append(document.problem((*path, key), f"There is no key {str(key)[:80]!r} here{nearest(key, fields)}"))
        else:
            _check(document, item, one.type, (*path, key))
    for name, one in fields.items():
        if one.required and name not in value:
            document.problems.append(document.problem(path, f"The key {name!r} is missing; it takes {_word(one.type)}."))
