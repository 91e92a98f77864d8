"""Promise 10: a secret's value is in no file of the project but .env, and in no output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

VALUE = "s3cr3t-value-of-the-token"

SKILL = """
import logging
from neurocore import Skill, SkillMeta

class Leaky(Skill):
    skill_meta = SkillMeta(name="leaky")

    def process(self, context):
        token = self.config.get("token") or context.get("token")
        print("printed", token)
        logging.getLogger("leaky").warning("logged %s", token)
        if self.config["how"] == "raise":
            raise ValueError(f"raised {token}")
        if self.config["how"] == "return":
            context.set("out", {"nested": ["with " + token]})
        context.set("length", len(token))
        return context
"""

BLUEPRINT = """
name: leaks
inputs: {{token: {{type: string, secret: true, default: "${{TOKEN}}"}}}}
components:
  - {{name: leak, type: leaky, config: {{how: {how}, token: "{token}"}}}}
flow:
  steps:
    - component: leak
    - approval: {{name: ok, show: [length]}}
    - component: leak
"""


def neurocore(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a project."""
    environment = {name: value for name, value in os.environ.items() if name != "TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "neurocore", *arguments], cwd=root, env=environment, text=True, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.system
@pytest.mark.parametrize("token", ["${TOKEN}", ""])
@pytest.mark.parametrize("how", ["print", "raise", "return"])
def test_no_file_and_no_output_has_the_value(tmp_path: Path, how: str, token: str) -> None:
    for folder in ("skills", "blueprints"):
        (tmp_path / folder).mkdir()
    (tmp_path / "neurocore.yaml").write_text("logging: {file: all.log, level: debug}\n")
    (tmp_path / ".env").write_text(f"TOKEN={VALUE}\n")
    (tmp_path / "skills" / "leaky.py").write_text(SKILL)
    (tmp_path / "blueprints" / "leaks.yaml").write_text(BLUEPRINT.format(how=how, token=token))
    done = [neurocore(tmp_path, "run", "leaks")]
    run_id = neurocore(tmp_path, "runs", "list", "--json").stdout.split('"run_id":')[1].split('"')[1]
    if how == "print":
        assert done[0].returncode == 0, done[0].stderr
        done.append(neurocore(tmp_path, "runs", "approve", run_id, "--note", "fine"))
        assert done[-1].returncode == 0, done[-1].stderr
        done.append(neurocore(tmp_path, "runs", "replay", run_id))
        assert "printed •••" in done[0].stdout + done[0].stderr
    else:
        assert done[0].returncode == 1, done[0].stdout
    done.append(neurocore(tmp_path, "runs", "inspect", run_id, "--full"))
    done.append(neurocore(tmp_path, "runs", "inspect", run_id, "--json", "--full"))
    done.append(neurocore(tmp_path, "runs", "logs", run_id))
    for process in done:
        assert VALUE not in process.stdout + process.stderr, process.args
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != ".env":
            assert VALUE.encode() not in file.read_bytes(), file


CALL = """
import base64
import json
from urllib.parse import quote
from neurocore import Skill, SkillMeta

class Call(Skill):
    skill_meta = SkillMeta(
        name="call", config_schema={"properties": {"number": {"type": "integer"}}, "additionalProperties": True}
    )

    def process(self, context):
        password, pem = self.config["password"], self.config["pem"]
        spelled = {
            "address": f"https://user:{quote(password, safe='')}@db.example/x", "document": json.dumps({"key": pem}),
            "line": pem.splitlines()[1], "header": "Basic " + base64.b64encode(f"user:{password}".encode()).decode(),
            "repr": repr(pem), "wide": password.encode("utf-16-le"),
        }
        for where, how in self.config["what"].items():
            value = spelled[how]
            if where == "key":
                context.set(str(value), 1)
            elif where == "inside":
                context.set("kept", [{"deep": (value, {str(value)})}])
            elif where == "port":
                context.set_port(value)
            elif where == "raise":
                raise ValueError(f"said {value} and more")
            elif where == "log":
                import logging
                logging.getLogger("call").error("%s", value)
            elif where == "reason":
                context.suspend(reason=f"answer {value}")
            else:
                context.set("kept", value)
        return context
"""

PEM = "-----BEGIN KEY-----\nMIIabcdefSECRETLINE1\nxyzSECRETLINE2==\n-----END KEY-----"
PASSWORD = "p@ss/w0rd+x"
#: What of the two may stand in no file.
TRACES = (b"SECRETLINE", b"w0rd", b"ss%2F", b"cEBzcy93MHJk", b"BAc3Mvdz", b"wQHNzL3", b"p\0@\0s\0")


@pytest.fixture
def caller(tmp_path: Path) -> Path:
    """A project whose skill calls somebody with a password and a key file."""
    for folder in ("skills", "blueprints"):
        (tmp_path / folder).mkdir()
    (tmp_path / "neurocore.yaml").write_text("logging: {file: all.log, level: debug}\n")
    (tmp_path / ".env").write_text(f"PEM={json.dumps(PEM)}\nPASSWORD='{PASSWORD}'\n")
    (tmp_path / "skills" / "call.py").write_text(CALL)
    return tmp_path


def blueprint(root: Path, what: str, *, inputs: str = "{}", more: str = "") -> None:
    (root / "blueprints" / "call.yaml").write_text(
        f"name: call\ninputs: {inputs}\ncomponents:\n"
        f"  - {{name: call, type: call, config: {{password: '${{PASSWORD}}', pem: '${{PEM}}', what: {what}{more}}}}}\n"
        "flow: {steps: [{component: call}]}\n"
    )


def refuse_traces(root: Path, *processes: subprocess.CompletedProcess[str]) -> None:
    told = "".join(process.stdout + process.stderr for process in processes).encode()
    kept = [
        (file, file.read_bytes())
        for folder in ("data", "logs")
        for file in (root / folder).rglob("*")
        if file.is_file()
    ]
    for trace in TRACES:
        assert trace not in told, told
        for file, data in kept:
            assert trace not in data, file


@pytest.mark.system
@pytest.mark.parametrize("how", ["address", "document", "line", "header", "repr", "wide"])
@pytest.mark.parametrize("where", ["value", "inside", "key"])
def test_no_spelling_of_a_secret_is_recorded(caller: Path, where: str, how: str) -> None:
    blueprint(caller, f"{{{where}: {how}}}")
    done = neurocore(caller, "run", "call")
    assert done.returncode == 1, done.stdout
    assert "would record the value of a secret under" in done.stderr
    refuse_traces(caller, done)


@pytest.mark.system
@pytest.mark.parametrize("how", ["address", "document", "header", "repr"])
@pytest.mark.parametrize("where", ["port", "raise", "log", "reason"])
def test_no_spelling_of_a_secret_is_told(caller: Path, where: str, how: str) -> None:
    blueprint(caller, f"{{{where}: {how}}}")
    done = [neurocore(caller, "--debug", "run", "call")]
    run_id = neurocore(caller, "runs", "list", "--json").stdout.split('"run_id":')[1].split('"')[1]
    done += [neurocore(caller, "runs", *command, run_id) for command in (("inspect", "--full"), ("logs",))]
    assert done[0].returncode == (1 if where in ("port", "raise") else 0)
    assert "•••" in "".join(process.stdout + process.stderr for process in done) or where == "port"
    refuse_traces(caller, *done)


@pytest.mark.system
def test_a_secret_that_is_cut_short_in_an_error_is_masked_before(caller: Path) -> None:
    blueprint(caller, "{}", more=", number: '${PEM}'")
    done = neurocore(caller, "run", "call")
    assert "must be a whole number" in done.stderr
    refuse_traces(caller, done)


@pytest.mark.system
def test_a_secret_is_given_by_its_reference_alone(caller: Path) -> None:
    blueprint(caller, "{}", inputs="{token: {secret: true}, address: {type: string, required: false}}")
    token = ["--data", "token=${PASSWORD}"]
    for more in (["--data", f"address=https://x/?k={quote(PASSWORD)}"], ["--tag", PASSWORD]):
        done = neurocore(caller, "run", "call", *token, *more)
        assert done.returncode == 2, done.stdout
        assert "It holds the value of a secret input; pass the secret only by its reference." in done.stderr
        refuse_traces(caller, done)
    assert neurocore(caller, "run", "call", *token).returncode == 0
