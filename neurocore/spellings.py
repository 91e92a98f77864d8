r"""How programs spell a text: plain, escaped, quoted, percent-encoded, in base64, in hexadecimal digits, in UTF-16.

A `Spelled` finds a text in bytes, in any spelling. Every way of escaping keeps letters and digits, so a run of them is
searched first; only around a match is the rest compared character by character. For encodings that keep no character,
the bytes that they make of the text are searched, at each alignment within a longer text.
"""

from __future__ import annotations

import base64
import contextlib
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from html.entities import codepoint2name
from itertools import groupby

import msgspec

Span = tuple[int, int]

_RUN = re.compile(rb"[A-Za-z0-9]+")
_LETTERS = {
    "\n": "n", "\t": "t", "\r": "r", "\b": "b", "\f": "f", "\v": "v", "\a": "a", "\0": "0", "\x1b": "e",
    "\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P",
}  # fmt: skip
#: Characters that some way of quoting doubles.
_DOUBLED = frozenset("'\"%${}")
_NAMES = {**codepoint2name, ord("'"): "apos", ord("\t"): "Tab", ord("\n"): "NewLine"}
#: A character is never longer than this, in any spelling that is searched.
_LONGEST_CHARACTER = 24
#: The searched length of an encoding; a longer one is followed from there.
_LOOKED_FOR = 40
#: Fewer bytes occur in other data by chance.
_SHORTEST_MEANT = 8
_BREAK = re.compile(rb"\r|\n|\\r|\\n")
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")


class Spelled:
    """A text to find in any spelling. With `encoded`, encodings are searched too, else escapes alone."""

    def __init__(self, text: str, *, encoded: bool) -> None:
        self._text = text
        self._plain = text.encode("utf-8", "surrogatepass")
        runs: list[bytes] = _RUN.findall(self._plain) or [b""]
        self._first, self._longest = runs[0], max(runs, key=len)
        self._reach = _LONGEST_CHARACTER * len(self._plain.partition(self._first)[0]) if self._first else 0
        self._is_never_escaped = self._first == self._plain
        self._encodings = list(dict.fromkeys(_encodings(text, self._plain))) if encoded else []
        self._heads = [one[:_LOOKED_FOR] for one in self._encodings]

    def is_in(self, data: bytes, unbroken: bytes) -> bool:
        """Return whether the data contains the text; `unbroken` is the result of `without_breaks`."""
        if self._longest in data and (self._plain in data or next(self._escaped(data), None) is not None):
            return True
        for head in self._heads:  # noqa: SIM110 (a generator would cost more than the look)
            if head in data or (unbroken is not data and head in unbroken):
                return True
        return False

    def spans(self, data: bytes, unbroken: bytes) -> Iterator[Span]:
        """Yield every place of the text in the data; places may overlap."""
        place = data.find(self._plain)
        while place >= 0:
            yield place, place + len(self._plain)
            place = data.find(self._plain, place + len(self._plain))
        yield from self._escaped(data)
        for head, encoding in zip(self._heads, self._encodings, strict=True):
            if head in data or head in unbroken:
                breaks = rb"(?:%s)*" % _BREAK.pattern
                for found in re.finditer(breaks.join(re.escape(bytes([one])) for one in head), data):
                    yield _widened(data, found.start(), _followed(data, found.end(), encoding[_LOOKED_FOR:]))

    def _escaped(self, data: bytes) -> Iterator[Span]:
        """Yield the places where some character is escaped, or none is."""
        if self._is_never_escaped or self._longest not in data:
            return
        if not self._first:
            if any(one in data for one in (b"%", b"\\", b"&", b"=", b"''", b'""')):
                yield from (found.span() for found in self._pattern.finditer(data))
            return
        end = 0
        place = data.find(self._first)
        while place >= 0:
            for start in range(place, max(end, place - self._reach) - 1, -1):
                found = self._pattern.match(data, start)
                if found is not None and found.end() > place:
                    yield found.span()
                    end = found.end()
                    break
            place = data.find(self._first, max(end, place + 1))

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        parts, before = [], ""
        for character, run in groupby(self._text):
            count = len(list(run))
            if count > 1 and character in _DOUBLED:
                alike = _character(character, before, doubled=False)
                parts.append(rb"(?>(?:%s){%d}|(?:%s){%d})" % (re.escape(character.encode()), 2 * count, alike, count))
            elif character == "\\":
                parts.append(rb"(?>\\{%d,}+|(?:%s){%d})" % (count, _character(character, before), count))
            else:
                parts.append(_character(character, before) * count)
            before = character
        return re.compile(b"".join(parts))


