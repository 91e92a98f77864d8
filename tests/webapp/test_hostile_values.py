# ruff: noqa: E501, PLE2502 - the list of hostile strings is one
"""Every value of a run is text: a hundred hostile strings in every field, on every page, and nothing but text comes out."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from neurocore import codec
from neurocore.persistence import InMemoryRunStore
from neurocore.persistence.base import (
    Answer,
    Changes,
    CurrentNode,
    Event,
    Failure,
    FailureKind,
    GatePolicy,
    GateRecord,
    GateStatus,
    LogLine,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)
from neurocore.readable import safe
from tests.webapp.conftest import Site

HOSTILE = [
    "<script>alert(1)</script>", "</title><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>", '" onmouseover="alert(1)" x="', "' onfocus='alert(1)' autofocus='",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:msgbox(1)",
    "{{ 7*7 }}", "{% include '/etc/passwd' %}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{{ config.items() }}", "{# comment #}",
    "</textarea><script>alert(1)</script>", "</style><script>alert(1)</script>", "--><script>alert(1)</script>",
    "</hx-partial><hx-partial hx-target='body'>gone</hx-partial>", "<hx-partial hx-target='#status' hx-swap='delete'></hx-partial>",
    "<div hx-get='/x' hx-trigger='load'></div>", "<div data-hx-get='/x' hx-on:click='alert(1)'></div>",
    "<a href='javascript:alert(1)'>x</a>", "<form action='https://evil.example'><input name=a></form>",
    "<base href='https://evil.example'>", "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<iframe src='https://evil.example'></iframe>", "<object data='x'></object>", "<link rel=stylesheet href='//evil.example/x.css'>",
    "<style>*{display:none}</style>", "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>", "<template><script>1</script></template>",
    "<details open ontoggle=alert(1)>", "<video><source onerror=alert(1)>", "<marquee onstart=alert(1)>", "<input autofocus onfocus=alert(1)>",
    "\u202egnp.exe", "abc\u202dxyz", "a\u2066b\u2069c", "\u200bzero\u200bwidth", "\u200e\u200f", "soft\u00adhyphen", "\ufeffbom",
    "null\x00byte", "bell\x07", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "back\x08space", "del\x7f", "c1\x9b31m", "\r\nSet-Cookie: a=b",
    "half\ud800", "\udfffother half", "tag\U000e0041\U000e007f", "line\u2028sep\u2029arator", "filler\u3164\u115f", "combining\u034fjoiner",
    "Z̸͓̈a̷͝lgo" * 20, "العربية", "עברית", "a" * 5_000, "\n" * 500, "\t" * 50, " " * 300, "", " ", ".", "..", "/", "//", "../../etc/passwd",
    "%2e%2e%2f", "%00", "%", "%s%s%n", "?a=b&c=d", "#fragment", "a b+c", "ünï\u0301cödé", "👩‍👩‍👧‍👦", "🏳️‍🌈", "\U0001f600" * 200, "İıſK",
    "𝕳𝖊𝖑𝖑𝖔", "ﷺ", "‮", "NaN", "Infinity", "-0", "1e999", "0x41", "true", "null", "undefined", "[object Object]", "'; DROP TABLE runs; --",
    "\\", "\\u003cscript\\u003e", "&lt;script&gt;", "&#60;script&#62;", "&quot;", "&amp;amp;", "]]>", "<!--", "<![CDATA[x]]>", "<?php 1 ?>",
]  # fmt: skip
HUGE = "x" * 1_000_000

STATUSES = (RunStatus.SUSPENDED, RunStatus.FAILED, RunStatus.RUNNING)
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\ud800-\udfff]"
)
OUR_TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "header",
    "nav",
    "a",
    "span",
    "svg",
    "use",
    "symbol",
    "path",
    "circle",
    "defs",
    "pattern",
    "rect",
    "g",
    "main",
    "section",
    "div",
    "h1",
    "h2",
    "h3",
    "p",
    "b",
    "i",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "details",
    "summary",
    "form",
    "input",
    "textarea",
    "select",
    "option",
    "button",
    "label",
    "footer",
    "dialog",
    "kbd",
    "time",
    "code",
    "pre",
    "ins",
    "del",
    "blockquote",
    "text",
    "hx-partial",
}


class Seen(HTMLParser):
    """What a browser would make of a page: its tags, its attributes, its text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.scripts = set(), [], 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.scripts += tag == "script"


