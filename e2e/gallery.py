"""Every page in the states that it can be in, as addresses: for tests of what holds everywhere."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import Any

from msgspec import structs

from e2e.site import Site
from neurocore.blueprint.load import load_blueprint
from neurocore.config import load_config
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.errors import ExecutionError
from neurocore.persistence import build_run_store
from neurocore.runtime.executor import cancel_run, decide_gate, delete_run, execute_blueprint_tracked
from neurocore.skills.loader import discover_skills
from tests.locks import nobody_can_look_at

TABS = ("activity", "context", "inputs", "blueprint")

#: Pages of a site, whatever has run there.
PLACES = {"home": "/", "list": "/runs", "approvals": "/approvals", "blueprints": "/blueprints", "about": "/about"}

BROKEN = """
name: broken
components: [{name: one, type: template, config: {templat: "x"}}]
flow: {steps: [{component: two}]}
"""


class Maker:
    """Brings runs of a site into a state, in this process, without its server."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.config = load_config(site.root)
        store = build_run_store(self.config)
        assert store is not None
        self.store = store
        self.registry = discover_skills(self.config)
        self.dispatch = InlineDispatcher(self.registry, self.config, store)

    def run(self, blueprint: str, *, run_id: str | None = None, **inputs: Any) -> str:
        """Run a blueprint to its end or its gate; its id."""
        path = self.site.root / "blueprints" / f"{blueprint}.yaml"
        context = execute_blueprint_tracked(
            load_blueprint(path), self.registry, self.config, initial_data=inputs, run_store=self.store,
            blueprint_path=path, started_by="jonas", run_id=run_id, tags=["gallery"],
        )  # fmt: skip
        return str(context.metadata.run_id)

    def decide(self, run_id: str, *, approved: bool, gate: str = "review", note: str | None = None) -> str:
        """Answer a gate and drive the run on; its id."""
        with contextlib.suppress(ExecutionError):
            decide_gate(
                run_id, approved=approved, by="ann@example.com", note=note, gate=gate, run_store=self.store,
                dispatch=self.dispatch,
            )  # fmt: skip
        return run_id


@lru_cache
def pages(site: Site) -> dict[str, str]:
    """Each page's path by the name of its state; the runs for it are made the first time."""
    make = Maker(site)
    waiting = make.run("letters", name="Ada\nand her neighbour")
    done = make.decide(make.run("letters", name="Bob"), approved=True, note="Looks right.\nSend it.")
    rejected = make.decide(make.run("letters", name="Cy"), approved=False, note="The wrong person.")
    failed = make.decide(make.run("charge"), approved=True)
    parallel = make.run("parallel")
    half = make.decide(make.run("parallel"), approved=True, gate="legal")
    asking = make.run("asking")
    cancelled = make.run("letters", name="Dee")
    cancel_run(cancelled, by="carla", note="not needed", run_store=make.store, config=make.config)
    deleted = make.decide(make.run("letters", name="Eve"), approved=True)
    delete_run(deleted, by="carla", run_store=make.store)
    twins = [make.run("greeting", run_id=f"ab1e{number}0000000000000000000", name="a twin") for number in (1, 2)]
    held = make.run("letters", name="Flo")
    record = make.store.load_run(held)
    assert record is not None
    make.store.save_run(structs.replace(record, held="this is a copy of a history (backup of 2026-11-28)"))
    unseen = make.run("letters", name="Gil")
    owner, _ = nobody_can_look_at(make.store.owners)
    make.store.claim(unseen, owner=owner, expected_epoch=1)
    (site.root / "blueprints" / "broken.yaml").write_text(BROKEN)
    make.store.close()
    return {
        **PLACES,
        "list filtered": "/runs?q=Ada&status=suspended&since=7d&tag=gallery&blueprint=letters",
        "list without result": "/runs?q=nothing+begins+like+this",
        "list refused": "/runs?since=yesteryear",
        "approvals filtered": "/approvals?by=ann%40example.com",
        "blueprint": "/blueprints/letters",
        "blueprint with a graph": "/blueprints/parallel",
        "blueprint with every input": "/blueprints/everything",
        "blueprint without inputs": "/blueprints/free",
        "blueprint that cannot run": "/blueprints/broken",
        "waiting": f"/runs/{waiting}",
        "two gates": f"/runs/{parallel}",
        "one of two decided": f"/runs/{half}",
        "a step that asks": f"/runs/{asking}",
        "completed": f"/runs/{done}",
        "rejected": f"/runs/{rejected}",
        "failed": f"/runs/{failed}",
        "cancelled": f"/runs/{cancelled}",
        "held": f"/runs/{held}",
        "cannot tell": f"/runs/{unseen}",
        **{f"tab {tab}": f"/runs/{done}?tab={tab}" for tab in TABS[1:]},
        "step": f"/runs/{done}/steps/0",
        "failed step": f"/runs/{failed}/steps/2",
        "printable": f"/runs/{done}/print",
        "compare": f"/runs/{done}/compare/{failed}",
        "compare alike": f"/runs/{done}/compare/{rejected}",
        "ambiguous": f"/runs/{twins[0][:4]}",
        "unknown run": "/runs/f00d",
        "unknown page": "/no/such/page",
        "deleted": f"/runs/{deleted}",
    }


#: What each state answers where it is not 200.
STATUS = {"list refused": 422, "ambiguous": 300, "unknown run": 404, "unknown page": 404, "deleted": 410}
