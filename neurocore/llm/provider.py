"""A language model behind any OpenAI-compatible endpoint, by httpx."""

from __future__ import annotations

import json
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from neurocore import log
from neurocore.errors import SkillError


class LLMMessage(Struct, frozen=True):
    """One message of a conversation; `role` is `user`, `assistant` or `system`."""

    role: str
    content: str


class LLMResponse(Struct, frozen=True):
    """The model's response, and how many tokens it took."""

    content: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0


@runtime_checkable
class LLMProvider(Protocol):
    """What a skill may use of `self.llm`."""

    @property
    def model(self) -> str:
        """Return the model's name."""

    async def complete(
        self,
        messages: list[LLMMessage],
        *,
        max_tokens: int = 8192,
        temperature: float = 1.0,
        system: str | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Return the model's response to a conversation."""


class OpenAICompatibleProvider:
    """Any endpoint that speaks `POST <base_url>/chat/completions`."""

    def __init__(
        self, *, model: str, base_url: str, api_key: str = "", provider: str = "openai", timeout: float = 120
    ) -> None:
        self.model = model
        self.provider_name = provider
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = api_key
        self._timeout = timeout

    async def complete(
        self,
        messages: list[LLMMessage],
        *,
        max_tokens: int = 8192,
        temperature: float = 1.0,
        system: str | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Ask the endpoint. Raises SkillError with its response."""
        try:
            import httpx
        except ImportError as error:
            raise SkillError("A language model needs httpx: pip install 'neurocore-ai[http]'.") from error
        conversation = [{"role": "system", "content": system}] if system else []
        conversation += [{"role": message.role, "content": message.content} for message in messages]
        body = {
            "model": self.model, "messages": conversation, "max_tokens": max_tokens, "temperature": temperature,
            **kwargs,
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            async with httpx.AsyncClient(timeout=self._timeout) as client:
                answer = await client.post(self._url, json=body, headers=headers)
            answer.raise_for_status()
            document = json.loads(answer.content)
            usage = document.get("usage") or {}
            return LLMResponse(
                content=document["choices"][0]["message"]["content"] or "",
                model=document.get("model", self.model),
                input_tokens=usage.get("prompt_tokens", 0),
                output_tokens=usage.get("completion_tokens", 0),
            )
        except httpx.HTTPStatusError as error:
            said = log.redacted(error.response.content.decode("utf-8", "replace"))[:300]
            raise SkillError(f"The language model answered {error.response.status_code}: {said}") from error
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise SkillError(f"The language model at {self._url} did not answer: {why}") from error


KNOWN_ENDPOINTS = {
    "openai": "https://api.openai.com/v1",
    "ollama": "http://localhost:11434/v1",
    "vllm": "http://localhost:8000/v1",
}


def build_provider(config: dict[str, Any]) -> LLMProvider | None:
    """Return the provider for a skill's `llm_*` settings, or None if `llm_provider` is not set.

    Raises SkillError when the model or the endpoint is missing.
    """
    name = config.get("llm_provider") or ""
    if not name:
        return None
    base_url = config.get("llm_base_url") or KNOWN_ENDPOINTS.get(name)
    if not base_url:
        raise SkillError(f"The language model provider {name!r} needs llm.base_url: an OpenAI-compatible endpoint.")
    if not config.get("llm_model"):
        raise SkillError(f"The language model provider {name!r} needs llm.model.")
    return OpenAICompatibleProvider(
        model=config["llm_model"], base_url=base_url, api_key=config.get("llm_api_key") or "", provider=name
    )
