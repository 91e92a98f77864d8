"""The data set: loading it, and making it fit to be counted."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from vega_datasets import local_data

from neurocore import FlowContext, Skill, SkillMeta

MILES_PER_GALLON = 235.215  # l/100 km at one mile per US gallon
KILOGRAMS = 0.45359237
#: The set as it was published misspells its makers.
SPELLING = {
    "chevroelt": "chevrolet", "chevy": "chevrolet", "maxda": "mazda", "mercedes": "mercedes-benz",
    "toyouta": "toyota", "vokswagen": "volkswagen", "vw": "volkswagen",
}  # fmt: skip


class LoadCars(Skill):
    """406 cars as they are in the package: nothing is downloaded."""

    skill_meta = SkillMeta(
        name="load-cars",
        version="1.0.0",
        description="Load the data set cars of vega_datasets.",
        requires=["vega_datasets"],
        provides=["raw"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        context.set("raw", json.loads(local_data.cars.raw()))
        return context


class CleanCars(Skill):
    """Metric units, one spelling per maker, only what was measured; what was left out is counted."""

    skill_meta = SkillMeta(
        name="clean-cars",
        version="1.0.0",
        description="Make the cars fit to be counted.",
        consumes=["raw", "since", "until"],
        provides=["cars", "cleaning"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        since, until = context.get("since"), context.get("until")
        done: Counter[str] = Counter()
        cars = []
        for row in context.get("raw"):
            year = int(row["Year"][:4])
            if not since <= year <= until:
                done["outside_years"] += 1
            elif row["Miles_per_Gallon"] is None:
                done["without_consumption"] += 1
            else:
                cars.append(_clean(row, year, done))
        if len(cars) < 2:
            raise ValueError(f"There are {len(cars)} cars from {since} to {until}; the set has 1970 to 1982.")
        context.delete("raw")
        context.set("cars", cars)
        counted = ("outside_years", "without_consumption", "spelling_mended")
        context.set("cleaning", {"kept": len(cars), **{key: done[key] for key in counted}})
        return context


def _clean(row: dict[str, Any], year: int, done: Counter[str]) -> dict[str, Any]:
    maker, _, model = row["Name"].partition(" ")
    if maker in SPELLING:
        maker = SPELLING[maker]
        done["spelling_mended"] += 1
    return {
        "name": f"{maker} {model}".strip(),
        "origin": row["Origin"],
        "year": year,
        "kg": round(row["Weight_in_lbs"] * KILOGRAMS),
        "l_per_100_km": round(MILES_PER_GALLON / row["Miles_per_Gallon"], 2),
    }
