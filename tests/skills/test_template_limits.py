"""What a template may cost: time, memory, and the size of what it makes."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from neurocore.errors import SkillError
from neurocore.skills import templates

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
from tests.skills.test_template_limits import HEAVY, rendered
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
