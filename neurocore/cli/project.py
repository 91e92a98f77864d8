"""The project of a command: its configuration, skills and history, each loaded when it is first used."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from neurocore.errors import NotFoundError, UsageError
from neurocore.forms import same

if TYPE_CHECKING:
    from neurocore.access.actor import Actor
    from neurocore.blueprint.model import Blueprint
    from neurocore.cli.elsewhere import Elsewhere
    from neurocore.config import NeuroCoreConfig
    from neurocore.documents.gates import GateDocument, LastApprovedDocument, PreviewDocument
    from neurocore.documents.runs import (
        DecisionDocument,
        InspectDocument,
        LogDocument,
        OutcomeDocument,
        RunSummary,
    )
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import GateRecord, RunFilter, RunPage, RunRecord
    from neurocore.skills.registry import SkillRegistry

#: Seconds between two looks at a run that is watched.
LOOK_EVERY = 0.25

SUFFIXES = ("", ".yaml", ".yml", ".flow.yaml", ".flow.yml")


class Listed(NamedTuple):
    """A page of runs, the times that its filter means, in a zone, and these times for people ("" without any)."""

    page: RunPage
    since: str | None
    until: str | None
    timezone: str
    period: str


class Project:
    """The object in `click.Context.obj`. `called` is the command line that calls `neurocore` for this project again."""

    #: The project as commands see it that work on a server instead of here; None for a project on this machine.
    elsewhere: Elsewhere | None = None

    def __init__(self, called: str = "neurocore") -> None:
        self.called = called
        self._exported: list[str] = []
        self._is_open = False

    @cached_property
    def config(self) -> NeuroCoreConfig:
        """Return the settings of neurocore.yaml in this folder or above it, or the defaults. Raises ConfigError."""
        from neurocore.config import load_config

        return load_config()

    @cached_property
    def registry(self) -> SkillRegistry:
        """Return the skills; warn about each that cannot be loaded.

        Their logs go where `logging` says, and the environment that they see includes `.env`.
        """
        from neurocore.cli.output import warn
        from neurocore.log import set_up
        from neurocore.skills.loader import discover_skills

        set_up(self.config)
        self._exported = self.config.export_dotenv()
        registry = discover_skills(self.config)
        for problem in registry.problems:
            warn(str(problem))
        return registry

    @cached_property
    def quiet_registry(self) -> SkillRegistry:
        """Return the skills, for commands that only read runs and do not need a skill that is broken."""
        from neurocore.errors import NeuroCoreError
        from neurocore.skills.loader import discover_skills
        from neurocore.skills.registry import SkillRegistry

        try:
            with contextlib.redirect_stdout(sys.stderr):  # what the file of a skill prints is not part of the output
                return self.__dict__.get("registry") or discover_skills(self.config)
        except NeuroCoreError:
            return SkillRegistry()

    def know_classes(self) -> None:
        """Load the skills, for commands that show values: classes from skills determine how their values are shown."""
        _ = self.quiet_registry

    @cached_property
    def store(self) -> RunStore:
        """Return the history. In a project without runs it is empty, and its file is not made.

        Raises NotFoundError outside of a project, UsageError if persistence is disabled, StoreError if the history
        cannot be opened.
        """
        if not self.config.persistence.enabled or self.has_history:
            return self._opened()
        from neurocore.config import FILE_NAME

        root = self.config.project_root
        if not (root / FILE_NAME).is_file():
            from neurocore.cli.text import near

            raise NotFoundError(
                f"There is no history here: {root} and the folders above it have no {FILE_NAME}, and "
                f"{near(self.config.runs_db_path)} does not exist; go to a project or name it with -C (`neurocore init "
                "DIR` makes one)."
            )
        from neurocore.persistence.memory import InMemoryRunStore

        return InMemoryRunStore()

    def make_store(self) -> RunStore:
        """Return the history, and make it if there is none: for commands that start one. Raises as `store` does."""
        if not self._is_open:
            self.__dict__["store"] = self._opened()
        return self.store

    def _opened(self) -> RunStore:
        from neurocore.persistence import build_run_store

        store = build_run_store(self.config)
        if store is None:
            raise UsageError(
                "Persistence is disabled, so no runs are stored; set persistence.enabled: true in neurocore.yaml."
            )
        self._is_open = True
        return store

    @property
    def has_history(self) -> bool:
        """Return whether a history exists; opening the store would make its file."""
        settings = self.config.persistence
        try:
            if not settings.enabled or settings.backend != "sqlite":
                return settings.enabled
            from neurocore.persistence.sidecars import is_there

            return is_there(self.config.runs_db_path)
        except OSError:  # its folder cannot be read, and the error of the store says so
            return True

    def close(self) -> None:
        """Close the store if it was opened, and remove what was added to the environment."""
        for name in self._exported:
            os.environ.pop(name, None)
        store, self._is_open = self.__dict__.pop("store", None), False
        if store is not None:
            store.close()

    def actor(self, by: str | None) -> Actor:
        """Return who acts: the name that `--by` claims (the verbs check it), else the user of the operating system."""
        from neurocore.access.actor import Face, called, this_user

        if by is not None and self.config.auth.mode != "open":
            raise UsageError(f"--by is for auth.mode: open; here people sign in (auth.mode: {self.config.auth.mode}).")
        return called(by, face=Face.CLI) if by is not None else this_user(Face.CLI)

    def run_id(self, prefix: str) -> str:
        """Return the whole id of a run. Raises RunNotFound or RunAmbiguous."""
        from neurocore.runs.find import resolve_run_id

        return resolve_run_id(prefix, self.store)

    def load(self, prefix: str) -> RunRecord:
        """Load the whole run that a prefix names. Raises RunNotFound or RunAmbiguous."""
        from neurocore.runs.find import load_run

        return load_run(self.run_id(prefix), self.store)

    # ---------------------------------------------------------------- what a run looks like from here

    def state(self, run: RunRecord) -> str:
        """Return who continues a run, as `neurocore.documents.run_state` says it."""
        from neurocore.documents.run_state import state

        return state(run, self.config, self.store)

    def pause(self, run_id: str) -> None:
        """Wait until it is worth looking at a run again."""
        import time

        time.sleep(LOOK_EVERY)

    def named(self, run: RunRecord) -> str:
        """Return the name of a run for the next commands."""
        from neurocore.cli.brief import short_id

        return short_id(run.run_id, self.store)

    def next_commands(self, run: RunRecord, gates: Sequence[GateRecord], state: str) -> list[str]:
        """Return the commands that can be typed now, the likeliest first."""
        from neurocore.documents import make, make_gates

        signs_in, held = self.config.auth.mode != "open", make_gates.held(gates, run, self.store)
        return make.next_commands(run, gates, state, self.named(run), self.called, signs_in=signs_in, held=held)

    def page_runs(self, wanted: RunFilter, *, before: str | None, limit: int) -> Listed:
        """Return a page of runs."""
        clock = self.config.clock
        period = clock.range(wanted.since, wanted.until) if wanted.since or wanted.until else ""
        page = self.store.page_runs(wanted, before=before, limit=limit)
        return Listed(page, wanted.since, wanted.until, clock.name, period)

    def summary(self, run: RunRecord) -> RunSummary:
        """Return a run of a list for `--json`."""
        from neurocore.documents import make

        return make.summary(run, self.store, self.config)

    def outcome(self, run: RunRecord, decision: DecisionDocument | None = None) -> OutcomeDocument:
        """Return the `--json` document of a command that drove a run."""
        from neurocore.documents import make

        return make.outcome(run, self.store, self.config, self.called, decision=decision)

    def inspection(self, run: RunRecord, *, full: bool) -> InspectDocument:
        """Return the `--json` document of a whole run."""
        from neurocore.documents.inspect import inspect

        return inspect(run, self.store, self.config, self.schema_of, self.called, full=full)

    def schema_of(self, skill: str) -> Any:
        """Return the configuration schema of a skill, which marks secrets, or None if the skill no longer exists."""
        cls = self.quiet_registry.get(skill)
        return cls.skill_meta.config_schema if cls is not None else None

    def definition(self, run: RunRecord) -> tuple[str | None, dict[str, Any]]:
        """Return the YAML of a run's blueprint (None if it was not stored), and the definition, masked."""
        from neurocore.documents.masking import masked_definition

        return masked_definition(run.blueprint_snapshot, self.schema_of)

    def gate_document(self, run: RunRecord, gate: GateRecord) -> GateDocument:
        """Return what the rules of a gate give, with its answers; what it shows is not read."""
        from neurocore.documents import make_gates

        return make_gates.gate(gate, run, self.store, later=True)

    def preview(self, run: RunRecord, gate: GateRecord) -> PreviewDocument | None:
        """Return what each answer leads to; None if the run's definition can no longer be read."""
        from neurocore.documents import make
        from neurocore.documents.inspect import outlooks

        found = outlooks(run, gate, self.store)
        return make.previewed(found) if found is not None else None

    def last_approved(self, run: RunRecord, gate: GateRecord) -> LastApprovedDocument | None:
        """Return the last approved occurrence of this gate in another run; None if there is none."""
        from neurocore.documents import make
        from neurocore.documents.inspect import last_approved

        found = last_approved(run, gate, self.store)
        return make.last_approved(found) if found is not None else None

    def driver(self, run: RunRecord) -> str:
        """Return which process drives a run."""
        from neurocore.persistence.ownership import owner_label

        return owner_label(run.owner)

    def why_unknown(self, run: RunRecord) -> str:
        """Return why it is unknown whether a run's process is alive."""
        from neurocore.persistence.ownership import cannot_tell, driver_of

        return str(cannot_tell(run, driver_of(run, self.config, self.store)))

    def logs(self, run_id: str) -> tuple[list[LogDocument], Callable[[], set[str]]]:
        """Return the log of a run, and how to get the names of its nodes."""
        from neurocore.documents import make

        steps = self.store.load_steps(run_id)
        lines = [one for step in steps for one in make.logs(step)]
        return lines, lambda: {step.node_id or step.component for step in steps}

    def blueprint_path(self, name: str) -> Path:
        """Return the file that a person means: a path, or a name in the blueprints folder. Raises NotFoundError."""
        given = Path(name)
        if given.is_file():
            return given
        folder = self.config.blueprints_dir
        plain_name = given.name == name and not given.is_absolute()
        for suffix in SUFFIXES if plain_name else ():
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
        if plain_name:
            files = self.blueprint_files()
            for called in (stem, _name_of):
                for path in files:
                    if same(called(path), name):
                        return path
        if given.is_dir():
            raise UsageError(f"{name} is a folder; name the file of a blueprint.")
        raise NotFoundError(
            f"There is no blueprint {name[:200]!r}: no such file, and no such name in {folder}{self._near(name)}"
        )

    def blueprint_files(self) -> list[Path]:
        """Return the files in the blueprints folder, sorted."""
        folder = self.config.blueprints_dir
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file())

    def blueprint_names(self) -> list[str]:
        """Return the names that a person can type for them."""
        return [stem(path) for path in self.blueprint_files()]

    def load_blueprint(self, name: str) -> tuple[Blueprint, Path]:
        """Load a blueprint; return it and its file. Raises NotFoundError or BlueprintError."""
        from neurocore.blueprint.load import load_blueprint

        path = self.blueprint_path(name)
        return load_blueprint(path), path

    def _near(self, name: str) -> str:
        import difflib

        names = self.blueprint_names()
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return f"; did you mean {near[0]!r}?"
        return f"; there are {', '.join(names[:10])}." if names else "; `neurocore init` makes a project with one."


def stem(path: Path) -> str:
    """Return the name of a blueprint file without its suffix."""
    name = path.name
    for suffix in (".flow.yaml", ".flow.yml", ".yaml", ".yml"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _name_of(path: Path) -> str | None:
    from neurocore.blueprint.load import load_blueprint
    from neurocore.errors import BlueprintError

    try:
        return load_blueprint(path).name
    except BlueprintError:
        return None


pass_project = click.make_pass_decorator(Project)
