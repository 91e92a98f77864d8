"""Wait for a while, measured from the first attempt of the step, whichever process waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from neurocore.context import FlowContext
from neurocore.skills.base import AsyncSkill, SkillMeta


class DelaySkill(AsyncSkill):
    """Waits until `seconds` after its first start, without a thread, and ends at once when the run is cancelled."""

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

    @classmethod
    def keys_read(cls, config: dict[str, Any]) -> Iterable[str]:
        """Return no keys."""
        return ()

    @classmethod
    def keys_set(cls, config: dict[str, Any], name: str) -> Iterable[str]:
        """Return no keys."""
        return ()

    async def process(self, context: FlowContext) -> FlowContext:
        """Wait."""
        seconds = float(self.config["seconds"])
        if context.first_started_at:
            began = datetime.fromisoformat(context.first_started_at)
            waited = (datetime.now(UTC) - began).total_seconds()
            seconds = min(seconds, max(0.0, seconds - waited))  # a clock that was set back makes the wait no longer
        await asyncio.sleep(seconds)
        return context
