"""References, their resolution, redaction of text, streams and bytes, and masking."""

from __future__ import annotations

import io
import json
import threading
import urllib.parse
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocore.codec import SecretRef, encode
from neurocore.errors import ConfigError
from neurocore.secrets import MASK, Redactor, find_references, looks_secret, mask, resolve

TOKEN = "hunter2-hunter2"


# -------------------------------------------------------------------- references


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("plain", set()),
        ("${A}", {"A"}),
        ("postgres://${U}:${P}@h", {"U", "P"}),
        ({"a": [{"b": ("${A}", 1)}], "${KEY}": {"${B}"}}, {"A", "B"}),
        (SecretRef("${A}"), {"A"}),
        ("$A ${} ${1} ${a-b} $ {A} {A}", set()),
        ("$${A} and ${B}", {"B"}),
        (None, set()),
    ],
)
def test_references_are_found_anywhere_in_a_value(value: Any, names: set[str]) -> None:
    assert find_references(value) == names


def test_references_are_resolved_deep_and_what_was_used_is_told() -> None:
    value = {"url": "db://${U}:${P}@h", "list": [("${P}", 3)], "set": {"${U}"}, "secret": SecretRef("${P}"), "n": None}
    resolved, used = resolve(value, {"U": "me", "P": "pw", "OTHER": "x"})
    assert resolved == {"url": "db://me:pw@h", "list": [("pw", 3)], "set": {"me"}, "secret": "pw", "n": None}
    assert used == {"U": "me", "P": "pw"}
    assert value["url"] == "db://${U}:${P}@h", "resolving must not change what was given"


def test_a_resolved_value_is_not_resolved_again() -> None:
    assert resolve("${A}", {"A": "${B}", "B": "x"}) == ("${B}", {"A": "${B}"})


def test_two_dollars_are_the_text_itself() -> None:
    assert resolve("echo $${HOME} ${A} $5 $$", {"A": "x"}) == ("echo ${HOME} x $5 $$", {"A": "x"})


def test_a_missing_variable_is_named_with_its_place_and_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"db": [{"dsn": "${DSN}"}]}, {})
    assert str(caught.value) == (
        "The environment has no DSN (db[0].dsn), which ${DSN} refers to; set it, or put it into .env."
    )
    with pytest.raises(ConfigError, match=r"has no A \(a\) and B \(b\), which the configuration refers to"):
        resolve({"a": "${A}", "b": "${B} ${A}"}, {})


# -------------------------------------------------------------------- redaction of text


@pytest.mark.parametrize(
    "value",
    [TOKEN, "with \"quotes\" and 'more'", "new\nline-and-more", "p@ss/w?rd&=+ %", "pässwörter", "tab\tand\\back"],
)
def test_a_value_is_found_however_it_is_written(value: str) -> None:
    redact = Redactor([value]).text
    written = [
        value, repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False), str({"key": value}),
        urllib.parse.quote(value), urllib.parse.quote(value, safe=""), urllib.parse.urlencode({"q": value}),
    ]  # fmt: skip
    for text in written:
        told = redact(f"<{text}>")
        assert MASK in told
        assert value not in told
        assert not any(line in told for line in value.splitlines()), f"{told!r} has a line of the value"


def test_of_two_values_the_longer_one_is_masked_whole() -> None:
    assert Redactor(["abcd", "abcd-efgh"]).text("abcd-efgh abcd") == f"{MASK} {MASK}"


def test_a_short_value_is_masked_only_where_it_stands_alone() -> None:
    redact = Redactor(["3", "on"]).text
    assert redact("3 of 30, on and only: port=3.") == f"{MASK} of 30, {MASK} and only: port={MASK}."


def test_nothing_is_masked_before_a_value_is_known_or_after_it_is_forgotten() -> None:
    redactor = Redactor()
    assert (bool(redactor), redactor.text(TOKEN)) == (False, TOKEN)
    redactor.add([TOKEN, ""])
    assert (bool(redactor), redactor.text(TOKEN)) == (True, MASK)
    redactor.clear()
    assert (bool(redactor), redactor.text(TOKEN), redactor.found_in(TOKEN.encode())) == (False, TOKEN, False)


def test_only_values_of_8_characters_are_looked_for_in_what_is_recorded() -> None:
    redactor = Redactor(["1234567", "12345678", "pässwört"])
    assert not redactor.found_in(encode({"n": "1234567"}))
    assert redactor.found_in(encode({"n": ["x12345678x"]}))
    assert redactor.found_in(encode("pässwört"))


# -------------------------------------------------------------------- redaction of streams


@given(
    st.lists(st.sampled_from(["abab", "aba-baba", "xyx-xyx-xyx"]), min_size=1, max_size=3),
    st.lists(st.text("abxy-\n", max_size=6), max_size=12),
    st.data(),
)
def test_no_split_of_writes_lets_a_value_through(values: list[str], noise: list[str], data: st.DataObject) -> None:
    parts = [part for one in noise for part in (one, data.draw(st.sampled_from([*values, ""])))]
    whole = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    out = io.StringIO()
    redactor = Redactor(values)
    stream = redactor.stream(out)
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        assert stream.write(whole[begin:end]) == end - begin
    stream.flush()
    assert out.getvalue().replace(MASK, "").strip() == redactor.text(whole).replace(MASK, "").strip()
    assert not any(value in out.getvalue() for value in values)


