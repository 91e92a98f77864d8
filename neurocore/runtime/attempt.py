"""One attempt of one step: call the skill over a private view of the context and record the result."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from neurocore import log
from neurocore.blueprint.plan import PlanNode
from neurocore.context import RESERVED_KEYS, FlowContext, reserved_problem
from neurocore.errors import CodecError, ExecutionError, Interruption, said
from neurocore.failpoints import failpoint
from neurocore.persistence.records import LogLine
from neurocore.runtime import parents
from neurocore.runtime.skills import Instance, Instances
from neurocore.secrets import Redactor

MAX_LOG_LINES = 200
MAX_LOG_CHARACTERS = 64 * 1024
MAX_ERROR_CHARACTERS = 4_000
MAX_TRACEBACK_CHARACTERS = 32_000
#: Why a step ended that was stopped while it ran.
STOPPED = "stopped when the run was cancelled"

#: The abandoned steps, by (run id, node id, visit): each with a function that returns whether it still runs.
orphaned: dict[tuple[str, str, int], Callable[[], bool]] = {}
os.register_at_fork(after_in_child=orphaned.clear)  # they run in the parent


class Attempt(Struct, eq=False):
    """One attempt of one visit of a node, from its start to its end.

    After it ended, `status` is completed, failed, suspended or cancelled; `changed` and `deleted` are what a commit
    records.
    """

    run_id: str
    node: PlanNode
    visit: int
    number: int
    started_at: str
    base_commit: int = 0
    first_started_at: str | None = None
    clock: float = field(default_factory=time.perf_counter)
    step_index: int | None = None
    resume_data: Any = None
    status: str = ""
    changed: dict[str, bytes] = {}
    deleted: list[str] = []
    port: str | None = None
    error: str | None = None
    error_type: str | None = None
    exception: BaseException | None = None
    traceback: str | None = None
    duration_ms: float = 0.0
    logs: list[LogLine] = []
    reason: str | None = None
    instance: Instance | None = None
    deadline: float | None = None
    abandoned: bool = False
    timed_out: bool = False
    cancel: Any = None
    works: Callable[[], bool] | None = None
    cancelled: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what all attempts of this visit have in common."""
        return self.run_id, self.node.id, self.visit

    def still_works(self) -> bool:
        """Return whether an abandoned attempt of this visit still runs: another one would do the work twice."""
        works = orphaned.get(self.key)
        return works is not None and works()

    def view(self, base: Mapping[str, bytes], instances: Instances) -> FlowContext:
        """Return the context that this attempt sees."""
        context = FlowContext.over(base, run_id=self.run_id, secrets=instances.resolve)
        context.node_id = self.node.id
        context.visit = self.visit
        context.attempt = self.number
        context.first_started_at = self.first_started_at or self.started_at
        context.resume_data = self.resume_data
        context.deadline = self.deadline
        return context

    def run(self, base: Mapping[str, bytes], instances: Instances, await_: Any) -> Attempt:
        """Run a sync skill to its end on the calling thread. A KeyboardInterrupt passes through."""
        context = self.view(base, instances)
        token, inside = _lines.set(self.logs), parents.enter(self.run_id)
        try:
            instance = self.instance = instances.get(self.node)
            failpoint("step.before_run")
            if not instance.is_set_up:
                result = instance.skill.setup(context)
                if result is not None and inspect.isawaitable(result):
                    await_(result)
                instance.set_up(context)
            else:
                instance.prepare(context)
            result = instance.skill.process(context)
            if result is not context and inspect.isawaitable(result):
                result = await_(result)
            failpoint("step.after_run")
            self._end(context, result, instances)
        except (KeyboardInterrupt, Interruption):
            raise
        except BaseException as error:  # raised by the skill, so its step failed
            self.fail(error, instances)
        finally:
            _lines.reset(token)
            parents.leave(inside)
        return self

    async def run_async(self, base: Mapping[str, bytes], instances: Instances) -> Attempt:
        """Run an async skill to its end on the event loop; a timeout or a cancellation cancels it."""
        context = self.view(base, instances)
        _lines.set(self.logs)  # a task has its own copy of the context variables
        parents.enter(self.run_id)
        clock = asyncio.timeout(None if self.deadline is None else max(0.0, self.deadline - time.perf_counter()))
        try:
            instance = self.instance = instances.get(self.node)
            failpoint("step.before_run")
            async with clock:
                result = await _worked(instance, context)
            if clock.expired():
                raise TimeoutError  # the skill ignored its cancellation
            failpoint("step.after_run")
            self._end(context, result, instances)
        except asyncio.CancelledError as error:
            if self.cancelled:
                self.stop(instances)
            else:  # something that the skill awaited was cancelled: the skill failed
                self.fail(error, instances)
        except TimeoutError as error:
            if clock.expired():
                self.time_out(instances)
            else:
                self.fail(error, instances)
        except Exception as error:
            self.fail(error, instances)
        return self

    def _end(self, context: FlowContext, result: Any, instances: Instances) -> None:
        if result is not None and result is not context:
            _take_over(context, result, self.node.id)
        try:
            self.changed, self.deleted = context.changes(lasting=True)
        except CodecError as error:
            raise CodecError(
                f"Step {self.node.id} cannot be recorded: the value at {error.path or '?'} ({error.type_name}) "
                f"could not be restored as it is. {error}",
                path=error.path,
                type_name=error.type_name,
            ) from None
        for key in RESERVED_KEYS.intersection((*self.changed, *self.deleted)):
            raise ExecutionError(
                f"Step {self.node.id} would set {key!r}. {reserved_problem(key)}", run_id=self.run_id, node=self.node.id
            )
        port = context.get_active_port()
        if instances.redactor:
            self._refuse_secrets(port, instances.redactor)
        self.port = port
        if context.metadata.suspended:
            self.status = "suspended"
            if self.instance is not None:
                self.instance.recorded()
            self.reason = instances.redactor.text(context.metadata.suspension_reason or "")
        else:
            self.status = "completed"
        self._close(instances)

    def _refuse_secrets(self, port: str | None, redactor: Redactor) -> None:
        """Raise ExecutionError if what would be recorded contains the value of a secret, in any spelling."""
        names = {key: key.encode("utf-8", "surrogatepass") for key in self.changed}
        chosen = (port or "").encode("utf-8", "surrogatepass")
        if not redactor.found_in(b"\0".join([*names.values(), *self.changed.values(), chosen])):
            return
        for key, data in self.changed.items():
            if redactor.found_in(data) or redactor.found_in(names[key]):
                raise ExecutionError(
                    f"Step {self.node.id} would record the value of a secret under "
                    f"{redactor.text(key)!r}; remove it from the values that the step sets.",
                    run_id=self.run_id,
                    node=self.node.id,
                )
        if redactor.found_in(chosen):
            raise ExecutionError(
                f"Step {self.node.id} would record the value of a secret as its port; choose one of the ports' names.",
                run_id=self.run_id,
                node=self.node.id,
            )

    def fail(self, error: BaseException, instances: Instances) -> None:
        """End as failed with this error; what the step changed is discarded."""
        text = instances.redactor.text
        self.status = "failed"
        self.changed, self.deleted, self.port = {}, [], None
        self.exception = error
        self.error_type = type(error).__name__
        self.error = _shorten(text(_message_of(error)), MAX_ERROR_CHARACTERS)  # redact first: a cut value is not found
        trace = _traceback(error)
        self.traceback = _shorten(text(trace + instances.note(trace)), MAX_TRACEBACK_CHARACTERS)
        self._close(instances)

    def stop(self, instances: Instances) -> None:
        """End as cancelled, because the run is cancelled; what the step changed is discarded."""
        self.status, self.reason = "cancelled", STOPPED
        self.changed, self.deleted, self.port = {}, [], None
        self._close(instances)

    def time_out(self, instances: Instances) -> None:
        """End as timed out, even if the skill still runs."""
        seconds = self.node.timeout or (self.deadline or 0.0) - self.clock
        self.status, self.timed_out = "failed", True
        self.changed, self.deleted, self.port = {}, [], None
        self.error_type = "TimeoutError"
        self.error = f"It did not end within {seconds:.3g} s."
        self.exception = TimeoutError(self.error)
        self._close(instances)

    def _close(self, instances: Instances) -> None:
        self.duration_ms = (time.perf_counter() - self.clock) * 1000
        if self.logs:
            self.logs = [
                LogLine(at=line.at, level=line.level, message=instances.redactor.text(line.message))
                for line in list(self.logs)
            ]


