"""neurocore.yaml: every setting with its default, the environment over it, and where each value comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from neurocore.errors import ConfigError

FILE_NAME = "neurocore.yaml"
PREFIX = "NEUROCORE_"

Count = Annotated[int, Meta(ge=1, le=1000)]


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are: `name` heads the dashboard; `version` and `description` are for people."""

    name: str = "neurocore"
    version: str | None = None
    description: str | None = None


class Paths(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folders, relative to the project or absolute."""

    skills: str = "skills"
    blueprints: str = "blueprints"
    data: str = "data"
    logs: str = "logs"


class Persistence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where runs are kept. `path` is relative to the data folder; `durability: full` syncs every step to disk."""

    enabled: bool = True
    backend: str = "sqlite"
    path: str = "runs.db"
    persist_step_snapshots: bool = False
    durability: Literal["normal", "full"] = "normal"


class Runtime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to a run whose process died, and how many steps (and runs, in the dashboard) go on at once."""

    on_lost: Literal["resume", "fail"] = "resume"
    max_workers: Count = 8


class Web(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dashboard. `public_url` is what copied links begin with; `proxies` how many proxies stand in front."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8321
    public_url: str | None = None
    allowed_hosts: list[str] = []
    link_preview: Literal["none", "status", "full"] = "none"
    proxies: Annotated[int, Meta(ge=0, le=10)] = 0


class Logging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged: `level` (debug, info, warning, error), `format` (console or json), and to which file."""

    level: str = "info"
    format: Literal["console", "json"] = "console"
    file: str | None = None


class Llm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The language model for skills that require one, over any OpenAI-compatible endpoint."""

    provider: str = ""
    model: str = ""
    api_key: str = ""
    api_key_env: str = ""
    base_url: str = ""
    max_tokens: Annotated[int, Meta(ge=1)] = 8192
    temperature: float = 1.0


class NeuroCoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project's configuration. Secrets stay references (`${NAME}`) until a step starts."""

    project: Project = Project()
    paths: Paths = Paths()
    persistence: Persistence = Persistence()
    runtime: Runtime = Runtime()
    web: Web = Web()
    logging: Logging = Logging()
    llm: Llm = Llm()
    skills: dict[str, dict[str, Any]] = {}
    project_root: Path = field(default_factory=Path.cwd)
    dotenv: dict[str, str] = {}
    origins: dict[str, str] = {}

    @property
    def environ(self) -> dict[str, str]:
        """The environment that references are resolved from: `.env` under the real one."""
        return {**self.dotenv, **os.environ}

    @property
    def skills_dir(self) -> Path:
        """The folder of the project's own skills."""
        return self.project_root / self.paths.skills

    @property
    def blueprints_dir(self) -> Path:
        """The folder of the blueprints."""
        return self.project_root / self.paths.blueprints

    @property
    def data_dir(self) -> Path:
        """The folder of runs.db and of the owners' locks."""
        return self.project_root / self.paths.data

    @property
    def logs_dir(self) -> Path:
        """The folder of log files."""
        return self.project_root / self.paths.logs

    @property
    def runs_db_path(self) -> Path:
        """The database of the sqlite backend."""
        return self.data_dir / self.persistence.path

    def skill_config(self, name: str) -> dict[str, Any]:
        """The skill's section, with the language model's settings filled in as `llm_*`."""
        own = dict(self.skills.get(name, {}))
        if self.llm.provider and "llm_provider" not in own:
            key = self.llm.api_key or (f"${{{self.llm.api_key_env}}}" if self.llm.api_key_env else "")
            own = {
                "llm_provider": self.llm.provider, "llm_model": self.llm.model, "llm_api_key": key,
                "llm_base_url": self.llm.base_url, "llm_max_tokens": self.llm.max_tokens,
                "llm_temperature": self.llm.temperature, **own,
            }  # fmt: skip
        return own

    get_skill_config = skill_config


SECTIONS = ("project", "paths", "persistence", "runtime", "web", "logging", "llm", "skills")


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: Project = Project()
    paths: Paths = Paths()
    persistence: Persistence = Persistence()
    runtime: Runtime = Runtime()
    web: Web = Web()
    logging: Logging = Logging()
    llm: Llm = Llm()
    skills: dict[str, dict[str, Any]] = {}


def load_config(
    project_root: Path | str | None = None, *, path: Path | None = None, environ: Mapping[str, str] | None = None
) -> NeuroCoreConfig:
    """The configuration of the project at `project_root`, or of the nearest one upwards from here.

    A project without neurocore.yaml has the defaults. Raises ConfigError naming every problem with file and line.
    """
    environment = os.environ if environ is None else environ
    root = Path(project_root).resolve() if project_root is not None else _search(Path.cwd())
    file = path or root / FILE_NAME
    dotenv = _dotenv(root / ".env")
    data, origins = _read(file) if file.is_file() else ({}, {})
    _override(data, origins, {**dotenv, **environment})
    parts = _convert(data, origins, file)
    return NeuroCoreConfig(
        project_root=root, dotenv=dotenv, origins=_with_defaults(origins),
        **{name: getattr(parts, name) for name in SECTIONS},
    )  # fmt: skip


def config_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of neurocore.yaml."""
    schema = msgspec.json.schema(_File)
    schema["$defs"]["NeuroCoreConfig"] = schema["$defs"].pop("_File")
    schema["$ref"] = "#/$defs/NeuroCoreConfig"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "neurocore.yaml", **schema}


def _search(start: Path) -> Path:
    return next((folder for folder in (start, *start.parents) if (folder / FILE_NAME).is_file()), start)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from neurocore.yamlfile import dotted, parse, read_file

    text, problem = read_file(file)
    if problem is not None or text is None:
        raise ConfigError(str(problem))
    document = parse(text, file=str(file))
    if document.problems:
        raise ConfigError("\n".join(map(str, document.problems)))
    if document.data is None:
        return {}, {}
    if not isinstance(document.data, dict):
        raise ConfigError(f"{file}: it must be a mapping of sections: {', '.join(SECTIONS)}.")
    origins = {dotted(place): f"{file.name}:{line}" for place, (line, _) in document.marks.items() if place}
    return {key: section if section is not None else {} for key, section in document.data.items()}, origins


def _override(data: dict[str, Any], origins: dict[str, str], environ: Mapping[str, str]) -> None:
    """`NEUROCORE_SECTION__KEY=value`, over the file. Values are read as YAML, except where the setting is text."""
    from neurocore.yamlfile import nearest, parse

    types = {one.name: one.type for one in msgspec.structs.fields(_File)}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        if section not in types or section == "skills":
            raise ConfigError(f"The environment variable {name} names no section{nearest(section, types)}")
        fields = {one.name: one.type for one in msgspec.structs.fields(types[section])}
        if key not in fields:
            raise ConfigError(f"The environment variable {name} names no setting of {section}{nearest(key, fields)}")
        is_text = fields[key] in (str, str | None)
        value = text if is_text else parse(text).data
        holder = data.setdefault(section, {})
        if isinstance(holder, dict):
            holder[key] = value
            origins[f"{section}.{key}"] = f"environment {name}"


def _convert(data: dict[str, Any], origins: dict[str, str], file: Path) -> _File:
    from neurocore.yamlcheck import check
    from neurocore.yamlfile import Document, Problem, dotted

    marks: dict[Any, tuple[int, int]] = {}
    for path, origin in origins.items():
        name, _, line = origin.rpartition(":")
        if name and line.isdigit():
            marks[tuple(path.split("."))] = (int(line), 1)
    document = Document(data=data, problems=[], marks=marks, file=str(file))
    parts = check(document, data, _File)
    level = str(data.get("logging", {}).get("level", "info")) if isinstance(data.get("logging"), dict) else "info"
    if level.lower() not in ("debug", "info", "warning", "error"):
        document.problems.append(
            Problem(
                message=f"Expected debug, info, warning or error, not {level!r}.",
                path=dotted(("logging", "level")),
                file=str(file),
            )
        )
    if document.problems or parts is None:
        raise ConfigError("\n".join(map(str, document.problems)))
    found: _File = parts
    return found


def _with_defaults(origins: dict[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for section in msgspec.structs.fields(_File):
        if section.name != "skills":
            for setting in msgspec.structs.fields(section.type):
                path = f"{section.name}.{setting.name}"
                known[path] = origins.get(path, "default")
    return {**known, **{path: origin for path, origin in origins.items() if path.startswith("skills.")}}


def _dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines; quotes around a value are taken off, `export` and comments are allowed."""
    if not path.is_file():
        return {}
    values = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        entry = line.strip().removeprefix("export ").strip()
        if not entry or entry.startswith("#"):
            continue
        name, equals, value = entry.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            raise ConfigError(f"{path}:{number}: expected NAME=value.")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        else:
            value = value.split(" #", 1)[0].rstrip()
        values[name] = value
    return values
