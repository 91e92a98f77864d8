"""The operations that change runs. Each is a POST; none of them waits for a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from flask import request
from msgspec import Meta, Struct, structs

from neurocore.access.actor import MAX_NAME, person
from neurocore.access.permission import Action, Resource, require
from neurocore.blueprint.inputs import read_texts
from neurocore.documents import make, make_gates
from neurocore.documents.runs import DeletedDocument, StandingDocument
from neurocore.errors import (
    AlreadyDecided,
    DecisionRefused,
    GateChanged,
    InputError,
    NeedsPasskey,
    NeedsSignIn,
    NoOpenGate,
    NotResumable,
    RunBusyError,
    RunExists,
    RunNotFound,
)
from neurocore.forms import same
from neurocore.gates.answer import MAX_NOTE, choose
from neurocore.persistence.records import GateRecord, GateStatus, RunRecord, RunStatus
from neurocore.runs.cancel import cancel_run
from neurocore.runs.decide import Decision, answer_input, decide_gate
from neurocore.runs.delete import delete_run
from neurocore.runs.find import load_run, load_summary, resolve_run_id
from neurocore.runs.replay import create_replay
from neurocore.runs.resume import request_resume
from neurocore.runs.start import NewRun, create_run
from webapp.api.idempotency import Begun
from webapp.api.operations import post
from webapp.api.problems import with_facts
from webapp.api.runs import PROGRAM
from webapp.runs.run_actions import refuse_resume
from webapp.security.actors import claimed
from webapp.security.quotas import one_more_run
from webapp.services import Services

By = Annotated[
    str, Meta(min_length=1, max_length=MAX_NAME, description="The person who asks for it: claimed, not verified.")
]
Note = Annotated[str, Meta(max_length=MAX_NOTE, description="Why.")]
Digest = Annotated[str, Meta(min_length=1, max_length=200)]
Visit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Texts = Annotated[
    dict[str, str],
    Meta(description="Values as text, read like `--data` of the command line: by the declared type, else as YAML."),
]
RunId = Annotated[str, Meta(min_length=1, max_length=200, description="The id of the new run.")]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=50)]


class StartRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A run to start; `data` and `text` are its inputs."""

    by: By
    data: dict[str, Any] = {}
    text: Texts = {}
    tags: Tags = []
    run_id: RunId | None = None


class DecisionRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The answer of one person. `digest` is that of the gate as the person saw it; it also names the occurrence.

    Give exactly one of `answer` and `approved`.
    """

    by: By
    digest: Digest
    answer: Literal["approve", "reject"] | None = None
    approved: Annotated[bool, Meta(description="True approves, false rejects.")] | None = None
    gate: (
        Annotated[str, Meta(description="The node; only needed to learn what happened to an older digest.")] | None
    ) = None
    visit: Visit | None = None
    note: Note | None = None
    data: Annotated[
        dict[str, Any], Meta(description="Data for a step that waits for input, in addition to the answer.")
    ] = {}


class ResumeRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Continue a failed, lost or pending run, or give data to a step that waits for input.

    The steps that are retried, or the step that waits, can read `data` and `text`. `gate` names the step that waits, if
    several do. With `latest`, the run continues with the current file of the blueprint.
    """

    by: By
    data: dict[str, Any] | None = None
    text: Texts = {}
    gate: str | None = None
    latest: bool = False


class ReplayRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new run from the same inputs, with the definition stored with the run, or from the current file (`latest`).

    Without `tags` it gets the tags of the run.
    """

    by: By
    latest: bool = False
    tags: Tags | None = None


class CancelRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Stop a run."""

    by: By
    note: Note | None = None


class DeleteRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Delete an ended run."""

    by: By


@post("/blueprints/{name}/runs", Action.START, 201, 404, 429)
def start_run(here: Services, name: str, body: StartRequest, begun: Begun) -> StandingDocument:
    """Record a new run, and hand it to the dispatcher."""
    by = person(body.by)
    begun = structs.replace(begun, run_id=body.run_id or begun.run_id)
    if _made_before(here, begun):
        return standing(here, begun.run_id)
    path, blueprint = here.blueprint(name)
    require(claimed(by), Action.START, Resource(blueprint=blueprint.name))  # before the inputs say anything about it
    read = read_texts(body.text, blueprint, here.config.environ, nameable=here.config.secrets.inputs)
    new = NewRun(
        blueprint=blueprint, actor=claimed(by), run_id=begun.run_id, blueprint_path=path,
        initial_data={**body.data, **read}, tags=body.tags,
    )  # fmt: skip
    return _make(
        here, begun, lambda: create_run(new, here.registry, here.config, run_store=here.store),
        is_named=body.run_id is not None,
    )  # fmt: skip


@post("/runs/{run_id}/replay", Action.REPLAY, 201, 404, 410, 429)
def replay_run(here: Services, run_id: str, body: ReplayRequest, begun: Begun) -> StandingDocument:
    """Start a new run from the inputs of another. It does not take over any answers."""
    by = person(body.by)
    if _made_before(here, begun):
        return standing(here, begun.run_id)
    run = _run(here, run_id)

    def make_replay() -> object:
        return create_replay(
            run.run_id, here.registry, here.config, run_store=here.store, new_id=begun.run_id, latest=body.latest,
            tags=body.tags, actor=claimed(by),
        )  # fmt: skip

    return _make(here, begun, make_replay)


def _made_before(here: Services, begun: Begun) -> bool:
    """Return whether this request made its run before its server died. Submit the run if it has not started."""
    run = here.store.load_summary(begun.run_id) if begun.again else None
    if run is not None and run.created_at < begun.at:
        return False  # the request named the id of a run that was there before
    if run is not None and run.owed is not None:
        here.dispatcher.submit(run.run_id)
    return run is not None


def _make(here: Services, begun: Begun, create: Callable[[], object], *, is_named: bool = False) -> StandingDocument:
    try:
        with one_more_run(begun.run_id, here):
            create()
    except RunExists:  # a generated id exists: another process got the same request at the same moment
        if is_named or here.store.load_summary(begun.run_id) is None:
            raise
    else:
        here.dispatcher.submit(begun.run_id)
    return standing(here, begun.run_id)


@post("/runs/{run_id}/decision", Action.ANSWER, 200, 404, 410)
def decide(here: Services, run_id: str, body: DecisionRequest) -> StandingDocument:
    """Answer at an open gate, on what it showed. The run then continues automatically.

    The answer is on disk before the response is sent. If the same person repeats the same answer, this succeeds and
    changes nothing (`decision.effect` is `repeated`). It is `recorded` where the gate waits for more answers, or
    until the answer can no longer be withdrawn. Any other late answer is refused; the refusal says who decided and
    when.
    """
    approved = _approved(body)
    whole = resolve_run_id(run_id, here.store)
    if body.data and (meant := _meant(here, whole, body.digest)) is not None and meant.kind == "gate":
        sentence = f"Gate {meant.node_id} takes an answer and a note, but no data."
        raise InputError(sentence, {"data": sentence})
    gate, visit = occurrence_of(here, whole, body.digest, body.gate, body.visit)
    try:
        decision = decide_gate(
            whole, approved=approved, actor=claimed(body.by), note=body.note, gate=gate, visit=visit,
            digest=body.digest, run_store=here.store, dispatch=here.dispatcher, data=body.data,
        )  # fmt: skip
    except DecisionRefused as error:
        raise with_facts(error, **_what_stands(here, whole, gate, visit, error)) from error
    except (NeedsPasskey, NeedsSignIn) as error:
        base = (here.config.web.public_url or request.url_root).rstrip("/")
        raise with_facts(error, page=f"{base}/runs/{whole}") from error
    return standing(here, whole, decision)


def _approved(body: DecisionRequest) -> bool:
    if (body.answer is None) == (body.approved is None):
        sentence = "Give exactly one of `answer` and `approved`."
        raise InputError(sentence, {"answer": sentence})
    return body.answer == "approve" if body.answer is not None else bool(body.approved)


def _what_stands(
    here: Services, run_id: str, gate: str | None, visit: int | None, error: DecisionRefused
) -> dict[str, Any]:
    """Return what a refused person needs to know: the answer that was faster, or what the gate shows now."""
    run = load_summary(run_id, here.store)
    fitting = [
        one
        for one in here.store.load_gates(run_id)
        if gate in (None, one.node_id, one.name) and (visit in (None, one.visit) or isinstance(error, GateChanged))
    ]
    if isinstance(error, GateChanged):
        now = [one for one in fitting if one.status is GateStatus.OPEN]
        return {"gate": make_gates.gate(now[-1], run, here.store)} if now else {}
    decided = [one for one in fitting if one.decision is not None]
    if isinstance(error, AlreadyDecided) and decided:
        last: GateRecord = max(decided, key=lambda one: one.closed_at or "")
        return {"decision": make_gates.last_answer(last, run, here.store)}
    return {}


@post("/runs/{run_id}/resumption", Action.RESUME, 200, 404, 410)
def resume_run(here: Services, run_id: str, body: ResumeRequest, begun: Begun) -> StandingDocument:
    """Hand a failed, lost or pending run to the dispatcher, or give data to a step that waits for input."""
    by = person(body.by)
    run = _run(here, run_id)
    data = {**(body.data or {}), **read_texts(body.text)} if body.text else body.data
    waiting = [gate for gate in here.store.load_gates(run.run_id, narrow=True) if gate.status is GateStatus.OPEN]
    try:
        if body.gate is not None:
            waiting = [one for one in (choose(run, waiting, body.gate, None),) if one is not None]
            if not waiting:
                raise NoOpenGate(f"Run {run.run_id} waits for nothing at {body.gate[:200]}.")
        if data is not None and run.status is RunStatus.SUSPENDED and [one.kind for one in waiting] == ["input"]:
            answer_input(run, waiting[0], data, here.store, actor=claimed(by))
            here.dispatcher.submit(run.run_id)
            return standing(here, run.run_id)
        refuse_resume(run, here, latest=body.latest)
        if data is not None and run.status is not RunStatus.FAILED:
            raise NotResumable(f"Run {run.run_id} does not wait for data; resume it without data.")
    except (NotResumable, RunBusyError, DecisionRefused):
        if not done_before(here, run, ("resumed", "answered"), by, begun):
            raise
        return standing(here, run.run_id)
    if not done_before(here, run, ("resumed", "answered"), by, begun):
        request_resume(
            run.run_id, here.registry, here.config, run_store=here.store, actor=claimed(by), resume_data=data,
            latest=body.latest,
        )  # fmt: skip
        here.dispatcher.submit(run.run_id)
    return standing(here, run.run_id)


@post("/runs/{run_id}/cancellation", Action.CANCEL, 200, 404, 410)
def cancel(here: Services, run_id: str, body: CancelRequest, begun: Begun) -> StandingDocument:
    """Stop a run: at once if no process drives it, else with or after the running step.

    A `command`, an `http` request or another async skill is stopped at once, and its step is recorded as cancelled.
    Python code of other skills finishes its step first.
    """
    by = person(body.by)
    run = _run(here, run_id)
    if not done_before(here, run, ("cancelled",), by, begun):
        cancel_run(run.run_id, run_store=here.store, actor=claimed(by), config=here.config, note=body.note)
    return standing(here, run.run_id)


@post("/runs/{run_id}/deletion", Action.DELETE, 200, 404, 410)
def delete(here: Services, run_id: str, body: DeleteRequest, begun: Begun) -> DeletedDocument:
    """Delete an ended run with its steps, answers and logs. The record of who deleted it, and when, remains."""
    by = person(body.by)
    try:
        whole = resolve_run_id(run_id, here.store)
    except RunNotFound as error:
        left = error.tombstone
        if begun.again and left is not None and same(left.deleted_by, by) and left.deleted_at >= begun.at:
            return make.deleted(left)
        raise
    return make.deleted(delete_run(whole, run_store=here.store, actor=claimed(by)))


# -------------------------------------------------------------------- shared functions


def occurrence_of(
    here: Services, run_id: str, digest: str, gate: str | None, visit: int | None
) -> tuple[str | None, int | None]:  # fmt: skip
    """Return the gate and the visit that a request means: those that it names, else those of its digest."""
    meant = _meant(here, run_id, digest)
    if meant is None:
        return gate, visit
    return gate if gate is not None else meant.node_id, visit if visit is not None else meant.visit


def _meant(here: Services, run_id: str, digest: str) -> GateRecord | None:
    return next((one for one in here.store.load_gates(run_id, narrow=True) if one.digest == digest), None)


def done_before(here: Services, run: RunRecord, kinds: tuple[str, ...], by: str, begun: Begun) -> bool:
    """Return whether this request did its work before its server died: then the run's activity has its entry."""
    return begun.again and any(
        event.kind in kinds and same(event.who, by) and event.at >= begun.at
        for event in here.store.load_events(run.run_id)
    )


def _run(here: Services, run_id: str) -> RunRecord:
    return load_run(resolve_run_id(run_id, here.store), here.store)


def standing(here: Services, run_id: str, decision: Decision | None = None) -> StandingDocument:
    """Return the state of a run, with the result of an answer."""
    run, told = load_summary(run_id, here.store), make.decided(decision) if decision is not None else None
    return make.standing(run, here.store, here.config, PROGRAM, decision=told)
