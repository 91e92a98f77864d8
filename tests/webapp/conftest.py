"""A whole site over a real project folder: skills, blueprints, a store, and runs driven where they are handed in."""

from __future__ import annotations

import contextlib
import html
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from neurocore.blueprint.load import load_blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.errors import ExecutionError, NeuroCoreError
from neurocore.persistence import SQLiteRunStore
from neurocore.runtime.executor import execute_blueprint_tracked
from neurocore.skills.loader import discover_skills
from webapp import create_app

SKILLS = '''
import time

from neurocore import Skill, SkillMeta


class Say(Skill):
    """Sets what its configuration says, and fails when told to."""

    skill_meta = SkillMeta(name="say", version="1.0")

    def process(self, context):
        for key, value in self.config.get("set", {}).items():
            context.set(key, value)
        if context.get("fail") == self.name:
            raise ValueError(context.get("why", "told to fail"))
        return context


class Nap(Skill):
    """Holds its thread longer than anybody waits."""

    skill_meta = SkillMeta(name="nap", version="1.0")

    def process(self, context):
        time.sleep(600)


class Ask(Skill):
    """Waits for data once."""

    skill_meta = SkillMeta(name="ask", version="1.0")

    def process(self, context):
        given = context.resume_data
        if given is None:
            context.suspend("ask", reason="Which account?")
            return context
        context.set("given", dict(given))
        return context
'''

NAP = """
name: nap
components: [{name: sleep, type: nap}]
flow: {steps: [{component: sleep}]}
"""

PAYOUT = """
name: payout
version: "2"
description: Pays after a person has agreed.
title: "{{ batch }}"
inputs:
  batch: {type: string, default: March}
  amount: {type: integer, default: 100}
  fail: {type: string, default: ""}
  why: {type: string, default: told to fail}
components:
  - {name: read, type: say, config: {set: {payees: 3}}}
  - {name: write, type: say, config: {set: {file: out.xml}}}
flow:
  steps:
    - component: read
    - approval: {name: review, message: "Release {{ amount }}?", note: on_reject, show: [amount, payees]}
    - component: write
"""

ASKING = """
name: asking
components:
  - {name: question, type: ask}
flow:
  steps: [{component: question}]
"""

TWO_GATES = """
name: two
components:
  - {name: begin, type: say}
  - {name: left, type: approval, config: {message: "Left?", require: false}}
  - {name: right, type: approval, config: {message: "Right?", require: false}}
  - {name: end, type: say, config: {set: {done: true}}}
flow:
  type: graph
  nodes:
    - {id: begin, component: begin}
    - {id: left, component: left}
    - {id: right, component: right}
    - {id: end, component: end}
  edges:
    - {source: begin, target: left}
    - {source: begin, target: right}
    - {source: left, target: end}
    - {source: right, target: end}
"""


class Quiet(InlineDispatcher):
    """Drives at once; what a run raises stays with its record, as on a thread. `hold` keeps runs owed instead."""

    hold = False

    def submit(self, run_id, **options):
        if self.hold:
            return
        with contextlib.suppress(NeuroCoreError):
            super().submit(run_id, **options)


class Site:
    """A project, its store and a browser without script."""

    def __init__(self, root: Path, store=None, auth=None, **web):
        (root / "skills").mkdir()
        (root / "blueprints").mkdir()
        (root / "skills" / "words.py").write_text(SKILLS)
        for name, text in {"payout": PAYOUT, "asking": ASKING, "two": TWO_GATES, "nap": NAP}.items():
            (root / "blueprints" / f"{name}.yaml").write_text(text)
        from neurocore.auth import Auth
        from neurocore.config import Web

        self.root = root
        self.config = NeuroCoreConfig(project_root=root, web=Web(**web), auth=auth or Auth())
        self.store = store or SQLiteRunStore(self.config.runs_db_path)
        self.registry = discover_skills(self.config)
        self.dispatcher = Quiet(self.registry, self.config, self.store)
        self.app = create_app(self.config, store=self.store, dispatcher=self.dispatcher)
        self.client = self.app.test_client()

    def run(self, name="payout", *, tags=(), **data):
        """Start a run as the command line would; returns its id."""
        path = self.root / "blueprints" / f"{name}.yaml"
        run_id = f"{len(self.store.list_runs(limit=1000)):02d}{name}".ljust(12, "0")
        with contextlib.suppress(ExecutionError):
            execute_blueprint_tracked(
                load_blueprint(path), self.registry, self.config, run_store=self.store, initial_data=data,
                run_id=run_id, blueprint_path=path, started_by="ann", tags=tags,
            )  # fmt: skip
        return run_id

    def gate(self, run_id, node="review"):
        """The last occurrence of a gate."""
        return [gate for gate in self.store.load_gates(run_id) if gate.node_id == node][-1]

    def page(self, path, **options):
        """GET a page and return its text; it must be there."""
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, f"{path}: {answer.status_code}\n{answer.text[:2000]}"
        return answer.text

    def token(self, client=None):
        """The token that a form of this browser carries."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', (client or self.client).get("/blueprints/payout").text)
        assert found, "the start form has no token"
        return html.unescape(found.group(1))

    def post(self, path, data=None, client=None, **options):
        """POST a form as its page would send it."""
        client = client or self.client
        return client.post(path, data={"csrf_token": self.token(client), **(data or {})}, **options)

    def decide(self, run_id, answer, *, by="carla", note="", node="review", client=None, **changes):
        """Send the form of a gate as it is shown now."""
        gate = self.gate(run_id, node)
        data = {
            "gate": gate.node_id, "visit": gate.visit, "digest": gate.digest, "by": by, "note": note,
            "decision": answer, **changes,
        }  # fmt: skip
        return self.post(f"/runs/{run_id}/decision", data, client=client)


def refresh_of(text):
    """The address that a page's live block asks, and the headers it sends."""
    found = re.search(r'<div id="live"[^>]*hx-get="([^"]+)"', text)
    return html.unescape(found.group(1)) if found else None


PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def site(tmp_path):
    """A site on this machine's loopback."""
    site = Site(tmp_path)
    yield site
    site.store.close()


@pytest.fixture
def make_site(tmp_path):
    """A site with web settings of its own."""
    made = []

    def make(**options):
        root = tmp_path / f"project{len(made)}"
        root.mkdir()
        made.append(Site(root, **options))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.fixture
def helpers():
    """What tests share beside the site."""
    return SimpleNamespace(refresh_of=refresh_of, partial=PARTIAL)
