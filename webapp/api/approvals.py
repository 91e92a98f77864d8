"""The gates of all runs that wait for a decision, and the decided gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from neurocore.documents import make, make_gates
from neurocore.documents.gates import GateDocument
from neurocore.documents.runs import RunSummary
from neurocore.documents.streamed import Streamed
from neurocore.persistence.records import GateEntry
from webapp.api.operations import get
from webapp.approvals.views import Approvals, Asked, Whose
from webapp.services import Services


class ApprovalsQuery(Struct, kw_only=True):
    """The filter of the page `/approvals`."""

    whose: Annotated[
        Literal["", "me", "others", "decided"],
        Meta(
            description="Which gates: those that I may answer, those for others, or decided ones; all if it is empty."
        ),
    ] = field(default="", name="for")
    blueprint: Annotated[str, Meta(description="The blueprint's name.")] = ""
    by: Annotated[str, Meta(description="Who decided. It does not filter open gates.")] = ""
    before: Annotated[str, Meta(description="The `older` of a page, or a time: gates decided before it.")] = ""
    after: Annotated[str, Meta(description="The `later` of a page: gates that have waited less long.")] = ""


class ApprovalDocument(Struct, kw_only=True):
    """A gate occurrence and its run. `/runs/{run_id}/gates` says what each answer does."""

    run: RunSummary
    gate: GateDocument


class ApprovalsDocument(Struct, kw_only=True):
    """Open gates, longest waiting first; then decided gates, newest first.

    `waiting` are those that whoever asks may answer, `others` those that somebody else may. `open` counts all open
    gates, even those that the filter leaves out. `later` is the `after` of the next page of open
    gates, `older` the `before` of the next page of decided gates; each is null on the last page.
    """

    open: int
    waiting: list[ApprovalDocument]
    others: list[ApprovalDocument]
    later: str | None
    decided: list[ApprovalDocument]
    older: str | None


@get("/approvals")
def list_approvals(here: Services, query: ApprovalsQuery) -> ApprovalsDocument:
    """List the gates that wait for a decision, and the decided gates."""
    asked = Asked(
        whose=Whose(query.whose) if query.whose else None, blueprint=query.blueprint or None, by=query.by or None,
        before=query.before or None, after=query.after or None,
    )  # fmt: skip
    found = Approvals.of(here, asked)
    return ApprovalsDocument(
        open=here.store.count_open_gates(), waiting=_documents(here, found.waiting),
        others=_documents(here, found.others), later=found.later, decided=_documents(here, found.decided),
        older=found.older,
    )  # fmt: skip


def _documents(here: Services, entries: list[GateEntry]) -> Any:
    """Return a document for each entry. The values of a gate are read when its document is written."""

    def items() -> Iterator[ApprovalDocument]:
        for entry in entries:
            gate = here.store.load_gate(entry.run.run_id, entry.gate.node_id, entry.gate.visit)
            run = make.summary(entry.run, here.store, here.config)
            found = make_gates.gate(gate or entry.gate, entry.run, here.store, later=True)
            yield ApprovalDocument(run=run, gate=found)

    return Streamed(items)
