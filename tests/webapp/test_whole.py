"""Nothing that is decided on is cut; what is too large is said to be, and a link leads to the whole."""

from __future__ import annotations

import base64
import html
import json
import re

import pytest
from msgspec import structs

from neurocore import codec
from neurocore.persistence.records import Answer, Event, GateStatus, LogLine, RunStatus
from neurocore.persistence.seals import gate_digest
from webapp.runs import run_page

WORDS = [f"word{number:05d}" for number in range(3000)]

GATE = """
name: large
components:
  - {name: read, type: say, config: {set: {payees: 3}}}
  - {name: write, type: say}
inputs: {batch: {type: string, default: March}}
flow:
  steps:
    - component: read
    - approval: {name: review, message: "Release?", show: [payees]}
    - component: write
"""


def waiting(site, message="Release?", **values):
    """A run whose gate shows these values."""
    (site.root / "blueprints" / "large.yaml").write_text(GATE)
    run_id = site.run("large")
    run = site.store.load_run(run_id)
    (gate,) = run.gates
    gate = structs.replace(gate, message=message, shown=codec.encode(values))
    gate.digest = gate_digest(gate)
    site.store.save_run(structs.replace(run, gates=[gate]))
    return run_id


def panel(site, run_id):
    """What is in the decision panel, as its reader has it: tags taken away."""
    text = site.page(f"/runs/{run_id}")
    found = re.search(r'<section class="card decide".*?</form>', text, re.DOTALL)
    assert found
    return found.group(), html.unescape(re.sub(r"<[^>]+>", " ", found.group()))


LARGE = {
    "text": " ".join(WORDS),
    "lines": "\n".join(WORDS),
    "items": WORDS,
    "records": [{"name": word, "amount": number} for number, word in enumerate(WORDS)],
    "mixed": [{"name": WORDS[0]}, [WORDS[1]], *WORDS[2:]],
    "mapping": {word: number for number, word in enumerate(WORDS)},
    "nested": {"a": {"b": {"c": [{"d": word} for word in WORDS[:300]] + [[word] for word in WORDS[300:600]]}}},
    "bytes": " ".join(WORDS).encode(),
    "number": 10**4000 + 7,
    "few": [f"{'x' * 70}{word}" for word in WORDS[:2]],
    "k" * 900: {"y" * 900: 1},
    "object": {"columns": [{f"column {'z' * 90}{number}": number for number in range(5)}] * 3},
}


@pytest.mark.parametrize("key", list(LARGE), ids=lambda key: key[:10])
def test_a_value_that_is_decided_on_is_whole_in_the_page(site, key, monkeypatch):
    monkeypatch.setattr(run_page, "MOST_WHOLE", 3_000_000)
    markup, text = panel(site, waiting(site, **{key: LARGE[key]}))
    wanted = {
        "bytes": [base64.b64encode(LARGE["bytes"]).decode()],
        "number": [str(10**4000 + 7)], "few": LARGE["few"], "nested": WORDS[:600], "k" * 900: ["k" * 700, "y" * 900],
        "object": [f"column {'z' * 90}{number}" for number in range(5)],
    }.get(key, WORDS)  # fmt: skip
    missing = [one for one in wanted if one not in text]
    assert not missing, f"{len(missing)} are missing, such as {missing[0][:80]!r}"
    assert "You decide on exactly what is shown here" in text
    assert "download all" not in markup


def test_a_long_message_is_whole_and_so_is_what_each_answer_does(site):
    message = "\n".join(WORDS)
    markup, text = panel(site, waiting(site, message))
    assert not [word for word in WORDS if word not in text]
    assert "exactly what is shown here" in text
    assert "<details" not in re.search(r"<h2.*?</h2>", markup, re.DOTALL).group(), "a heading holds no fold"


def test_differences_from_what_was_approved_last_are_whole_on_both_sides(site):
    old = " ".join(f"old{word}" for word in WORDS[:300])
    run = site.store.load_run(waiting(site, text=old, rows=[f"old{word}" for word in WORDS[:30]]))
    answer = Answer(node_id="review", visit=1, approved=True, by="ann", known_by="typed", at=run.updated_at)
    (gate,) = run.gates
    gate = structs.replace(gate, status=GateStatus.DONE, closed_at=run.updated_at, answers=[answer])
    site.store.save_run(structs.replace(run, status=RunStatus.COMPLETED, gates=[gate]))
    _, text = panel(site, waiting(site, text=" ".join(WORDS[:300]), rows=WORDS[:30]))
    assert not [word for word in WORDS[:300] if f"old{word}" not in text], "what it was"
    assert not [word for word in WORDS[:300] if f" {word} " not in f"{text} ".replace("\n", " ")], "what it is"


def test_what_is_too_large_is_said_to_be_and_the_whole_is_a_link_away(site):
    run_id = waiting(site, "Release all of it?", text="x" * 2_000_000 + "THE END", few=[1, 2])
    markup, text = panel(site, run_id)
    assert "THE END" not in text
    assert "exactly what is shown here" not in text
    assert "too large to show all of them here" in text
    assert "You decide on all values" in text
    assert len(markup) < 2_000_000
    whole = re.search(r'href="([^"]+)">download all<', markup)
    document = json.loads(site.page(html.unescape(whole[1])))
    assert document["shown"]["text"].endswith("THE END")
    assert (document["message"], document["shown"]["few"]) == ("Release all of it?", [1, 2])


