"""Run a program, without a shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from neurocore import log
from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills import templates
from neurocore.skills.base import AsyncSkill, SkillMeta

ALWAYS = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
#: How many seconds to wait, after the program has ended, for a pipe that another process still holds.
PATIENCE = 1.0
#: How much of each stream a failed step keeps in its log.
KEPT_LINES, KEPT_CHARACTERS = 90, 24_000


class CommandSkill(AsyncSkill):
    """Runs `argv` (each item a template) and sets `output` to `{exit_code, stdout, stderr, truncated}`.

    The program runs in `cwd` (a path below the project's folder or absolute; by default the project's folder). It sees
    PATH, HOME, the locale, the variables named in `pass_env` and those in `env`; NEUROCORE_IDEMPOTENCY_KEY has the
    step's idempotency key, NEUROCORE_PARENT_RUN the id of the run. On `timeout` (seconds, default 60), and when the run
    is cancelled, it is killed with every process that it started; processes that it leaves in the background are killed
    when it ends. More than `max_output` bytes (default 1 MiB) of a stream are dropped, and `truncated` says so. An exit
    code that is not in `ok_codes` (default 0) fails the step. A step that fails keeps the exit code and the end of the
    output in its log.
    """

    skill_meta = SkillMeta(
        name="command",
        version="1.0.0",
        description="Run a program, without a shell.",
        author="NeuroCore",
        tags=["process"],
        config_schema={
            "properties": {
                "argv": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "stdin": {"type": "string"},
                "cwd": {"type": "string"},
                "env": {"type": "object", "additionalProperties": {"type": "string"}},
                "pass_env": {"type": "array", "items": {"type": "string"}},
                "timeout": {"type": "number", "exclusiveMinimum": 0},
                "max_output": {"type": "integer", "minimum": 0},
                "ok_codes": {"type": "array", "items": {"type": "integer"}},
                "output": {"type": "string"},
            },
            "required": ["argv"],
            "additionalProperties": False,
        },
    )

    template_keys = ("argv", "stdin")
    sets_output = True

    async def process(self, context: FlowContext) -> FlowContext:
        """Run the program."""
        argv = [self._filled(item, context) for item in self.config["argv"]]
        stdin = self._filled(self.config.get("stdin", ""), context)
        result = await self._run(argv, stdin, context)
        context.set(self.config.get("output", self.name), result)
        if result["exit_code"] not in self.config.get("ok_codes", [0]):
            _keep_output(result)
            tail = log.redacted(result["stderr"]).strip()[-500:]  # redact first: a value that is cut is not found
            raise SkillError(f"{argv[0]} {_ended(result['exit_code'])}{': ' + tail if tail else '.'}")
        return context

    def _filled(self, text: str, context: FlowContext) -> str:
        wanted = templates.names(text) if "{" in text else set()
        data = {key: context.get(key) for key in wanted if context.has(key)}
        return templates.render(text, data, what=f"an argument of {self.name}") if "{" in text else text

    def _environment(self, context: FlowContext) -> dict[str, str]:
        names = (*ALWAYS, *self.config.get("pass_env", ()))
        passed = {name: os.environ[name] for name in names if name in os.environ}
        key = {"NEUROCORE_IDEMPOTENCY_KEY": context.idempotency_key}
        # What the step starts belongs to the people behind this run: its configuration cannot say otherwise.
        run = {"NEUROCORE_PARENT_RUN": context.metadata.run_id}
        return {**passed, **key, **self.config.get("env", {}), **run}

    def _started(self, argv: list[str], context: FlowContext) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=self.project_root / self.config.get("cwd", "."), env=self._environment(context),
                start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise SkillError(f"{self.name} cannot start {argv[0]!r}: {error}.") from error

    async def _run(self, argv: list[str], stdin: str, context: FlowContext) -> dict[str, Any]:
        limit = int(self.config.get("max_output", 1024 * 1024))
        timeout = float(self.config.get("timeout", 60))
        process = self._started(argv, context)
        readers = [_Reader(stream, limit) for stream in (process.stdout, process.stderr) if stream is not None]
        data = stdin.encode("utf-8", "surrogatepass")
        threading.Thread(target=_feed, args=(process.stdin, data), daemon=True).start()
        ended = _Ended(process)
        try:
            await asyncio.wait_for(ended.future, timeout)
        except BaseException as error:  # a timeout of the program or of its step, or a cancellation
            _keep_output(self._stopped(process, ended, readers))
            if isinstance(error, TimeoutError):
                raise SkillError(f"{argv[0]} did not end within {timeout:g} s and was killed.") from None
            raise
        return self._stopped(process, ended, readers)

    def _stopped(self, process: subprocess.Popen[bytes], ended: _Ended, readers: list[_Reader]) -> dict[str, Any]:
        """Return the result of the program when it and everything it started have ended."""
        _kill(process.pid, with_descendants=ended.is_alive())
        ended.join()
        for reader in readers:
            reader.join(PATIENCE)
        return {
            "exit_code": process.returncode,
            "stdout": readers[0].text,
            "stderr": readers[1].text,
            "truncated": any(reader.truncated for reader in readers),
        }


def _keep_output(result: dict[str, Any]) -> None:
    """Put the program's output into the step's log, because a failed step sets nothing: the end of each stream."""
    log.to_step("ERROR", f"The program {_ended(result['exit_code'])}.")
    for name in ("stderr", "stdout"):
        text = log.redacted(result[name])
        shown = text[-KEPT_CHARACTERS:]
        lines = shown.splitlines()
        kept = lines[-KEPT_LINES:]
        if len(text) > len(shown) or len(lines) > len(kept):
            log.to_step(name.upper(), f"… the beginning of {name} was left out …")
        for line in kept:
            log.to_step(name.upper(), line)


class _Ended(threading.Thread):
    """Waits for a program; `future` is done when it has ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.start()

    def run(self) -> None:
        self.process.wait()
        self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


def _kill(pid: int, *, with_descendants: bool) -> None:
    """Kill the program's group and its descendants outside of that group, unless it has ended."""
    others = list(_descendants(pid)) if with_descendants else []
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for one in others:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes that descend from this one, if /proc is available."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = entry.read_bytes().rpartition(b")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    queue = list(children.get(pid, ()))
    while queue:
        one = queue.pop()
        yield one
        queue += children.get(one, ())


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


class _Reader(threading.Thread):
    """Reads a stream to its end and keeps at most `limit` bytes of it."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        super().__init__(daemon=True)
        self.stream, self.limit = stream, limit
        self.data, self.truncated = bytearray(), False
        self.start()

    def run(self) -> None:
        with self.stream:
            while chunk := self.stream.read1(65536):  # type: ignore[attr-defined]
                room = self.limit - len(self.data)
                self.data += chunk[: max(0, room)]
                self.truncated = self.truncated or len(chunk) > room

    @property
    def text(self) -> str:
        return bytes(self.data).decode("utf-8", "replace")


def _feed(stream: IO[bytes] | None, data: bytes) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError), stream:
            stream.write(data)
