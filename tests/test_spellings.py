"""A secret is found, and masked, in every spelling that programs commonly make, and in nothing else."""

from __future__ import annotations

import base64
import functools
import html
import json
import quopri
import re
import shlex
import time
import urllib.parse
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.codec import encode
from neurocore.secrets import MASK, Redactor
from tests.values import Payment

TOKEN = "hunter2-hunter2"
PASSWORD = "p@ss/w0rd+x"
PEM = "-----BEGIN KEY-----\nMIIabcdefSECRETLINE1\nxyzSECRETLINE2==\n-----END KEY-----\n"
ODD = [
    "with \"quotes\" and 'more'", "tab\tand\\back\\slash", "pässwörter", "пароль-длинный", "p€nnies&<tags>;",
    "!@#$%^&*()_+{}[]|", "100%sure%%", "''''''''", "a\\'b\\\"c\\\\d", "日本語のパスワード",
    "snow☃man😀pass", "$HOME/`id`!!",
]  # fmt: skip


def percent(text: str, unreserved: str = "") -> str:
    return urllib.parse.quote(text, safe=unreserved)


def aligned(before: int, encoded: Callable[[bytes], bytes], text: str) -> str:
    return encoded(b"u" * before + text.encode() + b":rest").decode()


SPELLINGS: dict[str, Callable[[str], Any]] = {
    "itself": str,
    "within text": lambda one: f"<<{one}>>",
    "bytes": lambda one: b"\xff" + one.encode(),
    "UTF-16, little": lambda one: one.encode("utf-16-le"),
    "UTF-16, big": lambda one: one.encode("utf-16-be"),
    "a key": lambda one: {one: 1},
    "deep inside": lambda one: [{"a": ({"b": one},)}],
    "an object": lambda one: Payment(one, Decimal(1), [f"x{one}"]),
    "a path": lambda one: Path("/tmp") / f"x{one}",
    "quote": percent,
    "quote, slash": urllib.parse.quote,
    "quote_plus": urllib.parse.quote_plus,
    "percent, lower case": lambda one: re.sub("%..", lambda found: found.group().lower(), percent(one)),
    "encodeURIComponent": lambda one: percent(one, "!'()*~"),
    "percent, twice": lambda one: percent(percent(one)),
    "urlencode": lambda one: urllib.parse.urlencode({"q": one}),
    "in an address": lambda one: f"https://user:{percent(one)}@db.example/x",
    "JSON": json.dumps,
    "JSON, any letter": lambda one: json.dumps(one, ensure_ascii=False),
    "JSON in JSON": lambda one: json.dumps({"body": json.dumps({"key": one})}),
    "JSON, slashes": lambda one: json.dumps(one).replace("/", "\\/"),
    "JSON for pages": lambda one: re.sub("[<>&']", lambda found: f"\\u{ord(found.group()):04x}", json.dumps(one)),
    "JSON, upper case": lambda one: re.sub(
        r"\\u....", lambda found: "\\u" + found.group()[2:].upper(), json.dumps(one)
    ),
    "repr": repr,
    "repr of bytes": lambda one: repr(one.encode()),
    "repr in JSON": lambda one: json.dumps(repr(one)),
    "ascii": ascii,
    "YAML": lambda one: yaml.safe_dump({"a": one}, width=10**6),
    "YAML, any letter": lambda one: yaml.safe_dump({"a": one}, width=10**6, allow_unicode=True),
    "HTML": html.escape,
    "HTML, numbers": lambda one: "".join(
        one if one.isalnum() and one.isascii() else f"&#{ord(one):03d};" for one in one
    ),
    "HTML, hexadecimal": lambda one: "".join(c if c.isalnum() and c.isascii() else f"&#x{ord(c):X};" for c in one),
    "HTML, twice": lambda one: html.escape(html.escape(one)),
    "XML": escape,
    "XML attribute": quoteattr,
    "shell": shlex.quote,
    "shell in double quotes": lambda one: '"' + re.sub(r'(["\\$`!])', r"\\\1", one) + '"',
    "shell, backslashes": lambda one: re.sub(r"([^\w\n])", r"\\\1", one),
    "regular expression": re.escape,
    "SQL": lambda one: "'" + one.replace("'", "''") + "'",
    "CSV": lambda one: '"' + one.replace('"', '""') + '"',
    "INI": lambda one: one.replace("%", "%%"),
    "quoted-printable": lambda one: quopri.encodestring(one.encode()).decode().replace("=\n", ""),
    "hexadecimal": lambda one: one.encode().hex(),
    "hexadecimal, upper case": lambda one: f"0x{one.encode().hex().upper()}",
    "base64": lambda one: base64.b64encode(one.encode()).decode(),
    "base64 in bytes": lambda one: base64.b64encode(one.encode()),
    "base64, no padding": lambda one: base64.b64encode(one.encode()).decode().rstrip("="),
    "base64, address": lambda one: base64.urlsafe_b64encode(one.encode()).decode(),
    "base64 in lines": lambda one: base64.encodebytes(b"x" * 52 + one.encode()).decode(),
    "base64 in lines in JSON": lambda one: json.dumps(base64.encodebytes(b"x" * 52 + one.encode()).decode()),
    "base64 of UTF-16": lambda one: base64.b64encode(f"Connect {one}".encode("utf-16-le")).decode(),
    **{f"base64 behind {n}": functools.partial(aligned, n, base64.b64encode) for n in range(1, 8)},
    **{f"base64, address, behind {n}": functools.partial(aligned, n, base64.urlsafe_b64encode) for n in range(1, 4)},
}


