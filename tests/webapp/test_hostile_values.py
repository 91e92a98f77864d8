"""Every value of a run is text: a hundred hostile strings in every field, on every page; only text comes out."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from neurocore.persistence import InMemoryRunStore
from neurocore.readable import safe
from tests.hostile import HOSTILE, HUGE, filled
from tests.webapp.conftest import Site

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
        filled(site.store, word, number)
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
    assert part.text.count("<hx-partial") == part.text.count("</hx-partial>") == 6


@pytest.mark.parametrize(
    "address", ["/", "/runs?limit=200", "/approvals", "/blueprints", "/runs/000hostile/compare/001hostile"]
)
def test_lists_of_a_hundred_hostile_runs_are_text(hostile_site, address):
    answer = hostile_site.client.get(address)
    assert answer.status_code == 200
    _check(answer.text, address, 2)


def _answered_in_json(site, address):
    answer = site.client.get(f"/api/v1{address}")
    assert answer.status_code == 200, f"{address}: {answer.text[-800:]}"
    assert answer.content_type == "application/json"
    json.loads(answer.data.decode("utf-8"))


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_programs_are_answered_in_json_whatever_a_run_holds(hostile_site, number):
    run_id = f"{number:03d}hostile"
    parts = ("", "/inspection?full=true", "/steps", "/steps/0", "/gates", "/events", "/logs", "/compare/000hostile")
    for part in parts:
        _answered_in_json(hostile_site, f"/runs/{run_id}{part}")


@pytest.mark.parametrize("address", ["/runs?limit=200", "/approvals", "/blueprints"])
def test_lists_of_a_hundred_hostile_runs_are_json_for_programs(hostile_site, address):
    _answered_in_json(hostile_site, address)


def test_a_line_of_a_megabyte_stays_small_on_every_page(make_site):
    site = make_site(store=InMemoryRunStore())
    for number in range(4):
        filled(site.store, HUGE, number)
    assert site.client.get("/api/v1/runs").status_code == 200, "no file is named as long as this owner"
    for number in range(4):
        for address in ("/", "/runs", "/approvals", "/blueprints", *_pages(number, f"{number:03d}hostile")):
            answer = site.client.get(address)
            status, size = answer.status_code, len(answer.data)
            assert status == 200, address
            assert size < (3_000_000 if address.endswith("/print") else 1_000_000), f"{address} sends {size:,} bytes"


def test_hostile_searches_names_and_ids_are_text_too(make_site):
    site = make_site(store=InMemoryRunStore())
    filled(site.store, "calm", 0)
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
