"""Pages that compare are quick whatever is compared, and say what was not."""

from __future__ import annotations

import time

import pytest

from neurocore.differences import TOO_DIFFERENT, TOO_DIFFERENT_LINES

ROWS = """
name: rows
inputs: {rows: list, text: {type: string, default: ""}}
components: [{name: copy, type: python, config: {function: "builtins:dict", arguments: {rows: rows, text: text}}}]
flow:
  steps:
    - component: copy
    - approval: {name: review, show: [rows, text, copy]}
    - component: copy
"""

EQUAL = [{"iban": "DE1", "amount": 5}] * 2_000
OTHER = [{"iban": f"AT{n}", "amount": -n} for n in range(1_500)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (EQUAL, EQUAL[:-1], "removed"),
        (EQUAL, [*EQUAL[:1_000], *OTHER[:1], *EQUAL[1_000:]], "AT0"),
        (EQUAL, OTHER, TOO_DIFFERENT),
        ("a\n" * 2_000, "a\n" * 1_000 + "b\n" + "a\n" * 1_000, "+ b"),
        ("".join(f"{n}\n" for n in range(3_000)), "".join(f"-{n}\n" for n in range(2_000)), TOO_DIFFERENT_LINES),
    ],
)
def test_every_page_and_answer_that_compares_is_there_in_time(site, before, after, said):
    (site.root / "blueprints" / "rows.yaml").write_text(ROWS)
    runs = []
    for value in (before, after):
        runs.append(site.run("rows", **({"rows": value} if isinstance(value, list) else {"rows": [], "text": value})))
        if value is before:
            site.decide(runs[0], "approve")
    first, second = runs
    for address in (
        f"/runs/{second}", f"/runs/{first}/compare/{second}", f"/runs/{second}/compare/{first}",
        f"/runs/{first}/steps/2",
        f"/api/v1/runs/{first}/compare/{second}", f"/api/v1/runs/{second}",
    ):  # fmt: skip
        began = time.thread_time()
        text = site.page(address)
        assert time.thread_time() - began < 3, address
        if address in (f"/runs/{second}", f"/runs/{first}/compare/{second}"):
            assert said in text, address
