"""Names in Unicode forms: `é` may be one character or two, and nobody can see which. Such names are the same name.

They are normalised (NFC) only for comparison: the typed text is stored unchanged, and so are the bytes that a hash
covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar
from unicodedata import normalize

_Value = TypeVar("_Value")


def form(text: str) -> str:
    """Return the form in which a name is compared."""
    return text if text.isascii() else normalize("NFC", text)


def same(one: str | None, other: str | None) -> bool:
    """Return whether two names are the same, or both are missing."""
    if one == other or one is None or other is None:
        return one == other
    return form(one) == form(other)


def spellings(text: str | None) -> tuple[str | None, ...]:
    """Return the forms in which a name may be stored, for look-ups by exact text: as given, composed, decomposed."""
    if text is None or text.isascii():
        return (text,)
    return tuple(dict.fromkeys((text, normalize("NFC", text), normalize("NFD", text))))


def spelled(names: Iterable[str], name: str) -> str | None:
    """Return the name among `names` that is the same as `name`: the exact one, else one in another form, else None."""
    if name.isascii():
        return name if name in names else None
    found = [one for one in names if same(one, name)]
    return name if name in found else found[0] if found else None


def found(values: Mapping[str, _Value], name: str) -> _Value | None:
    """Return the value under a name, in any form of that name; None if there is none."""
    key = spelled(values, name)
    return None if key is None else values[key]


def folded(counts: Mapping[str, int], known: Iterable[str] = ()) -> dict[str, int]:
    """Return counts by name; the forms of one name are added up, spelled as in `known` or as found first."""
    spelling: dict[str, str] = {}
    for name in (*known, *counts):
        spelling.setdefault(form(name), name)
    folded: dict[str, int] = {}
    for name, count in counts.items():
        key = spelling[form(name)]
        folded[key] = folded.get(key, 0) + count
    return folded
