"""The `--json` documents about blueprints, skills, settings, the project and the history as a whole."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ProblemDocument(Struct, kw_only=True):
    """One problem in a file. `severity`: error or warning."""

    severity: str
    message: str
    path: str
    line: int | None
    column: int | None


class CheckedDocument(Struct, kw_only=True):
    """One blueprint that was checked; `ok` says that nothing prevents it from running."""

    file: str
    name: str | None
    ok: bool
    problems: list[ProblemDocument]


class ValidateDocument(Struct, kw_only=True):
    """`validate --json`."""

    ok: bool
    blueprints: list[CheckedDocument]


class SkillSummary(Struct, kw_only=True):
    """A skill in the list. `source`: a file, a package, or `built in`."""

    name: str
    version: str
    description: str
    tags: list[str]
    source: str


class SkillsDocument(Struct, kw_only=True):
    """`skill list --json`; `problems` are the files and packages that could not be loaded."""

    skills: list[SkillSummary]
    problems: list[str]


class SkillDocument(SkillSummary, kw_only=True):
    """`skill info --json`. `config` is what neurocore.yaml sets, masked."""

    author: str
    documentation: str
    requires: list[str]
    provides: list[str]
    consumes: list[str]
    is_gate: bool
    is_async: bool
    requires_llm: bool
    max_retries: int
    config_schema: dict[str, Any]
    config: dict[str, Any]


class SettingDocument(Struct, kw_only=True):
    """One setting. `origin`: a file with its line, an environment variable, or `default`."""

    name: str
    value: Any
    origin: str


class ConfigDocument(Struct, kw_only=True):
    """`config show --json`; `file` is null if the project has no neurocore.yaml."""

    project_root: str
    file: str | None
    settings: list[SettingDocument]


class FindingDocument(Struct, kw_only=True):
    """One thing that `doctor` checked. `level`: ok, warning or error; `mend` says what to do."""

    level: str
    subject: str
    message: str
    mend: str | None = None


class DoctorDocument(Struct, kw_only=True):
    """`doctor --json`; `ok` is false when a finding is an error."""

    ok: bool
    findings: list[FindingDocument]


class CheckDocument(Struct, kw_only=True):
    """`db check --json`: the problems (empty if there are none), and what `--repair` rebuilt (`mended`)."""

    ok: bool
    store: str
    problems: list[str]
    mended: list[str]


class StatsDocument(Struct, kw_only=True):
    """`db stats --json`. `bytes` is the size on disk, null if there is no file; `held` is the number of held runs.

    `unused` is the space in the file, in bytes, that deleted runs used: `db vacuum` returns it to the disk.
    """

    store: str
    runs: int
    steps: int | None
    open_gates: int
    held: int
    by_status: dict[str, int]
    by_blueprint: dict[str, int]
    oldest: str | None
    newest: str | None
    bytes: int | None
    unused: int | None
    schema_version: int | None


class BackupDocument(Struct, kw_only=True):
    """`db backup --json`."""

    file: str
    bytes: int


class RestoreDocument(Struct, kw_only=True):
    """`db restore --json`: the backup file, the restored history, and its number of runs.

    `held` of these runs are held until `db adopt`. `before` is the folder with the previous history, or null if there
    was none.
    """

    file: str
    history: str
    runs: int
    held: int
    before: str | None


class AdoptDocument(Struct, kw_only=True):
    """`db adopt --json`: how many held runs may now continue here."""

    adopted: int


class PruneDocument(Struct, kw_only=True):
    """`db prune --json`: how many ended runs were deleted, or would be deleted without `--dry-run`."""

    dry_run: bool
    runs: int
    oldest: str | None
    newest: str | None


class VacuumDocument(Struct, kw_only=True):
    """`db vacuum --json`: how many bytes the history took on the disk, takes now, and returned.

    `waits` says that other processes still read the old data: the file becomes smaller when they have finished.
    """

    before: int
    after: int
    freed: int
    waits: bool


class ExportDocument(Struct, kw_only=True):
    """`db export --json` (to a file)."""

    file: str
    runs: int
    steps: int


class ImportDocument(Struct, kw_only=True):
    """`db import --json`: imported runs, and runs that existed already and were not changed (`skipped`).

    `held` of the imported runs are held until `db adopt`.
    """

    runs: int
    steps: int
    skipped: int
    held: int


class MigrateDocument(Struct, kw_only=True):
    """`db migrate --json`: schema versions before and after (equal if there was nothing to do)."""

    before: int
    after: int
    backup: str | None


class InitDocument(Struct, kw_only=True):
    """`init --json`: the folder and the files written in it."""

    directory: str
    files: list[str]


class UserDocument(Struct, kw_only=True):
    """An account. `grants` are `role@pattern`, those of neurocore.yaml included."""

    username: str
    label: str
    service: bool
    groups: list[str]
    grants: list[str]
    created_at: str
    signed_in_at: str | None
    disabled_at: str | None
    disabled_by: str | None


class UsersDocument(Struct, kw_only=True):
    """`users list --json`: the access review."""

    users: list[UserDocument]


class TokenDocument(Struct, kw_only=True):
    """A token of the API. Its secret is nowhere."""

    id: str
    user: str
    name: str
    scopes: list[str]
    blueprints: list[str]
    created_at: str
    expires_at: str
    revoked_at: str | None


class TokensDocument(Struct, kw_only=True):
    """`tokens list --json`."""

    tokens: list[TokenDocument]
