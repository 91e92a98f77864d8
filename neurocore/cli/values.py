"""The values of a run for reading: text with its line breaks, a list of records as a table, the rest key by key."""

from __future__ import annotations

from typing import Any

from neurocore import numerals
from neurocore.cli.output import Column, fits, table
from neurocore.cli.text import WHOLE, cut, line, number, safe, short, width, wrapped
from neurocore.readable import counted

#: The maximum number of lines of a value without `--full`.
MOST_LINES = 12

#: The width to which a column of text may shrink; if that is not enough, the last columns are left out.
LEAST = 20


def named(values: dict[str, Any], *, indent: str, room: int, most: int | None = MOST_LINES) -> list[str]:
    """Return names and values in two columns; a value that does not fit on the line is below its name."""
    if not values:
        return []
    names = {key: line(key) for key in values}
    gutter = min(max(width(name) for name in names.values()), max(8, room // 3))
    lines = []
    for key, value in values.items():
        if most is None and width(names[key]) > gutter:  # nothing is cut with --full
            lines += [*wrapped(names[key], room, indent), *block(value, indent=f"{indent}  ", room=room, most=most)]
            continue
        name = cut(names[key], gutter)
        head = f"{indent}{name}{' ' * (gutter - width(name))}  "
        left = room - width(head)
        if on_a_line(value, left):
            lines.append(f"{head}{short(value, left)}".rstrip())
            continue
        lines.append(f"{head}{_size(value)}".rstrip())
        lines.extend(block(value, indent=f"{indent}  ", room=room, most=most))
    return lines


def block(value: Any, *, indent: str, room: int, most: int | None = MOST_LINES) -> list[str]:
    """Return a value on as many lines as it needs, or at most `most` lines and the number of further lines."""
    lines = _lines(value, indent, max(20, room), most)
    if most is not None and len(lines) > most:
        left = len(lines) - most + 1
        return [*lines[: most - 1], f"{indent}… {counted(left, 'more line')} (`runs inspect --full` shows all)"]
    return lines


def _lines(value: Any, indent: str, room: int, most: int | None) -> list[str]:
    if isinstance(value, str):
        text = value if most is None else value[: most * room * 2]
        return wrapped(safe(text).rstrip("\n"), room, indent)
    if isinstance(value, dict):
        return named(value, indent=indent, room=room, most=most)
    if isinstance(value, list) and value:
        if _records(value):
            return _table(value, indent, room, most)
        return [line for item in _some(value, most) for line in _item(item, indent, room, most)]
    return [f"{indent}{short(value, room - len(indent))}"]


def _item(item: Any, indent: str, room: int, most: int | None) -> list[str]:
    if on_a_line(item, room - len(indent) - 2):
        return [f"{indent}- {short(item, room - len(indent) - 2)}"]
    first, *rest = _lines(item, f"{indent}  ", room, most)
    return [f"{indent}- {first[len(indent) + 2 :]}", *rest]


def _records(value: list[Any]) -> bool:
    """Return whether the list consists of flat mappings with mostly the same keys."""
    if len(value) < 2 or not all(isinstance(item, dict) and item for item in value[:200]):
        return False
    keys = {key for item in value[:200] for key in item}
    flat = all(not isinstance(one, (dict, list)) for item in value[:200] for one in item.values())
    return flat and len(keys) <= 12 and len(keys) <= 2 * min(len(item) for item in value[:200])


def _table(value: list[dict[str, Any]], indent: str, room: int, most: int | None) -> list[str]:
    rows = _some(value, most)
    keys = list(dict.fromkeys(key for item in rows for key in item))
    numeric = {key for key in keys if all(_is_number(item.get(key)) for item in rows)}
    heads = {key: Column(line(key), right=key in numeric, least=0 if key in numeric else LEAST) for key in keys}
    cells = {
        key: ["" if item.get(key) is None else short(item[key], 80 if most else 100_000) for item in rows]
        for key in keys
    }
    space = room - width(indent)

    def fitting(kept: list[str], *, shrunk: bool) -> bool:
        return fits([heads[key] for key in kept], _rows(cells, kept), space, shrunk=shrunk)

    if most is None and not fitting(keys, shrunk=False):
        return [one for item in rows for one in _item(item, indent, room, most)]  # nothing is cut with --full
    kept = list(keys)
    while len(kept) > 2 and not fitting(kept, shrunk=True):
        kept.pop()
    text = table([heads[key] for key in kept], _rows(cells, kept), room=space)
    lines = [f"{indent}{one}" for one in text.split("\n")]
    return [*lines, *_left_out(len(value) - len(rows), [line(key) for key in keys[len(kept) :]], indent)]


def _rows(cells: dict[str, list[str]], kept: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(cells[key] for key in kept), strict=True))


def _left_out(rows: int, keys: list[str], indent: str) -> list[str]:
    parts = ([counted(rows, "more row")] if rows > 0 else []) + ([", ".join(keys)] if keys else [])
    return [f"{indent}… {' and '.join(parts)} (`runs inspect --full` shows all)"] if parts else []


def _some(value: list[Any], most: int | None) -> list[Any]:
    return value if most is None or len(value) <= most - 2 else value[: most - 3]


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return numerals.number(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def on_a_line(value: Any, room: int) -> bool:
    """Return whether a value fits on one line of so many columns with nothing left out."""
    if isinstance(value, str):
        return "\n" not in value.strip("\n") and width(line(value)) <= room
    if isinstance(value, (list, dict)):
        if not value:
            return True
        flat = value if isinstance(value, list) else list(value.values())
        if any(isinstance(item, (list, dict)) for item in flat):
            return False
        text = short(value, WHOLE)
        return not text.endswith((" item", " items", " key", " keys")) and width(text) <= room
    return width(number(value)) <= room


def _size(value: Any) -> str:
    if isinstance(value, list):
        return counted(len(value), "item")
    return counted(len(value), "character") if isinstance(value, str) and len(value) > 400 else ""
