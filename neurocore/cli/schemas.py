"""The `--json` document of each command, and the JSON Schema of each document."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from neurocore.cli.reports import (
    AdoptDocument,
    BackupDocument,
    CheckDocument,
    ConfigDocument,
    DoctorDocument,
    ExportDocument,
    ImportDocument,
    InitDocument,
    MigrateDocument,
    PruneDocument,
    RestoreDocument,
    SkillDocument,
    SkillsDocument,
    StatsDocument,
    TokensDocument,
    UsersDocument,
    VacuumDocument,
    ValidateDocument,
)
from neurocore.documents.runs import (
    DeletedDocument,
    DiffDocument,
    InspectDocument,
    LogsDocument,
    OutcomeDocument,
    RunsDocument,
    SweepDocument,
)

#: Each document's name (its file in docs/schemas is `<name>.json`) and the commands that print it.
DOCUMENTS: dict[str, tuple[type[Struct], tuple[str, ...]]] = {
    "init": (InitDocument, ("init",)),
    "outcome": (
        OutcomeDocument,
        (
            "run", "runs resume", "runs replay", "runs approve", "runs withdraw", "runs comment", "runs watch",
            "runs cancel",
        ),
    ),
    "validate": (ValidateDocument, ("validate",)),
    "skills": (SkillsDocument, ("skill list",)),
    "skill": (SkillDocument, ("skill info",)),
    "runs": (RunsDocument, ("runs list",)),
    "inspect": (InspectDocument, ("runs inspect",)),
    "logs": (LogsDocument, ("runs logs",)),
    "diff": (DiffDocument, ("runs diff",)),
    "sweep": (SweepDocument, ("runs sweep",)),
    "deleted": (DeletedDocument, ("runs delete",)),
    "users": (UsersDocument, ("users list",)),
    "tokens": (TokensDocument, ("tokens list",)),
    "config": (ConfigDocument, ("config show",)),
    "doctor": (DoctorDocument, ("doctor",)),
    "check": (CheckDocument, ("db check",)),
    "stats": (StatsDocument, ("db stats",)),
    "backup": (BackupDocument, ("db backup",)),
    "restore": (RestoreDocument, ("db restore",)),
    "adopt": (AdoptDocument, ("db adopt",)),
    "prune": (PruneDocument, ("db prune",)),
    "vacuum": (VacuumDocument, ("db vacuum",)),
    "export": (ExportDocument, ("db export",)),
    "import": (ImportDocument, ("db import",)),
    "migrate": (MigrateDocument, ("db migrate",)),
}  # fmt: skip


def document_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the document."""
    import msgspec

    from neurocore import typed

    kind, commands = DOCUMENTS[name]
    schema = typed.described(msgspec.json.schema(kind))
    title = ", ".join(f"neurocore {command} --json" for command in commands)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
