r"""Read `.env` files: `NAME=value`, one per line, with python-dotenv's parser.

A line may begin with `export` and end with a comment. A value in single quotes is taken as it is. In double quotes
`\n`, `\r` and `\t` are control characters, and a backslash before any other character is dropped. Quoted values may
span several lines. References to other variables are not interpolated.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from dotenv.parser import Reader, parse_binding

_START = re.compile(r"(?:export[^\S\n]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[^\S\n]*=[^\S\n]*(?P<value>.*)", re.DOTALL)
#: Values by their first character, where python-dotenv's rules differ from those above.
_VALUES = {
    "'": re.compile(r"'([^']*)'"),
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "#": re.compile(r"#[^\n]*()"),
}
#: `export =1` sets a variable of this name.
_EXPORT = re.compile(r"(?:export[^\S\n]+(?=[^=\s]))?")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class _Reader(Reader):
    """A reader for python-dotenv's parser that reads values by our rules."""

    def read_regex(self, regex: re.Pattern[str]) -> Sequence[str]:
        first = self.peek(1)
        if not regex.groups or first not in _VALUES:
            return super().read_regex(_EXPORT if "export" in regex.pattern else regex)
        (value,) = super().read_regex(_VALUES[first])
        if first == '"':
            value = _ESCAPE.sub(lambda one: _ESCAPES.get(one[1], one[1]), value)
        return (value.replace("\\", "\\\\"),)  # the parser then replaces each `\\` by `\`


def parse_dotenv(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Return the values by name (the last one counts), and the problems: a line, from 1, and a sentence each."""
    values: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    reader = _Reader(io.StringIO(text.replace("\r\n", "\n"), newline=""))
    while reader.has_next():
        binding = parse_binding(reader)
        source, line = binding.original
        content = source.lstrip()
        match = _START.match(content)
        if match and binding.key == match["name"] and binding.value is not None:
            values[match["name"]] = binding.value
        elif content and not content.startswith("#"):
            problems.append((line + source[: -len(content)].count("\n"), _problem(match)))
    return values, problems


def _problem(match: re.Match[str] | None) -> str:
    rule = _VALUES.get(match["value"][:1]) if match else None
    if match is None or rule is None:
        return "Expected NAME=value."
    if rule.match(match["value"]):
        return f"There is text after the closing quote of {match['name']}."
    return f"The opening quote of {match['name']} is never closed."
