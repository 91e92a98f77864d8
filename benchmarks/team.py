"""What it costs that people sign in: a page, and lists for somebody who may see some blueprints only."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from flask import Flask, session

from benchmarks.history import fill
from benchmarks.measure import Row, p99, side_by_side
from benchmarks.pages import asking, median
from benchmarks.step import chain, registry
from neurocore.access.actor import Face, this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people
from neurocore.accounts.signin import open_session
from neurocore.auth import Auth
from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import NullDispatcher
from neurocore.persistence import RunFilter, RunStatus, SQLiteRunStore
from neurocore.persistence.records import GateStatus
from neurocore.persistence.visible import VisibleRuns
from neurocore.runtime.executor import execute_blueprint_tracked
from webapp import create_app
from webapp.security.identity import remember_session

BLUEPRINTS = 200


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about people who sign in."""
    count, times, rounds = (5_000, 20, 3) if quick else (1_000_000, 60, 9)
    with tempfile.TemporaryDirectory() as folder:
        config = NeuroCoreConfig(project_root=Path(folder))
        config.data_dir.mkdir()
        fill(config.runs_db_path, count, steps=False, blueprints=BLUEPRINTS)
        store = SQLiteRunStore(config.runs_db_path)
        run_id = execute_blueprint_tracked(chain(50), registry(), config, run_store=store).metadata.run_id
        page = f"/runs/{run_id}"
        found = [
            _signed_in(config, store, (path, page), who, name, times, rounds)
            for name, path, who in (
                ("the list of runs, signed in", "/runs", "rosa"),
                ("the run page, signed in, with every role", page, "rosa"),
                ("the run page, for who may only look: it says who can do what", page, "vera"),
            )
        ]
        found += looks(store, count)
        store.close()
    return found


def _signed_in(
    config: NeuroCoreConfig, store: SQLiteRunStore, paths: tuple[str, str], who: str, name: str, times: int, rounds: int
) -> Row:
    """A page for somebody who signed in, beside the same page where nobody does. The other path has a form."""
    path, with_form = paths
    store.auth_mode = "open"
    usual = create_app(config, store=store, dispatcher=NullDispatcher())
    page = asking(usual, path, headers={"Cookie": _returning(usual, with_form)})
    where = NeuroCoreConfig(project_root=config.project_root, auth=Auth(mode="local"))
    team = create_app(where, store=store, dispatcher=NullDispatcher())
    theirs = asking(team, path, headers={"Cookie": _returning(team, with_form, _cookie(team, store, who))})
    page()
    theirs()
    cost, least, ratio = side_by_side(lambda: median(theirs, times), lambda: median(page, times), rounds=rounds)
    return Row(f"{name}, against the same page open", f"{cost:.2f} ms", f"{least:.2f} ms", f"{ratio:.2f}",
               "≤ 1.10")  # fmt: skip


def _returning(app: Flask, path: str, cookie: str = "") -> str:
    """Return the cookie of a browser that has been here before."""
    answer = app.test_client(use_cookies=False).get(path, headers={"Cookie": cookie} if cookie else {})
    return answer.headers["Set-Cookie"].split(";")[0]


def _cookie(app: Flask, store: SQLiteRunStore, who: str) -> str:
    """Sign somebody in who may see everything (vera), and do everything (rosa); return the cookie of the session."""
    grants = [Grant(Role.VIEWER)] if who == "vera" else [Grant(role) for role in Role]
    person = store.load_person(username=who) or people.add_person(
        who, store=store, actor=this_user(Face.CLI), grants=grants
    )
    with app.test_request_context("/"):
        remember_session(open_session(person, store=store, agent="benchmark"), person)
        answer = app.make_response("")
        app.session_interface.save_session(app, session, answer)
    return answer.headers["Set-Cookie"].split(";")[0]


def looks(store: SQLiteRunStore, count: int, *, times: int = 300) -> list[Row]:
    """How long lists and counts take for somebody who may see half of the blueprints. A new look asks for all again."""
    names = {f"blueprint{number}" for number in range(0, BLUEPRINTS, 2)}

    def seen() -> VisibleRuns:
        return VisibleRuns(store, names.__contains__)

    by_key: dict[str, Callable[[], object]] = {
        "the newest 50": lambda: seen().page_runs(),
        "50 by status": lambda: seen().page_runs(RunFilter(status=(RunStatus.FAILED,))),
        "50 by a rare status": lambda: seen().page_runs(RunFilter(status=(RunStatus.CANCELLED,))),
        "50 by a beginning of the title": lambda: seen().page_runs(RunFilter(text="payments of")),
        "an id by 4 characters": lambda: seen().find_runs("80a1"),
        "the last failures": lambda: seen().failed_runs(since="2023-01-01T00:00:00+00:00"),
        "gates that were decided": lambda: seen().list_gates(status=(GateStatus.DECIDED, GateStatus.DONE)),
        "counts by status": lambda: seen().status_counts(),
        "counts by day": lambda: seen().day_counts(since="2023-11-20T00:00:00+00:00"),
        "how many gates wait": lambda: seen().count_open_gates(),
    }
    return [
        Row(f"{name}, 100 of 200 blueprints, {count:,} runs (p99)", f"{p99(look, times=times):.2f} ms", aim="< 10 ms")
        for name, look in by_key.items()
    ]
