"""The page about gates: its blueprints are sound, and it tells of every key, those refused yet included."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurocore.blueprint.gate_rules import NOT_YET
from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.load import parse_blueprint
from neurocore.blueprint.model import Gate
from neurocore.blueprint.plans import plan_of
from neurocore.gates.opening import policy_of
from neurocore.skills.loader import discover_skills

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_every_blueprint_of_the_page_is_sound_and_its_gates_can_open(text: str, tmp_path: Path) -> None:
    registry = discover_skills(skills_dir=tmp_path)
    blueprint = parse_blueprint(text)
    assert validate_blueprint(blueprint, registry) == []
    gates = [node for node in plan_of(blueprint, registry).nodes if node.is_gate]
    assert gates
    for gate in gates:
        policy_of(gate, ())


def keys() -> list[str]:
    """The keys of a gate in a blueprint, without its name."""
    return [name for name in Gate.__struct_fields__ if name != "name"]


def test_every_key_that_is_applied_is_in_a_blueprint_of_the_page() -> None:
    shown = "\n".join(EXAMPLES)
    assert [key for key in keys() if key not in NOT_YET and not re.search(rf"\b{key}:", shown)] == []


def test_what_is_refused_yet_is_named_in_one_sentence_and_nowhere_shown() -> None:
    (sentence,) = re.findall(r"^This version refuses (.*?)\.$", PAGE, re.DOTALL | re.MULTILINE)
    assert re.findall(r"`(\w+)`", sentence) == list(NOT_YET)
    assert not any(re.search(rf"\b{key}:", text) for key in NOT_YET for text in EXAMPLES)


def test_links_to_places_of_the_page_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    places = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) <= places
