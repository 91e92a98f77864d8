"""Conditions: what they can say, and that nothing else gets through."""

from __future__ import annotations

import datetime as dt
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.blueprint.conditions import MAX_CHARACTERS, compile_condition
from neurocore.context import FlowContext
from neurocore.errors import BlueprintError, CodecError, ConditionError

DATA: dict[str, Any] = {
    "score": 0.9,
    "n": 3,
    "none": None,
    "status": "done",
    "user": {"name": "Ada", "roles": ["admin", "author"], "get": "a key called get", "a b": 1},
    "rows": [1, 2, 3],
    "total": Decimal("10.50"),
    "day": dt.date(2026, 3, 31),
    "ok": True,
    "tags": {"x", "y"},
    "__class__": "a key called __class__",
}


def evaluated(text: str) -> Any:
    return compile_condition(text).value(FlowContext(DATA))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("context.data.score > 0.8", True),
        ("context.data.score > 0.8 and context.data.n == 4", False),
        ("context.data['n'] + 1", 4),
        ("context.get('n') * 2 - 1", 5),
        ("context.get('missing')", None),
        ("context.get('missing', 7)", 7),
        ("context.has('n')", True),
        ("context.has('missing')", False),
        ("'n' in context.data", True),
        ("'missing' not in context.data", True),
        ("context.data.get('n')", 3),
        ("context.data.missing", None),
        ("context.data.missing.deeper['still']", None),
        ("context.data.missing is None", True),
        ("context.data.user.name == 'Ada'", True),
        ("context.data.user.roles[0]", "admin"),
        ("context.data.user.roles[7]", None),
        ("context.data.user.roles[-1]", "author"),
        ("context.data.user['a b']", 1),
        ("context.data.user.get('name', 'x')", "Ada"),
        ("context.data.user.nobody", None),
        ("'admin' in context.data.user.roles", True),
        ("'admin' in context.data.missing", False),
        ("'admin' not in context.data.missing", True),
        ("len(context.data.rows) == 3", True),
        ("len(context.data.missing)", 0),
        ("context.data.rows[1:]", [2, 3]),
        ("context.data.status[:2]", "do"),
        ("context.data.status in ['done', 'failed']", True),
        ("context.data.status in ('done',) and context.data.n in {3, 4}", True),
        ("1 < context.data.n <= 3", True),
        ("1 < context.data.n < 3", False),
        ("not context.data.ok", False),
        ("context.data.missing or 'default'", "default"),
        ("'big' if context.data.n > 2 else 'small'", "big"),
        ("context.data.total / 2 == 5.25", True),
        ("context.data.n % 2 == 1 and context.data.n // 2 == 1 and -context.data.n == -3", True),
        ("context.data.status + '!'", "done!"),
        ("context.data.rows + [4]", [1, 2, 3, 4]),
        ("context.data.status is 'done'", True),
        ("context.data.n is 1", False),
        ("context.data.ok is True", True),
        ("context.data.ok is 1", False),
        ("context.data.user == {'name': 'Ada'}", False),
        ("context.data['__class__']", "a key called __class__"),
        (r"context.data.status == 'a\d'", False),
        ("  context.data.n\n    == 3  ", True),
        ("(context.data.n == 3\n or context.data.n == 4)", True),
    ],
)
def test_what_conditions_can_say(text: str, value: object) -> None:
    result = evaluated(text)
    assert result == value
    assert type(result) is type(value)


