"""The keys by which a gate says who answers it, when, and with what: as they are in YAML."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

#: A username or `group:NAME`; what is valid is checked with the other rules, which have better sentences.
Approver = Annotated[str, Meta(min_length=1, max_length=110)]
#: A duration such as `4h`.
Duration = Annotated[str, Meta(min_length=1, max_length=20)]
Node = Annotated[str, Meta(min_length=1, max_length=200)]
Required = Annotated[int, Meta(ge=1, le=1_000)]


class StageKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the stages of a gate, which are asked one after the other."""

    approvers: Annotated[
        list[Approver], Meta(description="Usernames and `group:NAME`; empty: everybody with the role approver.")
    ] = []
    required: Annotated[Required, Meta(description="How many of them must approve.")] = 1


class EscalationKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asked as well when nobody has decided for a while."""

    after: Annotated[Duration, Meta(description="How long after the opening, such as `4h`.")]
    to: Annotated[list[Approver], Meta(description="Usernames and `group:NAME` who may answer as well from then on.")]


class ChangesKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a request for changes goes."""

    SHORT_FOR: ClassVar = "to"

    to: Annotated[Node, Meta(description="The node that works again; it is on every path to the gate.")]
    max: Annotated[Annotated[int, Meta(ge=1, le=100)], Meta(description="How often changes can be requested.")] = 3


class GateKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a gate about people, time and what they give."""

    approvers: Annotated[
        list[Approver],
        Meta(description="Usernames and `group:NAME` who are asked; empty: everybody with the role approver."),
    ] = []
    required: Annotated[Required, Meta(description="How many people must approve; one rejection decides.")] = 1
    stages: Annotated[
        list[StageKeys] | None, Meta(description="Stages, asked one after the other; instead of the two keys above.")
    ] = None
    self_approval: Annotated[bool, Meta(description="Whether people may approve what they started or edited.")] = True
    distinct_from: Annotated[
        list[Node], Meta(description="Gates; who approved one of them may not approve this one.")
    ] = []
    deadline: Annotated[
        str | None, Meta(description="A duration from the opening, or an expression that gives an aware datetime.")
    ] = None
    on_deadline: Annotated[
        Literal["keep", "reject"], Meta(description="What the deadline does: mark the gate as overdue, or reject.")
    ] = "keep"
    escalate: Annotated[
        EscalationKeys | None, Meta(description="Who is asked as well when the gate is open for a while.")
    ] = None
    remind: Annotated[Duration | None, Meta(description="How often people are reminded, such as `4h`.")] = None
    form: Annotated[
        dict[str, Any] | None, Meta(description="Values that an approval gives, declared as `inputs` are.")
    ] = None
    editable: Annotated[list[Node], Meta(description="Keys of `show` whose values people may edit.")] = []
    request_changes: Annotated[
        ChangesKeys | None, Meta(description="The node that a request for changes goes back to.")
    ] = None
    undo: Annotated[Duration, Meta(description="How long the deciding answer can be withdrawn; at most `5m`.")] = "0s"
    bulk: Annotated[bool, Meta(description="Whether several gates can be approved at once from a list.")] = False
    fresh_login: Annotated[
        Duration | None, Meta(description="How long ago people may have signed in who answer, such as `10m`.")
    ] = None
    signature: Annotated[
        Literal["none", "passkey"], Meta(description="Whether an answer must be signed by a passkey.")
    ] = "none"
