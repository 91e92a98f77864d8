"""The rules of a gate, as they are stored with an occurrence: plain data. `neurocore.gates.policy` applies them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Stage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who must approve: `required` of `approvers` (usernames and `group:NAME`; empty: everybody with the role)."""

    approvers: tuple[str, ...] = ()
    required: int = 1


class Escalation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who may answer as well when a gate is still undecided `after` its opening."""

    after: str
    to: tuple[str, ...]


class ChangeRequests(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The node that a request for changes goes back to, and how often that may happen."""

    to: str
    max: int = 3


class GatePolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rules of a gate when it opened, as the blueprint has them. `note`: `optional`, `required` or `on_reject`.

    Durations are text such as `4h`. `deadline` may also be an expression; its instant is `GateRecord.deadline`. A
    default never changes: it is what an occurrence means whose policy does not name the field, and the digest covers
    only the fields that differ from it.
    """

    require: bool = True
    on_reject: str | None = None
    note: str = "optional"
    show: tuple[str, ...] | None = None
    approvers: tuple[str, ...] = ()
    required: int = 1
    stages: tuple[Stage, ...] = ()
    self_approval: bool = True
    distinct_from: tuple[str, ...] = ()
    deadline: str | None = None
    on_deadline: str = "keep"
    escalate: Escalation | None = None
    remind: str | None = None
    form: dict[str, Any] = {}
    editable: tuple[str, ...] = ()
    request_changes: ChangeRequests | None = None
    undo: str = "0s"
    bulk: bool = False
    fresh_login: str | None = None
    signature: str = "none"

    @property
    def all_stages(self) -> tuple[Stage, ...]:
        """Return the stages in order; a gate without `stages` has one."""
        return self.stages or (Stage(approvers=self.approvers, required=self.required),)

    @property
    def is_ruled(self) -> bool:
        """Return whether it has a rule about who answers, when, and with what, which older versions do not know."""
        bare = GatePolicy(require=self.require, on_reject=self.on_reject, note=self.note, show=self.show)
        return self != bare
