"""Templates see plain data, do what Jinja2's do, and can neither reach out of it nor do much work."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel

from neurocore import codec, register_codec
from neurocore.errors import SkillError
from neurocore.skills import templates

DATA: dict[str, Any] = {
    "name": "Ada", "text": "one two  three\nfour", "n": 7, "x": 2.5, "amount": Decimal("1234.50"), "none": None,
    "yes": True, "rows": [{"iban": "DE1", "amount": 3, "tags": ["b", "a"]}, {"iban": "AT2", "amount": 1, "tags": []}],
    "numbers": [3, 1, 2], "words": ["pear", "Apple", "fig"], "user": {"name": "Ada", "age": 36, "items": [1]},
    "day": dt.date(2026, 3, 31), "at": dt.datetime(2026, 3, 31, 12, 5, tzinfo=dt.UTC), "took": dt.timedelta(hours=26),
    "pair": (1, "b"), "tree": [{"v": 1, "c": [{"v": 2, "c": []}]}], "html": "<a href='x'>b & c</a>",
    "deep": {"a": [[{"b": 5}]]},
}  # fmt: skip

FINE = [
    "{{ name }}, {{ n }}, {{ x }}, {{ amount }}, {{ none }}, {{ yes }}, {{ pair }}, {{ numbers }}, {{ user }}",
    "{{ day }} {{ at }} {{ took }} {{ day.year }}-{{ at.hour }} {{ took.days }} {{ took.total_seconds() }}",
    (
        "{{ day.strftime('%d.%m.%Y') }} {{ at.isoformat() }} {{ at.date() }} {{ day.isoformat() }} {{"
        " day.isocalendar().week }}"
    ),
    (
        "{{ day.isocalendar()[1] }} {{ at.timetuple().tm_yday }} {{ at.tzinfo }} {{ day.replace(day=1)"
        " }} {{ at.tzname() }}"
    ),
    (
        "{{ user.name }} {{ user['age'] }} {{ user.get('gone', 5) }} {{ rows[0].iban }} {{"
        " rows[-1]['amount'] }} {{ deep.a[0][0].b }}"
    ),
    (
        "{% for row in rows %}{{ loop.index }}/{{ loop.length }} {{ row.iban }}{{ ', ' if not loop.last"
        " }}{% else %}none{% endfor %}"
    ),
    "{% for key, value in user.items() %}{{ key }}={{ value }};{% endfor %}{% for k in user %}{{ k }}{% endfor %}",
    "{% for a in rows if a.amount > 1 %}{{ a.iban }}{% endfor %}{% for c in name %}{{ c }}-{% endfor %}",
    "{% for node in tree recursive %}{{ node.v }}{% if node.c %}({{ loop(node.c) }}){% endif %}{% endfor %}",
    "{% for w in words %}{{ loop.cycle('a', 'b') }}{{ loop.changed(w) }}{{ loop.previtem is defined }}{% endfor %}",
    (
        "{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(1, 10, 4) %}{{ i }}{% endfor %}{{"
        " range(3) | list }}"
    ),
    (
        "{% macro hi(who, mark='!') %}Hi {{ who }}{{ mark }}{{ caller() if caller is defined }}{%"
        " endmacro %}{{ hi(name) }}{{ hi('x', mark='?') }}"
    ),
    "{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}in {{ name }}{% endcall %}",
    (
        "{% set a = 1 %}{% set ns = namespace(total=0) %}{% for r in rows %}{% set ns.total = ns.total +"
        " r.amount %}{% endfor %}{{ ns.total }}"
    ),
    "{% set block %}x{{ name }}{% endset %}{{ block | upper }}{% filter upper %}y{{ name }}{% endfilter %}",
    (
        "{% with a = 1, b = name %}{{ a }}{{ b }}{% endwith %}{% raw %}{{ x }}{% endraw %}{# no #}{% if"
        " n > 5 and yes %}big{% elif n %}y{% endif %}"
    ),
    (
        "{{ n + 1 }} {{ n - 1 }} {{ n * 2 }} {{ n / 2 }} {{ n // 2 }} {{ n % 4 }} {{ -n }} {{ +n }} {{"
        " amount - 1 }} {{ x * n }}"
    ),
    (
        "{{ 1 < n <= 7 }} {{ n == 7 }} {{ n != 7 }} {{ 'A' in name }} {{ 5 not in numbers }} {{ 'name'"
        " in user }} {{ name == 'Ada' and n >= 7 }}"
    ),
    (
        "{{ name ~ '-' ~ n ~ none }} {{ 'a' + 'b' }} {{ numbers + [4] }} {{ 'yes' if yes else 'no' }} {{"
        " day - day }} {{ at + took }}"
    ),
    "{{ name[0] }} {{ name[::-1] }} {{ numbers[1:] }} {{ text[:3] }} {{ numbers[-1] }} {{ name[1:2] }}",
    (
        '{{ "%s is %05.2f, %d %%" | format(name, x, n) }} {{ "%s-%s" % (name, n) }} {{ "%(a)s" % {"a":'
        ' n} }} {{ "%5s|%-5s|" % (1, 2) }}'
    ),
    (
        '{{ "{:,.2f} {} {0}".format(amount, 1) if false }}{{ "{:,.2f}".format(amount) }} {{ "{0.name}'
        ' {0[age]} {x:>4}".format(user, x=n) }}'
    ),
    '{{ "{!r} {:%Y-%m}".format(name, day) }} {{ "{a}".format_map({"a": 1}) }}',
    (
        "{{ name.upper() }} {{ name.lower() }} {{ text.split() }} {{ text.splitlines()[0] }} {{"
        " ','.join(words) }} {{ name.startswith('A') }}"
    ),
    (
        "{{ name.center(9) }}| {{ name.ljust(6, '.') }} {{ '7'.zfill(3) }} {{ name.replace('a', 'o') }}"
        " {{ ' x '.strip() }} {{ name.find('d') }}"
    ),
    (
        "{{ text.title() }} {{ text.count('o') }} {{ 'a-b'.partition('-') }} {{ 'a-b-c'.rsplit('-', 1)"
        " }} {{ 'a'.isalpha() }} {{ numbers.index(1) }}"
    ),
    (
        "{{ numbers | sum }} {{ rows | sum(attribute='amount') }} {{ numbers | sum(start=5) }} {{"
        " numbers | max }} {{ numbers | min }} {{ words | max }}"
    ),
    (
        "{{ rows | map(attribute='iban') | join(', ') }} {{ words | map('upper') | list }} {{ numbers |"
        " map('string') | join }}"
    ),
    (
        "{{ numbers | sort }} {{ words | sort }} {{ words | sort(case_sensitive=true, reverse=true) }}"
        " {{ rows | sort(attribute='amount') | first }}"
    ),
    (
        "{{ rows | selectattr('amount', 'gt', 1) | list | length }} {{ numbers | select('odd') | list }}"
        " {{ numbers | reject('even') | list }}"
    ),
    (
        "{{ rows | rejectattr('tags') | map(attribute='iban') | list }} {{ numbers | select('in', [1,"
        " 9]) | list }} {{ numbers | unique | list }}"
    ),
    (
        "{% for g in rows | groupby('iban') %}{{ g.grouper }}:{{ g.list | length }};{{ g[0] }}{% endfor"
        " %}{{ user | dictsort }} {{ user | items | list }}"
    ),
    (
        "{% for g in numbers | batch(2, 0) %}{{ g }}{% endfor %}{% for g in numbers | slice(2) %}{{ g"
        " }}{% endfor %}{{ numbers | reverse | list }}{{ name | reverse }}"
    ),
    (
        "{{ numbers | first }} {{ numbers | last }} {{ numbers | length }} {{ numbers | count }} {{ name"
        " | list }} {{ numbers | join('-') }} {{ rows | join('|', 'iban') }}"
    ),
    (
        "{{ gone | default('x') }} {{ gone | d('y') }} {{ '' | default('z', true) }} {{ gone is defined"
        " }} {{ name is defined }} {{ none is none }} {{ n is odd }}"
    ),
    (
        "{{ n is divisibleby 7 }} {{ n is number }} {{ name is string }} {{ rows is iterable }} {{ user"
        " is mapping }} {{ n is eq 7 }} {{ n is in numbers }} {{ 'A' is upper }}"
    ),
    (
        "{{ name | upper | lower | capitalize | title | trim }} {{ text | wordcount }} {{ text |"
        " truncate(8) }} {{ text | truncate(9, true, '…') }} {{ text | indent(3, true) }}"
    ),
    (
        "{{ text | wordwrap(6) }} {{ name | center(11) }}| {{ name | replace('a', 'b') }} {{ text |"
        " replace('o', '0', 1) }} {{ text | wordwrap(width=5, break_long_words=false) }}"
    ),
    (
        "{{ 5.567 | round(1) }} {{ 5.5 | round(method='floor') }} {{ -3 | abs }} {{ '42' | int + 1 }} {{"
        " 'z' | int(9) }} {{ '2.5' | float }} {{ 'ff' | int(base=16) }}"
    ),
    (
        "{{ 123456 | filesizeformat }} {{ html | escape }} {{ html | e }} {{ html | striptags }} {{ html"
        " | safe }} {{ html | forceescape }} {{ name | urlencode }}"
    ),
    (
        "{{ {'q': 'a b'} | urlencode }} {{ user | tojson }} {{ rows | tojson(indent=2) }} {{ user |"
        " pprint }} {{ {'class': 'a', 'n': none} | xmlattr }}"
    ),
    (
        "{{ 'see https://a.example/x now' | urlize }} {{ numbers | string }} {{ 3 | string | length }}"
        " {{ user | attr('gone') is defined }}"
    ),
    (
        "{% set row = cycler('a', 'b') %}{{ row.next() }}{{ row.next() }}{{ row.current }}{% set j ="
        " joiner(', ') %}{{ j() }}{{ j() }}{{ dict(a=1).a }}"
    ),
    (
        "{% block one %}b{{ name }}{% endblock %}{{ self.one() }}{% autoescape true %}{{ html }}{{ html"
        " ~ 'x' }}{% endautoescape %}"
    ),
    "{%- for x in numbers -%} {{ x }} {%- endfor -%}\n",
    "{{ loop is defined }}{{ [1, [2, {'a': 3}]] }}{{ {'a': (1, 2)} }}",
    "",
    (
        "{{ rows | map(attribute='tags.0', default='-') | list }} {{ [3, 1] | sort | map('string') |"
        " map('center', 3) | join }} {{ 'a' < 'b' }}"
    ),
]  # fmt: skip


@pytest.mark.parametrize("template", FINE)
def test_what_templates_do_with_plain_data_is_what_jinja2_does(template: str) -> None:
    plain = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    assert templates.render(template, DATA, what="it") == plain.from_string(template).render(DATA)


# -------------------------------------------------------------------- plain data


class Colour(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Login:
    user: str
    at: dt.date
    where: Path

    def secret(self) -> str:
        raise AssertionError("a template called a method of a value")

    @property
    def loud(self) -> str:
        raise AssertionError("a template ran a property of a value")


class Row(msgspec.Struct):
    number: int


class Model(BaseModel):
    name: str
    when: dt.date = dt.date(2026, 1, 1)


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __str__(self) -> str:
        return f"{self.cents} cents"


class Quarrel:
    def __str__(self) -> str:
        raise SystemExit("no text of this")


register_codec(Money, name="sandbox.money", to=lambda one: one.cents, from_=Money)
register_codec(Quarrel, name="sandbox.quarrel", to=lambda one: 1, from_=lambda _: Quarrel())

KEPT = codec.restore(codec.encode(Row(5)), objects=False)
LOGIN = Login("ada", dt.date(2026, 3, 31), Path("/etc/passwd"))


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{{ v.user }} {{ v.at.year }} {{ v.where }}", LOGIN, "ada 2026 /etc/passwd"),
        ("{{ v.x + v.y }} {{ v['x'] }}", Point(1, 2), "3 1"), ("{{ v.number }}", Row(5), "5"),
        ("{{ v }} {{ [v] }}", Colour.RED, "red ['red']"),
        ("{{ v.name }} {{ v.when.year }}", Model(name="Ada"), "Ada 2026"),
        ("{{ v | join(' ') }} {{ v | length }}", {"b", "a", "c"}, "a b c 3"),
        ("{{ v }}", frozenset({10, 9, -1}), "[-1, 9, 10]"), ("{{ v }}", b"\xff", "base64:/w=="),
        ("{{ v }}", {("b", 1), ("a", 2)}, "[('a', 2), ('b', 1)]"),
        ("{{ v }} {{ v.upper() }}", Path("a/b"), "a/b A/B"), ("{{ v }}", codec.SecretRef("${A}"), "${A}"),
        ("{{ v }}", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"), ("{{ v }}", Money(500), "500 cents"),
        ("{{ v['k'].user }}", {"k": LOGIN}, "ada"), ("{{ v.number }} of {{ v.class }}", KEPT, f"5 of {__name__}.Row"),
        ("{{ v | tojson }}", {"at": Path("x"), "c": [Colour.RED]}, '{"at": "x", "c": ["red"]}'),
        ("{{ '{:,.2f}'.format(v) }} {{ v | money }} {{ v + 1 }}", Decimal("1234.5"), "1,234.50 1,234.50 1235.5"),
    ],
)  # fmt: skip
def test_every_value_is_seen_as_plain_data(template: str, value: Any, text: str) -> None:
    assert templates.render(template, {"v": value}, what="it") == text


def test_a_set_is_shown_alike_in_every_process() -> None:
    script = (
        "from neurocore.skills import templates\n"
        "print(templates.render('{{ v }} {{ v | join }}', {'v': {'b', 'a', 1, 2.5, None, (1, 'x')}}, what='it'))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{{ v.secret() }}",
        "{{ v.loud }}",
        "{{ v.__class__ }}",
        "{{ v['__class__'] }}",
        "{{ v.where.read_text() }}",
        "{{ v.where.parent }}",
        "{{ v | attr('secret') }}",
        "{{ v | attr('__class__') }}",
        "{{ [v] | map(attribute='loud') | first }}",
        "{{ '{0.loud}'.format(v) }}",
        "{{ '{0.__class__}'.format(v) }}",
        "{{ '{0.user.encode}'.format(v) }}",
        "{{ ''.encode() }}",
        "{{ v.user.encode }}",
        "{{ v.user.translate({}) }}",
        "{{ v.user.maketrans('a', 'b') }}",
        "{{ (1).to_bytes(99, 'big') }}",
        "{{ (1).from_bytes }}",
        "{{ v.pop('user') }}",
        "{{ [1].append(2) }}",
        "{{ v.update({}) }}",
        "{{ v.items.__self__ }}",
        "{{ range.__class__ }}",
        "{{ lipsum() }}",
        "{{ [1, 2] | random }}",
        "{{ v.at.__reduce__() }}",
        "{{ cycler.__init__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ dict.fromkeys('ab') }}",
        "{{ self.__init__ }}",
        "{{ loop.__class__ }}",
        "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m._func }}",
        "{{ joiner()._x }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{{ v.user.format.__self__ }}",
        "{{ v() }}",
        "{{ 'a'.upper }}",
        "{{ [1] | map('string') }}",
        "{{ range }}",
        "{{ '%(' % v }}",
        "{{ [1] | map('attr', '__class__') | first }}",
        "{{ v.at.strftime }}",
        "{{ (1).real.__class__ }}",
        "{{ 'x' | safe | attr('__html__') }}",
        "{{ ('x' | safe).__html__() }}",
    ],
)  # fmt: skip
def test_nothing_leads_out_of_plain_data(template: str) -> None:
    with pytest.raises(SkillError, match=r"^It cannot be rendered: .*\.$|^It is not a template: .*\.$"):
        templates.render(template, {"v": LOGIN}, what="it")


def test_what_a_value_raises_is_told_in_a_sentence() -> None:
    with pytest.raises(SkillError, match=r"^It cannot be rendered: SystemExit: no text of this\.$"):
        templates.render("{{ v }}", {"v": Quarrel()}, what="it")
    with pytest.raises(SkillError, match=r"^It cannot be rendered: 'gone' is undefined\.$"):
        templates.render("{{ gone }}", {}, what="it")
