"""The files that `init` and `skill new` write. Either all of them are written, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from neurocore.errors import NeuroCoreError, RefusedError

CONFIG = """\
# The settings of this project. `neurocore config show` prints all settings and where their values come from;
# `neurocore schema config` prints the schema for an editor.
project:
  name: {name}
"""

GITIGNORE = """\
# Do not share these: secrets, the history of runs, logs and results.
.env
data/
logs/
outbox/
__pycache__/
"""

BLUEPRINT = """\
name: hello
version: "1.0"
description: Write a greeting, let a person approve it, and put it into the outbox.
title: A greeting for {{ name }}

inputs:
  name: {type: string, default: world, description: The person to greet}

components:
  - name: write
    type: greet
    config: {greeting: Hello}
  - name: send
    type: template
    config:
      template: "{{ letter }}\\n\\nApproved by {{ approval.by }}.\\n"
      folder: outbox
      file: "{{ name | lower | replace(' ', '-') }}.txt"
      output: sent_to

flow:
  type: sequential
  steps:
    - component: write
    - approval:
        name: review
        message: Send this to {{ name }}?
        show: [letter, words]
        note: on_reject
    - component: send
"""

GREET = '''\
"""Write a greeting."""

from neurocore import FlowContext, Skill, SkillMeta


class GreetSkill(Skill):
    """Sets `letter` and its number of `words`. Reads the input `name` and the setting `greeting`."""

    skill_meta = SkillMeta(
        name="greet",
        version="1.0.0",
        description="Write a greeting.",
        consumes=["name"],
        provides=["letter", "words"],
        config_schema={
            "properties": {"greeting": {"type": "string"}},
            "additionalProperties": False,
        },
    )

    def process(self, context: FlowContext) -> FlowContext:
        greeting = self.config.get("greeting", "Hello")
        letter = f"{greeting}, {context.get('name')}! It is good to have you here."
        context.set("letter", letter)
        context.set("words", len(letter.split()))
        return context
'''

GREET_TEST = """\
from pathlib import Path

from neurocore import FlowContext
from neurocore.skills.loader import discover_skills

SKILLS = Path(__file__).parents[1] / "skills"


def test_the_letter_greets_the_person_by_name():
    skill = discover_skills(skills_dir=SKILLS).require("greet")()
    skill.init({"greeting": "Welcome"})

    context = skill.process(FlowContext({"name": "Ada"}))

    assert context.get("letter").startswith("Welcome, Ada!")
    assert context.get("words") == 9
"""

SKILL = '''\
"""{title}: what this skill does, in one line."""

from neurocore import FlowContext, {base}, SkillMeta


class {cls}({base}):
    """Reads `text` from the context and sets `result`."""

    skill_meta = SkillMeta(
        name="{name}",
        version="0.1.0",
        description="What it does, in one line.",
        consumes=["text"],
        provides=["result"],
        config_schema={{
            "properties": {{"suffix": {{"type": "string"}}}},
            "additionalProperties": False,
        }},
    )

    {define} process(self, context: FlowContext) -> FlowContext:
        context.set("result", context.get("text") + self.config.get("suffix", "!"))
        return context
'''

SKILL_TEST = """\
{imports}from pathlib import Path

from neurocore import FlowContext
from neurocore.skills.loader import discover_skills

SKILLS = Path(__file__).parents[1] / "{folder}"


def test_{module}_sets_its_result():
    skill = discover_skills(skills_dir=SKILLS).require("{name}")()
    skill.init({{"suffix": "?"}})

    context = {call}

    assert context.get("result") == "Really?"
"""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def project_files(name: str) -> dict[str, str]:
    """Return the files of a new project."""
    import json

    return {
        "neurocore.yaml": CONFIG.format(name=json.dumps(name, ensure_ascii=False)),
        "blueprints/hello.yaml": BLUEPRINT,
        "skills/greet.py": GREET,
        "tests/test_greet.py": GREET_TEST,
        ".gitignore": GITIGNORE,
    }


def skill_files(name: str, *, folder: str, is_async: bool) -> dict[str, str]:
    """Return the file of a new skill and its test. Raises ValueError for a name that is not valid."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not a valid name for a skill; use lower-case letters, digits, - and _, and begin with a "
            "letter."
        )
    module = name.replace("-", "_")
    if module.startswith("test_"):
        raise ValueError(
            f"{name!r} is not a valid name for a skill, because its file {module}.py would have the name of a test, "
            "and skills are not loaded from tests; choose another name."
        )
    words = [word for word in module.split("_") if word]
    cls = "".join(word.capitalize() for word in words)
    call = 'skill.process(FlowContext({"text": "Really"}))'
    base = "AsyncSkill" if is_async else "Skill"
    text = SKILL.format(
        title=" ".join(words).capitalize(), base=base, cls=cls if cls.endswith("Skill") else f"{cls}Skill", name=name,
        define="async def" if is_async else "def",
    )  # fmt: skip
    test = SKILL_TEST.format(
        imports="import asyncio\n" if is_async else "", folder=folder, module=module, name=name,
        call=f"asyncio.run({call})" if is_async else call,
    )  # fmt: skip
    if is_async:
        text = text.replace("import FlowContext, AsyncSkill, SkillMeta", "import AsyncSkill, FlowContext, SkillMeta")
    return {f"{folder}/{module}.py": text, f"tests/test_{module}.py": test}


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write the files below `root`. Nothing is overwritten; if one cannot be written, the others are removed again.

    Raises RefusedError, which names a file that exists already, or NeuroCoreError if a file cannot be written.
    """
    there = [name for name in files if (root / name).exists()]
    if there:
        raise RefusedError(
            f"{root / there[0]} exists already, so nothing was written; rename it, or choose another name."
        )
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = root / name
            for folder in reversed([folder for folder in path.parents if not folder.exists()]):
                folder.mkdir()
                made.append(folder)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        raise NeuroCoreError(
            f"{error.filename or root} cannot be written ({error.strerror or error}); no file of this command remains."
        ) from error
