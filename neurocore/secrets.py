"""Secrets stay out (promise 10): references, resolution, redaction of what is written, masking of what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from neurocore.codec import SecretRef
from neurocore.errors import ConfigError

MASK = "•••"
#: Shorter values are not looked for in what a step records: they would be found by chance.
MIN_EXACT = 8

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_CREDENTIAL = re.compile(
    r"(^|[_\-.])(pass(word|wd|phrase)?|secret|token|credentials?|private[_-]?key|api[_-]?key|apikey|auth(orization)?"
    r"|access[_-]?key|client[_-]?secret|dsn|cookie)($|[_\-.])",
    re.IGNORECASE,
)


def find_references(value: Any) -> set[str]:
    """The names in every `${NAME}` within a value."""
    if isinstance(value, SecretRef):
        value = value.reference
    if isinstance(value, str):
        return set(_REFERENCE.findall(value))
    if isinstance(value, dict):
        return {name for item in value.values() for name in find_references(item)}
    if isinstance(value, (list, tuple)):
        return {name for item in value for name in find_references(item)}
    return set()


def resolve(value: Any, environ: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """The value with every `${NAME}` replaced from `environ`, and the names with what they stood for.

    Raises ConfigError for a name that the environment does not have.
    """
    used: dict[str, str] = {}

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise ConfigError(
                f"The environment has no {name}, which ${{{name}}} refers to; set it, or put it into .env."
            )
        used[name] = environ[name]
        return environ[name]

    def walk(item: Any) -> Any:
        if isinstance(item, SecretRef):
            item = item.reference
        if isinstance(item, str):
            return _REFERENCE.sub(replaced, item)
        if isinstance(item, dict):
            return {key: walk(one) for key, one in item.items()}
        if isinstance(item, list):
            return [walk(one) for one in item]
        return tuple(walk(one) for one in item) if isinstance(item, tuple) else item

    return walk(value), used


class Redactor:
    """Takes known values out of text. Every value counts in text; only those of 8 characters or more in bytes."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._exact: list[bytes] = []
        self.add(values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def add(self, values: Iterable[str]) -> None:
        """Know these values from now on; empty ones are ignored."""
        new = {value for value in values if value} - self.values
        if new:
            self.values |= new
            lines = (line for value in self.values for line in value.splitlines() if len(line) > 3)
            forms = {*self.values, *lines}
            longest_first = sorted(forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            self._exact = [v.encode("utf-8", "surrogatepass") for v in self.values if len(v) >= MIN_EXACT]

    def clear(self) -> None:
        """Know nothing any more."""
        self.values, self._pattern, self._exact = set(), None, []

    def text(self, text: str) -> str:
        """The text with every known value masked."""
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def found_in(self, data: bytes) -> bool:
        """Whether a known value of 8 characters or more stands in the data, as it is."""
        return any(value in data for value in self._exact)

    def stream(self, stream: Any) -> Any:
        """A text stream that redacts what is written to `stream`; a value split over two writes is found too."""
        return _Filter(stream, self)


class _Filter:
    """Holds back as much of a line as could be the beginning of a secret until the rest is known."""

    def __init__(self, stream: Any, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor
        self._held = ""

    def write(self, text: str) -> int:
        whole = self._held + text
        keep = self._partial(whole)
        self._held = whole[len(whole) - keep :]
        self._stream.write(self._redactor.text(whole[: len(whole) - keep]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._stream.write(self._redactor.text(held))
        self._stream.flush()

    def _partial(self, text: str) -> int:
        longest = 0
        for value in self._redactor.values:
            for size in range(min(len(value) - 1, len(text)), longest, -1):
                if text.endswith(value[:size]):
                    longest = size
                    break
        return longest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def looks_secret(key: str) -> bool:
    """Whether a key is called like a credential (`api_key`, `db.password`)."""
    return _CREDENTIAL.search(key) is not None


def mask(value: Any, schema: Mapping[str, Any] | None = None) -> Any:
    """A copy in which what is called like a credential, or marked `secret` in the JSON schema, reads `•••`.

    References stay: they say where a value comes from, not what it is.
    """
    if isinstance(value, dict):
        properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        return {key: _masked(key, item, properties.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        items = schema.get("items") if isinstance(schema, Mapping) else None
        return [mask(item, items) for item in value]
    return value


def _masked(key: Any, value: Any, schema: Any) -> Any:
    marked = isinstance(schema, Mapping) and bool(schema.get("secret") or schema.get("writeOnly"))
    if (marked or (isinstance(key, str) and looks_secret(key))) and value not in (None, "", [], {}):
        if isinstance(value, (SecretRef, str)) and find_references(value):
            text = value.reference if isinstance(value, SecretRef) else value
            return text if _REFERENCE.fullmatch(text) else re.sub(r"[^$]*(\$\{\w+\})[^$]*", r"\1", text)
        return MASK
    return mask(value, schema)