def without_breaks(data: bytes) -> bytes:
    """Return the data without line ends, at which programs wrap encodings; the data itself if it has none."""
    if b"\n" not in data and b"\\n" not in data:
        return data
    return data.translate(None, b"\r\n").replace(b"\\r", b"").replace(b"\\n", b"")


def _character(character: str, before: str, *, doubled: bool = True) -> bytes:
    """Return a pattern of one character in every spelling; `before` is the previous character."""
    code, plain = ord(character), character.encode("utf-8", "surrogatepass")
    if character.isascii() and character.isalnum():
        return plain
    slash = rb"\\*" if before == "\\" else rb"\\+"  # a run of them was matched whole
    units = character.encode("utf-16-be", "surrogatepass")
    ways = [
        b"".join(rb"%%(?:25)*%s" % _hex(byte) for byte in plain),
        b"".join(rb"=%s" % _hex(byte) for byte in plain),
        b"".join(slash + b"u" + _hex(units[i], units[i + 1]) for i in range(0, len(units), 2)),
        slash + b"U" + _hex(*code.to_bytes(4)),
        b"".join(slash + b"x" + _hex(byte) for byte in plain),
        b"".join(slash + b"%03o" % byte for byte in plain),
        rb"&(?:amp;)*#0*%d;" % code,
        rb"&(?:amp;)*#[xX]0*%s;" % b"".join(_digit(one) for one in f"{code:x}"),
    ]
    if code in _NAMES:
        ways.append(rb"&(?:amp;)*%s;" % _NAMES[code].encode())
    if 0x80 <= code < 0x100:
        ways.append(slash + b"x" + _hex(code))
    if character in _LETTERS:
        ways.append(slash + _LETTERS[character].encode())
    if character == "'":
        ways += [rb"'\"'\"'", rb"'\\+''"]
    if character == " ":
        ways.append(rb"\+")
    if character in _DOUBLED and doubled:
        ways.append(re.escape(plain * 2))
    for form in ("NFC", "NFD"):
        ways.append(re.escape(unicodedata.normalize(form, character).encode("utf-8", "surrogatepass")))
    ways.append(rb"\\*" + re.escape(plain))
    if 0x80 <= code < 0x100:
        ways.append(re.escape(bytes([code])))  # Latin-1, last: some longer character begins with it
    return rb"(?>%s)" % b"|".join(dict.fromkeys(ways))


def _hex(*values: int) -> bytes:
    """Return a pattern of two hexadecimal digits per byte, in either case."""
    return b"".join(_digit(one) for one in bytes(values).hex())


def _digit(one: str) -> bytes:
    return one.encode() if one.isdigit() else f"[{one}{one.upper()}]".encode()


def _encodings(text: str, plain: bytes) -> Iterator[bytes]:
    """Yield the bytes that identify the text in an encoding that changes all of its characters."""
    wide = text.encode("utf-16-le", "surrogatepass")
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for raw in (plain, wide):
        for offset in range(3):
            encoded = base64.b64encode(bytes(offset) + raw)
            # only the text determines the characters between these two
            own = encoded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
            yield own
            yield own.translate(bytes.maketrans(b"+/", b"-_"))
    yield wide
    yield repr(wide)[2:-1].encode()
    yield text.encode("utf-16-be", "surrogatepass")
    yield from _read(text)


def _read(text: str) -> Iterator[bytes]:
    """Yield the forms that programs make of a text that is a number, an identifier or bytes."""
    if text.isascii() and text.isdigit() and len(text) <= 300:
        number = int(text)
        yield msgspec.msgpack.encode(number) if number < 2**64 else b"%x" % number
        yield msgspec.msgpack.encode(float(number))
    readings: tuple[Callable[[], bytes], ...] = (
        lambda: uuid.UUID(text).bytes,
        lambda: bytes.fromhex(text),
        lambda: base64.b64decode(text.translate({ord("-"): "+", ord("_"): "/"}), validate=True),
    )
    for read in readings:
        with contextlib.suppress(ValueError):
            meant = read()
            if len(meant) >= _SHORTEST_MEANT:
                yield meant


def _followed(data: bytes, end: int, rest: bytes) -> int:
    """Return how far the rest of an encoding continues after its beginning, across line ends."""
    for one in rest:
        while (broken := _BREAK.match(data, end)) is not None:
            end = broken.end()
        if data[end : end + 1] != bytes([one]):
            break
        end += 1
    return end


def _widened(data: bytes, start: int, end: int) -> Span:
    """Return the whole word around an encoding: the characters beside it reveal the text as well."""
    if data[start] in _WORD:
        while start and data[start - 1] in _WORD:
            start -= 1
        while end < len(data) and data[end] in _WORD:
            end += 1
        while data[end : end + 1] == b"=":
            end += 1
    return start, end
