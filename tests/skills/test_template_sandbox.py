"""Templates see plain data, do what Jinja2's do, and can neither reach out of it nor do much work."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
import time
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


# -------------------------------------------------------------------- bounded work

BIG = {
    "million": "a" * 2**20, "long": "ab " * 300_000, "list": list(range(300_000)), "texts": ["x" * 1_000] * 2_000,
    "huge": 10**100_000, "far": Decimal("1e999999"), "wide": "x" * (5 * 2**20), "records": [{"a": "y" * 500}] * 20_000,
    "lines": "\n" * 200_000, "tabs": "\t" * 100_000, "nested": [[[[1] * 20] * 20] * 20] * 20, "hyphens": "-" * 20_000,
}  # fmt: skip

HEAVY = [
    '{{ "%200000000d" % 1 }}',
    '{{ "%*d" % (200000000, 1) }}',
    '{{ "%.200000000f" % 1 }}',
    '{{ "%200000000d" | format(1) }}',
    '{{ "%(a)200000000d" % {"a": 1} }}',
    '{{ "%(a)s" * 9 }}',
    '{{ "{:>200000000}".format(1) }}',
    '{{ "{:{w}}".format(1, w=200000000) }}',
    '{{ "{:.200000000f}".format(1.0) }}',
    '{{ "{:%200000000Y}".format(day) }}',
    "{{ day.strftime('%200000000Y') }}",
    "{{ day.strftime('%Y' * 9) }}",
    "{{ 'a'.center(200000000) }}",
    "{{ 'a'.ljust(200000000) }}",
    "{{ 'a'.rjust(10**9) }}",
    "{{ 'a'.zfill(200000000) }}",
    "{{ '\t'.expandtabs(200000000) }}",
    "{{ '\t'.expandtabs(tabsize=200000000) }}",
    "{{ tabs.expandtabs(9999) }}",
    "{{ million.replace('a', million) }}",
    "{{ million.replace('', million) }}",
    "{{ million | replace('a', million) }}",
    "{{ million.join(texts) }}",
    "{{ texts | join(million) }}",
    "{{ million.join(million) }}",
    "{{ range(99999) | join(million) }}",
    "{{ 'a' | center(200000000) }}",
    "{{ 'a' | center(width=200000000) }}",
    "{{ lines | indent(9999) }}",
    "{{ lines | indent(million) }}",
    "{{ 'a' | indent(200000000) }}",
    "{{ 'a' | indent(width=200000000) }}",
    "{{ million | wordwrap(1) }}",
    "{{ long | wordwrap(1) }}",
    "{{ 'a b' | wordwrap(1, wrapstring=million) }}",
    "{{ 'a' | wordwrap(0) }}",
    "{{ ('a' ~ hyphens)[:20000] | wordwrap(1) | length }}{{ 1 // 0 }}",
    "{{ million | urlize }}",
    "{{ [1] | batch(10**9, 0) | list }}",
    "{{ [1] | batch(1000000000, 0) | list }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ [1] | batch(linecount=1000000000, fill_with=0) | list }}",
    "{{ [1] | slice(slices=1000000000) | list }}",
    "{{ 'a' * 200000000 }}",
    "{{ [1] * 200000000 }}",
    "{{ 200000000 * 'a' }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ huge }}",
    "{{ huge * huge * huge }}",
    "{{ '%d' % huge }}",
    "{{ '{:d}'.format(huge) }}",
    "{{ '{:x}'.format(huge) }}",
    "{{ [huge] }}",
    "{{ huge | string }}",
    "{{ huge // 3 }}",
    "{{ '{:f}'.format(far) }}",
    "{{ far | money }}",
    "{{ '%f' % far }}",
    "{{ far | int }}",
    "{{ 5 | round(-1000000000) }}",
    "{{ 5 | round(precision=10**9) }}",
    "{{ '%200000000d' is even }}",
    "{{ '%200000000d' is divisibleby(1) }}",
    "{{ '%200000000d' is odd }}",
    "{{ ['%200000000d'] | select('even') | list }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in list %}{% for j in list %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    (
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{%"
        " endset %}{% endfor %}"
    ),
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "{% set ns = namespace(x=['ab']) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    (
        "{% set ns = namespace(x=['ab']) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{%"
        " endfor %}{{ ns.x == ns.x[0] }}{{ ns.x | tojson }}"
    ),
    "{% macro m() %}{% for i in range(99999) %}" + "x" * 50_000 + "{% endfor %}{% endmacro %}{{ m() }}",
    "{% set x %}{% for i in range(99999) %}" + "x" * 50_000 + "{% endfor %}{% endset %}",
    "{% for i in range(99999) %}" + "x" * 50_000 + "{% endfor %}",
    "{% filter upper %}{% for i in range(99999) %}" + "x" * 50_000 + "{% endfor %}{% endfilter %}",
    (
        "{% macro m() %}{% call c() %}{% for i in range(99999) %}"
        + "x" * 50_000
        + "{% endfor %}{% endcall %}{% endmacro %}{% macro c() %}{{ caller() }}{% endmacro %}{{ m()"
        " }}"
    ),
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% for n in [[]] recursive %}{{ loop([[]]) }}{% endfor %}",
    "{% for i in range(300) %}{{ records | map(attribute='a') | map('upper') | list | length }}{% endfor %}",
    "{% for i in range(9999) %}{{ nested | pprint | length }}{% endfor %}",
    "{{ nested | tojson(indent=1000000000) }}",
    "{{ list | tojson(indent=99) }}",
    "{% for i in range(9999) %}{{ million | upper | length }}{% endfor %}",
    "{% for i in range(9999) %}{{ million == million[:-1] ~ 'b' }}{% endfor %}",
    "{% for i in range(9999) %}{{ 'b' in million }}{% endfor %}",
    "{% for i in range(9999) %}{{ -1 in list }}{% endfor %}",
    "{% for i in range(9999) %}{{ wide[::-1] | length }}{% endfor %}",
    "{% for i in range(9999) %}{{ list[::-1] | length }}{% endfor %}",
    "{% for i in range(9999) %}{{ texts | sort | length }}{% endfor %}",
    "{% for i in range(9999) %}{{ list | reverse | list | length }}{% endfor %}",
    "{{ million.rfind('b' ~ million[:500000]) }}{{ 1 // 0 }}",
    "{{ million.rsplit('b' ~ million[:500000]) | length }}{{ 1 // 0 }}",
    "{{ million.rpartition('b' ~ million[:500000]) | length }}{{ 1 // 0 }}",
    "{{ million.rsplit(sep='b' ~ million[:500000]) | length }}{{ 1 // 0 }}",
    "{{ wide }}",
    "{{ wide | upper }}",
    "{{ wide ~ wide }}",
    "{{ list }}",
    "{{ [wide, wide] | sort }}",
    "{{ wide | list | length }}",
    "{{ ['" + "a', '".join(["x"] * 3000) + "'] | product }}",
    "{{ list | groupby(0) }}{{ 1 // 0 }}",
    "{{ '" + "%(" * 20_000 + "' % {} }}",
    "{{ [[]] | sum(start=[]) }}",
    "{{ texts | sum(start='') }}",
    "{{ (million ~ '') | striptags }}",
    "{{ million | wordcount // 0 }}",
    "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "{{ a" + "[0]" * 5000 + " }}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{{ 'x'" + " ~ 'x'" * 9000 + " }}{{ 1 // 0 }}",
    "{{ 1" + " + 1" * 9000 + " }}{{ 1 // 0 }}",
    "{#" * 20_000,
    "{{" * 20_000,
    "{% raw %}" * 6_000,
]  # fmt: skip


def rendered(template: str) -> str:
    """With those of the large values that the template names."""
    known = {**BIG, "day": dt.date(2026, 1, 1)}
    return templates.render(template, {key: known[key] for key in templates.names(template) & known.keys()}, what="it")


@pytest.mark.parametrize("place", range(len(HEAVY)))
def test_a_template_that_asks_for_much_is_refused_in_time(place: int) -> None:
    began = time.thread_time()
    with pytest.raises(SkillError, match=r"^It cannot be rendered: .*\.$|^It is not a template|^It cannot be compiled"):
        rendered(HEAVY[place])
    assert time.thread_time() - began < 2, HEAVY[place][:200]


def test_no_template_takes_much_memory() -> None:
    """All of them in a process that may have no more than 400 MiB beyond what it begins with."""
    script = """
