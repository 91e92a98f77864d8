"""neurocore.yaml: every setting with its default, overrides from the environment, and the origin of each value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

from neurocore import typed
from neurocore.auth import Auth, problem
from neurocore.errors import ConfigError
from neurocore.moments import Clock, zone_problem

FILE_NAME = "neurocore.yaml"
DOTENV = ".env"
PREFIX = "NEUROCORE_"

Folder = Annotated[str, Meta(min_length=1)]
#: Permissions of files as `chmod` writes them; the owner reads and writes, others read, or both, or neither.
Mode = Literal["0600", "0640", "0644", "0660", "0664", "0666"]
Level = Literal["debug", "info", "warning", "error", "critical"]


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project: the dashboard shows `name`; `version` and `description` are for people.

    `timezone` is the zone for times in filters that have none; by default the machine's own.
    """

    name: str = "neurocore"
    version: str | None = None
    description: str | None = None
    timezone: str | None = None


class Paths(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folders, relative to the project or absolute."""

    skills: Folder = "skills"
    blueprints: Folder = "blueprints"
    data: Folder = "data"
    logs: Folder = "logs"


class Persistence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where runs are stored. `path` is relative to the data folder; `durability: full` syncs every step to disk.

    `mode` is the permissions of new files of the project: the database and the files beside it, copies, exports and
    logs. Folders also get the permission to enter for everybody who may read.
    """

    enabled: bool = True
    backend: str = "sqlite"
    path: Folder = "runs.db"
    persist_step_snapshots: bool = False
    durability: Literal["normal", "full"] = "normal"
    mode: Mode = "0600"


class Runtime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to a run whose process died, and how many steps (and runs, in the dashboard) run at once."""

    on_lost: Literal["resume", "fail"] = "resume"
    max_workers: Annotated[int, Meta(ge=1, le=1000)] = 8


class Web(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dashboard. Copied links begin with `public_url`; `proxies` is the number of proxies in front of it.

    `root_path` is the path below which it is visible; None uses the one in `public_url`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8321
    public_url: str | None = None
    root_path: str | None = None
    allowed_hosts: list[str] = []
    link_preview: Literal["none", "status", "full"] = "none"
    proxies: Annotated[int, Meta(ge=0, le=10)] = 0


class Logging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged: from which `level` (in upper or lower case), in which `format`, and to which `file`."""

    level: Level = "info"
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
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0


class Secrets(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`inputs` are the environment variables that secret inputs may name when the web starts a run."""

    inputs: list[Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")]] = []


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of neurocore.yaml."""

    project: Project = Project()
    paths: Paths = Paths()
    persistence: Persistence = Persistence()
    runtime: Runtime = Runtime()
    web: Web = Web()
    logging: Logging = Logging()
    llm: Llm = Llm()
    secrets: Secrets = Secrets()
    auth: Auth = Auth()
    skills: dict[str, dict[str, Any]] = {}


class NeuroCoreConfig(_File, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project's configuration. Secrets stay references (`${NAME}`) until a step starts.

    `dotenv` is the content of `.env`, `origins` the source of each value: `neurocore.yaml:7`, `environment
    NEUROCORE_…`, `.env NEUROCORE_…` or `default`. `real_environ` replaces `os.environ` in tests.
    """

    project_root: Path = field(default_factory=Path.cwd)
    dotenv: dict[str, str] = {}
    origins: dict[str, str] = {}
    real_environ: dict[str, str] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment that references are resolved from: `.env`, overridden by the real one."""
        return {**self.dotenv, **(os.environ if self.real_environ is None else self.real_environ)}

    @property
    def skills_dir(self) -> Path:
        """Return the folder of the project's own skills."""
        return self.resolve_path(self.paths.skills)

    @property
    def blueprints_dir(self) -> Path:
        """Return the folder of the blueprints."""
        return self.resolve_path(self.paths.blueprints)

    @property
    def data_dir(self) -> Path:
        """Return the folder of runs.db; stores without a file have the owners' locks there."""
        return self.resolve_path(self.paths.data)

    @property
    def logs_dir(self) -> Path:
        """Return the folder of log files."""
        return self.resolve_path(self.paths.logs)

    @property
    def runs_db_path(self) -> Path:
        """Return the database of the sqlite backend."""
        return self.data_dir / Path(self.persistence.path).expanduser()

    @property
    def file_mode(self) -> int:
        """Return the permissions of new files (`persistence.mode`)."""
        return int(self.persistence.mode, 8)

    @property
    def clock(self) -> Clock:
        """Return the clock for times in filters (`project.timezone`)."""
        return Clock(self.project.timezone)

    def resolve_path(self, path: str) -> Path:
        """Return the full path of a path in the configuration: relative to the project, absolute, or `~/…`."""
        return self.project_root / Path(path).expanduser()

    def skill_config(self, name: str, *, llm: bool = True) -> dict[str, Any]:
        """Return the skill's section; with `llm`, the language model's settings are added as `llm_*`.

        A section with its own provider is not changed.
        """
        own = dict(self.skills.get(name, {}))
        if not llm or not self.llm.provider or "llm_provider" in own:
            return own
        key = self.llm.api_key or (f"${{{self.llm.api_key_env}}}" if self.llm.api_key_env else "")
        return {
            "llm_provider": self.llm.provider, "llm_model": self.llm.model, "llm_api_key": key,
            "llm_base_url": self.llm.base_url, "llm_max_tokens": self.llm.max_tokens,
            "llm_temperature": self.llm.temperature, **own,
        }  # fmt: skip

    get_skill_config = skill_config

    def export_dotenv(self) -> list[str]:
        """Copy `.env` into `os.environ`, for skills that read that themselves; the real environment wins.

        Returns the names that were set.
        """
        added = [name for name in self.dotenv if name not in os.environ]
        os.environ.update({name: self.dotenv[name] for name in added})
        return added

    def __repr__(self) -> str:
        return f"NeuroCoreConfig(project={self.project.name!r}, project_root={str(self.project_root)!r})"


SECTIONS = ("project", "paths", "persistence", "runtime", "web", "logging", "llm", "secrets", "auth", "skills")
#: Where references are resolved.
_RESOLVED = "skills, llm and auth.oidc.client_secret"
#: Where text is used literally: a reference there would name a folder `${HOME}`.
_NO_REFERENCES = ("paths", "persistence", "web", "logging", "secrets", "auth")


def load_config(
    project_root: Path | str | None = None,
    *,
    path: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
) -> NeuroCoreConfig:
    """Load the configuration of the project at `project_root`, or of the nearest one upwards from here.

    A project without neurocore.yaml has the defaults. Raises ConfigError, which names every problem with file and line.
    """
    file = None if path is None else Path(path).resolve()
    root = _root(project_root, file)
    reading = _Reading(file or root / FILE_NAME, required=file is not None)
    dotenv = reading.dotenv(root / DOTENV)
    real = dict(os.environ if environ is None else environ)
    parts = reading.settings(dotenv, real)
    return NeuroCoreConfig(
        project_root=root, dotenv=dotenv, origins=_with_defaults(reading.origins),
        real_environ=None if environ is None else real, **{name: getattr(parts, name) for name in SECTIONS},
    )  # fmt: skip


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of neurocore.yaml."""
    schema = typed.described(msgspec.json.schema(_File))
    schema["$defs"]["NeuroCoreConfig"] = schema["$defs"].pop("_File")
    schema["$ref"] = "#/$defs/NeuroCoreConfig"
    level = schema["$defs"]["Logging"]["properties"]["level"]
    level["enum"] = [*level["enum"], *(word.upper() for word in level["enum"])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "neurocore.yaml", **schema}


def _root(given: Path | str | None, file: Path | None) -> Path:
    if given is not None:
        return Path(given).expanduser().resolve()
    if file is not None:
        return file.parent
    try:
        start = Path.cwd()
    except OSError as error:
        raise ConfigError(f"The current folder is gone or cannot be read ({error.strerror}); go to another.") from error
    return next((folder for folder in (start, *start.parents) if (folder / FILE_NAME).is_file()), start)


class _Reading:
    """Reads one configuration; all problems are collected and reported together."""

    def __init__(self, file: Path, *, required: bool) -> None:
        self.file = file
        self.required = required
        self.origins: dict[str, str] = {}
        self.problems: list[Any] = []

    def dotenv(self, path: Path) -> dict[str, str]:
        if not path.exists():
            return {}
        from neurocore.dotenv import parse_dotenv
        from neurocore.yamlfile import Problem, read_file

        text, problem = read_file(path)
        values, wrong = parse_dotenv(text or "")
        self.problems += [problem] if problem else []
        self.problems += [Problem(message=why, line=line, column=1, file=str(path)) for line, why in wrong]
        return values

    def settings(self, dotenv: Mapping[str, str], real: Mapping[str, str]) -> _File:
        """Return the sections of file and environment together. Raises ConfigError with every problem."""
        data = self._of_file()
        overrides = {**dict.fromkeys(dotenv, ".env"), **dict.fromkeys(real, "environment")}
        for name in sorted(overrides):
            if name.startswith(PREFIX) and "__" in name:
                self._override(data, name, real.get(name, dotenv.get(name, "")), overrides[name])
        if self.problems:
            raise ConfigError("\n".join(map(str, self.problems)))
        parts = typed.convert(data, _File)
        wrong = problem(parts.auth, host=parts.web.host, public_url=parts.web.public_url)
        if wrong:
            raise ConfigError(f"{self.origins.get('auth.mode', self.file.name)}: {wrong}")
        return parts

    def _of_file(self) -> dict[str, Any]:
        from neurocore.yamlcheck import check
        from neurocore.yamlfile import dotted, parse, read_file

        if not self.required and not self.file.exists():
            return {}
        text, problem = read_file(self.file)
        document = parse(text or "", file=str(self.file))
        data: Any = {} if document.data is None else document.data
        if problem is None and not document.problems:
            if isinstance(data, dict):
                _normalise(data)
                check(document, data, _File)
                references = list(_references(data)) if "${" in (text or "") else []
                for place, found in references:
                    document.add(place, f"{found} is not resolved here, only in {_RESOLVED}; {_instead(place)}")
                for (section, key), problem_of in _CHECKED.items():
                    wrong = problem_of(dict(_pairs(data.get(section))).get(key))
                    if wrong and (section, key) not in dict(references):
                        document.add((section, key), wrong)
                self.origins = {dotted(p): f"{self.file.name}:{line}" for p, (line, _) in document.marks.items() if p}
            else:
                document.add((), f"It must be a mapping of sections: {', '.join(SECTIONS)}.")
        self.problems += [problem] if problem else document.problems
        return data if isinstance(data, dict) else {}

    def _override(self, data: dict[str, Any], name: str, text: str, origin: str) -> None:
        """Apply `NEUROCORE_SECTION__KEY=value` over the file. Values are read as YAML, unless the setting is text."""
        from neurocore.yamlcheck import check
        from neurocore.yamlfile import Document, Problem, nearest, parse

        source = f"{origin} {name}"
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        types = {one.name: one.type for one in msgspec.structs.fields(_File) if one.name != "skills"}
        if section not in types:
            hint = "; a skill's settings are in neurocore.yaml, where ${NAME} refers to a variable."
            hint = hint if section == "skills" else nearest(section, types)
            self.problems.append(Problem(message=f"It names no section that can be set so{hint}", file=source))
            return
        fields = {one.name: one.type for one in msgspec.structs.fields(types[section])}
        if key not in fields:
            self.problems.append(
                Problem(message=f"{section} has no setting {key!r}{nearest(key, fields)}", file=source)
            )
            return
        document = Document(data=None, problems=[], marks={}, file=source)
        value: Any = text
        if not _is_text(fields[key]):
            parsed = parse(text, file=source)
            value, document.problems = parsed.data, parsed.problems
        elif not text and fields[key] == str | None:
            value = None
        holder = data.setdefault(section, {})
        if isinstance(holder, dict):
            holder[key] = value
            _normalise(data)
            if not document.problems:
                check(document, holder[key], fields[key])
                problem_of = _CHECKED.get((section, key))
                wrong = problem_of(value) if problem_of is not None else None
                if wrong:
                    document.add((), wrong)
        self.problems += document.problems
        self.origins[f"{section}.{key}"] = source


def _normalise(data: dict[str, Any]) -> None:
    """Normalise: drop empty sections, lower the case of a level, accept a mode as YAML's octal number."""
    for name in [name for name, section in data.items() if section is None]:
        del data[name]
    skills = data.get("skills")
    if isinstance(skills, dict):
        data["skills"] = {name: {} if section is None else section for name, section in skills.items()}
    persistence = data.get("persistence")
    if isinstance(persistence, dict) and type(persistence.get("mode")) is int:
        text = f"{persistence['mode']:04o}"
        persistence["mode"] = text if text in get_args(Mode) else persistence["mode"]
    logging = data.get("logging")
    if isinstance(logging, dict) and isinstance(logging.get("level"), str):
        logging["level"] = logging["level"].lower()


def _is_text(kind: Any) -> bool:
    """Return whether a setting is literal text (or one of some words)."""
    info = msgspec.inspect.type_info(kind)
    info = info.type if isinstance(info, msgspec.inspect.Metadata) else info
    one_of = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    text = (msgspec.inspect.StrType, msgspec.inspect.LiteralType, msgspec.inspect.NoneType)
    return all(isinstance(one, text) for one in one_of)


def _no_links(url: Any) -> str | None:
    """Return why links that begin with this would be broken, or None."""
    from urllib.parse import urlsplit

    if not isinstance(url, str) or not url:
        return None
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, an unclosed bracket
        fits = False
    if fits and not any(one in "?#" or one.isspace() or not one.isprintable() for one in url):
        return None
    return f"No links can begin with {url[:200]!r}: it must be http:// or https:// with a host, and no ? or # behind."


def _no_root(path: Any) -> str | None:
    """Return why the dashboard cannot be below this path, or None."""
    if not isinstance(path, str) or re.fullmatch(r"(?:(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+/?|/?)", path, re.ASCII):
        return None
    return f"It is not a path: {path[:200]!r}; write /flows, of letters, digits and . _ ~ - between slashes."


#: Settings that are checked further: a function returns the problem.
_CHECKED = {
    ("web", "public_url"): _no_links,
    ("web", "root_path"): _no_root,
    ("project", "timezone"): zone_problem,
}


def _references(data: dict[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    from neurocore.secrets import find_references

    for section in _NO_REFERENCES:
        pairs = _pairs(data.get(section))
        if section == "persistence" and dict(pairs).get("backend", "sqlite") not in ("sqlite", "memory"):
            continue  # a backend of another package resolves its own
        for key, value in pairs:
            if (section, key) == ("auth", "oidc"):
                value = {one: text for one, text in _pairs(value) if one != "client_secret"}  # noqa: PLW2901
            for name in sorted(find_references(value)):
                yield (section, key), f"${{{name}}}"


def _pairs(section: Any) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in section.items() if isinstance(key, str)] if isinstance(section, dict) else []


def _instead(place: tuple[str, str]) -> str:
    return f"set {PREFIX}{place[0].upper()}__{place[1].upper()} instead."


def _with_defaults(origins: dict[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for section in msgspec.structs.fields(_File):
        if section.name != "skills":
            for setting in msgspec.structs.fields(section.type):
                path = f"{section.name}.{setting.name}"
                known[path] = origins.get(path, "default")
    return {**known, **{path: origin for path, origin in origins.items() if path.startswith("skills.")}}
