"""Read YAML that people wrote: safely, within limits, and with the position of each value.

Used for blueprints and for neurocore.yaml; `neurocore.yamlcheck` then checks the data against a type. Only plain data
is created: a tag that asks for anything else is refused, and so is a document of more than 1 MiB (with its aliases
expanded), nested deeper than 40, with more than 100,000 values and keys, or with a duplicate key. `12:30` and `0123`
are text and `on:` is a key: nobody means what YAML 1.1 makes of them (750, 83, true).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_VALUES = 100_000
#: After this many problems, the rest is left for the next time.
MAX_PROBLEMS = 100
#: The end of the sentence about a duplicate key in one mapping.
TWICE = "appears twice; keep one of them."
_MAX_DIGITS = 400
_MAX_NAMES = 500
_OCTAL = re.compile(r"[-+]?0[0-9_]+")

Place = tuple[str | int, ...]


class Problem(Struct, frozen=True, kw_only=True):
    """One problem: a sentence, and its place. `severity` is `error` or `warning`; lines and columns count from 1."""

    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None
    file: str | None = None
    severity: str = "error"

    def __str__(self) -> str:
        where = [self.file] if self.file else []
        where += [str(self.line), str(self.column)] if self.line is not None else []
        parts = [part for part in (":".join(where), self.path) if part]
        return f"{' '.join(parts)}: {self.message}" if parts else self.message


def in_order(problem: Problem) -> tuple[bool, int, int]:
    """Return the key that sorts problems as they are in the file; those without a place come last."""
    return problem.line is None, problem.line or 0, problem.column or 0


class Document(Struct):
    """The content of a YAML text: plain `data`, `problems`, and the position of each value (`marks`) and key.

    `aliases` maps places that a short form produced to the place of that form, so that problems name what was written.
    `unreadable` are the places of values that could not be read: they are None in `data`, and nothing else is reported
    about them.
    """

    data: Any
    problems: list[Problem]
    marks: dict[Place, tuple[int, int]]
    file: str | None = None
    aliases: dict[Place, Place] = {}
    keys: dict[Place, tuple[int, int]] = {}
    unreadable: set[Place] = set()

    def problem(self, path: Place, message: str, *, severity: str = "error", key: bool = False) -> Problem:
        """Return a problem at `path` (with `key`: about the key there), or at the nearest value above it."""
        path = self._written(path)
        at = path
        while at and at not in self.marks:
            at = at[:-1]
        line, column = self.keys[path] if key and path in self.keys else self.marks.get(at, (None, None))
        return Problem(
            message=message, path=dotted(path), line=line, column=column, file=self.file, severity=severity
        )  # fmt: skip

    def add(self, path: Place, message: str, *, key: bool = False) -> None:
        """Add an error at `path` (with `key`: about the key there); after a hundred, only note that there are more."""
        if not key and self._written(path) in self.unreadable:
            return
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(self.problem(path, message, key=key))
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append(Problem(message="There are more problems; correct these first.", file=self.file))

    def refuse(self, path: Place, message: str) -> None:
        """Record that the value at `path` cannot be read; problems that follow from that are not reported."""
        self.add(path, message)
        if not self.full:
            self.unreadable.add(path)

    def unsure(self, path: Place) -> bool:
        """Return whether something at or below `path` could not be read, so that missing parts must not be reported."""
        return any(place[: len(path)] == path for place in self.unreadable)

    def _written(self, path: Place) -> Place:
        for length in range(len(path), 0, -1):
            place = self.aliases.get(path[:length])
            if place is not None:
                return (*place, *path[length:])
        return path

    @property
    def full(self) -> bool:
        """Return whether there are so many problems that checking further is useless."""
        return len(self.problems) > MAX_PROBLEMS


def read_file(path: Path) -> tuple[str | None, Problem | None]:
    """Return the text of a file, or the problem that it cannot be read."""
    if path.exists() and not path.is_file():
        return None, Problem(message="It is not a file.", file=str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, Problem(message=f"There is no such file{_sibling(path)}", file=str(path))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return None, Problem(message=f"It cannot be read: {why}.", file=str(path))
    if len(data) > MAX_BYTES:
        return None, Problem(message="It is larger than 1 MiB, the limit for YAML files.", file=str(path))
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        return None, Problem(message=f"It is not UTF-8 text (byte {error.start}); save it as UTF-8.", file=str(path))


def parse(text: str, *, file: str | None = None) -> Document:
    """Parse one YAML document; errors are in `problems`, and nothing is raised."""
    document = Document(data=None, problems=[], marks={}, file=file)
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        document.problems.append(Problem(message="It is larger than 1 MiB, the limit for YAML.", file=file))
        return document
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _Builder(document).build(node, (), 0)
    except _TooMuch as error:
        document.data = None
        document.problems.append(Problem(message=str(error), line=error.line, column=error.column, file=file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        document.problems.append(_syntax_problem(error, text, file))
    return document


def scalar(text: str) -> Any:
    """Return a single value as YAML reads it unquoted: `false`, `3`, `2026-03-31`; anything else is text."""
    tag = _scalars().resolve(yaml.ScalarNode, text, (True, False))
    try:
        return _plain_scalar(yaml.ScalarNode(tag, text))
    except _Unreadable:
        return text


def nearest(name: Any, names: Iterable[str]) -> str:
    """Return `; did you mean …?` with the nearest of the names, or all of them if none is near."""
    import difflib

    known = [one for _, one in zip(range(_MAX_NAMES), names, strict=False)]
    close = difflib.get_close_matches(str(name)[:200], known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(map(_visible, known[:20]))}{', …' if len(known) > 20 else ''}." if known else "."


def dotted(path: Place) -> str:
    """`flow.steps[2].component`."""
    text = ""
    for part in path:
        name = _visible(str(part))
        text += f"[{part}]" if isinstance(part, int) else (f".{name}" if text else name)
    return text


def _visible(name: str) -> str:
    """Return a name for a sentence: short, and without anything that controls a terminal or a page."""
    name = name if len(name) <= 80 else f"{name[:79]}…"
    return name if name.isprintable() else repr(name)


def said(value: Any) -> str:
    """Return a value for a sentence: short, and never a whole list or mapping."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"


