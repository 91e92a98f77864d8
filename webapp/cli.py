"""`neurocore serve`: the dashboard behind waitress. The same process drives runs and keeps sweeping."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import click

from neurocore.errors import UsageError
from neurocore.options import Number, Whole
from webapp.security.hosts import is_loopback

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.base import RunStore
    from webapp.server import Front
    from webapp.services import Services

_log = logging.getLogger(__name__)

WAITING_TOLD = 5
#: How often to check whether skills changed on disk, in seconds.
LOOK_EVERY = 2.0


@click.command()
@click.option("--host", metavar="ADDRESS", help="The address to listen on. Default: web.host, or 127.0.0.1.")
@click.option("--port", type=Whole(0, 65535), help="The port. Default: web.port, or 8321. 0 uses a free one.")
@click.option(
    "--no-dispatch", is_flag=True, help="Only show and record; `neurocore runs sweep --watch` drives the runs."
)
@click.option(
    "--adopt", is_flag=True,
    help="Let all held runs continue here (`neurocore db adopt`), for deployments from a copy.",
)  # fmt: skip
@click.option("--open", "open_browser", is_flag=True, help="Open the dashboard in the browser.")
@click.option(
    "--grace",
    type=Number(0, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long steps may take to finish when the server is stopped.",
)
@click.option(
    "--interval",
    type=Number(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look for pending and lost runs.",
)
@click.option(
    "--insecure-open", is_flag=True,
    help="Let other machines connect although nobody signs in, or passwords are sent without TLS.",
)  # fmt: skip
def serve(
    host: str | None,
    port: int | None,
    no_dispatch: bool,
    adopt: bool,
    open_browser: bool,
    grace: float,
    interval: float,
    insecure_open: bool,
) -> None:
    """Serve the dashboard in the browser."""
    from neurocore import log
    from neurocore.config import load_config
    from neurocore.drivers.dispatch import NullDispatcher
    from neurocore.drivers.service import keep_sweeping
    from neurocore.persistence import build_run_store
    from webapp import create_app
    from webapp.security.proxies import root_path
    from webapp.watchdog import Watchdog

    config = load_config()
    host = host or config.web.host
    refuse_unless_safe(host, insecure_open, config)
    log.set_up(config, console=True)
    config.export_dotenv()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    store = build_run_store(config)
    if store is None:
        raise UsageError("Persistence is disabled, so there are no runs to show; set persistence.enabled: true.")
    if adopt:
        _adopt(store)
    app = create_app(config, store=store, dispatcher=NullDispatcher() if no_dispatch else None)
    here: Services = app.extensions["neurocore"]
    dispatcher = here.dispatcher
    _ = (
        here.registry
    )  # loaded before the first request: values whose classes come from skills are shown by those classes
    front = _listen(app, config, host, config.web.port if port is None else port)
    address = f"http://{_shown(host)}:{front.port}{root_path(config)}"
    try:
        _tell(address, config, store)
        _offer_first_admin(address, config, store)
    except BaseException:  # the address cannot be printed, so nobody could find the server
        front.close()
        store.close()
        raise
    if open_browser:
        import webbrowser

        threading.Timer(0.3, webbrowser.open, (address,)).start()
    with _stopped_by_signals(here.closing):
        if not no_dispatch:
            sweep = {"run_store": store, "dispatch": dispatcher, "interval": interval, "stop": here.closing}
            threading.Thread(target=keep_sweeping, args=(config,), kwargs=sweep, daemon=True).start()
        threading.Thread(target=_look_at_code, args=(here,), daemon=True).start()
        Watchdog(front).start(here.closing)
        front.run()
    here.closing.set()
    front.send_rest()
    front.close()
    if dispatcher.close(grace):
        _leave_at_once(store)
    store.close()


def _adopt(store: RunStore) -> None:
    from neurocore.access.actor import Face, this_user
    from neurocore.readable import counted
    from neurocore.runs.adopt import adopt_runs

    adopted = adopt_runs(None, run_store=store, actor=this_user(Face.CLI))
    if adopted:
        click.echo(f"{counted(adopted, 'held run')} may continue here.", err=True)


def refuse_unless_safe(host: str, insecure_open: bool, config: NeuroCoreConfig | None = None) -> None:
    """Raise UsageError for an address that others reach, unless people sign in and a proxy gives TLS."""
    if is_loopback(host) or insecure_open:
        return
    if config is not None and config.auth.mode != "open":
        has_tls = config.web.proxies >= 1 and (config.web.public_url or "").startswith("https://")
        if has_tls:
            return
        raise UsageError(
            f"{host} can be reached from other machines, and passwords would go there in the clear; put a proxy with "
            "TLS in front and set web.proxies: 1 and web.public_url: https://…, or say --insecure-open."
        )
    raise UsageError(
        f"Nobody signs in here (auth.mode: open), and other machines can reach {host}, so that anybody could decide "
        "under any name; either listen on 127.0.0.1 (behind an SSH tunnel, or a proxy that authenticates visitors), "
        "let people sign in (auth.mode: local), or give --insecure-open if everybody who can reach this port may do "
        "everything."
    )


def _offer_first_admin(address: str, config: NeuroCoreConfig, store: RunStore) -> None:
    """Print the one-time link of the first admin, where people sign in and nobody can manage accounts yet."""
    if config.auth.mode != "local" or store.count_admins() > 0:
        return
    from neurocore.access.actor import Face, this_user
    from neurocore.accounts.people import make_link

    secret = make_link(None, store=store, actor=this_user(Face.CLI))
    base = (config.web.public_url or address).rstrip("/")
    click.echo("There is no admin yet. Open this link within an hour to make the first one:", err=True)
    click.echo(f"  {base}/link/{secret}", err=True)


def _listen(app: Any, config: NeuroCoreConfig, host: str, port: int) -> Front:
    """Return the server, listening. `webapp.security.limits` refuses bodies that are too large."""
    from webapp.server import Front

    try:
        return Front(app, host=host, port=port, proxied=config.web.proxies > 0)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The dashboard cannot listen on {host}:{port} ({said}); choose another address with --port or --host."
        ) from error


def _shown(host: str) -> str:
    """Return the address that a person can open."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _tell(address: str, config: NeuroCoreConfig, store: RunStore) -> None:
    """Print the address on stdout, and the rest on stderr."""
    click.echo(f"{address}/")
    sys.stdout.flush()
    from webapp.html.text import line

    base = (config.web.public_url or address).rstrip("/")
    count = store.count_open_gates()
    click.echo(f"The dashboard of {line(config.project.name, 80)} is at {base}/ (Ctrl-C stops it).", err=True)
    if count:
        click.echo(f"{count:,} {'gate waits' if count == 1 else 'gates wait'} for a decision:", err=True)
    for entry in store.list_gates(limit=WAITING_TOLD, narrow=True) if count else ():
        click.echo(f"  {line(entry.gate.message, 70)}  {base}/runs/{line(entry.run.run_id, 80)}", err=True)
    if count > WAITING_TOLD:
        click.echo(f"  and {count - WAITING_TOLD:,} more at {base}/approvals", err=True)
    if held := store.count_held_runs():
        click.echo(
            f"{held:,} {'run is' if held == 1 else 'runs are'} held, because this is a copy of a history, or because "
            "of an import; `neurocore db adopt` lets them continue here.",
            err=True,
        )
    if not store.multi_process:
        click.echo("This store supports only one process: do not let a second process write to it.", err=True)


def _look_at_code(here: Services) -> None:
    """Log when skills change on disk, even if nobody opens a page."""
    while not here.closing.wait(LOOK_EVERY):
        try:
            here.stale()
        except Exception:
            _log.exception("The check whether skills changed on disk failed; it is repeated.")


@contextlib.contextmanager
def _stopped_by_signals(closing: threading.Event) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C set `closing` and end the server's loop; the caller then closes the dispatcher.

    A closed terminal does the same. Otherwise SIGHUP reopens the log file.
    """
    from neurocore import hangup

    def end(_number: int, _frame: Any) -> NoReturn:
        closing.set()
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with hangup.handled(end, goes_on=True):
            yield
    except SystemExit:
        pass  # the signal came while the server's loop did not handle it
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_at_once(store: RunStore) -> NoReturn:
    """End the process while steps still hold their threads. Their runs were released, and the next sweep finds them."""
    try:
        click.echo("Some steps did not end in time; the next sweep continues their runs.", err=True)
        store.close()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # even if the message cannot be printed any more
        os._exit(0)
