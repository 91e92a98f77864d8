"""Every type of value through every backend of ours (promise 9)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurocore import FlowContext, Skill, SkillMeta, codec
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore
from neurocore.persistence.records import Changes, LogLine, RunFilter, RunStatus
from neurocore.persistence.testing.contract import answer, event, found, gate, give, run, step, turn
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked, resume_blueprint
from neurocore.skills.loader import discover_skills
from tests.persistence.json_store import JsonFolderStore
from tests.values import same, texts, values

BACKENDS = {
    "sqlite": lambda folder: SQLiteRunStore(folder / "runs.db"),
    "memory": lambda folder: InMemoryRunStore(),
    "json": JsonFolderStore,
}


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.close()


@given(data=st.dictionaries(texts, values, max_size=3), changed=st.dictionaries(texts, values, max_size=3))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_value_comes_back_from_every_store(store, data, changed):
    store.delete_run("r1")
    store.create_run(run("r1", initial_data=data))
    mine = found(store, "r1")
    mine.status = RunStatus.COMPLETED
    store.commit(turn(mine, owner=None, steps=[step("r1", 0, sets=changed, config=data)], events=[event(data=data)]))

    back = found(store, "r1")
    (one,) = store.load_steps("r1")
    assert same(back.initial_data, data)
    assert same(one.config, data)
    assert same(back.events[0].data, {"data": data})
    assert one.output_keys == list(changed)
    context = {key: codec.decode(value) for key, value in store.load_context("r1").items()}
    assert same(context, {**data, **changed})
    assert back.final_context is not None
    assert same(back.final_context["data"], context)


keys = st.sampled_from(["a", "ab", "b", "ü", "\ud800"])
changes = st.builds(
    lambda new, gone: Changes(set={key: codec.encode(value) for key, value in new.items()}, deleted=tuple(gone)),
    st.dictionaries(keys, st.sampled_from([0, "a", "ab", "other"]), max_size=3),
    st.lists(keys, max_size=2),
)


@given(data=st.dictionaries(keys, st.integers(), max_size=3), made=st.lists(changes, max_size=5), order=st.randoms())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_some_values_of_a_context_are_those_of_the_whole_context(store, data, made, order):
    commits = list(range(1, len(made) + 1))
    order.shuffle(commits)  # branches commit in another order than they begin in
    store.delete_run("r1")
    store.create_run(run("r1", initial_data=data))
    steps = [step("r1", index, commit_index=commit) for index, commit in enumerate(commits)]
    for one, changed in zip(steps, made, strict=True):
        one.changes = changed
    store.commit(turn(found(store, "r1"), owner=None, steps=steps))
    whole = store.load_context("r1")
    for wanted in ([], ["a"], ["ab", "ü", "none"], ["a", "ab", "b", "\ud800"]):
        assert store.load_values("r1", wanted) == {key: whole[key] for key in wanted if key in whole}


def nested(depth: int) -> object:
    value: object = {"end": [math.nan, -math.inf]}
    for level in range(depth):
        value = {f"a.b[{level}]": value} if level % 2 else (value, "\ud800")
    return value


EXTREMES: dict[str, Any] = {
    "nan": math.nan,
    "five MiB of text": "Ü✓x" * (5 * 1024 * 1024 // 6),
    "bytes": bytes(range(256)),
    "10^400": 10**400,
    "a.key.with.dots": {"": {".": {"..": "."}}},
    "lone \udcff surrogates \ud800": ["\ud83d", "\udc00\ud800"],
    "'; DROP TABLE runs; --": "%_'\"\\",
    "nul \0 inside": "\0",
    "deep": nested(150),
    "__class__": {"$set": [1], "$what": {"__proto__": None}},
}


def test_extreme_values_come_back_from_every_store_through_a_run(store, tmp_path):
    config = NeuroCoreConfig(project_root=tmp_path)
    registry = discover_skills()

    class Turn(Skill):
        skill_meta = SkillMeta(name="turn")

        def process(self, context: FlowContext) -> FlowContext:
            for key in EXTREMES:
                value = context.get(key)
                context.set(f"{key} again", [value] if key != "five MiB of text" else len(value))
            return context

    registry.register(Turn)
    steps = "flow:\n  steps:\n    - component: a\n    - approval: {show: []}\n"
    blueprint = parse_blueprint(f"name: b\ncomponents:\n  - {{name: a, type: turn}}\n{steps}")
    given = {key: value for key, value in EXTREMES.items() if "nul" not in key and "lone" not in key}
    run_id = execute_blueprint_tracked(
        blueprint, registry, config, initial_data=given, run_store=store
    ).metadata.run_id  # fmt: skip
    resumed = resume_blueprint(run_id, registry, config, resume_data={"approved": True}, run_store=store)
    expected = {**given, **{f"{key} again": [given.get(key)] for key in EXTREMES}}
    expected["five MiB of text again"] = len(EXTREMES["five MiB of text"])
    back = found(store, run_id)
    assert back.final_context is not None
    for seen in (resumed.data.to_dict(), back.final_context["data"]):
        assert same({key: value for key, value in seen.items() if not key.startswith("approval")}, expected)
    assert same(back.initial_data, given)


@given(text=texts)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_of_any_kind_are_no_trouble_anywhere(store, text):
    store.delete_run("r1")
    opened = gate("r1", text or "node", name=text, message=text)
    mine = run(
        "r1", title=text, blueprint_name=text or "b", tags=[text], started_by=text, error=text, replay_of=text,
        suspension_reason=text, suspended_at_node=text, blueprint_path=text, gates=[opened],
    )  # fmt: skip
    store.create_run(mine)
    row = step(
        "r1", 0, component=text, node_id=text, reason=text, error=text, traceback=text, port=text, output_keys=[text],
        logs=[LogLine(at=opened.opened_at, level="info", message=text)],
    )  # fmt: skip
    store.commit(turn(mine, owner=None, steps=[row], events=[event(text, who=text)]))
    node = store.load_gates("r1")[0].node_id
    assert give(store, "r1", answer(node, by=text, note=text), event=event(who=text))
    back = found(store, "r1")
    assert text.isascii() is False or (back.title, back.tags, back.started_by) == (text, [text], text)
    decision = back.gates[0].decision
    assert decision is not None
    assert decision.sealed("r1", "").hash == decision.hash
    wanted = RunFilter(blueprint=text or "b", text=text[:3], tag=text, started_by=text)
    assert len(store.page_runs(wanted).runs) <= 1
    assert store.load_run(text) is None or text == "r1"
