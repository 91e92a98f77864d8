"""Make an HTTP request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from neurocore import log
from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills import templates
from neurocore.skills.base import AsyncSkill, SkillMeta


class HttpSkill(AsyncSkill):
    """Sends one request and sets `output` to `{status, headers, body}`; a JSON answer's body is data, else text.

    The step's idempotency key goes along as `Idempotency-Key`, unless `headers` has one. `timeout` is in seconds from
    the start to the last byte (default 30), `max_bytes` limits the answer, unpacked (default 10 MiB). A status of 400
    or more fails the step unless `raise_for_status: false`.
    """

    skill_meta = SkillMeta(
        name="http",
        version="1.0.0",
        description="Make an HTTP request.",
        author="NeuroCore",
        requires=["httpx"],
        tags=["network"],
        config_schema={
            "properties": {
                "url": {"type": "string"},
                "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "params": {"type": "object"},
                "json_from": {"type": "string", "description": "Context key whose value is sent as JSON."},
                "body": {"type": "string", "description": "Text to send; a template."},
                "timeout": {"type": "number", "exclusiveMinimum": 0},
                "max_bytes": {"type": "integer", "minimum": 1},
                "follow_redirects": {"type": "boolean"},
                "raise_for_status": {"type": "boolean"},
                "output": {"type": "string"},
            },
            "required": ["url"],
            "additionalProperties": False,
        },
    )

    @classmethod
    def template_problems(cls, config: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is no template of those that are filled in."""
        return templates.problems(config, "url", "body")

    async def process(self, context: FlowContext) -> FlowContext:
        """Send the request."""
        try:
            import httpx
        except ImportError as error:
            raise SkillError("The http skill needs httpx: pip install 'neurocore-ai[http]'.") from error
        config = self.config
        url = self._filled(config["url"], context)
        timeout = float(config.get("timeout", 30))
        headers = httpx.Headers({"Idempotency-Key": context.idempotency_key})
        if "json_from" in config:
            headers["Content-Type"] = "application/json"
        headers.update(config.get("headers", {}))
        content = self._content(context)
        try:
            async with (
                asyncio.timeout(timeout),
                httpx.AsyncClient(timeout=timeout, follow_redirects=config.get("follow_redirects", False)) as client,
                client.stream(
                    config.get("method", "GET"), url, headers=headers, params=config.get("params"), **content
                ) as answer,
            ):
                result = await self._read(answer)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise SkillError(f"{self.name}: {url} did not answer within {timeout:g} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
            raise SkillError(f"{self.name}: the request to {url} failed: {why}") from error
        context.set(config.get("output", self.name), result)
        if result["status"] >= 400 and config.get("raise_for_status", True):
            body = result["body"] if isinstance(result["body"], str) else json.dumps(result["body"], ensure_ascii=False)
            log.to_step("ERROR", f"{url} answered {result['status']}: {body}")
            short = body if len(body) <= 300 else f"{body[:300]} … (the step's log has more)"
            raise SkillError(f"{self.name}: {url} answered {result['status']}: {short}")
        return context

    def _content(self, context: FlowContext) -> dict[str, Any]:
        if "json_from" not in self.config:
            return {"content": self._filled(self.config["body"], context)} if "body" in self.config else {}
        key = self.config["json_from"]
        if not context.has(key):
            raise SkillError(f"{self.name} needs the context key {key!r} (json_from), and nothing has set it.")
        try:
            text = json.dumps(context.get(key), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise SkillError(f"{self.name}: the value of {key!r} cannot be sent as JSON: {error}.") from error
        return {"content": text}

    async def _read(self, answer: Any) -> dict[str, Any]:
        limit = int(self.config.get("max_bytes", 10 * 1024 * 1024))
        data = bytearray()
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > limit:
                raise SkillError(f"{self.name}: the answer is larger than {limit:,} bytes (max_bytes).")
        text = data.decode(answer.encoding or "utf-8", "replace")
        body: Any = text
        if text and "json" in answer.headers.get("content-type", ""):
            try:
                body = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise SkillError(f"{self.name}: the answer says it is JSON and is none: {error}.") from error
        return {"status": answer.status_code, "headers": dict(answer.headers), "body": body}

    def _filled(self, text: str, context: FlowContext) -> str:
        if "{" not in text:
            return text
        data = {key: context.get(key) for key in templates.names(text) if context.has(key)}
        return templates.render(text, data, what=f"a template of {self.name}")