async def _worked(instance: Instance, context: FlowContext) -> Any:
    """Return what an async skill returns; call its `setup` first if that has not happened yet."""
    if not instance.is_set_up:
        setup = instance.skill.setup(context)
        if inspect.isawaitable(setup):
            await setup
        instance.set_up(context)
    else:
        instance.prepare(context)
    work: Any = instance.skill.process(context)
    return await work


def _take_over(context: FlowContext, result: Any, node_id: str) -> None:
    """Copy the result of a skill that returned another context: one of ours, or flowengine's (published skills do)."""
    data: Any = getattr(result, "data", None)
    if not callable(getattr(data, "to_dict", None)) or not hasattr(result, "metadata"):
        raise ExecutionError(
            f"The skill of {node_id} returned {type(result).__name__} instead of its context; set its results with "
            "context.set(key, value) and return context.",
            node=node_id,
        )
    for key, value in data.to_dict().items():
        context.set(key, value)
    port = result.get_active_port()
    if port:
        context.set_port(port)
    if result.metadata.suspended:
        context.suspend("", result.metadata.suspension_reason or "")


def _message_of(error: BaseException) -> str:
    """Return an error's message, with its class where the message is only a key or a number."""
    words = said(error)
    is_number = isinstance(error, SystemExit) and not isinstance(error.code, str)
    if words and (is_number or isinstance(error, KeyError)):
        return f"{type(error).__name__}: {words}"
    return words or type(error).__name__


