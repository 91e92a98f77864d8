"""`neurocore db`: the history as a whole."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from neurocore.cli.errors import DONE, FAILED
from neurocore.cli.output import columns, emit, is_terminal, out, say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import ago, line, near, safe, when, wrapped
from neurocore.cli.types import AGE, RUN_ID, by_option, json_option
from neurocore.errors import NeuroCoreError, NotFoundError, UsageError
from neurocore.options import Whole
from neurocore.readable import counted, size

if TYPE_CHECKING:
    from neurocore.persistence.base import RunStore

_STDIO = Path("-")

#: How many blueprints `db stats` lists: those with the most runs.
_NAMED = 10
#: From how many unused bytes on the command mentions them.
_WORTH_TELLING = 1024 * 1024


@click.group()
def db() -> None:
    """Check, back up, prune, shrink and move the history."""


def _renamed(option: str) -> str:
    """Return the current name of an option: `--mend` still works, but is not shown."""
    return "repair" if option == "mend" else option


@db.command(short_help="Check that the database is sound.", context_settings={"token_normalize_func": _renamed})
@click.option("--repair", is_flag=True, help="Rebuild the counts where they are wrong; nothing else can be rebuilt.")
@json_option
@pass_project
def check(project: Project, repair: bool, as_json: bool) -> int:
    """Check that the database is sound: its file, the order of steps, the counts, and the chain of answers of each run.

    Exits with 1 when a check fails.
    """
    from neurocore.persistence import admin

    found = admin.check(project.store, repair=repair)
    if as_json:
        from neurocore.cli.reports import CheckDocument

        emit(
            CheckDocument(
                ok=not found.problems, store=_name(project), problems=list(found.problems), mended=list(found.repaired)
            )
        )
    else:
        for sentence in found.repaired:
            out(f"Repaired: {safe(sentence)}")
        for sentence in found.problems:
            out(f"Wrong: {safe(sentence)}")
        out("No problems found." if not found.problems else f"{counted(len(found.problems), 'problem')} found.")
    return FAILED if found.problems else DONE


@db.command(short_help="Say how large the history is.")
@json_option
@pass_project
def stats(project: Project, as_json: bool) -> None:
    """Show the size of the history and what it consists of."""
    store = project.store
    found = store.stats()
    steps = found.steps if project.has_history else 0
    held = store.count_held_runs()
    by_status = {status.value: count for status, count in store.status_counts().items() if count}
    by_blueprint = dict(sorted(store.blueprint_counts().items(), key=lambda item: -item[1]))
    if as_json:
        from neurocore.cli.reports import StatsDocument

        emit(
            StatsDocument(
                store=_name(project), runs=found.runs, steps=steps, open_gates=found.open_gates, held=held,
                by_status=by_status, by_blueprint=by_blueprint, oldest=found.oldest, newest=found.newest,
                bytes=found.bytes, unused=found.unused, schema_version=found.schema_version,
            )
        )  # fmt: skip
        return
    more = f" and {len(by_blueprint) - _NAMED:,} more" if len(by_blueprint) > _NAMED else ""
    facts = {
        "store": line(_name(project)),
        "runs": f"{found.runs:,}" + (f" ({_listed(by_status)})" if by_status else ""),
        "blueprints": _listed(dict(list(by_blueprint.items())[:_NAMED])) + more or "none",
        "steps": f"{steps:,}" if steps is not None else "",
        "waiting": counted(found.open_gates, "open gate") if found.open_gates else "nothing",
        "held": f"{counted(held, 'run')}, until `neurocore db adopt`" if held else "",
        "oldest": f"{ago(found.oldest)} ({when(found.oldest)})" if found.oldest else "",
        "newest": f"{ago(found.newest)} ({when(found.newest)})" if found.newest else "",
        "size": _of_which_unused(found.bytes, found.unused) if found.bytes is not None else "",
        "schema": str(found.schema_version or ""),
    }
    for name, value in facts.items():
        for one in wrapped(f"{name:<11} {value}", columns(), "", " " * 12) if value else ():
            out(one)


@db.command(short_help="Copy the database to a file while it is in use.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_project
def backup(project: Project, file: Path, as_json: bool) -> None:
    """Copy the database to FILE while it is in use, consistent as of one moment. No file is overwritten."""
    store = project.store
    if not project.has_history:
        raise NotFoundError("There is no history yet to copy; the first run makes one.")
    _refuse_unable(store, "backup", "backup", "use `neurocore db export` instead")
    length = store.backup(file)
    if as_json:
        from neurocore.cli.reports import BackupDocument

        emit(BackupDocument(file=str(file.resolve()), bytes=length))
    else:
        out(f"Copied the history to {line(near(file))} ({size(length)}).")


@db.command(short_help="Put a backup in the place of the history.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_project
def restore(project: Project, file: Path, as_json: bool) -> None:
    """Replace the history with the backup FILE. The previous history is moved aside and kept.

    FILE is checked first. The command is refused while a process drives runs of the history. If the command is
    killed, the history is as it was before, or nothing opens it until the same command has been given again.
    """
    from neurocore.persistence.restoring import restore as bring_back

    config = project.config
    if not config.persistence.enabled or config.persistence.backend != "sqlite":
        _refuse_unable(project.store, "backup", "restore", "use `neurocore db import` instead")
    before = bring_back(config.runs_db_path, file, older=[config.data_dir / "owners"], mode=config.file_mode)
    store = project.make_store()
    runs, held = sum(store.status_counts().values()), store.count_held_runs()
    if as_json:
        from neurocore.cli.reports import RestoreDocument

        emit(
            RestoreDocument(
                file=str(file.resolve()), history=str(config.runs_db_path.resolve()), runs=runs, held=held,
                before=None if before is None else str(before),
            )
        )  # fmt: skip
        return
    out(f"Restored the history from {line(near(file))}: {counted(runs, 'run')}.")
    if before is not None:
        out(f"The previous history is in {line(near(before))}.")
    _tell_held(held)


@db.command(short_help="Let held runs continue here.")
@click.argument("run_ids", type=RUN_ID, nargs=-1, metavar="[RUN]...")
@by_option
@json_option
@pass_project
def adopt(project: Project, run_ids: tuple[str, ...], by: str | None, as_json: bool) -> None:
    """Let held runs continue here: the runs that you name, or all.

    In a copy of a history (a restored backup, a copied file) and after an import, unfinished runs are held, so that
    nothing is done twice. First make sure that these runs do not continue in the original history.
    """
    from neurocore.runs.adopt import adopt_runs

    whole = [project.run_id(one) for one in run_ids] if run_ids else None
    adopted = adopt_runs(whole, run_store=project.store, actor=project.actor(by))
    if as_json:
        from neurocore.cli.reports import AdoptDocument

        emit(AdoptDocument(adopted=adopted))
    elif not adopted:
        out("No run is held." if whole is None else "None of these runs is held.")
    else:
        out(f"{counted(adopted, 'run')} may continue; `{project.called} runs sweep` continues lost and pending runs.")


@db.command(short_help="Delete old runs that have ended.")
@click.option("--keep", type=AGE, metavar="AGE", help="Keep runs that started within this time: 90d, 12h, 2w.")
@click.option("--keep-last", type=Whole(min=0), default=0, metavar="N", help="Always keep the N newest runs.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; show what would be deleted.")
@by_option
@json_option
@pass_project
def prune(
    project: Project, keep: timedelta | None, keep_last: int, dry_run: bool, by: str | None, as_json: bool
) -> None:
    """Delete old runs that have ended, a few at a time. Waiting, running and pending runs are kept, however old.

    For each run, a tombstone records who deleted it, and when. --keep or --keep-last is required.
    """
    from neurocore.runs.delete import prune_runs

    if keep is None and not keep_last:
        raise UsageError("Say what to keep: --keep 90d, --keep-last 1000, or both.")
    try:
        before = (datetime.now(UTC) - (keep or timedelta())).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise UsageError("--keep is longer than the calendar; give a shorter time.") from error
    found = prune_runs(
        project.store, before=before, keep_last=keep_last, actor=project.actor(by), dry_run=dry_run,
        on_batch=(lambda count: say(f"{count:,} deleted …")) if is_terminal(sys.stderr) and not dry_run else None,
    )  # fmt: skip
    if as_json:
        from neurocore.cli.reports import PruneDocument

        emit(PruneDocument(dry_run=dry_run, runs=found.runs, oldest=found.oldest, newest=found.newest))
        return
    span = f", started {when(found.oldest)} to {when(found.newest)}" if found.runs else ""
    out(f"{'Would delete' if dry_run else 'Deleted'} {counted(found.runs, 'ended run')}{span}.")
    if found.runs and not dry_run and (unused := project.store.stats().unused or 0) >= _WORTH_TELLING:
        say(f"The file is as large as before; `{project.called} db vacuum` returns {size(unused)} to the disk.")


@db.command(short_help="Return the space of deleted runs to the disk.")
@json_option
@pass_project
def vacuum(project: Project, as_json: bool) -> None:
    """Free the disk space of deleted runs: the file of the history is written anew.

    Temporarily this needs as much free space as the history takes, once beside it and once where SQLite puts temporary
    files (SQLITE_TMPDIR). Other processes can continue: they can read, and their writes wait. A history of more than
    4 GiB is refused while other processes drive runs.
    """
    from neurocore.persistence.contract.maintenance import Vacuumed

    if project.has_history:
        _refuse_unable(project.store, "vacuum", "vacuum", "there is no file to make smaller")
        found = project.store.vacuum()
    else:
        found = Vacuumed(before=0, after=0)
    freed = max(0, found.before - found.after)
    if as_json:
        from neurocore.cli.reports import VacuumDocument

        emit(VacuumDocument(before=found.before, after=found.after, freed=freed, waits=found.waits))
        return
    out(f"Returned {size(freed)} to the disk: the history took {size(found.before)}, now {size(found.after)}.")
    if found.waits:
        say("Other processes still read the old data; the file becomes smaller when they have finished.")


@db.command("export", short_help="Write every run as JSON lines.")
@click.argument("file", type=click.Path(path_type=Path), default="-")
@json_option
@pass_project
def export(project: Project, file: Path, as_json: bool) -> None:
    """Write every run to FILE (or stdout) as JSON lines, complete and exact, for `neurocore db import`.

    Nothing in it is masked: it is the history itself. Secrets are in it only as references, as they are stored. The
    last line, {"end": {"runs": 4, "lines": 12}}, says how many runs and lines come before it. An existing file is never
    overwritten.
    """
    from neurocore.persistence import transfer

    if file == _STDIO and as_json:
        raise UsageError("The export goes to stdout; to get a --json document about it, name a FILE.")
    if file == _STDIO:
        transfer.export_history(project.store, sys.stdout)
        return
    with _new_file(file, project.config.file_mode) as stream:
        moved = transfer.export_history(project.store, stream)
    if as_json:
        from neurocore.cli.reports import ExportDocument

        emit(ExportDocument(file=str(file.resolve()), runs=moved.runs, steps=moved.steps))
    else:
        out(f"Wrote {counted(moved.runs, 'run')} with {counted(moved.steps, 'step')} to {line(near(file))}.")


@db.command("import", short_help="Import the runs of an export.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_project
def import_(project: Project, file: Path, as_json: bool) -> None:
    """Import the runs of an export (- is stdin). A run that exists already is not changed.

    An export that cannot be read, or that is incomplete, is refused as a whole. Unfinished runs are held: nothing
    drives, answers or retries them until `neurocore db adopt`.
    """
    from neurocore.persistence import transfer

    if file == _STDIO:
        moved = transfer.import_history(project.make_store(), sys.stdin)
    else:
        try:
            # The import refuses what is not text, and names the line.
            with file.open(encoding="utf-8", errors="surrogateescape") as stream:
                moved = transfer.import_history(project.make_store(), stream)
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    if as_json:
        from neurocore.cli.reports import ImportDocument

        emit(ImportDocument(runs=moved.runs, steps=moved.steps, skipped=moved.skipped, held=moved.held))
        return
    there = f"; {counted(moved.skipped, 'run')} existed already" if moved.skipped else ""
    out(f"Imported {counted(moved.runs, 'run')} with {counted(moved.steps, 'step')}{there}.")
    _tell_held(moved.held)


@db.command(short_help="Upgrade the database to the schema of this version.")
@json_option
@pass_project
def migrate(project: Project, as_json: bool) -> None:
    """Upgrade the database to the schema of this version. Every command does this to an older database.

    Before that, a database of NeuroCore 0.4 is copied to a file beside it.
    """
    from neurocore.persistence import admin
    from neurocore.persistence.migrate import copy_path

    path = project.config.runs_db_path
    is_sqlite = project.config.persistence.enabled and project.config.persistence.backend == "sqlite"
    was_there = is_sqlite and path.exists()
    before = admin.schema_version(path) if was_there else None
    project.make_store()
    _refuse_unable(project.store, "schema_version", "migrate", "it needs no upgrade")
    after = admin.schema_version(path)
    copy = copy_path(path) if before == 0 and copy_path(path).exists() else None
    if as_json:
        from neurocore.cli.reports import MigrateDocument

        emit(
            MigrateDocument(before=after if before is None else before, after=after, backup=str(copy) if copy else None)
        )
    elif before is None:
        out(f"Made a new database (schema {after}).")
    elif before == after:
        out(f"Up to date (schema {after}).")
    else:
        kept = f"; a copy of the old database is {line(near(copy))}" if copy else ""
        out(f"Upgraded from schema {before} to {after}{kept}.")


def _tell_held(held: int) -> None:
    if held:
        are = "is" if held == 1 else "are"
        out(f"{counted(held, 'unfinished run')} {are} held until `neurocore db adopt`.")


def _refuse_unable(store: RunStore, ability: str, command: str, instead: str) -> None:
    """Raise UsageError, with what to do instead, if the store lacks this ability."""
    if not store.abilities()[ability]:
        raise UsageError(
            f"`db {command}` is for SQLite files, but this history is stored in {type(store).__name__}; {instead}."
        )


def _name(project: Project) -> str:
    if not project.has_history:
        return f"SQLiteRunStore {project.config.runs_db_path}"  # the first run makes it
    path = getattr(project.store, "path", None)
    return f"{type(project.store).__name__} {path}" if path is not None else type(project.store).__name__


@contextlib.contextmanager
def _new_file(file: Path, mode: int) -> Iterator[TextIO]:
    """Open a new file that exists completely after the block, or not at all if the block fails."""
    from neurocore import files

    if file.exists():
        raise UsageError(f"{file} exists already, and files are never overwritten; name another file.")
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(files.create(partial, mode), "w", encoding="utf-8", newline="\n") as stream:
            yield stream
        partial.replace(file)
    except OSError as error:
        raise NeuroCoreError(f"{file} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _of_which_unused(length: int, unused: int | None) -> str:
    if (unused or 0) < _WORTH_TELLING:
        return size(length)
    return f"{size(length)}, {size(unused or 0)} of it unused: see `db vacuum`"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {line(name)}" for name, count in counts.items())
