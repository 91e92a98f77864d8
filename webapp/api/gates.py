"""The operations on gates beside the decision: what they ask of whom, withdrawals, and comments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from neurocore.access.actor import Actor, person
from neurocore.access.permission import Action, Resource, may
from neurocore.documents.gates import GateDocument
from neurocore.documents.inspect import gate_documents
from neurocore.documents.runs import StandingDocument
from neurocore.documents.streamed import Streamed
from neurocore.gates.answer import MAX_NOTE
from neurocore.gates.facts import Allowed, Verb
from neurocore.gates.ruling import GateNow
from neurocore.persistence.projections import still
from neurocore.persistence.records import GateRecord, GateStatus, RunRecord
from neurocore.runs.find import load_summary, resolve_run_id
from neurocore.runs.withdraw import comment, withdraw_answer
from webapp.api.idempotency import Begun
from webapp.api.operations import get, post
from webapp.api.verbs import By, Digest, Visit, done_before, occurrence_of, standing
from webapp.security.actors import claimed, sender
from webapp.services import Services

Text = Annotated[str, Meta(min_length=1, max_length=MAX_NOTE, description="What to say.")]


class VerdictDocument(Struct, kw_only=True):
    """What holds at a gate now, for whoever asks.

    `state`: open, held (decided, and the last answer can still be withdrawn), decided or voided. `may_answer` says
    whether this person may approve or reject. `reason` says why this person may not approve, even if they may reject;
    `who_can` names at most five people who may. `missing` and `stage` are those of the gate. Where nobody signs in, a
    request that reads has no name, so the verdict is that of somebody whom no rule names.
    """

    state: str
    may_answer: bool
    reason: str | None
    who_can: list[str]
    missing: str | None
    stage: int


class AskedDocument(GateDocument, kw_only=True):
    """A gate occurrence, and what whoever asks may do there."""

    verdict: VerdictDocument


class GatesDocument(Struct, kw_only=True):
    """All gate occurrences of a run in the order in which they opened; open ones say what each answer does."""

    run_id: str
    gates: list[AskedDocument]


class WithdrawalRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """One's own answer to take back. `digest` is that of the gate; it also names the occurrence."""

    by: By
    digest: Digest
    gate: Annotated[str, Meta(description="The node; only needed if the digest is older.")] | None = None
    visit: Visit | None = None


class CommentRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Something to say about a gate that waits. `gate` names it, if several are open."""

    by: By
    text: Text
    gate: Annotated[str, Meta(description="The node.")] | None = None


@get("/runs/{run_id}/gates", 404, 409, 410)
def list_gates(here: Services, run_id: str) -> GatesDocument:
    """List the gates of a run: what they show, their answers, what each answer does, and who may answer now."""
    run = load_summary(resolve_run_id(run_id, here.store), here.store)
    gates, actor = here.store.load_gates(run.run_id, narrow=True), sender()

    def items() -> Iterator[AskedDocument]:
        for gate in gates:
            (found,) = gate_documents(run, [gate], here.store, later=True).items()
            verdict = _verdict(gate, run, here, actor)
            yield AskedDocument(**structs.asdict(found), verdict=verdict)

    later: Any = Streamed(items)
    return GatesDocument(run_id=run.run_id, gates=later)


def _verdict(gate: GateRecord, run: RunRecord, here: Services, actor: Actor) -> VerdictDocument:
    now = GateNow(gate, run, here.store, actor)
    found = now.verdict
    approve, reject = _choices(now, gate, run, actor)
    return VerdictDocument(
        state=found.state.value, may_answer=approve.allowed or reject.allowed, reason=approve.reason,
        who_can=list(approve.who_can), missing=found.missing if gate.kind == "gate" else None, stage=found.stage,
    )  # fmt: skip


def _choices(now: GateNow, gate: GateRecord, run: RunRecord, actor: Actor) -> tuple[Allowed, Allowed]:
    """Return whether this person may approve, and whether they may reject."""
    allowed = may(actor, Action.ANSWER, Resource(blueprint=run.blueprint_name, run_id=run.run_id, gate=gate.node_id))
    reason, who_can = allowed.reason, allowed.who_can
    if gate.status is GateStatus.OPEN and run.held is not None:
        reason, who_can = still(run.run_id, run.held), ()
    if reason is not None:
        refused = Allowed(allowed=False, reason=reason, who_can=who_can)
        return refused, refused
    return now.may(Verb.APPROVE), now.may(Verb.REJECT)


@post("/runs/{run_id}/withdrawal", Action.ANSWER, 200, 404, 410)
def withdraw(here: Services, run_id: str, body: WithdrawalRequest, begun: Begun) -> StandingDocument:
    """Take one's own answer back, while the gate is undecided or its decision can still be withdrawn."""
    by = person(body.by)
    run = load_summary(resolve_run_id(run_id, here.store), here.store)
    if not done_before(here, run, ("withdrawn",), by, begun):
        gate, visit = occurrence_of(here, run.run_id, body.digest, body.gate, body.visit)
        withdraw_answer(
            run.run_id, actor=claimed(by), run_store=here.store, gate=gate, visit=visit, digest=body.digest
        )  # fmt: skip
    return standing(here, run.run_id)


@post("/runs/{run_id}/comments", Action.COMMENT, 200, 404, 410)
def add_comment(here: Services, run_id: str, body: CommentRequest, begun: Begun) -> StandingDocument:
    """Say something about a gate that waits. It decides nothing; the activity of the run keeps it."""
    by = person(body.by)
    run = load_summary(resolve_run_id(run_id, here.store), here.store)
    if not done_before(here, run, ("commented",), by, begun):
        comment(run.run_id, body.text, actor=claimed(by), run_store=here.store, gate=body.gate)
    return standing(here, run.run_id)
