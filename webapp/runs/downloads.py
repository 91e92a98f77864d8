"""The data of a run as JSON files."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, abort

from neurocore import codec, numerals
from neurocore.documents.stored import stored_under
from neurocore.persistence.records import RunRecord
from webapp.html.helpers import anchor
from webapp.runs.views import summary
from webapp.services import Services, services
from webapp.streaming import encoded, pieces, written

area = Blueprint("downloads", __name__)


@area.get("/runs/<run_id>/download/<what>")
def download(run_id: str, what: str) -> Response:
    """Stream the context, the inputs, the outputs of a step or the values of a gate as JSON with secrets masked."""
    here = services()
    run = summary(run_id, here)
    values = _values(run, what, here)
    if values is None:
        there = "context, inputs, step-<number> and the gates of the run"
        abort(404, f"Run {run.run_id} has no {what[:50]!r} to download; you can download {there}.")
    name = "".join(
        letter for letter in f"{run.run_id[:40]}-{what}" if letter.isascii() and (letter.isalnum() or letter in "-_")
    )
    return written(_json(values), headers={"Content-Disposition": f'attachment; filename="{name}.json"'})


def _values(run: RunRecord, what: str, here: Services) -> dict[str, bytes] | None:
    if what == "context":
        return here.store.load_context(run.run_id)
    if what == "inputs":
        return here.store.load_inputs(run.run_id)
    if what.startswith("gate-"):
        gates = here.store.load_gates(run.run_id, narrow=True)
        meant = next((gate for gate in gates if anchor("gate", gate.node_id, gate.visit) == what), None)
        gate = here.store.load_gate(run.run_id, meant.node_id, meant.visit) if meant is not None else None
        return None if gate is None else {"message": codec.encode(gate.message), "shown": gate.shown}
    index = numerals.whole(what.removeprefix("step-")[:10]) if what.startswith("step-") else None
    found = here.store.load_step(run.run_id, index) if index is not None else None
    return None if found is None else found.changes.set


def _json(values: dict[str, bytes]) -> Iterator[bytes]:
    """Yield one key after another, and a large value in parts."""
    yield b"{"
    for place, (key, data) in enumerate(values.items()):
        yield (b",\n" if place else b"\n") + encoded(codec.plain(key)) + b": "
        yield from pieces(stored_under(key, data))
    yield b"\n}\n"
