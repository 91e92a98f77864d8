"""neurocore.yaml: defaults, overrides, origins, and every mistake at its place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from neurocore import secrets
from neurocore.config import NeuroCoreConfig, config_schema, load_config
from neurocore.errors import ConfigError
from neurocore.skills.loader import BUILTIN


def write(root: Path, text: str) -> Path:
    """A project with this neurocore.yaml."""
    (root / "neurocore.yaml").write_text(text)
    return root


def test_a_project_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    config = load_config(tmp_path, environ={})
    assert config.runs_db_path == tmp_path / "data" / "runs.db"
    assert config.origins["persistence.path"] == "default"


def test_the_environment_goes_over_dotenv_and_that_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "persistence: {path: a.db}\nweb: {port: 1}\n")
    (tmp_path / ".env").write_text("NEUROCORE_PERSISTENCE__PATH=b.db\nNEUROCORE_WEB__PORT=2\n")
    config = load_config(tmp_path, environ={"NEUROCORE_WEB__PORT": "3"})
    assert (config.persistence.path, config.web.port) == ("b.db", 3)
    assert config.origins["web.port"] == "environment NEUROCORE_WEB__PORT"


def test_every_mistake_is_named_with_its_place_and_the_nearest_key(tmp_path: Path) -> None:
    write(tmp_path, "persistance: {}\nweb:\n  prot: 1\n  port: many\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, environ={})
    text = str(caught.value)
    assert "neurocore.yaml:1" in text
    assert "did you mean 'persistence'" in text
    assert "did you mean 'port'" in text
    assert "Expected a whole number, not 'many'" in text


@pytest.mark.parametrize("name", ["NEUROCORE_WEB__PROT", "NEUROCORE_WEBB__PORT"])
def test_an_override_that_names_nothing_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        load_config(tmp_path, environ={name: "1"})


def test_a_reference_stays_a_reference_until_a_step_starts(tmp_path: Path) -> None:
    write(tmp_path, "skills: {http: {headers: {Authorization: 'Bearer ${TOKEN}'}}}\n")
    config = load_config(tmp_path, environ={})
    section = config.skill_config("http")
    assert section["headers"]["Authorization"] == "Bearer ${TOKEN}"
    value, used = secrets.resolve(section, {"TOKEN": "abc"})
    assert value["headers"]["Authorization"] == "Bearer abc"
    assert used == {"TOKEN": "abc"}
    with pytest.raises(ConfigError, match="The environment has no TOKEN"):
        secrets.resolve(section, {})


def test_a_secret_split_over_two_writes_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    stream = secrets.Redactor(["hunter2hunter2"]).stream(sys.stdout)
    for part in ("a hunter2", "hunter2 b hun", "ger\n"):
        stream.write(part)
    stream.flush()
    assert capsys.readouterr().out == "a ••• b hunger\n"


def test_credentials_are_masked_and_references_are_not() -> None:
    masked = secrets.mask({"api_key": "x", "db": {"password": "${PW}"}, "token_count": 3, "name": "n"})
    assert masked["api_key"] == "•••"
    assert masked["db"]["password"] == "${PW}"
    assert masked["name"] == "n"


def test_the_docs_name_every_setting_and_every_built_in_skill(root: Path) -> None:
    text = (root / "docs" / "configuration.md").read_text()
    for section in msgspec.structs.fields(NeuroCoreConfig):
        if not (isinstance(section.type, type) and issubclass(section.type, msgspec.Struct)):
            continue
        for setting in msgspec.structs.fields(section.type):
            assert f"`{section.name}.{setting.name}`" in text, f"{section.name}.{setting.name} is not in the docs"
    skills = (root / "docs" / "skills.md").read_text()
    assert all(f"`{name}`" in skills for name in BUILTIN)
    assert "persistence" in str(config_schema())
