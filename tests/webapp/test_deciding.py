"""Deciding in the browser without script (promises 4 to 7, 11): one effect, and a page that says what happened."""

from __future__ import annotations

import re

from markupsafe import escape

from neurocore.persistence.records import GateStatus, RunStatus


def test_an_approval_is_recorded_as_typed_and_the_run_goes_on(site):
    run_id = site.run()
    answer = site.decide(run_id, "approve", by="carla@example.com", note="checked")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"/runs/{run_id}")
    decision = site.gate(run_id).decision
    assert (decision.by, decision.known_by, decision.note) == ("carla@example.com", "typed", "checked")
    assert decision.digest == site.gate(run_id).digest, "the web names the digest it showed (promise 6)"
    assert site.store.load_summary(run_id).status is RunStatus.COMPLETED
    text = site.page(f"/runs/{run_id}")
    assert "Approved" in text
    assert "typed, not verified" in text
    assert "The run continued and completed." in text


def test_a_rejection_needs_its_note_and_the_form_comes_back_filled_in(site):
    run_id = site.run()
    answer = site.decide(run_id, "reject", by="carla")
    assert answer.status_code == 422
    assert "A rejection here needs a note" in answer.text
    assert 'value="carla"' in answer.text
    assert site.gate(run_id).status is GateStatus.OPEN
    assert site.decide(run_id, "reject", note="wrong month").status_code == 303
    text = site.page(f"/runs/{run_id}")
    said = text[: text.index('id="timeline"')]
    assert "Rejected</b> by <b>carla</b>" in said
    assert said.count("wrong month") == 1, "what the decision says is not said a second time above it"


def test_a_name_is_required_and_the_note_is_kept_in_the_form(site):
    run_id = site.run()
    answer = site.decide(run_id, "approve", by="  ", note="\n first\nsecond")
    assert answer.status_code == 422
    assert "Say who you are" in answer.text
    assert ">\n\n first\nsecond</textarea>" in answer.text, "the note comes back as it was typed, its first line too"
    assert not site.gate(run_id).answers


def test_what_was_typed_comes_back_to_be_sent_as_it_was(site):
    run_id = site.run()
    note, name = "\u05e9\u05dc\u05d5\u05dd\u200f (1)\u200b <&>", "\u05d3\u05e0\u05d4\u200f"
    text = site.decide(run_id, "reject", by="", note=note).text
    assert f">\n{escape(note)}</textarea>" in text
    site.decide(run_id, "approve", by=name, note=note)
    text = site.page(f"/runs/{site.run()}")
    assert set(re.findall(r'name="by"[^>]*value="([^"]*)"', text)) == {name}


def test_the_same_answer_twice_is_a_success_that_changes_nothing(site):
    run_id = site.run()
    site.decide(run_id, "approve")
    again = site.decide(run_id, "approve")
    assert again.status_code == 303
    assert len(site.gate(run_id).answers) == 1
    assert "nothing changed" in site.page(f"/runs/{run_id}")


def test_a_late_other_answer_is_refused_naming_who_decided_and_its_note_stays_visible(site):
    run_id = site.run()
    other = site.app.test_client()
    site.decide(run_id, "approve", by="carla")
    late = site.decide(run_id, "reject", by="bob", note="please wait", client=other)
    assert late.status_code == 409
    assert re.search(
        r"Somebody was faster\. Gate review was approved by carla at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC;", late.text
    )
    assert "please wait" in late.text
    assert len(site.gate(run_id).answers) == 1


def test_an_answer_on_another_digest_is_refused_with_the_note_in_the_form(site):
    run_id = site.run()
    answer = site.decide(run_id, "approve", note="fine by me", digest="0" * 64)
    assert answer.status_code == 409
    assert "It changed since you opened the page" in answer.text
    assert "fine by me</textarea>" in answer.text
    assert site.gate(run_id).status is GateStatus.OPEN


def test_a_form_without_a_digest_decides_nothing(site):
    run_id = site.run()
    assert site.decide(run_id, "approve", digest="").status_code == 409
    assert site.gate(run_id).status is GateStatus.OPEN


def test_what_is_different_since_the_form_was_opened_is_shown(site):
    run_id = site.run(amount=100)
    old = site.gate(run_id)
    from msgspec import structs

    from neurocore import codec
    from neurocore.clock import utcnow_iso
    from neurocore.persistence import seals
    from neurocore.persistence.records import Event

    at = utcnow_iso()
    voided = structs.replace(old, status=GateStatus.VOIDED, closed_at=at, void_reason="what it shows has changed")
    new = structs.replace(old, visit=2, shown=codec.encode({"amount": 999, "payees": 3}), message="Release 999?")
    new.digest = seals.gate_digest(new)
    step = site.store.load_step(run_id, old.step_index)
    row = structs.replace(step, step_index=old.step_index + 1, visit=2, commit_index=step.commit_index + 1)
    event = Event(at=at, kind="voided", data={"gate": "review"})
    epoch = site.store.load_summary(run_id).epoch
    assert site.store.replace_gate(run_id, voided, new, row, event=event, expected_epoch=epoch)
    answer = site.post(
        f"/runs/{run_id}/decision",
        {"gate": "review", "visit": 1, "digest": old.digest, "by": "carla", "note": "ok", "decision": "approve"},
    )
    assert answer.status_code == 409
    assert "Changed since you opened the page" in answer.text
    assert "<del>100</del>" in answer.text
    assert "<ins>999</ins>" in answer.text


