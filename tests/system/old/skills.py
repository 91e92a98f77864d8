"""Skills that work with NeuroCore 0.4 and with this one. Each run of one leaves a line in the file DONE names."""

import datetime as dt
import os
from pathlib import Path

from neurocore import AsyncSkill, Skill, SkillMeta


def done(name):
    with Path(os.environ["DONE"]).open("a") as out:
        out.write(f"{name}\n")


class Load(Skill):
    skill_meta = SkillMeta(name="load", version="1.0", provides=["rows", "total"])

    def process(self, context):
        done(self.name)
        context.set("rows", [1, 2, 3])
        context.set("total", 6)
        context.set("when", dt.date(2026, 1, 2))
        return context


class Add(Skill):
    """Adds one to `n`, and fails where `fail` says so."""

    skill_meta = SkillMeta(name="add", version="1.0", provides=["n"])

    def process(self, context):
        if context.get("fail") == self.name and not os.environ.get("MENDED"):
            raise ValueError(f"{self.name} is broken")
        done(self.name)
        context.set("n", (context.get("n") or 0) + 1)
        context.set(f"by_{self.name}", True)
        return context


class AddLater(AsyncSkill):
    """The same, async: 0.4 takes another way through a flow that has one of these."""

    skill_meta = SkillMeta(name="add-later", version="1.0", provides=["n"])

    async def process(self, context):
        if context.get("fail") == self.name and not os.environ.get("MENDED"):
            raise ValueError(f"{self.name} is broken")
        done(self.name)
        context.set("n", (context.get("n") or 0) + 1)
        context.set(f"by_{self.name}", True)
        return context


class Ask(AsyncSkill):
    """Waits for a number."""

    skill_meta = SkillMeta(name="ask", version="1.0", provides=["asked"])

    async def process(self, context):
        given = context.get("resume_data")
        if given is None:
            context.set("begun", True)
            context.suspend(node_id=self.name, reason="How many?")
            return context
        done(self.name)
        context.set("asked", given["number"])
        return context


class AskNow(Skill):
    """Waits for a number, where 0.4 did not stop."""

    skill_meta = SkillMeta(name="ask-now", version="1.0", provides=["asked"])

    def process(self, context):
        done(self.name)
        context.suspend(node_id=self.name, reason="How many?")
        return context


class Choose(Skill):
    """Leaves by the port that `way` names."""

    skill_meta = SkillMeta(name="choose", version="1.0")

    def process(self, context):
        done(self.name)
        self.set_output_port(context, context.get("way") or "left")
        return context
