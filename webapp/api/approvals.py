"""What waits for people over all runs, and what they decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from neurocore.documents import make
from neurocore.documents.runs import GateDocument, RunSummary
from neurocore.documents.streamed import Streamed
from neurocore.persistence.records import GateEntry
from webapp.api.operations import get
from webapp.approvals.views import Approvals
from webapp.services import Services


class ApprovalsQuery(Struct, kw_only=True):
    """The filter of the page `/approvals`."""

    blueprint: Annotated[str, Meta(description="The blueprint's name.")] = ""
    by: Annotated[str, Meta(description="Who decided; open ones are not left out by it.")] = ""
    before: Annotated[str, Meta(description="`older` of a page, or a time: decided before it.")] = ""
    after: Annotated[str, Meta(description="`later` of a page: those that have waited less long.")] = ""


class ApprovalDocument(Struct, kw_only=True):
    """A gate occurrence and the run it belongs to. What each answer leads to is below `/runs/{run_id}/gates`."""

    run: RunSummary
    gate: GateDocument


class ApprovalsDocument(Struct, kw_only=True):
    """Open gates, the one that waits longest first; then decided ones, newest first.

    `open` counts all that wait, also those that the filter leaves out. `later` is what `after` takes for the next page
    of those that wait, `older` what `before` takes for the next page of decided ones; null on the last.
    """

    open: int
    waiting: list[ApprovalDocument]
    later: str | None
    decided: list[ApprovalDocument]
    older: str | None


@get("/approvals")
def list_approvals(here: Services, query: ApprovalsQuery) -> ApprovalsDocument:
    """List what waits for people, and what they decided."""
    found = Approvals.of(
        here.store, query.blueprint or None, query.by or None, query.before or None, query.after or None,
        here.config.clock,
    )  # fmt: skip
    return ApprovalsDocument(
        open=here.store.count_open_gates(), waiting=_documents(here, found.waiting), later=found.later,
        decided=_documents(here, found.decided), older=found.older,
    )  # fmt: skip


def _documents(here: Services, entries: list[GateEntry]) -> Any:
    """A document for each; what a gate shows is read when it is written, one after the other."""

    def items() -> Iterator[ApprovalDocument]:
        for entry in entries:
            gate = here.store.load_gate(entry.run.run_id, entry.gate.node_id, entry.gate.visit)
            run = make.summary(entry.run, here.store, here.config)
            yield ApprovalDocument(run=run, gate=make.gate(gate or entry.gate, later=True))

    return Streamed(items)
