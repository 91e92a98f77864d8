"""neurocore.yaml: defaults, `.env`, the environment over both, origins, and every mistake at its place."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from neurocore.config import SECTIONS, NeuroCoreConfig, config_schema, load_config
from neurocore.dotenv import parse_dotenv
from neurocore.errors import ConfigError
from neurocore.log import set_up

OF_04 = """
project:
  name: "debate-agent"
  version: "0.1.0"
llm:
  provider: "ollama"
  model: "llama3.2"
  api_key: ""
  api_key_env: "OLLAMA_API_KEY"
  base_url: "http://localhost:11434/v1"
  max_tokens: 1024
  temperature: 0.2
paths:
  skills: "skills"
  blueprints: "blueprints"
  data: "data"
  logs: "logs"
persistence:
  enabled: true
  backend: sqlite
  path: runs.db
  persist_step_snapshots: true
logging:
  level: "INFO"
  format: "console"
  file: null
skills: {}
"""


def project(root: Path, text: str = "", env: str | None = None) -> Path:
    """A project with this neurocore.yaml and this .env."""
    (root / "neurocore.yaml").write_text(text)
    if env is not None:
        (root / ".env").write_text(env)
    return root


def problems(root: Path, **environ: str) -> list[str]:
    """What loading the project complains about, one a line; the folder is left out."""
    with pytest.raises(ConfigError) as caught:
        load_config(root, environ=environ)
    return [line.replace(f"{root}/", "") for line in str(caught.value).splitlines()]


# -------------------------------------------------------------------- what there is


def test_a_project_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    config = load_config(tmp_path, environ={})
    assert config.runs_db_path == tmp_path / "data" / "runs.db"
    assert (config.skills_dir, config.blueprints_dir) == (tmp_path / "skills", tmp_path / "blueprints")
    assert config.logs_dir == tmp_path / "logs"
    assert set(config.origins.values()) == {"default"}


def test_a_config_can_be_made_without_a_file(tmp_path: Path) -> None:
    config = NeuroCoreConfig(project_root=tmp_path)
    assert config.data_dir == tmp_path / "data"
    assert config.environ["PATH"] == os.environ["PATH"]


def test_the_nearest_file_upwards_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "project: {name: outer}\n")
    below = tmp_path / "blueprints" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    config = load_config()
    assert (config.project_root, config.project.name) == (tmp_path, "outer")


def test_a_file_of_another_name_can_be_given_and_must_be_there(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("web: {port: 1}\n")
    config = load_config(path=other, environ={})
    assert (config.project_root, config.web.port) == (tmp_path, 1)
    assert config.origins["web.port"] == "other.yaml:1"
    with pytest.raises(ConfigError, match=r"There is no such file; did you mean 'other\.yaml'"):
        load_config(path=tmp_path / "othr.yaml")


@pytest.mark.parametrize(
    "url",
    [
        "flows.example.com", "//flows.example.com", "ftp://flows.example.com", "https://", "https:///pay",
        "https://flows.example.com/?a=b", "https://flows.example.com/#runs", "https://flows.example.com?",
        "localhost:80", "https:flows", "https://flows.example.com:port", "https://flows example.com", "https://[flows", "http://:8321",
    ],
)  # fmt: skip
def test_a_public_url_that_makes_no_links_is_refused(tmp_path: Path, url: str) -> None:
    sentence = f"No links can begin with {url!r}: it must be http:// or https:// with a host, and no ? or # behind."
    assert problems(project(tmp_path, f"web:\n  public_url: {url!r}\n")) == [
        f"neurocore.yaml:2:15 web.public_url: {sentence}"
    ]
    assert problems(project(tmp_path), NEUROCORE_WEB__PUBLIC_URL=url) == [
        f"environment NEUROCORE_WEB__PUBLIC_URL: {sentence}"
    ]


@pytest.mark.parametrize(
    "url", ["http://localhost:8321", "https://flows.example.com/pay/", "HTTPS://Flows.example", "http://[::1]:80", ""]
)
def test_a_public_url_may_have_a_port_and_a_path(tmp_path: Path, url: str) -> None:
    assert load_config(project(tmp_path, f"web: {{public_url: {url!r}}}\n"), environ={}).web.public_url == url
    assert load_config(project(tmp_path), environ={"NEUROCORE_WEB__PUBLIC_URL": url}).web.public_url == (url or None)


def test_a_file_of_04_loads_as_it_is(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, OF_04), environ={})
    assert config.logging.level == "info"
    assert config.persistence.persist_step_snapshots is True
    assert config.get_skill_config("chat") == {
        "llm_provider": "ollama", "llm_model": "llama3.2", "llm_api_key": "${OLLAMA_API_KEY}",
        "llm_base_url": "http://localhost:11434/v1", "llm_max_tokens": 1024, "llm_temperature": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "# nothing\n", "web:\nskills:\n  http:\n", "\ufeffproject: {name: x}\n"])
def test_what_is_left_empty_is_as_by_default(tmp_path: Path, text: str) -> None:
    config = load_config(project(tmp_path, text), environ={})
    assert config.web.port == 8321
    assert config.skill_config("http") == {}


def test_paths_may_be_absolute_or_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = "paths: {data: /var/lib/runs, skills: '~/skills'}\npersistence: {path: /tmp/x.db}\n"
    config = load_config(project(tmp_path, text), environ={})
    assert config.data_dir == Path("/var/lib/runs")
    assert config.skills_dir == tmp_path / "home" / "skills"
    assert config.runs_db_path == Path("/tmp/x.db")


# -------------------------------------------------------------------- what goes over what


def test_the_environment_goes_over_dotenv_and_that_over_the_file(tmp_path: Path) -> None:
    project(
        tmp_path,
        "persistence: {path: a.db}\nweb: {port: 1, host: h}\n",
        "NEUROCORE_PERSISTENCE__PATH=b.db\nNEUROCORE_WEB__PORT=2\n",
    )
    config = load_config(tmp_path, environ={"NEUROCORE_WEB__PORT": "3"})
    assert (config.persistence.path, config.web.port, config.web.host) == ("b.db", 3, "h")
    origins = {name: config.origins[f"{name}"] for name in ("web.port", "persistence.path", "web.host", "web.proxies")}
    assert origins == {
        "web.port": "environment NEUROCORE_WEB__PORT",
        "persistence.path": ".env NEUROCORE_PERSISTENCE__PATH",
        "web.host": "neurocore.yaml:2",
        "web.proxies": "default",
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PERSISTENCE__ENABLED", "false", False),
        ("RUNTIME__MAX_WORKERS", "3", 3),
        ("LLM__TEMPERATURE", "0.5", 0.5),
        ("LLM__MODEL", "4", "4"),
        ("PROJECT__NAME", "yes", "yes"),
        ("PROJECT__VERSION", "1.0", "1.0"),
        ("PROJECT__VERSION", "", None),
        ("WEB__ALLOWED_HOSTS", "[a.example, b.example]", ["a.example", "b.example"]),
        ("LOGGING__LEVEL", "DEBUG", "debug"),
        ("RUNTIME__ON_LOST", "fail", "fail"),
    ],
)
def test_an_override_is_read_by_the_type_of_its_setting(tmp_path: Path, name: str, text: str, value: Any) -> None:
    config = load_config(tmp_path, environ={f"NEUROCORE_{name}": text})
    section, _, key = name.lower().partition("__")
    assert getattr(getattr(config, section), key) == value


def test_other_variables_of_ours_are_no_overrides(tmp_path: Path) -> None:
    assert load_config(tmp_path, environ={"NEUROCORE_DEBUG": "1", "NEUROCOREX__Y": "1"}).web.port == 8321


def test_references_are_resolved_from_dotenv_under_the_real_environment(tmp_path: Path) -> None:
    project(tmp_path, env="TOKEN=of-the-file\nOTHER=x\n")
    config = load_config(tmp_path, environ={"TOKEN": "real"})
    assert (config.environ["TOKEN"], config.environ["OTHER"]) == ("real", "x")


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set here")
def test_a_log_in_json_says_the_time_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    root = logging.getLogger()
    level = root.level
    try:
        set_up(load_config(project(tmp_path, "logging: {format: json, file: x.log}\n"), environ={}))
        before = datetime.now(UTC)
        logging.getLogger("x").warning("y")
        after = datetime.now(UTC)
    finally:
        set_up(NeuroCoreConfig(project_root=tmp_path))
        root.setLevel(level)
        monkeypatch.undo()
        time.tzset()
    (line,) = (tmp_path / "logs" / "x.log").read_text().splitlines()
    at = json.loads(line)["at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", at)
    assert before - timedelta(seconds=1) < datetime.fromisoformat(at) < after + timedelta(seconds=1)


def test_dotenv_can_be_given_to_skills_that_read_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "real")
    monkeypatch.setenv("OF_DOTENV", "to be removed")
    monkeypatch.delenv("OF_DOTENV")
    added = load_config(project(tmp_path, env="DATABASE_URL=file\nOF_DOTENV=given\n")).export_dotenv()
    assert added == ["OF_DOTENV"]
    assert (os.environ["DATABASE_URL"], os.environ["OF_DOTENV"]) == ("real", "given")


# -------------------------------------------------------------------- secrets


def test_a_reference_stays_a_reference_in_every_skill_and_the_model(tmp_path: Path) -> None:
    text = "llm: {provider: own, api_key: '${KEY}'}\nskills: {pay: {auth: [{token: 'Bearer ${TOKEN}'}]}}\n"
    config = load_config(project(tmp_path, text), environ={"KEY": "sk-12345678", "TOKEN": "t-12345678"})
    section = config.skill_config("pay")
    assert section["auth"] == [{"token": "Bearer ${TOKEN}"}]
    assert section["llm_api_key"] == "${KEY}"
    assert "llm_api_key" not in config.skill_config("pay", llm=False)


def test_a_skill_with_a_provider_of_its_own_keeps_it(tmp_path: Path) -> None:
    text = "llm: {provider: own, model: big}\nskills: {pay: {llm_provider: other, llm_model: small}}\n"
    config = load_config(project(tmp_path, text), environ={})
    assert config.skill_config("pay") == {"llm_provider": "other", "llm_model": "small"}


def test_printing_a_config_shows_no_value_of_dotenv(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, env="TOKEN=hunter2hunter2\n"), environ={"REAL": "hunter3hunter3"})
    assert "hunter" not in repr(config) + str(config)


def test_a_reference_where_nothing_resolves_it_is_refused(tmp_path: Path) -> None:
    project(tmp_path, "paths: {data: '${HOME}/runs'}\nweb: {allowed_hosts: ['${HOST}']}\n")
    told = problems(tmp_path)
    why = "is not resolved here, only in skills, llm and auth.oidc.client_secret; set"
    assert told[0] == f"neurocore.yaml:1:15 paths.data: ${{HOME}} {why} NEUROCORE_PATHS__DATA instead."
    assert told[1] == f"neurocore.yaml:2:22 web.allowed_hosts: ${{HOST}} {why} NEUROCORE_WEB__ALLOWED_HOSTS instead."
    project(tmp_path, "persistence: {backend: postgres, path: 'postgres://u:${PW}@h/db'}\n")
    assert load_config(tmp_path, environ={}).persistence.path == "postgres://u:${PW}@h/db"


# -------------------------------------------------------------------- mistakes


def test_every_mistake_is_told_at_once_with_its_place_and_the_nearest_key(tmp_path: Path) -> None:
    project(
        tmp_path,
        "persistance: {}\nweb:\n  prot: 1\n  port: many\n  link_preview: ful\nlogging: {level: loud}\n"
        "runtime: {max_workers: 0}\nskills: {http: 3}\n",
        "A=1\nno value\n",
    )
    assert problems(tmp_path, NEUROCORE_WEB__PROT="1", NEUROCORE_WEBB__PORT="1", NEUROCORE_WEB__PROXIES="x") == [
        ".env:2:1: Expected NAME=value.",
        "neurocore.yaml:1:1 persistance: There is no key 'persistance' here; did you mean 'persistence'?",
        "neurocore.yaml:3:3 web.prot: There is no key 'prot' here; did you mean 'port'?",
        "neurocore.yaml:4:9 web.port: Expected a whole number, not 'many'.",
        "neurocore.yaml:5:17 web.link_preview: Expected one of full, none, status, not 'ful'; did you mean 'full'?",
        "neurocore.yaml:6:18 logging.level: Expected one of critical, debug, error, info, warning, not 'loud'.",
        "neurocore.yaml:7:24 runtime.max_workers: Expected a number >= 1, not 0.",
        "neurocore.yaml:8:16 skills.http: Expected a mapping, not 3.",
        "environment NEUROCORE_WEBB__PORT: It names no section that can be set so; did you mean 'web'?",
        "environment NEUROCORE_WEB__PROT: web has no setting 'prot'; did you mean 'port'?",
        "environment NEUROCORE_WEB__PROXIES: Expected a whole number, not 'x'.",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a\n", "It must be a mapping of sections"),
        ("web: {port: 1}\nweb: {port: 2}\n", "The key 'web' appears twice"),
        ("web: !!python/object/apply:os.system [id]\n", "is not allowed"),
        ("web: {port: 1\n", "This is not YAML"),
        ("web: [1]\n", "Expected a mapping, not a list"),
        ("1: 2\n", "There is no key 1 here"),
        ("project: {name: " + "x" * 1024 * 1024 + "}\n", "larger than 1 MiB"),
        ("a: &a [1]\nb: &b [*a, *a]\n" + "".join(f"c{n}: [*b, *b]\n" for n in range(3)), "There is no key 'a' here"),
        ("paths: {data: ''}\n", "Expected text of length >= 1"),
    ],
    ids=["list", "twice", "tag", "cut", "section", "number", "large", "aliases", "empty"],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    told = problems(project(tmp_path, text))
    assert why in told[0]
    assert told[0].startswith("neurocore.yaml")


def test_an_override_that_is_no_yaml_or_of_a_skill_is_told(tmp_path: Path) -> None:
    told = problems(tmp_path, NEUROCORE_WEB__ALLOWED_HOSTS="[a", NEUROCORE_SKILLS__HTTP__URL="x")
    assert "a skill's settings are in neurocore.yaml, where ${NAME} refers to a variable" in told[0]
    assert "NEUROCORE_WEB__ALLOWED_HOSTS" in told[1]
    assert "This is not YAML" in told[1]


def test_a_folder_or_bytes_in_place_of_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "neurocore.yaml").mkdir()
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    assert problems(tmp_path) == [
        ".env: It is not UTF-8 text (byte 2); save it as UTF-8.",
        "neurocore.yaml: It is not a file.",
    ]


# -------------------------------------------------------------------- .env


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1", {"A": "1"}),
        ("export A = 1  # a comment\n", {"A": "1"}),
        ("# A=1\n\n  B=2\n", {"B": "2"}),
        ("A=a#b\nB= #c\nC=\n", {"A": "a#b", "B": "", "C": ""}),
        ("A='${B} \\n # no'\n", {"A": "${B} \\n # no"}),
        ('A="x\\ty \\"q\\" \\\\ \\$"\n', {"A": 'x\ty "q" \\ $'}),
        ('KEY="-----BEGIN\nabc\n-----END"\nB=2\n', {"KEY": "-----BEGIN\nabc\n-----END", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=x=y&z\n", {"A": "x=y&z"}),
        ("A='it' # fine\n", {"A": "it"}),
        ("A=don't\n", {"A": "don't"}),
    ],
)
def test_dotenv_is_read_as_people_write_it(text: str, values: dict[str, str]) -> None:
    assert parse_dotenv(text) == (values, [])


def test_what_is_wrong_in_dotenv_is_told_by_line_and_without_the_value() -> None:
    values, told = parse_dotenv("A=1\nhunter2\n1B=hunter2\nC='hunter2' hunter2\nD=\"hunter2\nE=5\n")
    assert values == {"A": "1", "E": "5"}
    assert told == [
        (2, "Expected NAME=value."),
        (3, "Expected NAME=value."),
        (4, "There is text after the closing quote of C."),
        (5, "The opening quote of D is never closed."),
    ]


# -------------------------------------------------------------------- the schema and the docs


@pytest.mark.parametrize("text", [OF_04, "web: {port: 80}\nskills: {a: {b: [1]}}\nlogging: {level: WARNING}\n"])
def test_the_schema_accepts_what_loads(text: str) -> None:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize("text", ["webb: {}", "web: {prot: 1}", "web: {port: x}", "logging: {level: loud}"])
def test_the_schema_refuses_what_does_not_load(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), config_schema())


def settings_there_are() -> list[str]:
    sections = {one.name: one.type for one in msgspec.structs.fields(NeuroCoreConfig) if one.name in SECTIONS}
    del sections["skills"]
    return [f"{name}.{one.name}" for name, kind in sections.items() for one in msgspec.structs.fields(kind)]


def test_the_docs_have_every_setting_with_its_default_and_no_other(root: Path) -> None:
    text = (root / "docs" / "configuration.md").read_text()
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `")]
    documented = {row[0].strip(" `"): row[1].strip() for row in rows}
    defaults = NeuroCoreConfig()
    for name in settings_there_are():
        section, key = name.split(".")
        default = getattr(getattr(defaults, section), key)
        said = (
            ""
            if default in (None, "")
            else f"`{default if isinstance(default, str) else json.dumps(msgspec.to_builtins(default))}`"
        )
        assert documented.pop(name, "nothing") == said, f"docs/configuration.md has another default for {name}"
    assert set(documented) <= {"skills.<name>"}, "docs/configuration.md describes settings that are not there"


def test_the_example_in_the_docs_loads(root: Path, tmp_path: Path) -> None:
    text = (root / "docs" / "configuration.md").read_text()
    examples = [part.split("```")[0] for part in text.split("```yaml\n")[1:]]
    assert examples
    for example in examples:
        load_config(project(tmp_path, example), environ={})


def test_the_time_zone_must_be_one_that_is_known(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, "project:\n  timezone: Europe/Berlin\n"), environ={})
    assert config.clock.name == "Europe/Berlin"
    (problem,) = problems(project(tmp_path, "project:\n  timezone: Europe/Nowhere\n"))
    assert problem.startswith(
        "neurocore.yaml:2:13 project.timezone: 'Europe/Nowhere' is not a time zone on this machine; give one such as"
    )
    with pytest.raises(ConfigError, match=r"'../secret' is not a time zone"):
        load_config(tmp_path, environ={"NEUROCORE_PROJECT__TIMEZONE": "../secret"})
