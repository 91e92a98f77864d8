"""Read one batch of payments as the bookkeeping exported it."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path

from neurocore import FlowContext, Skill, SkillMeta

PROJECT = Path(__file__).resolve().parent.parent
COLUMNS = ["invoice", "payee", "iban", "bic", "amount", "currency", "purpose"]


class ReadPayments(Skill):
    """Every row as text, with its line in the file; judging them is the next step's work."""

    skill_meta = SkillMeta(
        name="read-payments",
        version="1.0.0",
        description="Read a batch of payments from the inbox.",
        consumes=["batch"],
        provides=["rows", "source"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        data = _read(context.get("batch"))
        table = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(
                f"inbox/{context.get('batch')}.csv has no column {', '.join(missing)}; export it again with "
                f"{', '.join(COLUMNS)}."
            )
        rows = [{"row": table.line_num, **{name: (row[name] or "").strip() for name in COLUMNS}} for row in table]
        context.set("rows", rows)
        context.set("source", {"rows": len(rows), "sha256": hashlib.sha256(data).hexdigest()})
        return context


def _read(batch: str) -> bytes:
    inbox = PROJECT / "inbox"
    file = inbox / f"{batch}.csv"
    if not re.fullmatch(r"[\w-]+", batch) or not file.is_file():
        known = ", ".join(sorted(path.stem for path in inbox.glob("*.csv")))
        raise FileNotFoundError(f"The inbox has no batch {batch[:80]!r}; it has {known or 'nothing'}.")
    return file.read_bytes()
