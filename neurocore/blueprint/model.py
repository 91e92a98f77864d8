"""The blueprint as it is in YAML, one frozen type per part. `load` reads and checks files.

What each key means is described once, here: the JSON Schema (`schema`) uses it, and a test compares docs/blueprints.md
with it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from msgspec import UNSET, Meta, Struct

from neurocore import codec, typed
from neurocore.blueprint.gate_keys import GateKeys
from neurocore.errors import BlueprintError

OnError = Literal["fail", "skip", "continue"]
FlowType = Literal["sequential", "conditional", "graph"]
NoteRule = Literal["optional", "required", "on_reject"]
InputType = Literal[
    "any", "string", "integer", "number", "decimal", "boolean", "list", "mapping", "date", "datetime", "path"
]
#: Other names that published blueprints use for types of inputs; the loader replaces them.
TYPE_ALIASES = {"array": "list", "object": "mapping"}

MAX_NAME = 200
#: A year: anything longer is a mistake, and more than the clocks of some systems allow.
MAX_SECONDS = 366 * 86_400

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Title = Annotated[str, Meta(max_length=500)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
Delay = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]


class InputSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value that a run receives or returns."""

    type: Annotated[
        InputType, Meta(description="The type of the value. Text is read as this type if nothing is lost.")
    ] = "any"
    default: Annotated[Any, Meta(description="The value if none is given. Without a default the key is required.")] = (
        UNSET
    )
    required: Annotated[bool | None, Meta(description="Whether it must be given; yes, unless it has a default.")] = None
    description: Annotated[str, Meta(description="What it is for, in one line for people.")] = ""
    secret: Annotated[
        bool, Meta(description="It takes only a reference such as ${NAME}; the value itself is never stored.")
    ] = False
    enum: Annotated[list[Any] | None, Meta(description="The values to choose from.")] = None

    @property
    def is_required(self) -> bool:
        """Return whether it must be given."""
        return self.required if self.required is not None else self.default is UNSET


#: What people used to other tools write for a condition.
_CONDITION_WORDS = {"when": "condition", "if": "condition"}


