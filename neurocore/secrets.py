"""Keep secrets out (promise 10): references, their resolution, redaction of output, masking of shown values.

`${NAME}` within text refers to an environment variable; `$${NAME}` is the text `${NAME}` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neurocore import forks
from neurocore.codec import SecretRef
from neurocore.errors import ConfigError
from neurocore.spellings import Spelled, without_breaks

MASK = "•••"
#: Shorter values are not searched in what a step records: they would be found by chance.
MIN_EXACT = 8
#: Shorter values are redacted only if they are separate words: masking every 3 of a log hides the log, not the 3.
MIN_WITHIN = 4

#: An encoding of a long value contains many of its lines, and one match is enough.
MOST_ENCODED = 8

#: More text than that is not held back, even if no blank ends it.
MOST_HELD = 64 * 1024

_MASK = MASK.encode()
_WORD = re.compile(r"\S*")
_ARMOUR = re.compile(r"-{3,}(BEGIN|END) [A-Z0-9 ]+-{3,}")
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
    """Return the names in every `${NAME}` within a value."""
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
    """Return the value with every `${NAME}` replaced from `environ`, and the replaced names with their values.

    Raises ConfigError, which names every missing variable and where it is used.
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
    """Knows the values of secrets: masks them in text, and finds them in what would be recorded.

    Both search for the same texts, in every spelling (`neurocore.spellings`): the value, and each line of a value with
    several lines.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values: set[str] = set()
        self._spelled: dict[str, Spelled] = {}
        self._exact: list[Spelled] = []
        self._short: re.Pattern[str] | None = None
        self._has_blanks = False
        self.add(values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def add(self, values: Iterable[str]) -> None:
        """Add these values; empty ones are ignored."""
        new = {value for value in values if value} - self.values
        if not new:
            return
        self.values = self.values | new
        spelled = dict(self._spelled)
        for value in new:
            for text, encoded in _texts_of(value):
                if text not in spelled or encoded:
                    spelled[text] = Spelled(text, encoded=encoded)
        self._exact = [one for text, one in spelled.items() if len(text) >= MIN_EXACT]
        short = sorted({value for value in self.values if len(value) < MIN_WITHIN}, key=len, reverse=True)
        self._short = re.compile("|".join(map(_alone, short))) if short else None
        self._has_blanks = any(len(value.split()) > 1 for value in self.values)
        self._spelled = spelled

    def clear(self) -> None:
        """Forget all values."""
        self.values, self._spelled, self._exact, self._short, self._has_blanks = set(), {}, [], None, False

    def text(self, text: str) -> str:
        """Return the text with every known value masked."""
        if self._spelled:
            data = text.encode("utf-8", "surrogatepass")
            masked = self._masked(data)
            if masked is not data:
                text = _text(masked)
        return self._short.sub(MASK, text) if self._short is not None else text

    def binary(self, data: bytes) -> bytes:
        """Return the bytes, of text or not, with every known value masked."""
        data = self._masked(data)
        if self._short is None:
            return data
        return self._short.sub(MASK, data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _masked(self, data: bytes) -> bytes:
        unbroken = without_breaks(data)
        spans = sorted(span for one in self._spelled.values() for span in one.spans(data, unbroken))
        if not spans:
            return data
        parts, end = [], 0
        for start, stop in spans:
            if start >= end:
                parts += [data[end:start], _MASK]
            end = max(end, stop)
        return b"".join([*parts, data[end:]])

    def found_in(self, data: bytes) -> bool:
        """Return whether the data contains a known value of 8 characters or more, in any spelling."""
        if not self._exact:
            return False
        unbroken = without_breaks(data)
        return any(one.is_in(data, unbroken) for one in self._exact)

    def whole_until(self, text: str) -> int:
        """Return up to where no value can continue behind the text: its last blank, or line if values have blanks."""
        if self._has_blanks:
            return max(text.rfind("\n"), text.rfind("\r")) + 1
        tail = _WORD.match(text[::-1])
        return len(text) - (tail.end() if tail else 0)

    def stream(self, stream: Any) -> Any:
        """Return a text stream that redacts what is written to `stream`, also a value split over several writes."""
        return _Filter(stream, self)


def _texts_of(value: str) -> Iterator[tuple[str, bool]]:
    """Yield the texts to search for a secret with this value, and whether to search encodings: itself, and each line.

    Lines within an escaped text count as well. The first and last line of a key file are not secret.
    """
    whole = value.strip()
    if len(whole) >= MIN_WITHIN:
        yield whole, len(whole) >= MIN_EXACT
    parts = re.split(r"\r|\n|\\[rn]" if whole.count("\\n") > 1 else r"\r|\n", whole)
    lines = [line for line in map(str.strip, parts) if len(line) >= MIN_WITHIN and not _ARMOUR.fullmatch(line)]
    encoded = [line for line in lines if len(line) >= MIN_EXACT]
    chosen = set(encoded[:: max(1, len(encoded) // MOST_ENCODED)])
    yield from ((line, line in chosen) for line in dict.fromkeys(lines) if line != whole)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # a value in another charset was part of a longer character
        return data.decode("utf-8", "replace")


def _alone(value: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", value) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", value) else ""
    return f"{before}{re.escape(value)}{after}"


class _Filter:
    """Holds back the end of what is written, where a secret may have started, until the rest is known."""

    def __init__(self, stream: Any, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor
        self._held: list[str] = []
        self._lock = forks.lock()

    def write(self, text: str) -> int:
        with self._lock:
            cut = self._redactor.whole_until(text)
            if cut == 0 and sum(map(len, self._held)) < MOST_HELD:
                self._held.append(text)
                return len(text)
            whole = "".join([*self._held, text[:cut] or text])
            self._held = [text[cut:]] if cut else []
            self._stream.write(self._redactor.text(whole))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._lock:
            held, self._held = "".join(self._held), []
            if held:
                self._stream.write(self._redactor.text(held))
            self._stream.flush()

    @property
    def buffer(self) -> Any:
        """Return the byte stream below: also redacted, one write at a time."""
        return _Bytes(self._stream.buffer, self)

    def redact_bytes(self, data: bytes) -> bytes:
        return self._redactor.binary(bytes(data))

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
    """Return whether a key looks like that of a credential (`api_key`, `db.password`, `accessToken`)."""
    words = _HUMP.sub("_", key)
    return _CREDENTIAL.search(words) is not None and _ABOUT_ONE.search(words) is None


def mask(value: Any, schema: Mapping[str, Any] | None = None) -> Any:
    """Return a copy in which credentials, by their key or by `secret` in the JSON schema, are `•••`.

    References stay: they say where a value comes from, not what it is. So do booleans and empty values.
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