VALUES = [TOKEN, PASSWORD, PEM, *ODD]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_would_be_recorded_holds_the_value_in_this_spelling(spelling: str) -> None:
    for value in VALUES:
        recorded = encode({"kept": SPELLINGS[spelling](value)})
        assert Redactor([value]).found_in(recorded), value
        assert not Redactor(["another-value"]).found_in(recorded), value


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_is_refused_as_a_value_is_masked_in_text(spelling: str) -> None:
    for value in VALUES:
        spelled = SPELLINGS[spelling](value)
        redactor = Redactor([value])
        if isinstance(spelled, bytes):
            told = redactor.binary(b"before " + spelled + b" behind").decode("utf-8", "surrogateescape")
        else:
            told = redactor.text(f"before {spelled} behind")
        assert told.startswith("before "), told
        assert MASK in told, told
        assert told.endswith(" behind"), told
        assert not redactor.found_in(told.encode("utf-8", "surrogatepass")), told


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_single_line_of_a_key_file_is_found(spelling: str) -> None:
    redactor = Redactor([PEM])
    for line in PEM.splitlines()[1:3]:
        assert redactor.found_in(encode(SPELLINGS[spelling](line))), line
    assert not redactor.found_in(encode(PEM.splitlines()[0])), "what begins every key file tells nothing"


def test_a_line_of_a_key_that_stands_within_json_is_found() -> None:
    redactor = Redactor([json.dumps({"type": "account", "private_key": PEM})])
    for line in PEM.splitlines()[1:3]:
        assert redactor.found_in(encode(line))


def test_a_long_key_file_is_found_in_the_encoding_of_a_document_that_holds_it() -> None:
    pem = "-----BEGIN X-----\n" + base64.encodebytes(bytes(range(256)) * 16).decode() + "-----END X-----\n"
    redactor = Redactor([pem])
    for document in (pem, json.dumps({"key": pem}), f"token: x\n{pem}", pem[500:]):
        for before in range(3):
            assert redactor.found_in(encode(base64.b64encode(b"." * before + document.encode())))


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        ("12345678", 12345678), ("4815162342108", 4815162342108), ("12345678", 12345678.0), ("9" * 30, int("9" * 30)),
        ("0d3c5f64-5717-4562-b3fc-2c963f66afa6", uuid.UUID("0d3c5f64-5717-4562-b3fc-2c963f66afa6")),
        ("0D3C5F6457174562B3FC2C963F66AFA6", uuid.UUID("0d3c5f64-5717-4562-b3fc-2c963f66afa6")),
        ("00ff10a0b0c0d0e0f0", bytes.fromhex("00ff10a0b0c0d0e0f0")),
        ("q83vEjRWeJCrze8=", b"x\xab\xcd\xef\x12\x34\x56\x78\x90\xab\xcd\xef"),
        ("  padded-token \n", "padded-token"),
    ],
)  # fmt: skip
def test_what_a_program_makes_of_a_secret_is_found(value: str, recorded: Any) -> None:
    assert Redactor([value]).found_in(encode({"kept": [recorded]}))


secret_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=8, max_size=40).filter(
    lambda one: len(one.strip()) >= 8 and len(one.splitlines()) == 1
)


@given(secret_texts, st.sampled_from(sorted(SPELLINGS.keys() - {"a path"})), st.text(max_size=5), st.text(max_size=5))
@settings(max_examples=400, deadline=None)
def test_any_text_is_found_in_any_spelling(value: str, spelling: str, before: str, behind: str) -> None:
    spelled = SPELLINGS[spelling](value.strip())
    redactor = Redactor([value])
    assert redactor.found_in(encode({"before": before, "kept": spelled, "behind": behind}))


@given(st.text(max_size=300), st.lists(secret_texts, max_size=4))
@settings(max_examples=200, deadline=None)
def test_other_text_stays_as_it_is(text: str, values: list[str]) -> None:
    redactor = Redactor(values)
    if not any(value.strip() in text for value in values):
        assert redactor.text(text) == text or redactor.found_in(text.encode("utf-8", "surrogatepass"))


def test_looking_costs_little_however_many_and_long_the_secrets_are() -> None:
    """A step that records a megabyte beside a key file and fifty tokens: a second would be felt."""
    pem = "-----BEGIN X-----\n" + base64.encodebytes(bytes(range(256)) * 16).decode() + "-----END X-----\n"
    redactor = Redactor([pem, *(f"tok_{n:04d}_%+/x{n * 7919:x}" for n in range(50)), "!#$%&()*+,-./", "a" * 4000 + "!"])
    rows = encode([{"name": f"Ada {n}", "note": '100 % of\nit, \\ and "so" on' + "a" * 40} for n in range(12_000)])
    began = time.process_time()
    assert not redactor.found_in(rows)
    assert redactor.text(rows.decode("latin-1")[:100_000])
    assert time.process_time() - began < 1
