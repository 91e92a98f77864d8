"""Promise 10: a secret's value is in no file of the project but .env, and in no output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