def test_a_value_split_over_writes_is_masked_and_other_text_is_not_held_back() -> None:
    out = io.StringIO()
    stream = Redactor([TOKEN]).stream(out)
    stream.write("the token: hunter2-")
    assert out.getvalue() == "the token: "
    stream.writelines(["hunter2", " and hun", "ger\n"])
    assert out.getvalue() == f"the token: {MASK} and hunger\n"


def test_a_prompt_that_ends_like_a_value_begins_is_shown_by_flush() -> None:
    out = io.StringIO()
    stream = Redactor([TOKEN]).stream(out)
    stream.write("Name h")
    stream.flush()
    assert out.getvalue() == "Name h"


def test_bytes_written_below_the_text_are_redacted_too() -> None:
    raw = io.BytesIO()
    stream = Redactor([TOKEN]).stream(io.TextIOWrapper(raw, encoding="utf-8", write_through=True))
    stream.write("before ")
    stream.buffer.write(b"\xff " + TOKEN.encode() + b"\n")
    stream.flush()
    assert raw.getvalue() == b"before \xff " + MASK.encode() + b"\n"


def test_threads_may_write_at_once() -> None:
    out = io.StringIO()
    stream = Redactor([TOKEN]).stream(out)

    def write() -> None:
        for _ in range(200):
            stream.write(f"[{TOKEN}]\n")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out.getvalue() == f"[{MASK}]\n" * 800


# -------------------------------------------------------------------- what is masked


@pytest.mark.parametrize(
    "key",
    [
        "password", "db.password", "db_passwd", "PASSWORD", "secret", "client_secret", "api_key", "apiKey", "X-Api-Key",
        "llm_api_key", "token", "accessToken", "bearer_token", "Authorization", "auth", "cookie", "dsn", "private key",
        "credentials", "jwt",
    ],
)  # fmt: skip
def test_what_is_called_like_a_credential_looks_secret(key: str) -> None:
    assert looks_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "max_tokens", "token_count", "tokens", "tokenUsage", "author", "authority", "key", "monkey", "keys",
        "passenger", "pass_env", "compass", "api_key_env", "secretary", "cookiecutter", "", "note",
    ],
)  # fmt: skip
def test_other_keys_do_not(key: str) -> None:
    assert not looks_secret(key)


def test_masking_goes_deep_and_leaves_references_and_what_holds_nothing() -> None:
    value = {
        "api_key": "sk-1", "name": "n", "rows": [{"token": b"x", "n": 1}], "pair": ({"pin": 1, "password": 5},),
        "db": {"password": "${PW}", "dsn": "postgres://me:${PW}@h/${DB}"}, "ref": {"secret": SecretRef("${A}")},
        "password_required": True, "secret": True, "token": "", "auth": {"user": "x"}, "cookie": None, 3: {"jwt": "x"},
    }  # fmt: skip
    before = json.dumps(str(value))
    assert mask(value) == {
        "api_key": MASK, "name": "n", "rows": [{"token": MASK, "n": 1}], "pair": ({"pin": 1, "password": MASK},),
        "db": {"password": "${PW}", "dsn": f"{MASK}${{PW}}{MASK}${{DB}}{MASK}"}, "ref": {"secret": "${A}"},
        "password_required": True, "secret": True, "token": "", "auth": MASK, "cookie": None, 3: {"jwt": MASK},
    }  # fmt: skip
    assert json.dumps(str(value)) == before, "masking must not change what was given"


def test_masking_follows_the_schema() -> None:
    schema = {
        "properties": {
            "pin": {"type": "string", "secret": True},
            "code": {"writeOnly": True},
            "people": {"items": {"properties": {"name": {"secret": True}}}},
        },
        "additionalProperties": {"secret": True},
    }
    value = {"pin": "1234", "code": 5, "people": [{"name": "Ada", "age": 36}], "other": "x"}
    assert mask(value, schema) == {"pin": MASK, "code": MASK, "people": [{"name": MASK, "age": 36}], "other": MASK}


@pytest.mark.parametrize("schema", [{"properties": 3}, {"properties": {"a": 3}}, {"items": [1]}, {}, None])
def test_a_schema_that_is_none_masks_nothing_and_breaks_nothing(schema: Any) -> None:
    assert mask({"a": "x", "b": [1]}, schema) == {"a": "x", "b": [1]}


class Login(NamedTuple):
    user: str
    password: str


def test_a_named_tuple_stays_one() -> None:
    assert mask({"as": [Login("ada", "hunter2")]}) == {"as": [Login("ada", MASK)]}
    assert type(mask(Login("ada", "hunter2"))) is Login
