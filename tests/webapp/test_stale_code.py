"""Pages and answers say that the server works with other code than there is on the disk."""

from __future__ import annotations

import pytest

from neurocore.skills import ondisk

WORDS = "skills/words.py"
SENTENCE = "Skills changed on disk since this server started; restart it to use them: skills/words.py (changed)."
NEW = """
from neurocore import Skill, SkillMeta
class Late(Skill):
    skill_meta = SkillMeta(name="late")
    def process(self, context):
        return context
"""
LATE = "name: late\ncomponents: [{name: a, type: late}]\nflow: {steps: [{component: a}]}\n"


@pytest.fixture
def served(site, monkeypatch):
    """A site whose skills were loaded; each look at the disk is a new one."""
    monkeypatch.setattr(ondisk, "EVERY", 0.0)
    site.page("/blueprints/payout")
    return site


def change(site):
    file = site.root / WORDS
    file.write_text("# a line more\n" + file.read_text())


def test_every_page_says_so_as_long_as_it_is_so(served):
    run_id = served.run()
    before = (served.root / WORDS).read_text()
    paths = ["/", "/runs", f"/runs/{run_id}", "/approvals", "/blueprints", "/blueprints/payout", "/about"]
    assert [path for path in paths if "on disk" in served.page(path)] == []
    change(served)
    assert [path for path in paths if SENTENCE not in served.page(path)] == []
    assert SENTENCE in served.client.get("/runs/nothere").text
    (served.root / WORDS).write_text(before)
    assert [path for path in paths if "on disk" in served.page(path)] == []


def test_every_answer_of_the_api_says_so(served):
    run_id = served.run()
    change(served)
    for path in ("/runs", f"/runs/{run_id}", "/blueprints", "/blueprints/payout", "/runs/nothere", "/openapi.json"):
        assert served.client.get(f"/api/v1{path}").headers["NeuroCore-Warning"] == SENTENCE, path
    started = served.client.post("/api/v1/blueprints/payout/runs", json={"by": "ann", "data": {}})
    assert (started.status_code, started.headers["NeuroCore-Warning"]) == (201, SENTENCE)
    assert served.client.get("/api/v1/blueprints").json["warnings"] == [SENTENCE]
    assert SENTENCE in served.client.get("/api/v1/blueprints/payout").json["warnings"]
    assert served.client.get("/healthz").json["warnings"] == [SENTENCE]


def test_nothing_is_said_where_nothing_changed(served):
    answer = served.client.get("/api/v1/blueprints")
    assert "NeuroCore-Warning" not in answer.headers
    assert answer.json["warnings"] == []
    assert served.client.get("/healthz").json["warnings"] == []


def test_a_name_that_no_header_can_hold_is_written_out(served):
    (served.root / "skills" / "b\u00fccher\n.py").write_text("")
    assert r"skills/b\xfccher\n.py (new)" in served.client.get("/api/v1/runs").headers["NeuroCore-Warning"]
    assert "skills/b\u00fccher" in served.page("/runs")


def test_a_blueprint_of_a_skill_that_is_only_on_the_disk_says_so(served):
    (served.root / "blueprints" / "late.yaml").write_text(LATE)
    (served.root / "skills" / "new.py").write_text(NEW)
    told = "There is no skill 'late' yet: skills/new.py changed on disk since this server started; restart it."
    assert told.replace("'", "&#39;") in served.page("/blueprints/late")
    assert told in served.client.get("/api/v1/blueprints/late").json["problem"]
    refused = served.client.post("/api/v1/blueprints/late/runs", json={"by": "ann", "data": {}})
    assert refused.status_code == 422
    assert told in refused.text


def test_a_traceback_says_that_its_lines_are_not_those_that_ran(served):
    change(served)
    run_id = served.run(fail="read")
    (step,) = served.store.load_steps(run_id)
    assert step.traceback.endswith("skills/words.py changed on disk since this process started: other lines ran.\n")
