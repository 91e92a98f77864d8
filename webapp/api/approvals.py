"""What waits for people over all runs, and what they decided."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from neurocore.documents import make
from neurocore.documents.runs import GateDocument, RunSummary
from neurocore.persistence.base import GateEntry
from webapp.api.operations import get
from webapp.approvals import Approvals
from webapp.services import Services


class ApprovalsQuery(Struct, kw_only=True):
    """The filter of the page `/approvals`."""

    blueprint: Annotated[str, Meta(description="The blueprint's name.")] = ""
    by: Annotated[str, Meta(description="Who decided; open ones are not left out by it.")] = ""
    before: Annotated[str, Meta(description="`older` of a page: decided before it.")] = ""


class ApprovalDocument(Struct, kw_only=True):
    """A gate occurrence and the run it belongs to. What each answer leads to is below `/runs/{run_id}/gates`."""

    run: RunSummary
    gate: GateDocument


class ApprovalsDocument(Struct, kw_only=True):
    """Open gates, the one that waits longest first; then decided ones, newest first.

    `open` counts all that wait, also those that the filter leaves out. `older` is what `before` takes for the next
    page, null on the last.
    """

    open: int
    waiting: list[ApprovalDocument]
    decided: list[ApprovalDocument]
    older: str | None


@get("/approvals")
def list_approvals(here: Services, query: ApprovalsQuery) -> ApprovalsDocument:
    """List what waits for people, and what they decided."""
    found = Approvals.of(here.store, query.blueprint or None, query.by or None, query.before or None)
    return ApprovalsDocument(
        open=here.store.count_open_gates(),
        waiting=[_document(here, entry) for entry in found.waiting],
        decided=[_document(here, entry) for entry in found.decided],
        older=found.older,
    )


def _document(here: Services, entry: GateEntry) -> ApprovalDocument:
    return ApprovalDocument(run=make.summary(entry.run, here.store, here.config), gate=make.gate(entry.gate))
