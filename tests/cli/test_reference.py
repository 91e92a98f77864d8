"""The pages under docs/ say all that the command line does."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurocore.cli import reference
from neurocore.cli.schemas import DOCUMENTS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_command_that_has_json_names_its_document():
    named = {one for _, commands in DOCUMENTS.values() for one in commands}
    having = {
        name.removeprefix("neurocore ")
        for name, command in reference.commands()
        if any("--json" in option.opts for option in command.params)
    }

    assert having == named


@pytest.mark.parametrize("file", sorted(reference.files()))
def test_the_pages_say_what_the_code_does(file):
    made = reference.files()[file]
    there = (DOCS / file).read_text("utf-8")
    if file.endswith(".md"):
        there = there.partition(reference.BEGIN)[2].partition(reference.END)[0].strip() + "\n"

    assert there == made, f"docs/{file} is out of date; `python -m neurocore.cli.reference docs` writes it"


def test_no_schema_is_left_over():
    # openapi.json is the API's, and checked with it.
    assert {path.stem for path in (DOCS / "schemas").glob("*.json")} - {"openapi"} == set(DOCUMENTS)


def test_every_command_and_every_option_is_on_the_page():
    page = (DOCS / "cli.md").read_text("utf-8")

    for name, command in reference.commands():
        assert f"`{name}`" in page
        for option in command.params:
            for spelled in getattr(option, "opts", []) if option.param_type_name == "option" else []:
                assert f"`{spelled}`" in page, f"{name} {spelled}"


@pytest.mark.parametrize("code", ["0", "1", "2", "3", "4", "5", "130"])
def test_every_exit_code_is_on_the_page(code):
    assert f"| {code} |" in (DOCS / "cli.md").read_text("utf-8")
