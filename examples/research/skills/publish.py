"""Publish the page: every file appears whole, and publishing twice changes nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from neurocore import FlowContext, Skill, SkillMeta

PROJECT = Path(__file__).resolve().parent.parent


class PublishPage(Skill):
    """`site/cars-<since>-<until>.html` and, anew, the list of all pages."""

    skill_meta = SkillMeta(
        name="publish-page",
        version="1.0.0",
        description="Publish the report as a page.",
        consumes=["summary", "statistics", "chart_years", "chart_weight", "cleaning", "approval", "since", "until"],
        provides=["page"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        pages = Environment(
            loader=FileSystemLoader(PROJECT / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        keys = ("summary", "statistics", "cleaning", "approval", "since", "until")
        charts = {key: Markup(context.get(key)) for key in ("chart_years", "chart_weight")}  # noqa: S704 - drawn by us
        values = {**{key: context.get(key) for key in keys}, **charts}
        site = PROJECT / "site"
        page = site / f"cars-{values['since']}-{values['until']}.html"
        _write(page, pages.get_template("report.html").render(values))
        names = sorted(path.stem for path in site.glob("cars-*.html"))
        _write(site / "index.html", pages.get_template("index.html").render(names=names))
        context.set("page", page.relative_to(PROJECT).as_posix())
        return context


def _write(file: Path, text: str) -> None:
    """The whole file under its name at once; a reader sees the old one or the new one."""
    file.parent.mkdir(exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
