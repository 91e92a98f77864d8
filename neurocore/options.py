"""Number types for the options of commands: click's own also accept other scripts' digits, `1_000`, `nan`, `inf`."""

from __future__ import annotations

from typing import Any

import click

from neurocore import numerals


class Whole(click.IntRange):
    """A whole number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str) and numerals.whole(value.strip()) is None:
            self.fail(f"{value[:40]!r} is not a whole number.", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str) and numerals.number(value.strip()) is None:
            self.fail(f"{value[:40]!r} is not a number.", param, ctx)
        return super().convert(value, param, ctx)