HOSTILE = [
    "().__class__.__mro__[1].__subclasses__()",
    "''.__class__.__base__",
    "context.__class__",
    "context.get.__globals__",
    "context.data.__class__",
    "context.data.user.__init__",
    "context._base",
    "context.metadata",
    "context.set('a', 1)",
    "context.delete('n')",
    "context.suspend('x')",
    "context.data.update({})",
    "context.data.rows.append(4)",
    "context",
    "context.data",
    "len",
    "len.__self__",
    "__import__('os').system('true')",
    "open('/etc/passwd')",
    "eval('1')",
    "9**9**9",
    "2 ** 3",
    "1 << 10**9",
    "~1",
    "1 | 2",
    "'a' * 10**9",
    "[0] * 10**9",
    "'%s' % 'a'",
    "'%999999999d' % 1",
    "'{0.__class__}'.format(1)",
    "f'{1}'",
    "f'{().__class__}'",
    "lambda: 1",
    "[x for x in [1]]",
    "{x for x in [1]}",
    "{x: x for x in [1]}",
    "(x for x in [1])",
    "(x := 1)",
    "x = 1",
    "import os",
    "yield 1",
    "await x",
    "print(1)",
    "len(*[1])",
    "len(obj=[1])",
    "[*[1]]",
    "{**{}}",
    "context.get(**{})",
    "b'x'",
    "1j",
    "...",
    "9" * 900,
    "1" + "0" * 100 + "e",
    "",
    "   ",
    "(",
    "\x00",
    "\ud800",
    "(" * 400 + ")" * 400,
    "[" * 150 + "]" * 150,
    "-" * 900 + "1",
    "not " * 240 + "1",
    "+".join(["1"] * 200),
    "context.data" + ".a" * 400,
    "context.data.a" + "[0]" * 300,
    "a" * 100_000,
    "1+" * 50_000 + "1",
    "(" * 100_000,
    "2**256" + "*2**256" * 50,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:40]))
def test_hostile_expressions_are_refused_within_a_second(text: str) -> None:
    started = time.process_time()
    with pytest.raises(ConditionError) as caught:
        evaluated(text)
    assert time.process_time() - started < 1
    assert len(str(caught.value)) < 500
    assert str(caught.value).endswith(".")


def test_what_a_name_should_have_been_is_said() -> None:
    for text, advice in {
        "score > 1": "uses the name 'score' at column 1; write context.data.score.",
        "context.data.a == true": "uses the name 'true' at column 19; write True.",
        "1 == null": "write None.",
        "data.n > 1": "uses the name 'data' at column 1; write context.data.",
        "  ü > 1": "at column 3",
        "context.data.a = 1": "invalid syntax (to compare, write ==).",
        "context.data.a && 1": "invalid syntax (write and for &&).",
        "!context.data.a": "invalid syntax (write not for !).",
    }.items():
        with pytest.raises(ConditionError) as caught:
            compile_condition(text)
        assert advice in str(caught.value)
        assert caught.value.column is not None


def test_a_condition_error_is_a_blueprint_error() -> None:
    with pytest.raises(BlueprintError):
        compile_condition("1 +")


def test_a_condition_is_text_of_a_thousand_characters_at_most() -> None:
    assert compile_condition("1" + " " * (MAX_CHARACTERS - 1)).evaluate(FlowContext()) is True
    with pytest.raises(ConditionError, match="at most 1,000 characters; this one has 1,001"):
        compile_condition("1" + " " * MAX_CHARACTERS)
    with pytest.raises(ConditionError, match="A condition is text, not bool; put it in quotes"):
        compile_condition(True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "context.data.missing > 3",
        "context.data.user > 3",
        "context.data.n / 0",
        "context.data.n.real",
        "context.data.status.upper",
        "context.data.rows['a']",
        "context.data.n + 'a'",
        "context.data.ok + 1",
        "context.data.tags + 1",
        "context.get(3)",
        "context.data.user.get([])",
        "len(3)",
        "{context.data.rows}",
        "context.data.rows[::0]",
        "context.data.day - 3",
        "context.data.big * context.data.big",
        "context.data.text + context.data.text",
    ],
)
def test_what_cannot_be_evaluated_is_a_condition_error_at_once(text: str) -> None:
    view = FlowContext({**DATA, "big": 10**5000, "text": "x" * 60_000})
    started = time.process_time()
    with pytest.raises(ConditionError, match="cannot be evaluated: "):
        compile_condition(text).evaluate(view)
    assert time.process_time() - started < 1


