"""What a skill is given in a run, and what the run takes from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurocore import FlowContext, Skill, SkillMeta
from neurocore.config import Llm, NeuroCoreConfig
from neurocore.errors import BlueprintError, ExecutionError
from neurocore.persistence import SQLiteRunStore
from neurocore.runtime.blueprint import parse_blueprint, validate_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked
from neurocore.skills.registry import SkillRegistry

ONE = "name: one\ncomponents: [{name: it, type: kind}]\nflow: {type: sequential, steps: [{component: it}]}\n"


class Seen(Skill):
    """Notes what it is given."""

    skill_meta = SkillMeta(name="kind", config_schema={"properties": {"size": {"type": "integer"}}})

    def process(self, context: FlowContext) -> FlowContext:
        model = getattr(self.llm, "model", None)
        context.set("seen", {"root": self.project_root, "config": sorted(self.config), "model": model})
        return context


class Thinking(Seen):
    """Requires a language model."""

    skill_meta = SkillMeta(name="kind", requires_llm=True, config_schema={"additionalProperties": False})


def result_of(work: Any, tmp_path: Path, kind: type[Skill] = Seen, llm: Llm | None = None) -> FlowContext:
    """The context after a run of one step."""

    class Made(kind):  # type: ignore[misc, valid-type]
        if work is not None:
            process = work

    registry = SkillRegistry()
    registry.register(Made)
    config = NeuroCoreConfig(project_root=tmp_path, llm=llm or Llm(), real_environ={"KEY": "kept-out-of-it"})
    store = SQLiteRunStore(tmp_path / "runs.db")
    try:
        return execute_blueprint_tracked(parse_blueprint(ONE), registry, config, run_store=store)
    finally:
        store.close()


MODEL = Llm(provider="own", model="small", base_url="http://127.0.0.1:1", api_key="${KEY}")


def test_a_skill_knows_the_project_and_only_one_that_wants_a_language_model_gets_its_settings(tmp_path: Path) -> None:
    seen = result_of(None, tmp_path, llm=MODEL).get("seen")
    assert seen == {"root": tmp_path, "config": [], "model": None}
    seen = result_of(None, tmp_path, Thinking, MODEL).get("seen")
    assert seen["model"] == "small"
    assert "llm_api_key" in seen["config"]


@pytest.mark.parametrize(
    ("llm", "said"),
    [
        (
            Llm(),
            r"it: it needs a language model and none is configured; set llm\.provider, llm\.model and llm\.base_url",
        ),
        (Llm(provider="own", model="small"), r"it: The language model provider 'own' needs llm\.base_url"),
        (Llm(provider="ollama"), r"it: The language model provider 'ollama' needs llm\.model"),
    ],
)
def test_a_language_model_that_is_missing_is_told_before_anything_runs(tmp_path: Path, llm: Llm, said: str) -> None:
    with pytest.raises(BlueprintError, match=said):
        result_of(None, tmp_path, Thinking, llm)
    registry = SkillRegistry()
    registry.register(Thinking)
    assert validate_blueprint(parse_blueprint(ONE), registry) == []  # without a project nothing is known of its model


def test_a_skill_may_return_another_context(tmp_path: Path) -> None:
    def ours(self: Skill, context: FlowContext) -> FlowContext:
        other = FlowContext({"found": 1})
        other.set_port("left")
        return other

    assert result_of(ours, tmp_path).get("found") == 1

    def somebody_elses(self: Skill, context: FlowContext) -> Any:
        data = SimpleNamespace(to_dict=lambda: {"found": 2})
        return SimpleNamespace(data=data, metadata=SimpleNamespace(suspended=False), get_active_port=lambda: None)

    assert result_of(somebody_elses, tmp_path).get("found") == 2
    assert not result_of(lambda self, context: None, tmp_path).has("found")


@pytest.mark.parametrize("returned", [{"found": 3}, "found", 0, SimpleNamespace(data={})])
def test_what_is_no_context_is_refused_and_not_lost_silently(tmp_path: Path, returned: Any) -> None:
    with pytest.raises(ExecutionError, match=r"The skill of it returned \w+ instead of its context; set its results"):
        result_of(lambda self, context: returned, tmp_path)
