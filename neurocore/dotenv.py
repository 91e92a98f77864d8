r"""`.env` files: `NAME=value`, one a line.

`export` before a name and comments are allowed. What stands in single quotes is taken as it is, in double quotes `\n`,
`\r`, `\t`, `\"` and `\\` are written out; both may go over several lines. Nothing is interpolated.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""[^\S\n]*(?:export[^\S\n]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[^\S\n]*=[^\S\n]*
    (?: '(?P<single>[^']*)' (?P<end1>[^\n]*)
      | "(?P<double>(?:[^"\\]|\\.)*)" (?P<end2>[^\n]*)
      | (?P<plain>[^\n]*) )""",
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[^\S\n]*(#[^\n]*)?(?=\n|\Z)")
_COMMENT = re.compile(r"(^|\s)#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The values by name (the last one counts), and what is wrong: each line, from 1, with a sentence."""
    values: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    text = text.replace("\r\n", "\n")
    at = 0
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        match = _BLANK.match(text, at) or _LINE.match(text, at)
        if match is None:
            problems.append((line, "Expected NAME=value."))
        elif match.re is _LINE:
            why = _take(match, values)
            if why:
                problems.append((line, why))
        end = text.find("\n", match.end() if match else at)
        at = len(text) if end < 0 else end + 1
    return values, problems


def _take(match: re.Match[str], values: dict[str, str]) -> str | None:
    name = match["name"]
    rest = match["end1"] or match["end2"] or ""
    if rest.strip() and not rest.strip().startswith("#"):
        return f"Something stands after the closing quote of {name}."
    if match["single"] is not None:
        values[name] = match["single"]
    elif match["double"] is not None:
        values[name] = _ESCAPE.sub(lambda one: _ESCAPES.get(one[1], one[1]), match["double"])
    else:
        plain = _COMMENT.sub("", match["plain"]).strip()
        if plain[:1] in ("'", '"'):
            return f"The quote that {name} begins with is never closed."
        values[name] = plain
    return None