def test_the_whole_of_a_gate_is_found_by_its_own_name_only(site):
    run_id = waiting(site, amount=1)
    for what in ("gate-review-2", "gate-other-1", "gate-", "gate-review-1x"):
        assert site.client.get(f"/runs/{run_id}/download/{what}").status_code == 404
    assert site.client.get(f"/runs/{run_id}/download/gate-review-1").json["shown"] == {"amount": 1}


def test_programs_are_told_all_that_is_decided_on(site):
    run_id = waiting(site, "\n".join(WORDS), **{key: LARGE[key] for key in ("text", "items", "records", "mapping")})
    (gate,) = site.client.get(f"/api/v1/runs/{run_id}/gates").json["gates"]
    assert gate["message"] == "\n".join(WORDS)
    assert gate["shown"] == {key: LARGE[key] for key in ("text", "items", "records", "mapping")}
    (entry,) = site.client.get("/api/v1/approvals").json["waiting"]
    assert entry["gate"]["shown"] == gate["shown"]


# -------------------------------------------------------------------- elsewhere


def test_elsewhere_long_texts_are_whole_or_say_what_is_missing_and_where_it_is(site):
    run_id = site.run("payout", fail="read")
    run = site.store.load_run(run_id)
    steps = site.store.load_steps(run_id)
    middle = " ".join(WORDS[:2000])
    steps[0] = structs.replace(
        steps[0], reason=f"reason {middle}", error=f"error {middle}", error_type="X",
        logs=[LogLine(at=steps[0].started_at, level="INFO", message="y" * 30_000)],
    )  # fmt: skip
    site.store.save_step(steps[0])
    site.store.save_run(structs.replace(run, error=f"why {middle}", tags=["t" * 90]))
    for path in (f"/runs/{run_id}/steps/0", f"/runs/{run_id}/print"):
        text = site.page(path)
        for what in ("reason", "error"):
            assert f"{what} word00000" in text
            assert "word01999" in text
        assert f'<a href="/api/v1/runs/{run_id}/steps/0">whole message</a>' in text, "the line that is cut says so"
    text = site.page(f"/runs/{run_id}")
    assert "word01999" in text, "why it failed"
    assert f'title="{"t" * 90}"' in text


def test_an_error_of_a_megabyte_leads_to_the_whole(site):
    run_id = site.run()
    step = site.store.load_steps(run_id)[0]
    site.store.save_step(structs.replace(step, error="e" * 1_000_000, error_type="X"))
    text = site.page(f"/runs/{run_id}/steps/0")
    assert f'<a href="/api/v1/runs/{run_id}/steps/0">Download all</a>' in text
    assert "960.0 KB more" in text


def test_activity_beyond_five_hundred_entries_and_keys_beyond_that_have_a_link(site):
    run_id = site.run()
    run = site.store.load_run(run_id)
    events = [Event(at=run.created_at, kind="warning", who=None, known_by="system", data={"message": "w"})] * 503
    site.store.save_run(structs.replace(run, events=events))
    text = site.page(f"/runs/{run_id}")
    assert f'… and 3 earlier entries. <a href="/api/v1/runs/{run_id}/events">' in text
    step = site.store.load_steps(run_id)[0]
    changes = structs.replace(step.changes, set={f"key{number}": codec.encode(number) for number in range(510)})
    site.store.save_step(structs.replace(step, changes=changes, output_keys=list(changes.set)))
    text = site.page(f"/runs/{run_id}?tab=context")
    assert re.search(rf'… \d+ more keys?\. <a href="/runs/{run_id}/download/context">', text)


def test_two_long_runs_side_by_side_say_how_many_visits_are_left_out(site, monkeypatch):
    monkeypatch.setattr("webapp.runs.comparing.MOST_STEPS", 1)
    first, second = site.run(), site.run()
    text = site.page(f"/runs/{first}/compare/{second}")
    assert f'… and 1 more visit. <a href="/api/v1/runs/{first}/compare/{second}">' in text


def test_a_field_of_blueprints_says_that_there_are_more_than_it_offers(site, monkeypatch):
    monkeypatch.setattr("webapp.runs.views.MOST_OPTIONS", 1)
    site.run("payout")
    site.run("asking")
    assert "… 1 more: name one in the address" in site.page("/runs")
    assert '<option value="payout" selected>' in site.page("/runs?blueprint=payout")


def test_a_note_that_is_too_long_is_refused_and_not_cut(site):
    run_id = site.run()
    answer = site.post(f"/runs/{run_id}/cancellation", {"by": "ann", "note": "n" * 10_001})
    assert answer.status_code == 422
    assert "at most 10,000 characters" in answer.text
    assert not site.store.load_run(run_id).status.ended


def test_a_note_in_which_nothing_can_be_seen_is_none(site):
    run_id = site.run()
    answer = site.decide(run_id, "reject", note="\u200b \u2060")
    assert answer.status_code == 422
    assert "needs a note" in answer.text
    assert not site.gate(run_id).answers
