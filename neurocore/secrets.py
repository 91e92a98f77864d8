"""Secrets stay out (promise 10): references, their resolution, redaction of what is written, masking of what is shown.

`${NAME}` within text refers to a variable of the environment; `$${NAME}` is the text `${NAME}` itself.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neurocore.codec import SecretRef
from neurocore.errors import ConfigError

MASK = "•••"
#: Shorter values are not looked for in what a step records: they would be found by chance.
MIN_EXACT = 8
#: Shorter values are redacted only where they stand alone: masking every 3 of a log hides the log, not the 3.
MIN_WITHIN = 4

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_]\w*)\}")
_CREDENTIAL = re.compile(
    r"(^|[_\-. ])(pass|pwd|passwords?|passwd|passphrase|passcode|secrets?|token|credentials?|auth|authorization|bearer"
    r"|jwt|dsn|cookies?|api[_\-. ]?keys?|(private|access|signing|encryption)[_\-. ]?key)($|[_\-. ])",
    re.IGNORECASE,
)
#: `token_count` is a number of tokens, `api_key_env` the name of a variable.
_ABOUT_ONE = re.compile(r"[_\-. ](count|usage|limit|budget|env)$", re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def find_references(value: Any) -> set[str]:
    """The names in every `${NAME}` within a value."""
    return {match[1] for text in _texts(value) for match in _REFERENCE.finditer(text) if match[1]}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, SecretRef):
        yield value.reference
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def resolve(value: Any, environ: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """The value with every `${NAME}` replaced from `environ`, and the names with what they stood for.

    Raises ConfigError naming every variable that the environment does not have, and where it is asked for.
    """
    used: dict[str, str] = {}
    missing: dict[str, str] = {}

    def text(item: str, where: str) -> str:
        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if not name:
                return "${"
            if name not in environ:
                missing.setdefault(name, where)
                return ""
            used[name] = environ[name]
            return environ[name]

        return _REFERENCE.sub(replaced, item) if "${" in item else item

    def walk(item: Any, where: str) -> Any:
        if isinstance(item, SecretRef):
            return text(item.reference, where)
        if isinstance(item, str):
            return text(item, where)
        if isinstance(item, dict):
            return {key: walk(one, f"{where}.{key}" if where else str(key)) for key, one in item.items()}
        if isinstance(item, (list, tuple, set, frozenset)):
            items = [walk(one, f"{where}[{place}]") for place, one in enumerate(item)]
            return items if isinstance(item, list) else type(item)(items)
        return item

    resolved = walk(value, "")
    if missing:
        names = " and ".join(f"{name}{f' ({where})' if where else ''}" for name, where in missing.items())
        first = next(iter(missing))
        which = f"which ${{{first}}} refers to" if len(missing) == 1 else "which the configuration refers to"
        raise ConfigError(f"The environment has no {names}, {which}; set it, or put it into .env.")
    return resolved, used


class Redactor:
    """Takes known values out of text, however they are written there: as they are, quoted, in JSON, in an address."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._forms: list[str] = []
        self._exact: list[bytes] = []
        self.add(values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def add(self, values: Iterable[str]) -> None:
        """Know these values from now on; empty ones are ignored."""
        new = {value for value in values if value} - self.values
        if new:
            self.values = self.values | new
            self._forms = sorted({form for value in self.values for form in _forms(value)}, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_expression, self._forms)))
            self._exact = [v.encode("utf-8", "surrogatepass") for v in self.values if len(v) >= MIN_EXACT]

    def clear(self) -> None:
        """Know nothing any more."""
        self.values, self._pattern, self._forms, self._exact = set(), None, [], []

    def text(self, text: str) -> str:
        """The text with every known value masked."""
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def found_in(self, data: bytes) -> bool:
        """Whether a known value of 8 characters or more stands in the data, as it is."""
        return any(value in data for value in self._exact)

    def stream(self, stream: Any) -> Any:
        """A text stream that redacts what is written to `stream`; a value split over several writes is found too."""
        return _Filter(stream, self)

    def safe_length(self, text: str) -> int:
        """How much of the text can be redacted and let go; what follows may be the beginning of a known value."""
        keep = 0
        for form in self._forms:
            for size in range(min(len(form) - 1, len(text)), keep, -1):
                if text.endswith(form[:size]):
                    keep = size
                    break
        cut = len(text) - keep
        if keep and self._pattern is not None:
            for match in self._pattern.finditer(text):
                if match.start() < cut < match.end():
                    return match.start()
        return cut