def test_parallel_gates_have_a_panel_and_an_answer_of_their_own(site):
    run_id = site.run("two")
    text = site.page(f"/runs/{run_id}")
    assert text.count('class="approve"') == 2
    assert site.decide(run_id, "approve", node="left").status_code == 303
    assert site.gate(run_id, "right").status is GateStatus.OPEN
    text = site.page(f"/runs/{run_id}")
    assert text.count('class="approve"') == 1
    assert "The run still waits at right." in text
    assert "waits again" not in text, "it has waited there all along"
    site.decide(run_id, "reject", node="right")
    assert site.store.load_summary(run_id).status is RunStatus.COMPLETED


def test_a_step_that_waits_for_data_is_given_it(site):
    run_id = site.run("asking")
    assert "Which account?" in site.page(f"/runs/{run_id}")
    answer = site.decide(run_id, "approve", node="question", note="the usual", data="account: 4711\nlimit: 2.5")
    assert answer.status_code == 303
    given = site.store.load_run(run_id).final_context["data"]["given"]
    assert given == {"approved": True, "by": "carla", "note": "the usual", "account": 4711, "limit": 2.5}


def test_data_that_is_no_mapping_is_refused_beside_its_field(site):
    run_id = site.run("asking")
    answer = site.decide(run_id, "approve", node="question", data="- just\n- a list")
    assert answer.status_code == 422
    assert "key: value" in answer.text
    assert "- just\n- a list</textarea>" in answer.text
    described = re.search(r'name="data"[^>]*aria-describedby="[^"]*?(\S+-problem)"', answer.text)
    assert described, "a screen reader reads the sentence with the field"
    assert f'id="{described[1]}"' in answer.text


def test_enter_presses_neither_button(site):
    text = site.page(f"/runs/{site.run()}")
    form = text[text.index('class="answer"') :]
    first = re.search(r"<button[^>]*>", form).group()
    assert 'type="submit"' in first
    assert " disabled" in first, "the first submit button is the one that Enter presses; it must be switched off"


def test_the_labels_are_the_words_that_people_and_scripts_rely_on(site):
    text = site.page(f"/runs/{site.run()}")
    assert re.search(r'<label for="([^"]+)">Approver</label>', text)
    assert re.search(r'<label for="([^"]+)">Note</label>', text)
    assert ">Approve</button>" in text
    assert ">Reject</button>" in text
    assert len(re.findall(r">Note</label>", text)) == 1, "no other field on the page is called Note"


def test_the_name_typed_last_is_filled_in_next_time(site):
    first, second = site.run(), site.run()
    site.decide(first, "approve", by="dora@example.com")
    text = site.page(f"/runs/{second}")
    assert re.search(r'name="by"[^>]*value="dora@example.com"', text)


def test_decided_and_resumed_are_two_facts(site):
    run_id = site.run()
    site.dispatcher.hold = True
    site.decide(run_id, "approve")
    text = site.page(f"/runs/{run_id}")
    assert "Recorded; the run is pending." in text
    assert ">Resume<" in text
    course = text[text.index('id="timeline"') : text.index('id="tab"')]
    assert ">waiting<" not in course
    assert ", waiting" not in course, "nobody is waited for any more, in the rows and in the picture"
    assert "carla approved" in course
    assert 'class="node owed gate"' in course
    site.dispatcher.hold = False
    assert site.post(f"/runs/{run_id}/resumption", {"by": "carla"}).status_code == 303
    assert "The run continued and completed." in site.page(f"/runs/{run_id}")


def test_a_run_that_fails_after_the_decision_offers_a_retry_and_the_decision_stands(site):
    run_id = site.run(fail="write")
    site.decide(run_id, "approve")
    text = site.page(f"/runs/{run_id}")
    assert "The run continued and failed" in text
    assert "The decision remains valid" in text
    assert ">Resume</" in text


def test_a_decision_without_a_word_says_what_to_press(site):
    run_id = site.run()
    answer = site.decide(run_id, "")
    assert answer.status_code == 422
    assert "press Approve or Reject" in answer.text
    assert site.gate(run_id).status is GateStatus.OPEN


def test_what_each_button_leads_to_is_said(site):
    text = site.page(f"/runs/{site.run()}")
    assert "<b>Approve</b> → runs write, then completed" in text
    assert "<b>Reject</b> → the run ends failed; write will not run" in text


def test_figures_stand_beside_those_of_the_last_approved_run(site):
    blueprint = site.root / "blueprints" / "payout.yaml"
    with_totals = blueprint.read_text().replace("{set: {payees: 3}}", "{set: {totals: {sum: 31077.5, payees: 3}}}")
    blueprint.write_text(with_totals.replace("show: [amount, payees]", "show: [amount, totals]"))
    first = site.run(amount=100)
    site.decide(first, "approve", by="carla")
    blueprint.write_text(blueprint.read_text().replace("31077.5", "48210.5"))
    text = site.page(f"/runs/{site.run(amount=200)}")
    assert '<th scope="col" class="num">last approved</th>' in text
    assert '<ins><span class="number">48,210.5</span></ins>' in text
    assert '<del><span class="number">31,077.5</span></del>' in text
    assert "<del>100</del>" in text, "what is no set of figures is listed as a difference"
    assert "approved by carla" in text


def test_when_nothing_differs_from_the_last_approved_run_that_is_said(site):
    site.decide(site.run(), "approve")
    assert "The values are exactly the same." in site.page(f"/runs/{site.run()}")


def test_what_helps_to_decide_never_keeps_anybody_from_deciding(site, monkeypatch):
    from webapp.runs import run_page

    monkeypatch.setattr(run_page, "preview", lambda *args, **kwargs: 1 / 0)
    monkeypatch.setattr(run_page, "last_approved", lambda *args, **kwargs: 1 / 0)
    run_id = site.run()
    assert ">Approve</button>" in site.page(f"/runs/{run_id}")
    assert site.decide(run_id, "approve").status_code == 303