class Component(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named instance of a skill."""

    SHORT_FOR: ClassVar = ("name", "type")
    OTHER_WORDS: ClassVar = {"skill": "type", "uses": "type", "id": "name", "with": "config"}
    ELSEWHERE: ClassVar = dict.fromkeys(
        ("condition", "if", "when", "on_error", "retry", "timeout"), "with the step or the node, under `flow`"
    )

    name: Annotated[Name, Meta(description="Its name in the flow; unique in the blueprint.")]
    type: Annotated[Name, Meta(description="The skill's name (`neurocore skill list`).")]
    config: Annotated[
        dict[str, Any],
        Meta(description="The skill's configuration; overrides the one in neurocore.yaml. ${NAME} is a secret."),
    ] = {}


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how often a failed step is retried."""

    SHORT_FOR: ClassVar = "max"
    OTHER_WORDS: ClassVar = {"times": "max", "attempts": "max", "retries": "max"}

    max: Annotated[int, Meta(ge=0, le=100, description="How many retries are made.")] = 0
    on: Annotated[
        list[str], Meta(description="Names of exception classes (or of their bases) to retry on; empty means any.")
    ] = []
    delay: Annotated[Delay, Meta(description="Seconds before the first retry; doubled for each further one.")] = 1.0
    max_delay: Annotated[Delay, Meta(description="The longest wait between two attempts, in seconds.")] = 60.0


class Gate(GateKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The short form of a gate: a person decides here whether the run continues."""

    SHORT_FOR: ClassVar = "name"

    name: Annotated[Name, Meta(description="The gate's name, which is its node in the flow.")] = "approval"
    message: Annotated[str | None, Meta(description="The question: text that may contain {{ key }}.")] = None
    show: Annotated[
        list[Name] | None, Meta(description="Context keys to show; by default what the steps directly before it set.")
    ] = None
    require: Annotated[bool, Meta(description="Whether a rejection ends the run.")] = True
    on_reject: Annotated[
        Name | None, Meta(description="The node that a rejection goes to; it implies `require: false`.")
    ] = None
    note: Annotated[
        NoteRule, Meta(description="Whether the answer needs a note: never, always, or a rejection only.")
    ] = "optional"


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a sequential or conditional flow."""

    SHORT_FOR: ClassVar = "component"
    OTHER_WORDS: ClassVar = {**_CONDITION_WORDS, "name": "component", "skill": "component"}

    component: Annotated[Name, Meta(description="The component that runs here.")]
    condition: Annotated[str | None, Meta(description="It runs only if this expression over the context holds.")] = None
    on_error: Annotated[
        OnError,
        Meta(description="What a failure does: end the run, or be recorded as skipped or as failed, and continue."),
    ] = "fail"
    description: Annotated[str | None, Meta(description="What happens here, in one line for people.")] = None
    timeout: Annotated[Seconds | None, Meta(description="Seconds that one attempt may take.")] = None
    retry: Annotated[Retry | None, Meta(description="Retries after a failure; overrides the skill's own.")] = None


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a graph."""

    SHORT_FOR: ClassVar = ("id", "component")
    OTHER_WORDS: ClassVar = {"name": "id"}

    id: Annotated[Name, Meta(description="Its name in edges; unique in the graph.")]
    component: Annotated[Name, Meta(description="The component that runs here.")]
    on_error: Annotated[
        OnError,
        Meta(description="What a failure does: end the run, or be recorded as skipped or as failed, and continue."),
    ] = "fail"
    description: Annotated[str | None, Meta(description="What happens here, in one line for people.")] = None
    join: Annotated[
        Literal["all", "any"],
        Meta(description="Run when every edge to it is decided and one is taken, or when the first one is taken."),
    ] = "all"
    max_visits: Annotated[Count | None, Meta(description="How often a loop may bring the run here.")] = None
    timeout: Annotated[Seconds | None, Meta(description="Seconds that one attempt may take.")] = None
    retry: Annotated[Retry | None, Meta(description="Retries after a failure; overrides the skill's own.")] = None


class Edge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An edge from one node to another."""

    OTHER_WORDS: ClassVar = {**_CONDITION_WORDS, "from": "source", "to": "target"}

    source: Annotated[Name, Meta(description="The node it leaves.")]
    target: Annotated[Name, Meta(description="The node it leads to.")]
    port: Annotated[
        Name | None, Meta(description="Taken only if the source chose this output port (a gate: approved, rejected).")
    ] = None
    condition: Annotated[str | None, Meta(description="Taken only if this expression over the context holds.")] = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a flow behaves."""

    fail_fast: Annotated[
        bool, Meta(description="Whether a failure stops other branches from starting steps; false lets them finish.")
    ] = True
    timeout_seconds: Annotated[
        Seconds | None, Meta(description="Seconds of work that the run may take; waiting for people does not count.")
    ] = None
    on_condition_error: Annotated[
        Literal["fail", "skip", "warn"] | None,
        Meta(description="What a condition that cannot be evaluated does (default: fail; conditional flows: skip)."),
    ] = None
    max_iterations: Annotated[Count, Meta(description="How many rounds a loop may make.")] = 10
    on_max_iterations: Annotated[
        Literal["fail", "exit", "warn"],
        Meta(description="What reaching that bound does: fail the run, or end the loop."),
    ] = "fail"
    on_conflict: Annotated[
        Literal["fail", "last"],
        Meta(description="What happens when concurrent steps set one key differently: the later one fails, or wins."),
    ] = "fail"
    timeout_mode: Annotated[str | None, Meta(description="Accepted for old blueprints; changes nothing.")] = None
    require_deadline_check: Annotated[
        bool | None, Meta(description="Accepted for old blueprints; changes nothing.")
    ] = None
    convergence_check: Annotated[Any, Meta(description="Accepted for old blueprints; changes nothing.")] = None
    convergence_keys: Annotated[Any, Meta(description="Accepted for old blueprints; changes nothing.")] = None
    convergence_key: Annotated[Any, Meta(description="Accepted for old blueprints; changes nothing.")] = None
    convergence_threshold: Annotated[Any, Meta(description="Accepted for old blueprints; changes nothing.")] = None

    def condition_policy(self, flow_type: str) -> str:
        """Return what happens when a step's condition cannot be evaluated: `fail`, `skip` or `warn`."""
        return self.on_condition_error or ("skip" if flow_type == "conditional" else "fail")

    @property
    def without_effect(self) -> list[str]:
        """List the accepted settings that are given and change nothing."""
        return [name for name in WITHOUT_EFFECT if getattr(self, name) is not None]


WITHOUT_EFFECT = (
    "timeout_mode",
    "require_deadline_check",
    "convergence_check",
    "convergence_keys",
    "convergence_key",
    "convergence_threshold",
)


class Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order of the steps."""

    ELSEWHERE: ClassVar = dict.fromkeys(Settings.__struct_fields__, "under `settings`")

    type: Annotated[
        FlowType, Meta(description="One after another, the first whose condition holds, or nodes connected by edges.")
    ] = "sequential"
    settings: Annotated[Settings, Meta(description="How the flow behaves.")] = Settings()
    steps: Annotated[list[Step] | None, Meta(description="The places of a sequential or conditional flow.")] = None
    nodes: Annotated[list[Node] | None, Meta(description="The places of a graph.")] = None
    edges: Annotated[list[Edge] | None, Meta(description="The edges between the places of a graph.")] = None


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a blueprint's file."""

    ELSEWHERE: ClassVar = {
        **dict.fromkeys(("steps", "nodes", "edges", "settings", "type"), "under `flow`"),
        **dict.fromkeys(Settings.__struct_fields__, "under `settings`, under `flow`"),
    }

    name: Annotated[Name, Meta(description="The blueprint's name.")]
    version: Annotated[str, Meta(max_length=MAX_NAME, description="The blueprint's own version, in quotes.")] = "1.0"
    description: Annotated[str | None, Meta(description="What it is for.")] = None
    title: Annotated[Title | None, Meta(description="Names a run for people; may contain {{ input }}.")] = None
    inputs: Annotated[
        dict[str, InputSpec], Meta(description="The inputs of a run, by key. Without this, any data is allowed.")
    ] = {}
    outputs: Annotated[dict[str, InputSpec], Meta(description="The outputs of a run: checked at its end.")] = {}
    components: Annotated[list[Component], Meta(description="The skills that the flow uses, each under a name.")]
    flow: Annotated[Flow, Meta(description="The order of the steps.")]


class Blueprint(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow: a definition, and in `source` the exact text that it was read from.

    `gates` are the component types that are gates beside `approval`. It is None in a file, and in older runs: there the
    skills of the current process determine it.
    """

    source: str | None = None
    gates: list[str] | None = None

    def component(self, name: str) -> Component:
        """Return the component of this name. Raises KeyError."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    @property
    def node_ids(self) -> list[str]:
        """List the ids of the flow's nodes in order; a component's second place in a chain is `name#2`."""
        if self.flow.type == "graph":
            return [node.id for node in self.flow.nodes or ()]
        return chain_ids([step.component for step in self.flow.steps or ()])

    def definition(self) -> dict[str, Any]:
        """Return the blueprint as plain data without defaults, and without the text it was read from."""
        document: dict[str, Any] = _without_defaults(msgspec.structs.replace(self, source=None, gates=None))
        return document

    def snapshot(self) -> dict[str, Any]:
        """Return what is stored with a run: the definition, the exact text it was read from, and its gates."""
        return self._snapshot(self.definition())

    @property
    def hash(self) -> str:
        """Return the SHA-256, hexadecimal, of the definition (not of its YAML text), and of gates from skills."""
        return self._hash(self.definition())

    def recorded(self) -> tuple[dict[str, Any], str]:
        """Return the snapshot and the hash, computing the definition only once."""
        definition = self.definition()
        return self._snapshot(definition), self._hash(definition)

    def _snapshot(self, definition: dict[str, Any]) -> dict[str, Any]:
        beside = {"source": self.source, "gates": self.gates}
        return {**definition, **{key: value for key, value in beside.items() if value is not None}}

    def _hash(self, definition: dict[str, Any]) -> str:
        beside = {"gates": self.gates} if self.gates else {}
        return hashlib.sha256(codec.canonical({**definition, **beside})).hexdigest()

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Self:
        """Return the blueprint of a stored run; also reads snapshots of 0.4, which contain every default.

        Raises BlueprintError when it does not have the form of a blueprint.
        """
        try:
            return typed.convert(_of_04(_without_nulls(dict(snapshot))), cls)
        except msgspec.ValidationError as error:
            raise BlueprintError(
                f"The blueprint stored with this run cannot be read ({error}); "
                "it was stored by a newer NeuroCore, or the store was changed manually."
            ) from error


PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*(?:\.\w+)*)\s*\}\}")