# -------------------------------------------------------------------- reading


class _TooMuch(Exception):
    def __init__(self, message: str, mark: Any) -> None:
        super().__init__(message)
        self.line = mark.line + 1
        self.column = mark.column + 1


class _Unreadable(Exception):
    pass


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_KEY_WORDS = ("on", "off", "yes", "no")


@lru_cache(maxsize=1)
def _scalars() -> Any:
    return yaml.SafeLoader("")


def _check_events(text: str) -> None:
    """Refuse text that would expand too far, before anything is built from it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _TooMuch(f"It is nested more than {MAX_DEPTH} deep here.", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if count > MAX_VALUES:
            raise _TooMuch(f"It has more than {MAX_VALUES:,} values and keys.", event.start_mark)


class _Builder:
    """Converts nodes to plain data, finds duplicate keys, and counts what aliases expand to."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.characters = 0

    def build(self, node: Any, path: Place, depth: int) -> Any:
        self._count(node, depth)
        self.document.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self.document.refuse(path, f"The tag {_said_tag(node.tag)} is not allowed; write plain values.")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        return [self.build(item, (*path, place), depth + 1) for place, item in enumerate(node.value)]

    def _count(self, node: Any, depth: int) -> None:
        self.count += 1
        if isinstance(node, yaml.ScalarNode):
            self.characters += len(node.value)
        if self.count > MAX_VALUES or depth > MAX_DEPTH or self.characters > MAX_BYTES:
            raise _TooMuch("Its aliases expand too far (or into themselves); write the values out.", node.start_mark)

    def _scalar(self, node: Any, path: Place) -> Any:
        try:
            return _plain_scalar(node)
        except _Unreadable as error:
            self.document.refuse(path, str(error))
            return None

    def _mapping(self, node: Any, path: Place, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        own: set[Any] = set()
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._merge(value_node, path, depth, result, own)
                continue
            key = self._key(key_node, path, depth)
            if key is _UNUSABLE:
                continue
            value_path = (*path, key if type(key) in (str, int) else str(key))
            self.document.keys[value_path] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in own:
                self.document.add(value_path, f"The key {said(key)} {TWICE}", key=True)
                continue
            own.add(key)
            self.document.marks.pop(value_path, None)
            result[key] = self.build(value_node, value_path, depth + 1)
        return result

    def _key(self, node: Any, path: Place, depth: int) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self.document.refuse(path, _BRACES if isinstance(node, yaml.MappingNode) else _NO_KEY)
            return _UNUSABLE
        self._count(node, depth)
        if node.tag == f"{_TAG}bool" and node.value.lower() in _KEY_WORDS:
            return node.value
        try:
            return _plain_scalar(node)
        except _Unreadable as error:
            self.document.add(path, str(error))
            return _UNUSABLE

    def _merge(self, node: Any, path: Place, depth: int, result: dict[Any, Any], own: set[Any]) -> None:
        """Merge `<<: *other`, also with a list: existing keys stay."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.document.add(path, "What << merges must be a mapping, or a list of mappings.")
                return
            self._count(source, depth + 1)
            for key, value in self._mapping(source, path, depth + 1).items():
                if key not in own and key not in result:
                    result[key] = value


_UNUSABLE: Any = object()
_NO_KEY = "A key must be text, not a list or a mapping."
_BRACES = "Braces begin a mapping here; put text with {{ … }} in quotes (a condition has no braces)."


def _plain_scalar(node: Any) -> Any:
    """Return the value of a scalar node. Raises _Unreadable with the sentence."""
    kind = node.tag.removeprefix(_TAG)
    value = node.value
    if kind in ("int", "float"):
        if ":" in value or _OCTAL.fullmatch(value):
            return value
        if len(value) > _MAX_DIGITS:
            raise _Unreadable(f"This number has more than {_MAX_DIGITS} digits; put it in quotes.")
    elif kind in ("str", "merge", "value"):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise _Unreadable("This text contains half a character (a lone surrogate); write the whole one.")
        return value
    elif kind not in ("null", "bool", "timestamp", "binary"):
        raise _Unreadable(f"The tag {_said_tag(node.tag)} is not allowed; write plain values.")
    scalars = _scalars()
    try:
        return getattr(scalars, f"construct_yaml_{kind}")(node)
    except Exception as error:  # PyYAML raises not only YAMLError on `!!int x` and the like
        raise _Unreadable(f"This value cannot be read as {kind}; put it in quotes if it is text.") from error


def _said_tag(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}"[:80] if tag.startswith(_TAG) else tag[:80]


def _syntax_problem(error: Exception, text: str, file: str | None) -> Problem:
    line = column = None
    what = (str(error).splitlines() or ["it does not parse"])[0]
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        what = " ".join(part for part in (error.context, error.problem) if part) or what
        before = text.splitlines()[mark.line : mark.line + 1] if mark else []
        if before and "\t" in before[0][: len(before[0]) - len(before[0].lstrip())]:
            what = "this line is indented with a tab; use spaces"
        elif mark and before and (quoted := _needs_quotes(before[0], mark.column)):
            what = f"{what}; text that contains a colon and a blank must be quoted: {quoted}"
    elif isinstance(error, yaml.reader.ReaderError):
        what = f"it has the character {error.character!r}, which must be escaped in double quotes"
        if isinstance(error.character, int):
            what = f"it has the character U+{error.character:04X}, which must be escaped in double quotes"
            before = text[: text.find(chr(error.character))].splitlines() or [""]
            line, column = len(before), len(before[-1]) + 1
    return Problem(message=f"This is not YAML: {what}.", line=line, column=column, file=file)


_BEGINS_TEXT = r"(?=[^\s\"'{\[|>&*!#])"
#: `key: some text: more`, alone on its line; and within braces, up to the next comma or brace.
_BLOCK_PAIR = re.compile(rf"\s*(?:- +)?([\w-]+): +{_BEGINS_TEXT}(.*: .*)")
_FLOW_PAIR = re.compile(rf"([\w-]+): +{_BEGINS_TEXT}([^{{}}\[\],]*: [^{{}}\[\],]*)")


def _needs_quotes(line: str, column: int) -> str | None:
    """Return the pair at this column whose text contains a colon, with the text in quotes; None if there is none."""
    found = _BLOCK_PAIR.fullmatch(line)
    if found is None:
        pairs = (one for one in _FLOW_PAIR.finditer(line) if one.start() <= column <= one.end() + 1)
        found = next(pairs, None)
    if found is None:
        return None
    text = found[2].strip()
    quote = "'" if '"' in text else '"'
    return f"{found[1]}: {quote}{text if len(text) <= 80 else text[:79] + '…'}{quote}"


def _sibling(path: Path) -> str:
    try:
        names = sorted(one.name for one in path.parent.iterdir() if one.suffix in (".yaml", ".yml"))
    except (OSError, ValueError):
        names = []
    import difflib

    close = difflib.get_close_matches(path.name, names[:_MAX_NAMES], n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
