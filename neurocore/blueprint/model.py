"""The blueprint as it stands in YAML, one frozen type per thing. Reading and checking files is `load`'s work."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from neurocore import codec

OnError = Literal["fail", "skip", "continue"]
FlowType = Literal["sequential", "conditional", "graph"]
InputType = Literal[
    "any", "string", "integer", "number", "decimal", "boolean", "list", "mapping", "date", "datetime", "path"
]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class InputSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run needs to be given, or gives back. Without a default an input is required."""

    type: InputType = "any"
    default: Any = msgspec.UNSET
    required: bool | None = None
    description: str = ""
    secret: bool = False
    enum: list[Any] | None = None

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.required if self.required is not None else self.default is msgspec.UNSET


class Component(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named instance of a skill: `type` is the skill's name, `config` goes over the one in neurocore.yaml."""

    name: Name
    type: Name
    config: dict[str, Any] = {}


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Try a failed step again: at most `max` times, after `delay` seconds, doubled up to `max_delay`.

    `on` names the exception classes (or base classes) to try again on; empty means any.
    """

    max: Annotated[int, Meta(ge=0, le=100)] = 0
    on: list[str] = []
    delay: Annotated[float, Meta(ge=0)] = 1.0
    max_delay: Annotated[float, Meta(ge=0)] = 60.0


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a sequential or conditional flow. `timeout` is in seconds."""

    component: Name
    condition: str | None = None
    on_error: OnError = "fail"
    description: str | None = None
    timeout: Positive | None = None
    retry: Retry | None = None


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a graph. `join`: wait for all its incoming edges, or go at the first one taken."""

    id: Name
    component: Name
    on_error: OnError = "fail"
    description: str | None = None
    join: Literal["all", "any"] = "all"
    max_visits: Count | None = None
    timeout: Positive | None = None
    retry: Retry | None = None


class Edge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way from one node to another, taken when its port is the active one (or it names none) and its condition holds."""

    source: Name
    target: Name
    port: str | None = None
    condition: str | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a flow behaves. The last five are accepted for blueprints written for 0.4 and change nothing."""

    fail_fast: bool = True
    timeout_seconds: Positive | None = None
    on_condition_error: Literal["fail", "skip", "warn"] | None = None
    max_iterations: Count = 10
    on_max_iterations: Literal["fail", "exit", "warn"] = "fail"
    on_conflict: Literal["fail", "last"] = "fail"
    timeout_mode: str | None = None
    require_deadline_check: bool | None = None
    convergence_check: Any = None
    convergence_threshold: Any = None
    convergence_key: Any = None

    def condition_policy(self, flow_type: str) -> str:
        """What happens when a condition cannot be evaluated: `fail`, `skip` or `warn`."""
        return self.on_condition_error or ("skip" if flow_type == "conditional" else "fail")

    @property
    def without_effect(self) -> list[str]:
        """The accepted settings that are given and change nothing."""
        return [name for name in WITHOUT_EFFECT if getattr(self, name) is not None]


WITHOUT_EFFECT = (
    "timeout_mode", "require_deadline_check", "convergence_check", "convergence_threshold", "convergence_key",
)  # fmt: skip


class Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order of things: `steps` for sequential and conditional flows, `nodes` and `edges` for a graph."""

    type: FlowType = "sequential"
    settings: Settings = Settings()
    steps: list[Step] | None = None
    nodes: list[Node] | None = None
    edges: list[Edge] | None = None


class Blueprint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow. `title` names a run for people: text with `{{ input }}` in it."""

    name: Name
    version: str = "1.0"
    description: str | None = None
    title: Annotated[str, Meta(max_length=500)] | None = None
    inputs: dict[str, InputSpec] = {}
    outputs: dict[str, InputSpec] = {}
    components: list[Component]
    flow: Flow
    source: str | None = field(default=None)

    def component(self, name: str) -> Component:
        """The component of this name. Raises KeyError."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    @property
    def node_ids(self) -> list[str]:
        """The ids of the flow's nodes in order; a component's second place in a chain is `name#2`."""
        if self.flow.type == "graph":
            return [node.id for node in self.flow.nodes or ()]
        seen: dict[str, int] = {}
        ids = []
        for step in self.flow.steps or ():
            seen[step.component] = times = seen.get(step.component, 0) + 1
            ids.append(step.component if times == 1 else f"{step.component}#{times}")
        return ids

    def definition(self) -> dict[str, Any]:
        """The blueprint as plain data, without the text it was read from."""
        document: dict[str, Any] = _without_defaults(msgspec.structs.replace(self, source=None))
        return document

    def snapshot(self) -> dict[str, Any]:
        """What is stored with a run: the definition and the exact text it was read from."""
        return {**self.definition(), **({"source": self.source} if self.source else {})}

    @property
    def hash(self) -> str:
        """SHA-256, hexadecimal, of the definition (not of its spelling in YAML)."""
        return hashlib.sha256(codec.canonical(self.definition())).hexdigest()

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Blueprint:
        """The blueprint of a stored run; snapshots of 0.4, which spell every default out, are read too."""
        return msgspec.convert(_without_nulls(dict(snapshot)), cls)


def node_placeholders(title: str) -> list[str]:
    """The input names in a title's `{{ … }}`."""
    return [match.group(1).split(".")[0] for match in PLACEHOLDER.finditer(title)]


PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w]*(?:\.\w+)*)\s*\}\}")


def _without_defaults(value: Any) -> Any:
    if isinstance(value, Struct):
        fields = zip(msgspec.structs.fields(type(value)), (getattr(value, n) for n in value.__struct_fields__))
        return {
            one.name: _without_defaults(item)
            for one, item in fields
            if one.required or item not in (msgspec.UNSET, None, _default(one))
        }
    if isinstance(value, dict):
        return {key: _without_defaults(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    return value


def _default(one: Any) -> Any:
    if one.default is not msgspec.NODEFAULT:
        return one.default
    return one.default_factory() if one.default_factory is not msgspec.NODEFAULT else msgspec.UNSET


def _without_nulls(value: Any) -> Any:
    """Drop keys that are null outside `config`, `default` and `enum`, where null means something."""
    if isinstance(value, dict):
        kept = ("config", "default", "enum")
        return {k: v if k in kept else _without_nulls(v) for k, v in value.items() if v is not None or k in kept}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