import resource
from neurocore.errors import SkillError
from tests.skills.test_template_sandbox import HEAVY, rendered
held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 400 * 2**20,) * 2)
for template in HEAVY:
    try:
        rendered(template)
    except SkillError as error:
        assert 'MemoryError' not in str(error), (template[:200], str(error))
    else:
        raise AssertionError(template[:200])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ wide | length }} {{ wide[:3] }} {{ wide | truncate(5, true, '') }}", "5242880 xxx xxxxx"),
        ("{{ list | sum }} {{ list | length }} {{ list[:2] }} {{ list | max }}", "44999850000 300000 [0, 1] 299999"),
        ("{% for row in records[:2000] %}{{ 1 if row.a in ['z', 'q'] else loop.index % 2 }}{% endfor %}", "10" * 1000),
        ("{% for n in list[:1000] %}{{ 1 if n in list[:1000] else 0 }}{% endfor %}", "1" * 1000),
        ("{{ records | map(attribute='a') | map('length') | sum }}", "10000000"),
        ("{{ texts[:1000] | join | length }} {{ 'x' | center(9999) | length }}", "1000000 9999"),
    ],
)  # fmt: skip
def test_large_values_can_be_worked_with(template: str, text: str) -> None:
    assert rendered(template) == text


def test_a_rendering_that_takes_more_than_a_second_ends_although_it_counts_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from neurocore.skills.sandbox import budget

    monkeypatch.setattr(budget, "MAX_WORK", 10**12)
    began = time.thread_time()
    with pytest.raises(SkillError, match="it works for more than a second; let a skill prepare what it shows"):
        templates.render("{% for i in list %}{% for j in list %}{{ '' if j }}{% endfor %}{% endfor %}", BIG, what="it")
    assert 1 <= time.thread_time() - began < 2
