"""Turn every error into a sentence and an exit code, in one place.

0 done · 1 the run failed or was rejected, a check found something, or NeuroCore itself or the store failed ·
2 usage · 3 not found or ambiguous · 4 refused · 5 suspended (`run --exit-code`) · 128 plus the number of the signal
that stopped the command (Ctrl-C: 130), or 141 if the reader of its output has ended (as by SIGPIPE)

If the output cannot be written to stdout, a command exits with 1 instead of 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from neurocore.cli.output import complain, say
from neurocore.cli.stdout import OutputLost, guard_stdout, nobody_reads
from neurocore.cli.text import line
from neurocore.errors import (
    CodecError,
    ExecutionError,
    NeuroCoreError,
    NotFoundError,
    RefusedError,
    RunAmbiguous,
    SkillError,
    UsageError,
)

DONE = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
REFUSED = 4
SUSPENDED = 5
INTERRUPTED = 130
NOBODY_READS = 141

_FAMILIES: tuple[tuple[type[NeuroCoreError], int], ...] = (
    (ExecutionError, FAILED),
    (UsageError, USAGE),
    (SkillError, USAGE),
    (CodecError, USAGE),
    (NotFoundError, NOT_FOUND),
    (RefusedError, REFUSED),
)


_lost: list[OutputLost] = []


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a signal while a run was driven; the sentence says how to continue."""

    def __init__(self, sentence: str, code: int = INTERRUPTED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    return next((code for family, code in _FAMILIES if isinstance(error, family)), FAILED)


def guarded(command: Callable[[], object], *, debug: Callable[[], bool]) -> int:
    """Call `command` and return the exit code. Whatever it raises becomes one sentence on stderr.

    The exit code is the integer that the command returns, otherwise 0. A command whose output is lost fails.
    """
    before = guard_stdout()
    _lost.clear()
    code = DONE
    try:
        code = _ended(command, debug)
        if _lost:
            raise _lost[0]
        sys.stdout.flush()
        return code
    except OutputLost as lost:
        nobody_reads(before)
        if isinstance(lost.error, BrokenPipeError):
            return code or NOBODY_READS
        why = getattr(lost.error, "strerror", None) or lost.error
        complain(
            f"The output of this command is lost, because stdout is not writable ({why}); redirect it to a file, or to "
            "/dev/null if you do not need it."
        )
        return code or FAILED
    finally:
        if before is not None:
            sys.stdout = before


def end_first(lost: OutputLost) -> None:
    """Let a command end although its output is lost: its exit code may say more."""
    _lost.append(lost)


def _ended(command: Callable[[], object], debug: Callable[[], bool]) -> int:
    try:
        result = command()
        return result if type(result) is int else DONE
    except OutputLost:
        raise
    except (click.Abort, KeyboardInterrupt) as error:
        return _stopped(error.__cause__ if isinstance(error, click.Abort) else error)
    except click.ClickException as error:
        return _usage(error)
    except NeuroCoreError as error:
        if debug():
            _traceback()
        complain(str(error))
        if isinstance(error, RunAmbiguous):
            for candidate in error.candidates:
                say(f"  {line(candidate)}")
        return exit_code(error)
    except Exception as error:
        if isinstance(error, OSError) and isinstance(error.__context__, KeyboardInterrupt):
            return _stopped(error.__context__)  # click could not write to a terminal that was closed
        if debug():
            _traceback()
        complain(_unexpected(error))
        return FAILED


def _stopped(by: BaseException | None) -> int:
    say(by.sentence if isinstance(by, Interrupted) else "Stopped.")
    return by.code if isinstance(by, Interrupted) else INTERRUPTED


def _usage(error: click.ClickException) -> int:
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.1 has none
        say(error.format_message())
    elif isinstance(error, click.NoSuchOption) and error.option_name == "--server" and error.ctx is not None:
        complain(f"`{error.ctx.command_path}` works only where the history is; leave --server out.")
    elif isinstance(error, click.UsageError) and error.ctx is not None:
        complain(error.format_message())
        say(f"See `{error.ctx.command_path} --help`.")
    else:
        complain(error.format_message())
    return error.exit_code


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}."
    if isinstance(error, RecursionError):
        return "A value is nested too deeply to show it; `neurocore db export` writes it completely."
    from neurocore.output_redaction import masked

    said, _, more = masked(str(error)).strip().partition("\n")
    said = f"{said[:300]}…" if more or len(said) > 300 else said
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"An unexpected error occurred ({what}); `neurocore --debug …` shows where."


def _traceback() -> None:
    import traceback

    from neurocore.cli.text import safe
    from neurocore.output_redaction import masked

    say(safe(masked(traceback.format_exc())).rstrip())
