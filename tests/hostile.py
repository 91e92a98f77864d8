# ruff: noqa: E501, PLE2502 - the list of hostile strings is one
"""Strings that have broken pages somewhere, and a run that has one of them wherever anybody could put it."""

from __future__ import annotations

from typing import Any

from neurocore import codec
from neurocore.persistence.base import RunStore
from neurocore.persistence.gate_policy import GatePolicy
from neurocore.persistence.records import (
    Answer,
    Changes,
    CurrentNode,
    Event,
    Failure,
    FailureKind,
    GateRecord,
    GateStatus,
    LogLine,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)

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


def filled(store: RunStore, word: str, number: int) -> str:
    """A run (waiting, failed, running in turns) with this word wherever a blueprint, skill, person or input can put one."""
    at = "2026-03-01T10:00:00.000000+00:00"
    values: dict[str, Any] = {
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
    return run_id
