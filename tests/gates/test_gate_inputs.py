"""A gate freezes its message and what the message and the values rest on; nothing is rendered a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from msgspec import structs

from neurocore import codec
from neurocore.errors import GateChanged
from neurocore.persistence import seals
from neurocore.runtime.executor import decide_gate, resume_blueprint
from neurocore.skills import templates
from tests.runtime.worlds import World, chain


def waits(world: World, message: str, *, show: str = "[]", **values: Any) -> str:
    """A run that waits at a gate with this message, after a step that set `values`."""
    world.skill("work", lambda context: context.data.update(values if not context.has("done") else {}))
    gate = f"approval: {{name: ok, message: {json.dumps(message)}, show: {show}}}"
    return world.run(chain("a", gate, "b")).metadata.run_id


def approve(world: World, run_id: str) -> Any:
    """Approve what the gate shows now."""
    (gate,) = [one for one in world.store.load_gates(run_id) if one.status == "open"]
    return decide_gate(run_id, approved=True, by="ann", digest=gate.digest, run_store=world.store)


def tamper(world: World, run_id: str, **values: Any) -> None:
    """Change what the first step has recorded."""
    step = world.steps(run_id)[0]
    changed = {**step.changes.set, **{key: codec.encode(value) for key, value in values.items()}}
    gone = tuple(key for key, value in values.items() if value is None)
    kept = {key: data for key, data in changed.items() if key not in gone}
    world.store.save_step(structs.replace(step, changes=structs.replace(step.changes, set=kept, deleted=gone)))


def test_nothing_is_rendered_when_an_answer_comes_nor_when_the_gate_completes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = waits(world, "Publish under {{ tags|join(', ') }}?", tags={"a", "b"})

    def fails(*_: Any, **__: Any) -> str:
        raise AssertionError("rendered again")

    monkeypatch.setattr(templates, "render", fails)
    assert approve(world, run_id).effect == "took_effect"
    assert world.resume(run_id).metadata.status == "completed"


@pytest.mark.system
def test_a_message_that_another_process_would_render_otherwise_is_approved_at_once(world: World) -> None:
    tags = {"finance", "urgent", "eu", "q4", "payroll"}
    run_id = waits(world, "Publish under {{ tags|join(', ') }}?", tags=tags)
    script = (
        "import sys; from neurocore.persistence import SQLiteRunStore; from neurocore.runtime.executor import "
        "decide_gate; print(decide_gate(sys.argv[2], approved=True, by=sys.argv[3], "
        "run_store=SQLiteRunStore(sys.argv[1])).effect)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(world.store.path), run_id, "ann"], capture_output=True, text=True,
            check=True, env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    ]  # fmt: skip
    assert said == ["took_effect\n", "repeated\n", "repeated\n"]
    assert len(world.store.load_gates(run_id)) == 1


@pytest.mark.parametrize(
    ("message", "show", "changes"),
    [
        ("Pay {{ total }}?", "[]", {"total": 13}),
        ("Pay {{ total if total is defined else 'nothing' }}?", "[]", {"total": None}),
        ("Pay {{ rows|length }} rows?", "[]", {"rows": [1, 2]}),
        ("Pay {% for row in rows %}{{ row }}{% endfor %}?", "[]", {"rows": [1, 3]}),
        ("Pay?", "[total]", {"total": 13}),
        ("Pay?", "[absent]", {"absent": 1}),
        ("Pay {{ absent|default('nothing') }}?", "[]", {"absent": "nothing"}),
    ],
)
def test_a_change_of_what_a_gate_rests_on_refuses_the_answer(
    world: World, message: str, show: str, changes: dict[str, Any]
) -> None:
    run_id = waits(world, message, show=show, total=12, rows=[1, 2, 3][:2], other=1)
    if message == "Pay {{ rows|length }} rows?":  # as many rows as before, which reads the same
        changes = {"rows": [1, 9]}
    tamper(world, run_id, **changes)
    with pytest.raises(GateChanged, match="look at the new values"):
        approve(world, run_id)
    assert [gate.status for gate in world.store.load_gates(run_id)] == ["voided", "open"]
    assert approve(world, run_id).effect == "took_effect"
    assert world.resume(run_id).metadata.status == "completed"


def test_a_change_of_something_else_changes_nothing(world: World) -> None:
    run_id = waits(world, "Pay {{ total }}?", total=12, other=1, order={"a": 1, "b": 2})
    tamper(world, run_id, other=2)
    assert approve(world, run_id).effect == "took_effect"


def test_a_mapping_in_another_order_is_the_same_value(world: World) -> None:
    run_id = waits(world, "Pay {{ total.sum }}?", show="[total]", total={"sum": 12, "count": 2})
    tamper(world, run_id, total={"count": 2, "sum": 12})
    assert approve(world, run_id).effect == "took_effect"


def test_a_credential_enters_as_the_mask(world: World) -> None:
    run_id = waits(world, "Use {{ api_key }} of {{ account.password }}?", api_key="k1", account={"password": "p1"})
    tamper(world, run_id, api_key="k2", account={"password": "p2"})
    assert approve(world, run_id).effect == "took_effect"


def test_a_gate_that_was_opened_before_keeps_its_rule(world: World) -> None:
    run_id = waits(world, "Pay {{ total }}?", show="[total]", total=12)
    opened_before(world, run_id)
    assert approve(world, run_id).effect == "took_effect"
    assert world.resume(run_id).metadata.status == "completed"


def test_a_gate_that_was_opened_before_and_fails_its_rule_opens_once_under_the_new_one(world: World) -> None:
    run_id = waits(world, "Publish under {{ tags|join(', ') }}?", tags={"a", "b", "c"})
    opened_before(world, run_id, message="Publish under something else?")
    with pytest.raises(GateChanged):
        approve(world, run_id)
    before, now = world.store.load_gates(run_id)
    assert (before.status, seals.version_of(before.digest)) == ("voided", 1)
    assert (now.status, seals.version_of(now.digest)) == ("open", 2)
    assert approve(world, run_id).effect == "took_effect"


def opened_before(world: World, run_id: str, **changed: Any) -> None:
    """Let the open gate be one that the version before opened."""
    run = world.record(run_id)
    gate = structs.replace(run.gates[0], **changed)
    run.gates = [structs.replace(gate, digest=seals.gate_digest(gate, version=1))]
    world.store.save_run(run)


def test_a_gate_asks_anew_where_the_file_asks_otherwise_now(world: World, tmp_path: Any) -> None:
    world.skill("work", lambda context: context.set("n", 1))
    file = tmp_path / "flow.yaml"

    def written(gate: str) -> str:
        text = chain("a", f"approval: {{name: ok, message: 'Send {{{{ n }}}}?'{gate}}}", "b")
        file.write_text(text)
        return text

    run_id = world.run(written(""), blueprint_path=file).metadata.run_id
    for gate, count in ((", note: required", 2), (", note: required", 2), (", note: required, show: []", 3)):
        written(gate)
        resume_blueprint_latest(world, run_id)
        gates = world.store.load_gates(run_id)
        assert len(gates) == count, gate
        assert [one.status for one in gates] == ["voided"] * (count - 1) + ["open"]
    assert gates[-1].policy.note == "required"


def resume_blueprint_latest(world: World, run_id: str) -> None:
    """Let the run go on with the file, without an answer."""
    run = world.record(run_id)
    run.owed = "resume"
    world.store.save_run(run)
    resume_blueprint(run_id, world.registry, world.config, run_store=world.store, latest=True)