def chain_ids(components: list[str]) -> list[str]:
    """Return the node ids of a chain of components: the second place of one is `name#2`, the third `name#3`."""
    seen: dict[str, int] = {}
    ids = []
    for component in components:
        seen[component] = times = seen.get(component, 0) + 1
        ids.append(component if times == 1 else f"{component}#{times}")
    return ids


def name_problem(name: str) -> str | None:
    """Return the problem with a name that people see and databases store, or None.

    Any script is allowed; invisible characters, line breaks and text direction marks are not.
    """
    if len(name) > MAX_NAME:
        return f"A name has at most {MAX_NAME} characters; this one has {len(name):,}."
    if not name.strip():
        return "A name needs a visible character."
    return control_problem(name, "A name")


def control_problem(text: str, what: str) -> str | None:
    """Return a sentence about the first control character (line breaks and direction marks too), or None."""
    bad = next((one for one in text if _unseen(one)), None)
    return None if bad is None else f"{what} cannot have control characters; remove U+{ord(bad):04X}."


_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNING


def _without_defaults(value: Any) -> Any:
    if isinstance(value, Struct):
        return {
            name: _without_defaults(getattr(value, name))
            for name, default in _defaults(type(value))
            if not _is_default(getattr(value, name), default)
        }
    if isinstance(value, dict):
        return {key: _without_defaults(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    return value


@lru_cache(maxsize=32)
def _defaults(kind: type[Struct]) -> list[tuple[str, Any]]:
    """Return field names with their defaults; a field without one gets a value that equals nothing."""
    found = []
    for one in msgspec.structs.fields(kind):
        factory = one.default_factory
        found.append((one.name, factory() if factory is not msgspec.NODEFAULT else one.default))
    return found


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def _without_nulls(value: Any) -> Any:
    """Drop keys that are null, except in `config`, `default` and `enum`, where null has a meaning."""
    if isinstance(value, dict):
        kept = ("config", "default", "enum")
        return {k: v if k in kept else _without_nulls(v) for k, v in value.items() if v is not None or k in kept}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _of_04(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of 0.4 without unknown settings, which 0.4 stored but did not use."""
    flow = document.get("flow")
    if not isinstance(flow, dict) or not isinstance(flow.get("settings"), dict):
        return document
    known = Settings.__struct_fields__
    settings = {key: value for key, value in flow["settings"].items() if key in known}
    return {**document, "flow": {**flow, "settings": settings}}