def _forms(value: str) -> set[str]:
    """How a value may be written: lines of their own, escaped by repr and JSON, percent-encoded."""
    lines = {line for line in value.splitlines() if len(line) >= MIN_WITHIN}
    forms = {value, *lines}
    if len(value) >= MIN_WITHIN:
        forms |= {repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
        plain = value.encode("utf-8", "replace")
        forms |= {urllib.parse.quote(plain, safe=""), urllib.parse.quote(plain), urllib.parse.quote_plus(plain)}
    return forms


def _expression(form: str) -> str:
    if len(form) >= MIN_WITHIN:
        return re.escape(form)
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
    return f"{before}{re.escape(form)}{after}"


class _Filter:
    """Holds back as much of a line as could be the beginning of a secret until the rest is known."""

    def __init__(self, stream: Any, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor
        self._held = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            whole = self._held + text
            cut = self._redactor.safe_length(whole)
            self._held = whole[cut:]
            self._stream.write(self._redactor.text(whole[:cut]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._lock:
            held, self._held = self._held, ""
            if held:
                self._stream.write(self._redactor.text(held))
            self._stream.flush()

    @property
    def buffer(self) -> Any:
        """The bytes below: redacted as well, one write at a time."""
        return _Bytes(self._stream.buffer, self)

    def redact_bytes(self, data: bytes) -> bytes:
        text = bytes(data).decode("utf-8", "surrogateescape")
        return self._redactor.text(text).encode("utf-8", "surrogateescape")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bytes:
    def __init__(self, stream: Any, filter_: _Filter) -> None:
        self._stream = stream
        self._filter = filter_

    def write(self, data: bytes) -> int:
        self._filter.flush()
        self._stream.write(self._filter.redact_bytes(data))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def looks_secret(key: str) -> bool:
    """Whether a key is called like a credential (`api_key`, `db.password`, `accessToken`)."""
    words = _HUMP.sub("_", key)
    return _CREDENTIAL.search(words) is not None and _ABOUT_ONE.search(words) is None


def mask(value: Any, schema: Mapping[str, Any] | None = None) -> Any:
    """A copy in which what is called like a credential, or marked `secret` in the JSON schema, reads `•••`.

    References stay: they say where a value comes from, not what it is. So do booleans and what is empty.
    """
    if isinstance(value, dict):
        properties = _mapping(schema, "properties")
        others = _mapping(schema, "additionalProperties")
        return {key: _masked(key, item, properties.get(key, others)) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        named: Any = value
        return named._make(_masked(key, item, None) for key, item in zip(named._fields, named, strict=True))
    if isinstance(value, (list, tuple)):
        items = [mask(item, _mapping(schema, "items")) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def _mapping(schema: Any, key: str) -> Mapping[Any, Any]:
    found = schema.get(key) if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _masked(key: Any, value: Any, schema: Any) -> Any:
    marked = isinstance(schema, Mapping) and bool(schema.get("secret") or schema.get("writeOnly"))
    if not marked and not (isinstance(key, str) and looks_secret(key)):
        return mask(value, schema)
    if isinstance(value, (SecretRef, str)) and find_references(value):
        text = value.reference if isinstance(value, SecretRef) else value
        references = [match[0] for match in _REFERENCE.finditer(text) if match[1]]
        return references[0] if text == references[0] else f"{MASK}{MASK.join(references)}{MASK}"
    empty = value is None or (isinstance(value, (str, bytes, list, tuple, dict, set)) and not value)
    return value if empty or isinstance(value, bool) else MASK
