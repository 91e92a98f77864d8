"""What a person does to a run beside deciding: found, acted on, and told on the page that still exists."""

from __future__ import annotations

import html
import json
import re

import pytest

from neurocore.persistence.records import RunStatus


def once_of(text: str) -> str:
    """The token of the form on a page that makes a run."""
    return html.unescape(re.findall(r'name="once" value="([^"]*)"', text)[0])


def test_a_failed_run_goes_on_by_its_button(site):
    run_id = site.run(fail="read")
    assert ">Resume<" in site.page(f"/runs/{run_id}")
    answer = site.post(f"/runs/{run_id}/resumption", {"by": "ann"})
    assert answer.status_code == 303
    assert "resumed by <b>ann</b>" in site.page(f"/runs/{run_id}")


def test_a_rejected_run_cannot_be_resumed_and_says_what_to_do_instead(site):
    run_id = site.run()
    site.decide(run_id, "reject", note="no")
    text = site.page(f"/runs/{run_id}")
    assert "cannot continue" in text
    answer = site.post(f"/runs/{run_id}/resumption", {"by": "ann"})
    assert answer.status_code == 409
    assert "was rejected at gate review" in answer.text


def test_a_waiting_run_is_not_resumed_without_its_decision(site):
    run_id = site.run()
    answer = site.post(f"/runs/{run_id}/resumption", {"by": "ann"})
    assert answer.status_code == 409
    assert "waits for a decision at review" in answer.text
    assert site.store.load_summary(run_id).epoch == 1, "nothing has driven it"


def test_a_replay_is_a_new_run_that_names_the_old_one(site):
    run_id = site.run(batch="Wages")
    answer = site.post(f"/runs/{run_id}/replay", {"by": "bob"})
    assert answer.status_code == 303
    new = site.store.load_run(answer.headers["Location"].removeprefix("/runs/"))
    assert (new.replay_of, new.title, new.started_by, new.known_by) == (run_id, "Wages", "bob", "typed")
    assert "compare" in site.page(f"/runs/{new.run_id}")


def test_pressing_replay_twice_makes_one_run(site):
    run_id = site.run()
    form = {"by": "bob", "once": once_of(site.page(f"/runs/{run_id}"))}
    first, second = (site.post(f"/runs/{run_id}/replay", form).headers["Location"] for _ in range(2))
    assert first == second != f"/runs/{run_id}"
    assert len(site.store.list_runs()) == 2


def test_a_waiting_run_is_cancelled_at_once_with_its_reason(site):
    run_id = site.run()
    assert site.post(f"/runs/{run_id}/cancellation", {"by": "ann", "note": "not needed"}).status_code == 303
    assert site.store.load_summary(run_id).status is RunStatus.CANCELLED
    text = site.page(f"/runs/{run_id}")
    assert "cancelled by <b>ann</b>" in text
    assert "not needed" in text


def test_only_ended_runs_can_be_deleted(site):
    run_id = site.run()
    answer = site.post(f"/runs/{run_id}/deletion", {"by": "ann"})
    assert answer.status_code == 409
    assert "only ended runs" in answer.text
    site.post(f"/runs/{run_id}/cancellation", {"by": "ann"})
    answer = site.post(f"/runs/{run_id}/deletion", {"by": "ann"})
    assert answer.headers["Location"] == "/runs"
    assert site.client.get(f"/runs/{run_id}").status_code == 410


def test_who_does_it_is_asked_once_and_then_remembered(site):
    first, second = site.run(fail="read"), site.run(fail="read")
    asked = site.post(f"/runs/{first}/replay")
    assert asked.status_code == 422
    assert "Say who you are" in asked.text
    assert f'action="/runs/{first}/replay"' in asked.text
    assert site.post(f"/runs/{first}/replay", {"by": "ann"}).status_code == 303
    assert site.post(f"/runs/{second}/replay").status_code == 303


def test_a_run_is_started_from_its_form(site):
    text = site.page("/blueprints/payout")
    assert 'name="input.batch"' in text
    answer = site.post("/blueprints/payout/runs", {"input.batch": "Bonus", "input.amount": "250", "by": "ann"})
    assert answer.status_code == 303
    run = site.store.load_run(answer.headers["Location"].removeprefix("/runs/"))
    assert (run.title, run.initial_data["amount"], run.started_by, run.known_by) == ("Bonus", 250, "ann", "typed")


def test_pressing_start_twice_starts_one_run(site):
    form = {"input.batch": "Bonus", "by": "ann", "once": once_of(site.page("/blueprints/payout"))}
    first = site.post("/blueprints/payout/runs", form)
    second = site.post("/blueprints/payout/runs", form)
    assert first.headers["Location"] == second.headers["Location"]
    assert len(site.store.list_runs()) == 1


def test_a_form_that_came_back_with_a_problem_still_starts_one_run(site):
    once = once_of(site.page("/blueprints/payout"))
    wrong = {"input.batch": "Bonus", "input.amount": "many", "by": "ann", "once": once}
    assert once_of(site.post("/blueprints/payout/runs", wrong).text) == once
    right = wrong | {"input.amount": "3"}
    assert len({site.post("/blueprints/payout/runs", right).headers["Location"] for _ in range(2)}) == 1


@pytest.mark.parametrize("field", ["run_id", "new_id", "id"])
def test_a_browser_does_not_choose_the_id_of_a_run(site, field):
    run_id = site.run()
    form = {"input.batch": "Bonus", "by": "ann", field: run_id[:8]}
    for address in ("/blueprints/payout/runs", f"/runs/{run_id}/replay"):
        assert site.post(address, form).status_code == 303
    assert run_id[:8] not in {run.run_id for run in site.store.list_runs()}