def _traceback(error: BaseException) -> str:
    """Return the traceback, without the frames of this package that come before the skill's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frames, limit=-40)
    except Exception:  # a failing __str__ or __repr__ must not lose the failure itself
        return ""
    return "".join(lines)


def _shorten(text: str, limit: int) -> str:
    return (
        text
        if len(text) <= limit
        else f"{text[: limit // 2]}\n… {len(text) - limit} characters left out …\n{text[-limit // 2 :]}"
    )


_LEFT_OUT = "… further lines were left out …"
_lines: contextvars.ContextVar[list[LogLine] | None] = contextvars.ContextVar("neurocore_step_log", default=None)


def _keep(at: float, level: str, message: Callable[[], str]) -> None:
    """Add a line to the log of the step that runs here, within the limits; a line that is cut ends in an ellipsis."""
    lines = _lines.get()
    if lines is None or (lines and lines[-1].message == _LEFT_OUT):
        return
    room = MAX_LOG_CHARACTERS - sum(len(line.message) for line in lines)
    time_of_day = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    if len(lines) >= MAX_LOG_LINES or room <= 0:
        lines.append(LogLine(at=time_of_day, level="WARNING", message=_LEFT_OUT))
        return
    text = message()
    if len(text) > room:  # redact first: a value that is cut is not found
        text = f"{log.redacted(text)[: room - 1]}…"
    lines.append(LogLine(at=time_of_day, level=level, message=text))


class _StepLog(logging.Handler):
    """Collects what is logged while a step runs."""

    def emit(self, record: logging.LogRecord) -> None:
        def message() -> str:
            try:
                return record.getMessage()
            except Exception as error:  # a wrong format string is the skill's mistake and must not end the run
                return f"{record.msg:.200} ({said(error)})" if isinstance(record.msg, str) else said(error)

        _keep(record.created, record.levelname, message)


_handler = _StepLog(level=logging.NOTSET)


def _collect(level: str, message: str) -> None:
    _keep(time.time(), level, lambda: message)


def capture_logs() -> None:
    """Make sure that step logs are collected. May be called again."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    if _collect not in log.collectors:
        log.collectors.append(_collect)
