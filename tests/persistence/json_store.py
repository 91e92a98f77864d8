"""A backend that implements the six methods and nothing else: a folder of JSON files, one for a run, one for a step.

It is installed through the entry point by the tests, and everything works with it (within one process).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from neurocore.persistence import RunRecord, RunStatus, RunStore, StepRecord


class JsonFolderStore(RunStore):
    """Runs as `<folder>/<id>/run.json` and `<folder>/<id>/<index>.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def save_run(self, run: RunRecord) -> str:
        self._write(self._place(run.run_id) / "run.json", run.to_dict())
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        self._write(self._place(step.run_id) / f"{step.step_index:06}.json", step.to_dict())

    def load_run(self, run_id: str) -> RunRecord | None:
        try:
            return RunRecord.from_dict(json.loads((self._place(run_id) / "run.json").read_text()))
        except OSError:
            return None

    def load_steps(self, run_id: str) -> list[StepRecord]:
        try:
            files = sorted(self._place(run_id).glob("[0-9]*.json"))
            return [StepRecord.from_dict(json.loads(file.read_text())) for file in files]
        except OSError:
            return []

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        found = [RunRecord.from_dict(json.loads(file.read_text())) for file in self.folder.glob("*/run.json")]
        runs = [one for one in found if status in (None, one.status) and blueprint in (None, one.blueprint_name)]
        return sorted(runs, key=lambda one: (one.created_at, one.run_id), reverse=True)[:limit]

    def delete_run(self, run_id: str) -> None:
        place = self._place(run_id)
        for file in (place / "run.json", *place.glob("*.json")):  # the run first: steps without one are never looked at
            file.unlink(missing_ok=True)

    def _place(self, run_id: str) -> Path:
        name = quote(run_id.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E")
        return self.folder / (name[:200] or "%")

    def _write(self, file: Path, document: object) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        with draft.open("w") as out:
            json.dump(document, out)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