def test_a_token_that_was_not_made_here_for_this_form_starts_nothing(site):
    run_id = site.run()
    start, replay = once_of(site.page("/blueprints/payout")), once_of(site.page(f"/runs/{run_id}"))
    form = {"input.batch": "Bonus", "by": "ann"}
    for address, token in (
        ("/blueprints/payout/runs", replay), ("/blueprints/payout/runs", "a" * 32),
        ("/blueprints/payout/runs", start[:-2]),
        (f"/runs/{run_id}/replay", start), (f"/runs/{run_id}/replay", f'"{"b" * 32}"'),
    ):  # fmt: skip
        answer = site.post(address, form | {"once": token})
        assert answer.status_code == 422
        assert "open its page again" in answer.text
    assert len(site.store.list_runs()) == 1


def test_a_start_form_that_does_not_fit_comes_back_filled_in(site):
    answer = site.post("/blueprints/payout/runs", {"input.batch": "Bonus", "input.amount": "many", "by": "ann"})
    assert answer.status_code == 422
    assert "whole number" in answer.text
    assert 'value="Bonus"' in answer.text
    assert 'value="many"' in answer.text
    assert not site.store.list_runs()


def test_a_form_that_is_sent_as_it_came_gives_the_defaults_as_they_are(site):
    odd = "soft\u00adhyphen and \u200fmark"
    inputs = {"text": {"type": "string", "default": odd}, "choice": {"type": "string", "enum": [odd], "default": odd}}
    steps = [{"approval": {"name": "review", "message": "Go on?", "show": []}}]
    document = {"name": "odd", "inputs": inputs, "flow": {"steps": steps}}
    (site.root / "blueprints" / "odd.yaml").write_text(json.dumps(document))
    text = site.page("/blueprints/odd")
    fields = dict(re.findall(r'name="(input\.text)"[^>]* value="([^"]*)"', text))
    fields |= dict(re.findall(r'name="(input\.choice)".*?<option value="([^"]*)" selected', text, re.DOTALL))
    answer = site.post("/blueprints/odd/runs", {"by": "ann", **fields})
    assert answer.status_code == 303
    run = site.store.load_run(answer.headers["Location"].removeprefix("/runs/"))
    assert run.initial_data == {"text": odd, "choice": odd}


def test_data_of_a_blueprint_without_inputs_is_read_as_yaml(site):
    answer = site.post("/blueprints/asking/runs", {"data": "when: 2026-03-31\ncount: 3", "by": "ann"})
    assert answer.status_code == 303
    run = site.store.load_run(answer.headers["Location"].removeprefix("/runs/"))
    assert run.initial_data["count"] == 3
    refused = site.post("/blueprints/asking/runs", {"data": "a: [1,", "by": "ann"})
    assert refused.status_code == 422
    assert "a: [1,</textarea>" in refused.text
    assert 'aria-describedby="data-hint data-problem"' in refused.text
    assert 'id="data-problem"' in refused.text


def test_a_blueprint_that_cannot_run_says_why_and_offers_no_form(site):
    (site.root / "blueprints" / "broken.yaml").write_text(
        "name: broken\ncomponents: []\nflow: {steps: [{component: gone}]}\n"
    )
    text = site.page("/blueprints/broken")
    assert "cannot run" in text
    assert "line 3: flow.steps[0].component: There is no component" in text
    assert ">Start</button>" not in text
    assert '<span class="bad">line ' in site.page("/blueprints")
    for path in ("/blueprints", "/blueprints/broken"):
        assert str(site.root) not in site.page(path), "where the project lies on the server is nobody's business"
    refused = site.post("/blueprints/broken/runs", {"by": "ann"})
    assert refused.status_code == 422
    assert "line 3: flow.steps[0].component: There is no component" in refused.text
    assert str(site.root) not in refused.text


def test_a_warning_about_a_blueprint_names_its_line(site):
    (site.root / "blueprints" / "ends.yaml").write_text(
        "name: ends\ncomponents: []\nflow:\n  steps:\n    - approval: {name: last, message: Well?}\n"
    )
    assert ">line 5: flow.steps[0]: Nothing follows" in site.page("/blueprints/ends")


def test_many_blueprints_are_listed_page_by_page(site, monkeypatch):
    monkeypatch.setattr("webapp.blueprints.views.LISTED", 3)
    first = site.page("/blueprints")
    names = re.compile(r'href="/blueprints/(\w+)"')
    assert names.findall(first) == ["asking", "nap", "payout"]
    assert "4 blueprints" in first
    further = re.search(r'rel="next" href="(\?[^"]+)"', first)
    assert further
    rest = site.page(f"/blueprints{further[1]}")
    assert names.findall(rest) == ["two"]
    assert 'rel="next"' not in rest
    assert "Show all blueprints" in site.page("/blueprints?start=zzz")


def test_the_picture_of_a_large_blueprint_is_sent_when_it_is_asked_for(site):
    steps = "".join("    - {component: nap}\n" for _ in range(300))
    (site.root / "blueprints" / "large.yaml").write_text(
        f"name: large\ncomponents: [{{name: nap, type: delay, config: {{seconds: 0}}}}]\nflow:\n  steps:\n{steps}"
    )
    text = site.page("/blueprints/large")
    assert "Draw the flow (300 nodes)" in text
    assert len(text) < 20_000 + 20 * 300
    assert site.page("/blueprints/large?picture=1").count('class="node ') == 300


def test_blueprints_show_how_their_runs_went(site):
    first = site.run()
    site.decide(first, "approve")
    site.run(fail="read")
    text = site.page("/blueprints")
    assert "50%" in text
    assert "payout" in site.page("/blueprints/payout")
    assert site.client.get("/blueprints/nothing").status_code == 404
