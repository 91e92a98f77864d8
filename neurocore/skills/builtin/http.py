"""Make an HTTP request."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import Iterable
from typing import Any

from neurocore import log
from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills import templates
from neurocore.skills.base import AsyncSkill, SkillMeta

MAX_REDIRECTS = 20
#: Encodings that are not text, or whose decoding takes time that grows with the square of the length.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


class HttpSkill(AsyncSkill):
    """Sends one request and sets `output` to `{status, headers, body}`; a JSON response's body is data, else text.

    The step's idempotency key is sent as `Idempotency-Key`, unless `headers` has one. `timeout` is in seconds from the
    start to the last byte (default 30); `max_bytes` limits the unpacked response (default 10 MiB). A status of 400 or
    more fails the step unless `raise_for_status: false`. With `follow_redirects`, another origin than that of `url`
    receives neither `headers` nor the idempotency key, and no body.
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

    template_keys = ("url", "body")
    sets_output = True

    @classmethod
    def keys_read(cls, config: dict[str, Any]) -> Iterable[str]:
        """Return the keys that its templates need, and the one that it sends as JSON."""
        sent = [config["json_from"]] if isinstance(config.get("json_from"), str) else []
        return [*(super().keys_read(config) or ()), *sent]

    async def process(self, context: FlowContext) -> FlowContext:
        """Send the request."""
        try:
            import httpx
        except ImportError as error:
            raise SkillError("The http skill needs httpx: pip install 'neurocore-ai[http]'.") from error
        config = self.config
        url = self._filled(config["url"], context)
        timeout = float(config.get("timeout", 30))
        content = self._content(context)
        try:
            own = self._headers(httpx, context)
            async with asyncio.timeout(timeout), httpx.AsyncClient(timeout=timeout) as client:
                request = client.build_request(
                    config.get("method", "GET"), url, headers=own, params=config.get("params"), **content
                )
                result = await self._answered(client, request, own)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise SkillError(f"{self.name}: {url} did not answer within {timeout:g} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, LookupError, TypeError) as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
            raise SkillError(f"{self.name}: the request to {url} failed: {why}") from error
        context.set(config.get("output", self.name), result)
        if result["status"] >= 400 and config.get("raise_for_status", True):
            body = result["body"] if isinstance(result["body"], str) else json.dumps(result["body"], ensure_ascii=False)
            log.to_step("ERROR", f"{url} answered {result['status']}: {body}")
            body = log.redacted(body)  # redact first: a value that is cut is not found
            short = body if len(body) <= 300 else f"{body[:300]} … (the step's log has more)"
            raise SkillError(f"{self.name}: {url} answered {result['status']}: {short}")
        return context

    def _headers(self, httpx: Any, context: FlowContext) -> Any:
        headers = httpx.Headers({"Idempotency-Key": context.idempotency_key})
        if "json_from" in self.config:
            headers["Content-Type"] = "application/json"
        headers.update(self.config.get("headers", {}))
        return headers

    async def _answered(self, client: Any, request: Any, own: Any) -> dict[str, Any]:
        """Return the response to a request, after redirects if they are to be followed."""
        begun_at = request.url
        for _ in range(MAX_REDIRECTS + 1):
            answer = await client.send(request, stream=True)
            try:
                following = answer.next_request if self.config.get("follow_redirects", False) else None
                if following is None:
                    return await self._read(answer)
            finally:
                await answer.aclose()
            if not _is_same_origin(begun_at, following.url):
                if following.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in following.headers:
                    raise SkillError(
                        f"{self.name}: {request.url} answered {answer.status_code}, which would send the body to "
                        f"{following.url.host}; set url to the intended address."
                    )
                _forget(following, own, client.headers)
            request = following
        raise SkillError(f"{self.name}: {request.url} was redirected more than {MAX_REDIRECTS} times.")

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
        text = _decoded(bytes(data), answer.charset_encoding)
        body: Any = text
        if text and "json" in answer.headers.get("content-type", ""):
            try:
                body = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise SkillError(f"{self.name}: the answer claims to be JSON but is not: {error}.") from error
        return {"status": answer.status_code, "headers": dict(answer.headers), "body": body}

    def _filled(self, text: str, context: FlowContext) -> str:
        if "{" not in text:
            return text
        data = {key: context.get(key) for key in templates.names(text) if context.has(key)}
        return templates.render(text, data, what=f"a template of {self.name}")


def _is_same_origin(one: Any, other: Any) -> bool:
    """Return whether two addresses lead to the same server. From http to https on one host is the same server."""
    if one.host != other.host:
        return False
    is_upgrade = (one.scheme, other.scheme, one.port, other.port) == ("http", "https", None, None)
    return is_upgrade or (one.scheme, one.port) == (other.scheme, other.port)


def _forget(request: Any, own: Any, usual: Any) -> None:
    """Remove from a request what was meant only for another server."""
    for name in own:
        request.headers.pop(name, None)
        if name in usual:
            request.headers[name] = usual[name]
    request.headers["Host"] = request.url.netloc.decode("ascii")


def _decoded(data: bytes, charset: str | None) -> str:
    """Return the text of a response; with a charset that is not for text, it is read as UTF-8."""
    try:
        codec = codecs.lookup(charset or "utf-8").name.replace("_", "-")
        return data.decode("utf-8" if codec in _NO_CHARSETS else codec, "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")