def test_a_missing_key_is_named_where_it_keeps_a_condition_from_being_evaluated() -> None:
    with pytest.raises(ConditionError, match=r"\(nothing has set missing\)"):
        evaluated("context.data.missing > context.data.n")


class Quarrelsome:
    def __bool__(self) -> bool:
        raise KeyError("no truth here")

    def __eq__(self, other: object) -> bool:
        raise OSError("no equality here")

    __hash__ = None  # type: ignore[assignment]


class Holder:
    """A view whose values are nobody's idea of a value."""

    def get(self, key: str, default: Any = None) -> Any:
        return Quarrelsome()

    def has(self, key: str) -> bool:
        return True


def test_whatever_a_value_raises_is_a_condition_error() -> None:
    for text in ("context.data.x", "context.data.x == 1", "not context.data.x", "context.data.x in [1]"):
        with pytest.raises(ConditionError):
            compile_condition(text).evaluate(Holder())


def test_keys_are_what_it_reads_and_optional_what_it_asks_about() -> None:
    condition = compile_condition(
        "context.data.a and context.data['b'] and context.get('c') and context.get('d', 1) and context.has('e') "
        "and context.data.f is None and 'g' in context.data and context.data.h.inner and context.data[context.data.i]"
    )
    assert condition.keys == set("abcdefghi")
    assert condition.optional == set("defg")


def test_no_warning_is_shown_for_an_escape_that_python_does_not_know() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = [rf"context.data.status == '\d{number}'" for number in range(50)]
        with ThreadPoolExecutor(4) as threads:
            conditions = list(threads.map(compile_condition, texts))
    assert not any(condition.evaluate(FlowContext(DATA)) for condition in conditions)


def test_equal_texts_make_equal_conditions() -> None:
    assert compile_condition("1 == 1") == compile_condition("1 == 1")
    assert compile_condition("1 == 1") != compile_condition("1 == 2")
    assert len({compile_condition("1 == 1"), compile_condition("1 == 1")}) == 1


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_a_condition_error(text: str) -> None:
    answer_or_error(text)


TOKENS = """context .data .get .n ['n'] ( ) [ ] 1 'a' None True + - * / % // == < in not and or is if else , len .rows
.user : ** { } lambda for"""
tokens = TOKENS.split()


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(tokens), max_size=12).map(" ".join))
def test_any_words_in_any_order_are_a_condition_or_a_condition_error(text: str) -> None:
    answer_or_error(text)


def answer_or_error(text: str) -> None:
    try:
        answer = compile_condition(text).evaluate(FlowContext(DATA))
    except ConditionError:
        return
    assert answer in (True, False)


numbers = st.integers(-5, 5).map(str) | st.sampled_from(["2.5", "0.5", "True", "False", "None", "'a'", "'b'"])
expressions = st.recursive(
    numbers | st.sampled_from(["context.data.n", "context.data.score", "context.data.missing", "context.get('n', 1)"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "!=", "<", ">=", "and", "or", "+", "-", "*", "%", "//"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda one: f"(not {one})"),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    ),
    max_leaves=6,
)


class Data:
    n = DATA["n"]
    score = DATA["score"]
    missing = None


class Python:
    """The same names for Python itself."""

    data = Data()

    def get(self, key: str, default: object) -> object:
        return DATA.get(key, default)


@settings(deadline=None, max_examples=300)
@given(expressions)
def test_what_can_be_evaluated_comes_to_what_python_says(text: str) -> None:
    try:
        value = evaluated(text)
    except ConditionError:
        return
    assert repr(value) == repr(eval(text, {"context": Python()}))  # an independent evaluator of the same grammar


def test_a_value_that_cannot_be_read_is_told_by_the_condition_that_needs_it() -> None:
    class Unreadable(FlowContext):
        def get(self, key: str, default: object = None) -> object:
            raise CodecError("no skill has loaded its class")

    with pytest.raises(ConditionError, match=r"`context.data.order == 1` cannot be evaluated: no skill has loaded"):
        compile_condition("context.data.order == 1").evaluate(Unreadable({"order": 1}))
