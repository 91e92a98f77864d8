"""What can be said of the cars in numbers and in two charts, drawn as SVG by leather: no browser, no network."""

from __future__ import annotations

import statistics
from typing import Any

import leather

from neurocore import FlowContext, Skill, SkillMeta

COLOURS = {"Europe": "#2a6fbb", "Japan": "#c2410c", "USA": "#4d7c0f"}
WIDTH, HEIGHT = 720, 380


class CarStatistics(Skill):
    """Mean consumption in the first and last year of each origin, and what weight has to do with it."""

    skill_meta = SkillMeta(
        name="car-statistics",
        version="1.0.0",
        description="Consumption by origin and by weight.",
        consumes=["cars"],
        provides=["statistics", "weight"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        cars = context.get("cars")
        context.set("statistics", [_first_and_last(origin, those) for origin, those in _by_origin(cars)])
        weights, litres = [car["kg"] for car in cars], [car["l_per_100_km"] for car in cars]
        context.set(
            "weight",
            {
                "per_100_kg": round(100 * statistics.linear_regression(weights, litres).slope, 2),
                "correlation": round(statistics.correlation(weights, litres), 2),
            },
        )
        return context


class ChartYears(Skill):
    """A line per origin over the years."""

    skill_meta = SkillMeta(
        name="chart-years",
        version="1.0.0",
        description="Draw consumption over the years.",
        requires=["leather"],
        consumes=["cars"],
        provides=["chart_years"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        chart = _chart("Model year")
        for origin, cars in _by_origin(context.get("cars")):
            chart.add_line(list(_yearly_means(cars).items()), name=origin, stroke_color=COLOURS[origin])
        context.set("chart_years", chart.to_svg(width=WIDTH, height=HEIGHT))
        return context


class ChartWeight(Skill):
    """A dot per car."""

    skill_meta = SkillMeta(
        name="chart-weight",
        version="1.0.0",
        description="Draw consumption over weight.",
        requires=["leather"],
        consumes=["cars"],
        provides=["chart_weight"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        chart = _chart("Weight in kg")
        for origin, cars in _by_origin(context.get("cars")):
            chart.add_dots([(car["kg"], car["l_per_100_km"]) for car in cars], name=origin, fill_color=COLOURS[origin])
        context.set("chart_weight", chart.to_svg(width=WIDTH, height=HEIGHT))
        return context


def _by_origin(cars: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    origins = sorted({car["origin"] for car in cars})
    return [(origin, [car for car in cars if car["origin"] == origin]) for origin in origins]


def _yearly_means(cars: list[dict[str, Any]]) -> dict[int, float]:
    """Mean consumption in l/100 km by model year, in the order of the years."""
    years = sorted({car["year"] for car in cars})
    return {year: statistics.fmean(car["l_per_100_km"] for car in cars if car["year"] == year) for year in years}


def _first_and_last(origin: str, cars: list[dict[str, Any]]) -> dict[str, Any]:
    means = _yearly_means(cars)
    first, last = min(means), max(means)
    return {
        "origin": origin, "cars": len(cars), "first_year": first, "first": round(means[first], 1),
        "last_year": last, "last": round(means[last], 1), "change": round(100 * (means[last] / means[first] - 1)),
    }  # fmt: skip


def _chart(x_axis: str) -> Any:
    theme = leather.theme
    theme.background_color = "none"
    for part in ("title", "legend", "axis_title", "tick"):
        setattr(theme, f"{part}_font_family", "system-ui, sans-serif")
    theme.label_color = theme.axis_title_color = theme.legend_color = "#555"
    chart = leather.Chart()
    chart.add_x_axis(name=x_axis, tick_formatter=lambda value, *_: f"{value:.0f}")
    chart.add_y_axis(name="l/100 km")
    return chart