def _filled(store, word, number):
    """A run (waiting, failed, running in turns) with this word wherever a blueprint, skill, person or input can put one."""
    at = "2026-03-01T10:00:00.000000+00:00"
    values = {
        word: word,
        "list": [word, {word: word}],
        "rows": [{"a": word, word: 1}, {"a": 2, word: word}],
        "bytes": b"x",
    }
    values |= {"bag": {word}, "deep": {"a": {"b": {"c": {word: [word]}}}}, "password": word}
    policy = GatePolicy(note="on_reject", on_reject=word or None)
    run_id, status = f"{number:03d}hostile", STATUSES[number % len(STATUSES)]
    gate = GateRecord(
        run_id=run_id, node_id=word or "n", visit=1, name=word, opened_at=at, message=word, shown=codec.encode(values),
        digest="d" * 64, policy=policy, step_index=0,
    )  # fmt: skip
    answer = Answer(node_id="n", visit=1, approved=False, by=word, known_by=word, at=at, note=word, data={word: word})
    decided = GateRecord(
        run_id=run_id, node_id=f"done {word}", visit=1, opened_at=at, closed_at=at, message=word, shown=codec.encode(values),
        status=GateStatus.DONE, answers=[answer], digest="e" * 64,
    )  # fmt: skip
    store.save_run(
        RunRecord(
            run_id=run_id, blueprint_name=word or "b", blueprint_version=word, blueprint_path=word, title=word, status=status,
            blueprint_snapshot={"name": word, "source": word}, initial_data={k: v for k, v in values.items() if k != "bag"},
            error=word, failure=Failure(kind=FailureKind.ERROR, message=word, node=word, type=word), suspended_at_node=word,
            suspension_reason=word, started_by=word, known_by=word, replay_of=word or None, tags=[word], legacy=word or None,
            cancel_requested=None, owner=word, created_at=at, updated_at=at, gates=[gate, decided], version=1,
            current_nodes=[CurrentNode(node_id=word, visit=1, attempt=1, started_at=at)],
            events=[
                Event(at=at, kind=kind, who=word, known_by=word, data={word: word, "note": word, "message": word, "gate": word})
                for kind in ("started", "answered", "cancelled", "replayed", "taken_over", "voided", "lost", "warning", word)
            ],
        )
    )  # fmt: skip
    for index, step in enumerate(StepStatus):
        store.save_step(
            StepRecord(
                run_id=run_id, step_index=index, component=word, node_id=word or "n", skill_type=word, skill_version=word,
                status=step, reason=word, port=word or None, error=word, error_type=word, traceback=word, started_at=at,
                config={word: word, "token": word}, output_keys=[word], commit_index=index, duration_ms=1.0,
                changes=Changes(set={word: codec.encode(values)}, deleted=(f"{word}!",)),
                logs=[LogLine(at=at, level=word, message=word)],
            )
        )  # fmt: skip


def _pages(number, run_id):
    """The run's page under one tab, and one of its steps, in turns over the words."""
    tabs = ("activity", "context", "inputs", "blueprint")
    whole = f"/runs/{run_id}/print" if number % 3 == 0 else f"/runs/{run_id}"
    return whole, f"/runs/{run_id}?tab={tabs[number % 4]}", f"/runs/{run_id}/steps/{(number // 4) % 4}"


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    """One site with a run for each word."""
    site = Site(tmp_path_factory.mktemp("hostile"), store=InMemoryRunStore())
    for number, word in enumerate(HOSTILE):
        _filled(site.store, word, number)
    return site


