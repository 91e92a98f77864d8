"""Keep what was paid, what was not, and who approved it."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from neurocore import FlowContext, Skill, SkillMeta

PROJECT = Path(__file__).resolve().parent.parent


class ArchiveBatch(Skill):
    """One folder per batch, moved into place when it is complete. Later batches are checked against it."""

    skill_meta = SkillMeta(
        name="archive-batch",
        version="1.0.0",
        description="Archive a batch of payments with its approval.",
        consumes=["batch", "payments", "held_back", "bank_file", "message_id", "source", "totals", "approval"],
        provides=["archived_in"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        folder = PROJECT / "archive" / context.get("batch")
        if not _is_of(folder, context.get("message_id")):
            _fill(folder, context)
        context.set("archived_in", folder.relative_to(PROJECT).as_posix())
        return context


def _is_of(folder: Path, message_id: str) -> bool:
    """Whether an earlier attempt, whose process died, moved the folder into place already."""
    record = folder / "record.json"
    return record.is_file() and json.loads(record.read_text("utf-8"))["message_id"] == message_id


def _fill(folder: Path, context: FlowContext) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        new = Path(temporary) / folder.name
        new.mkdir()
        shutil.copy(PROJECT / context.get("bank_file"), new / "pain.001.xml")
        _write_table(new / "paid.csv", context.get("payments"))
        _write_table(new / "held_back.csv", context.get("held_back"))
        keys = ("batch", "message_id", "source", "totals", "approval")
        record = {"run": context.metadata.run_id, **{key: context.get(key) for key in keys}}
        (new / "record.json").write_text(json.dumps(record, indent=2, default=str, ensure_ascii=False), "utf-8")
        new.rename(folder)


def _write_table(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
