"""Wait for a while."""

from __future__ import annotations

import asyncio

from neurocore.context import FlowContext
from neurocore.skills.base import AsyncSkill, SkillMeta


class DelaySkill(AsyncSkill):
    """Waits `seconds`, without a thread, and ends at once when the run is cancelled."""

    skill_meta = SkillMeta(
        name="delay",
        version="1.0.0",
        description="Wait for some seconds.",
        author="NeuroCore",
        tags=["time"],
        config_schema={
            "properties": {"seconds": {"type": "number", "minimum": 0, "maximum": 86400}},
            "required": ["seconds"],
            "additionalProperties": False,
        },
    )

    async def process(self, context: FlowContext) -> FlowContext:
        """Wait."""
        await asyncio.sleep(float(self.config["seconds"]))
        return context