def _check(page, where, baseline):
    seen = Seen(page)
    assert seen.tags <= OUR_TAGS, f"{where}: {seen.tags - OUR_TAGS} came out as tags"
    assert seen.scripts == baseline, f"{where}: a script of somebody else"
    for tag, name, value in seen.attributes:
        assert not name.startswith("on"), f"{where}: <{tag} {name}>"
        assert name != "style", f"{where}: the policy forbids style attributes"
        if name in ("href", "src", "action", "formaction"):
            assert value.startswith(("/", "#", "?")), f"{where}: {tag} {name}={value[:80]}"
    found = FORBIDDEN.search(page)
    assert found is None, (
        f"{where}: {found.group()!r} came through at {page[max(0, found.start() - 60) : found.end() + 20]!r}"
    )


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_nothing_but_text_comes_out(hostile_site, helpers, number):
    run_id = f"{number:03d}hostile"
    for address in _pages(number, run_id):
        answer = hostile_site.client.get(address)
        assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text[-800:]}"
        _check(answer.text, f"{address} {HOSTILE[number]!r}", 2)
    part = hostile_site.client.get(f"/runs/{run_id}?v=0&g=0&tab=activity", headers=helpers.partial)
    _check(part.text, "refresh", 0)
    assert part.text.count("<hx-partial") == part.text.count("</hx-partial>") == 5


@pytest.mark.parametrize(
    "address", ["/", "/runs?limit=200", "/approvals", "/blueprints", "/runs/000hostile/compare/001hostile"]
)
def test_lists_of_a_hundred_hostile_runs_are_text(hostile_site, address):
    answer = hostile_site.client.get(address)
    assert answer.status_code == 200
    _check(answer.text, address, 2)


def test_a_line_of_a_megabyte_stays_small_on_every_page(make_site):
    site = make_site(store=InMemoryRunStore())
    for number in range(4):
        _filled(site.store, HUGE, number)
    for number in range(4):
        for address in ("/", "/runs", "/approvals", "/blueprints", *_pages(number, f"{number:03d}hostile")):
            answer = site.client.get(address)
            status, size = answer.status_code, len(answer.data)
            assert status == 200, address
            assert size < (3_000_000 if address.endswith("/print") else 1_000_000), f"{address} sends {size:,} bytes"


def test_hostile_searches_names_and_ids_are_text_too(make_site):
    site = make_site(store=InMemoryRunStore())
    _filled(site.store, "calm", 0)
    for word in HOSTILE:
        query = {"q": word, "blueprint": word, "tag": word, "by": word, "since": word, "status": word, "before": word}
        for address in ("/runs", "/approvals"):
            answer = site.client.get(address, query_string={k: v.encode("utf-8", "replace") for k, v in query.items()})
            assert answer.status_code in (200, 414, 422), (word, answer.status_code)
            _check(answer.text, f"{address} {word!r}", 2)
        from urllib.parse import quote

        for address in ("/runs/", "/blueprints/"):
            answer = site.client.get(address + quote(word.encode("utf-8", "surrogatepass"), safe=""))
            assert answer.status_code < 500, (address, word)
            if answer.status_code != 302:
                _check(answer.text, f"{address} {word!r}", 2)


def test_scripts_that_need_joiners_keep_them():
    family = "👩‍👩‍👧‍👦"
    assert safe(family) == family
    persian = "می‌خواهم"
    assert safe(persian) == persian
    assert safe("pay\u200dpal") == "pay\\u200dpal", "between Latin letters it only hides"


def test_what_hides_is_written_out():
    assert safe("a\u202eb") == "a\\u202eb"
    assert safe("\x00") == "\\x00"
    assert safe("\ud800") == "\\ud800"
    assert safe("tab\tand\nline") == "tab\tand\nline"
