"""`neurocore skill`: list skills, explain one, create one."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurocore.cli.output import Cell, Column, columns, emit, out, paint, table, warn
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, near, safe, wrapped
from neurocore.cli.types import SKILL, json_option
from neurocore.errors import NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from neurocore.cli.reports import SkillDocument
    from neurocore.skills.base import Skill


@click.group()
def skill() -> None:
    """List, explain and create skills."""


@skill.command("list", short_help="List every skill that a blueprint can use.")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List every skill that a blueprint can use: skills of the project, installed skills and built-in skills."""
    from neurocore.skills.loader import discover_skills

    registry = discover_skills(project.config)
    found = [(name, registry.get(name)) for name in registry.names()]
    if as_json:
        from neurocore.cli.reports import SkillsDocument, SkillSummary

        skills = [
            SkillSummary(
                name=name, version=cls.skill_meta.version, description=cls.skill_meta.description,
                tags=list(cls.skill_meta.tags), source=registry.source(name),
            )
            for name, cls in found
            if cls is not None
        ]  # fmt: skip
        emit(SkillsDocument(skills=skills, problems=[str(problem) for problem in registry.problems]))
        return
    rows: list[list[str | Cell]] = [
        [
            line(name),
            line(cls.skill_meta.version),
            line(cls.skill_meta.description),
            Cell(_where(registry.source(name)), "dim"),
        ]
        for name, cls in found
        if cls is not None
    ]
    heads = [
        Column("skill", least=12),
        Column("version", least=7),
        Column("what it does", least=20),
        Column("from", least=8),
    ]
    out(table(heads, rows))
    for problem in registry.problems:
        warn(str(problem))


@skill.command(short_help="Explain one skill: what it reads, what it sets, and its configuration.")
@click.argument("name", type=SKILL)
@json_option
@pass_project
def info(project: Project, name: str, as_json: bool) -> None:
    """Explain one skill: what it reads and sets, and how it is configured."""
    from neurocore.yamlfile import nearest

    registry = project.registry
    cls = registry.get(name)
    if cls is None:
        broken = next((problem for problem in registry.problems if name in str(problem)), None)
        hint = f": it cannot be loaded ({broken})." if broken else nearest(name, registry.names())
        raise NotFoundError(f"There is no skill {name[:80]!r}{hint}")
    document = _document(project, name, cls, registry.source(name))
    if as_json:
        emit(document)
    else:
        _print(document)


@skill.command(short_help="Create a skill and a test for it.")
@click.argument("name")
@click.option("--async", "is_async", is_flag=True, help="Create a skill whose process method is a coroutine.")
@pass_project
def new(project: Project, name: str, is_async: bool) -> None:
    """Create a skill in the folder of the project, and a test for it."""
    from neurocore.cli.scaffold import skill_files, write

    config = project.config
    if name in project.registry:
        raise RefusedError(f"A skill {name!r} exists already ({project.registry.source(name)}); choose another name.")
    try:
        files = skill_files(name, folder=_relative(config.skills_dir, config.project_root), is_async=is_async)
    except ValueError as error:
        raise UsageError(str(error)) from error
    write(config.project_root, files)
    made = [line(near(config.project_root / file)) for file in files]
    for file in made:
        out(f"Made {line(file)}")
    out(f"Use it in a blueprint as type {paint(name, 'bold')}; `python -m pytest {made[-1]}` tests it.")


def _relative(folder: Path, root: Path) -> str:
    try:
        return folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise UsageError(
            f"The skills folder {folder} is outside the project, so no skill was created there; set paths.skills to a "
            "folder of the project."
        ) from None


def _document(project: Project, name: str, cls: type[Skill], source: str) -> SkillDocument:
    from neurocore.cli.reports import SkillDocument
    from neurocore.documents.masking import masked
    from neurocore.skills.base import is_async_skill

    meta = cls.skill_meta
    return SkillDocument(
        name=name, version=meta.version, description=meta.description, tags=list(meta.tags), source=source,
        author=meta.author, documentation=inspect.getdoc(cls) or "", requires=list(meta.requires),
        provides=list(meta.provides), consumes=list(meta.consumes), is_gate=cls.is_gate, is_async=is_async_skill(cls),
        requires_llm=meta.requires_llm, max_retries=meta.max_retries, config_schema=masked(meta.config_schema or {}),
        config=masked(project.config.skills.get(name, {}), meta.config_schema),
    )  # fmt: skip


def _print(skill: SkillDocument) -> None:
    room = min(columns(), 100)
    out(f"{paint(line(skill.name), 'bold')} {line(skill.version)} · {line(skill.source)}")
    if skill.description:
        out(line(skill.description))
    if skill.documentation and skill.documentation.strip() != skill.description.strip():
        for paragraph in safe(skill.documentation).split("\n\n"):
            out()
            out("\n".join(wrapped(" ".join(paragraph.split()), room)))
    facts = {
        "reads": ", ".join(skill.consumes),
        "sets": ", ".join(skill.provides),
        "needs": ", ".join([*skill.requires, *(["a language model (llm)"] if skill.requires_llm else [])]),
        "retries": str(skill.max_retries or ""),
        "kind": "gate" if skill.is_gate else "async" if skill.is_async else "",
        "tags": ", ".join(skill.tags),
        "author": skill.author,
    }
    rows = [f"  {name:<8} {line(value)}" for name, value in facts.items() if value]
    if rows:
        out("\n" + "\n".join(rows))
    _print_schema(skill.config_schema, room)
    if skill.config:
        out("\nneurocore.yaml sets")
        out(
            "\n".join(
                f"  {line(key)}: {line(json.dumps(value, ensure_ascii=False))}" for key, value in skill.config.items()
            )
        )


def _print_schema(schema: dict[str, Any], room: int) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return
    required = schema.get("required") or []
    out("\nConfiguration")
    for key, one in properties.items():
        spec = one if isinstance(one, dict) else {}
        kind = spec.get("type") or ("one of " + ", ".join(map(str, spec["enum"])) if spec.get("enum") else "any")
        facts = [" or ".join(kind) if isinstance(kind, list) else str(kind)]
        facts += ["required"] if key in required else []
        facts += [f"default {json.dumps(spec['default'], ensure_ascii=False)}"] if "default" in spec else []
        facts += ["secret"] if spec.get("secret") or spec.get("writeOnly") else []
        said = f": {spec['description']}" if spec.get("description") else ""
        out("\n".join(wrapped(line(f"{key} ({', '.join(facts)}){said}"), room, "  ", "      ")))


def _where(source: str) -> str:
    path = Path(source)
    return line(f"{path.parent.name}/{path.name}" if path.is_absolute() else source)
