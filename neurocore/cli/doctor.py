"""`neurocore doctor`: what is wrong with a project, and how to fix each problem."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neurocore.cli.errors import DONE, FAILED
from neurocore.cli.output import columns, emit, out, paint
from neurocore.cli.project import Project, pass_project
from neurocore.cli.reports import DoctorDocument, FindingDocument
from neurocore.cli.text import line, near, safe, wrapped
from neurocore.cli.types import json_option
from neurocore.errors import ConfigError, NeuroCoreError
from neurocore.readable import counted, listed

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.base import RunStore

LOW_SPACE = 200 * 1024 * 1024
_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command()
@json_option
@pass_project
def doctor(project: Project, as_json: bool) -> int:
    """Check everything that a run needs, and say what is wrong and how to fix it.

    Exits with 1 when a problem prevents runs from working, with 0 when there are only warnings. Nothing is changed.
    """
    findings = list(examine(project))
    sound = not any(finding.level == "error" for finding in findings)
    if as_json:
        emit(DoctorDocument(ok=sound, findings=findings))
    else:
        _print(findings)
    return DONE if sound else FAILED


def examine(project: Project) -> Iterator[FindingDocument]:
    """Yield all findings, in the order in which a person would check."""
    yield from _python()
    try:
        yield from _project(project)
    except ConfigError as error:
        for sentence in str(error).split("\n"):
            yield _error("settings", sentence, "Correct it there; `neurocore schema config` prints every setting.")
        yield from _dashboard()
        return
    checks: tuple[Callable[[Project], Iterator[FindingDocument]], ...] = (
        _folders, _skills, _blueprints, _environment, _store,
    )  # fmt: skip
    for check in checks:
        try:
            yield from check(project)
        except NeuroCoreError as error:
            yield _error(check.__name__.strip("_"), str(error), None)
    yield from _dashboard()


def _python() -> Iterator[FindingDocument]:
    from neurocore import __version__

    version = ".".join(map(str, sys.version_info[:3]))
    yield _ok("python", f"Python {version}, NeuroCore {__version__}.")


def _project(project: Project) -> Iterator[FindingDocument]:
    config = project.config
    if (config.project_root / "neurocore.yaml").is_file():
        yield _ok("project", f"{config.project.name} in {config.project_root}.")
    else:
        yield _warning(
            "project",
            f"There is no neurocore.yaml in {config.project_root} or above it, so all settings have their defaults.",
            "`neurocore init DIR` makes a project; -C DIR checks another folder.",
        )


def _folders(project: Project) -> Iterator[FindingDocument]:
    import shutil

    config = project.config
    needed = {"paths.data": config.data_dir}
    if config.logging.file:
        needed["paths.logs"] = config.logs_dir
    for setting, folder in needed.items():
        above = next((one for one in (folder, *folder.parents) if one.exists()), folder)
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            yield _ok("folders", f"{near(folder)}{os.sep} is writable.")
        else:
            what = f"{above} is not a folder" if not above.is_dir() else f"{above} is not writable"
            yield _error("folders", f"{what}, but NeuroCore must write there.", f"Make it writable, or set {setting}.")
            continue
        free = shutil.disk_usage(above).free
        if free < LOW_SPACE:
            yield _warning(
                "folders",
                f"The disk of {folder} has only {free // (1024 * 1024)} MiB of free space.",
                "Free some space; `neurocore db prune --keep 90d --dry-run` says how many old runs you could delete.",
            )
    yield from _permissions(config)
    yield from _dotenv(config.project_root)


def _permissions(config: NeuroCoreConfig) -> Iterator[FindingDocument]:
    """Yield files whose permissions are wider than `persistence.mode`: only a person may change existing ones."""
    from neurocore.files import folder_mode
    from neurocore.persistence.migrate import copy_path
    from neurocore.persistence.owners import Owners
    from neurocore.persistence.sidecars import beside

    path, mode = config.runs_db_path, config.file_mode
    files = [path, *beside(path), copy_path(path)] if config.persistence.backend == "sqlite" else []
    folders = [config.data_dir, Owners.beside(path).folder, config.data_dir / "owners"]
    if config.logging.file:
        files.append(config.logs_dir / config.logging.file)
        folders.append(config.logs_dir)
    for one, wanted in [*((file, mode) for file in files), *((folder, folder_mode(mode)) for folder in folders)]:
        try:
            found = one.stat().st_mode & 0o777
        except OSError:
            continue
        if found & ~wanted:
            yield _warning(
                "permissions", f"{near(one)} has mode {found:04o}, but persistence.mode allows only {wanted:04o}.",
                f"`chmod {found & wanted:04o} {shlex.quote(str(near(one)))}`, or set persistence.mode.",
            )  # fmt: skip


def _dotenv(root: Path) -> Iterator[FindingDocument]:
    shared = any((folder / ".git").exists() for folder in (root, *root.parents))
    if not shared or not (root / ".env").is_file():
        return
    ignored: set[str] = set()
    for folder in (root, *root.parents):
        try:
            ignored.update(entry.strip() for entry in (folder / ".gitignore").read_text("utf-8").splitlines())
        except (OSError, UnicodeDecodeError):
            continue
    if not ignored & {".env", "/.env", ".env*", "*.env", "**/.env"}:
        yield _warning(
            "secrets", "No .gitignore lists .env, which contains secrets.", "Add a line `.env` to .gitignore."
        )


def _skills(project: Project) -> Iterator[FindingDocument]:
    from neurocore.yamlfile import nearest

    registry = project.quiet_registry
    loaded = [name for name in registry.names() if registry.get(name) is not None]
    yield _ok("skills", f"{counted(len(loaded), 'skill')}: {', '.join(loaded)}.")
    for problem in registry.problems:
        yield _error("skills", str(problem), "Fix or remove it. The other skills work.")
    for name in project.config.skills if not registry.problems else ():  # a skill with a problem may be the missing one
        if name not in registry:
            yield _warning(
                "skills",
                f"neurocore.yaml has settings for a skill {name!r} that does not exist{nearest(name, loaded)}",
                "Correct the name, or remove the settings: nothing reads them.",
            )


def _blueprints(project: Project) -> Iterator[FindingDocument]:
    from neurocore.cli.validate import check

    files = project.blueprint_files()
    if not files:
        yield _warning(
            "blueprints", f"There are no blueprints in {near(project.config.blueprints_dir)}{os.sep}.",
            "Write one there (`neurocore schema blueprint` prints a schema for your editor), or give `run` a file.",
        )  # fmt: skip
    sound = 0
    by_name: dict[str, list[Path]] = {}
    for file in files:
        name, problems = check(project, file, quiet=True)
        if name is not None:
            by_name.setdefault(name, []).append(file)
        errors = [problem for problem in problems if problem.severity == "error"]
        sound += not errors
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            yield _error("blueprints", f"{errors[0]}{more}", f"`neurocore validate {near(file)}` lists all problems.")
    if sound:
        yield _ok("blueprints", f"{counted(sound, 'blueprint')} can run.")
    for name, same in by_name.items():
        if len(same) > 1:
            yield _same_name(project, name, same)


def _same_name(project: Project, name: str, files: list[Path]) -> FindingDocument:
    """Return a warning about files with the same blueprint name: the name means one of them, without saying which."""
    try:
        taken = f", and `neurocore run {shlex.quote(name)}` silently uses {near(project.blueprint_path(name))}"
    except NeuroCoreError:  # this name finds no file
        taken = ""
    return _warning(
        "blueprints",
        f"{listed(list(map(near, files)), most=4)} {'both' if len(files) == 2 else 'all'} say `name: {name}`; the "
        f"dashboard and the API silently use only the first{taken}.",
        "Give each blueprint its own name; runs of the same name are shown as one history.",
    )


def _environment(project: Project) -> Iterator[FindingDocument]:
    """Yield references to variables that are not set: a step that needs one fails when it starts."""
    from neurocore.blueprint.load import load_blueprint
    from neurocore.errors import BlueprintError
    from neurocore.secrets import find_references

    config = project.config
    wanted: dict[str, str] = {}
    if config.llm.api_key_env:
        wanted[config.llm.api_key_env] = "neurocore.yaml (llm.api_key_env)"
    for name, values in config.skills.items():
        for reference in sorted(find_references(values)):
            wanted.setdefault(reference, f"neurocore.yaml (skills.{name})")
    for reference in sorted(find_references(config.llm.api_key) | find_references(config.persistence.path)):
        wanted.setdefault(reference, "neurocore.yaml")
    for file in project.blueprint_files():
        try:
            blueprint = load_blueprint(file)
        except BlueprintError:
            continue
        for component in blueprint.components:
            for reference in sorted(find_references(component.config)):
                wanted.setdefault(reference, f"{near(file)} ({component.name})")
    environ = config.environ
    for name, place in wanted.items():
        if name not in environ:
            yield _error(
                "environment", f"{name} is not set, but {place} refers to it.", f"Set {name}, or put it into .env."
            )
    if wanted and all(name in environ for name in wanted):
        yield _ok("environment", f"All variables that the project refers to are set ({len(wanted):,}).")


def _store(project: Project) -> Iterator[FindingDocument]:
    config = project.config
    if not config.persistence.enabled:
        yield _warning("history", "Persistence is disabled: runs are not stored.", "Set persistence.enabled: true.")
        return
    if config.persistence.backend == "sqlite" and not (yield from _current(config.runs_db_path)):
        return
    store = project.store
    counts = store.status_counts()
    name = type(store).__name__
    yield _ok("history", f"{name} can be opened and has {counted(sum(counts.values()), 'run')}.")
    yield from _limits(store, name)
    yield from _left_alone(project, store)


def _current(path: Path) -> Generator[FindingDocument, None, bool]:
    """Return whether the file can be opened without an upgrade; if not, yield what opening it would do."""
    from neurocore.persistence import admin

    current = admin.is_current(path)
    if current is None:
        yield _ok("history", f"There is no history yet; the first run makes {near(path)}.")
    elif not current:
        yield _warning(
            "history", f"An older version of NeuroCore wrote {near(path)}, so it was not checked.",
            "`neurocore db migrate` upgrades it, as does every command that opens it; a copy of a 0.4 file is kept "
            "beside it.",
        )  # fmt: skip
    return bool(current)


def _limits(store: RunStore, name: str) -> Iterator[FindingDocument]:
    """Yield the limits of a backend with only the six required methods."""
    abilities = store.abilities()
    if not store.durable:
        yield _warning(
            "history", "Runs are only in memory, and lost when the process ends.", "Set persistence.backend: sqlite."
        )
        return
    if not store.multi_process:
        yield _warning(
            "history",
            f"{name} supports only one process: do not let several processes decide and drive runs.",
            "Use the sqlite backend if several processes use one history.",
        )
    missing = [
        words
        for method, words in (("bury_run", "tombstones of deleted runs"), ("find_runs", "an index for run ids"))
        if not abilities.get(method, True)
    ]
    if not abilities.get("commit", True):
        missing += ["logs of steps", "one transaction for a step and its run"]
    if missing:
        yield _warning(
            "history", f"{name} does not support: {', '.join(missing)}.", "Nothing is wrong; the backend is limited."
        )


def _left_alone(project: Project, store: RunStore) -> Iterator[FindingDocument]:
    from neurocore.documents.run_state import state

    states = [state(run, project.config, project.store) for run in store.active_runs()]
    for word, sentence in (
        ("lost", "lost: their process died"),
        ("owed", "pending: driven by no process yet"),
        ("cannot_tell", "left alone: NeuroCore cannot tell whether their process is alive"),
    ):
        count = states.count(word)
        if count:
            are = "is" if count == 1 else "are"
            yield _warning(
                "runs", f"{counted(count, 'run')} {are} {sentence if count > 1 else sentence.replace('their', 'its')}.",
                "`neurocore runs inspect ID` says why."
                if word == "cannot_tell"
                else "`neurocore runs sweep` continues them.",
            )  # fmt: skip

    held = store.count_held_runs()
    if held:
        yield _warning(
            "runs", f"{counted(held, 'run')} {'is' if held == 1 else 'are'} held, and nothing acts on "
            f"{'it' if held == 1 else 'them'}, because this is a copy of a history, or because of an import.",
            "`neurocore db adopt` lets them continue here. First make sure that they do not continue elsewhere.",
        )  # fmt: skip


def _dashboard() -> Iterator[FindingDocument]:
    missing = [name for name in ("flask", "flask_wtf", "jinja2_fragments", "waitress") if find_spec(name) is None]
    if missing:
        yield _ok("dashboard", "The dashboard is not installed; `pip install 'neurocore-ai[web]'` installs it.")
    else:
        yield _ok("dashboard", "`neurocore serve` can start.")


def _ok(subject: str, message: str) -> FindingDocument:
    return FindingDocument(level="ok", subject=subject, message=message)


def _warning(subject: str, message: str, mend: str | None) -> FindingDocument:
    return FindingDocument(level="warning", subject=subject, message=message, mend=mend)


def _error(subject: str, message: str, mend: str | None) -> FindingDocument:
    return FindingDocument(level="error", subject=subject, message=message, mend=mend)


def _print(findings: list[FindingDocument]) -> None:
    room = min(columns(), 110)
    for finding in findings:
        sign, colour = _SIGNS[finding.level]
        indent = " " * 15
        text = wrapped(line(finding.message), room, indent)
        out(f"{paint(sign, colour)} {finding.subject:<12} {text[0].strip()}")
        for one in text[1:]:
            out(one)
        for one in wrapped(safe(finding.mend), room, f"{indent}→ ", f"{indent}  ") if finding.mend else ():
            out(one)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    found = " and ".join(counted(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n)
    out()
    out(f"{found[0].upper()}{found[1:]}." if found else "No problems found.")
