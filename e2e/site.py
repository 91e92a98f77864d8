"""A running dashboard over a real project folder: `neurocore serve` as a process that can be stopped and killed."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from e2e import project
from neurocore.blueprint.load import load_blueprint
from neurocore.config import load_config
from neurocore.persistence import RunRecord, RunStatus, RunStore, build_run_store
from neurocore.runtime.executor import execute_blueprint_tracked
from neurocore.skills.loader import discover_skills

#: How long anything here may take before it is a failure, in seconds.
PATIENCE = 30.0

SECRET = "open-sesame-4711"


class Site:
    """The project (as `lay_out` writes it), its server, and hands to steer the runs in it."""

    def __init__(self, root: Path, lay_out: Callable[[Path], None] = project.write) -> None:
        lay_out(root)
        self.root = root
        self.log = root / "server.log"
        self.port = _free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._server: subprocess.Popen[str] | None = None
        self._output: IO[str] | None = None
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NEUROCORE_")}
        self._environment = {**kept, "E2E_TOKEN": SECRET, "PYTHONUNBUFFERED": "1"}

    # ---------------------------------------------------------------- the server

    def start(self, *options: str, **environment: str) -> Site:
        """Serve, on the same port each time; returns when it answers."""
        self._output = self.log.open("a")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "neurocore", "serve", "--port", str(self.port), *options], cwd=self.root,
            env={**self._environment, **environment}, text=True, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        server = self._server

        def answers() -> bool:
            assert server.poll() is None, f"the server ended: {self.log.read_text()[-3000:]}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(answers, "the server answers")
        return self

    def stop(self) -> None:
        """End the server as an operator does (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a power cut does (SIGKILL)."""
        self._end(signal.SIGKILL)

    def wait_for_death(self) -> None:
        """Wait until the server has ended by itself (a failpoint was armed)."""
        assert self._server is not None
        self._server.wait(PATIENCE)
        self._close()

    def end(self) -> None:
        """Let everything that is held go on, and stop."""
        (self.root / "signals" / "all").touch()
        self.stop()

    def _end(self, number: int) -> None:
        if self._server is not None:
            self._server.send_signal(number)
            self._server.wait(PATIENCE)
        self._close()

    def _close(self) -> None:
        self._server = None
        if self._output is not None:
            self._output.close()

    # ---------------------------------------------------------------- runs

    def cli(self, *arguments: str, check: bool = True) -> str:
        """Run a command in the project; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "neurocore", *arguments], cwd=self.root, env=self._environment,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"neurocore {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def run(self, blueprint: str, *, tags: tuple[str, ...] = (), by: str | None = None, **data: Any) -> str:
        """Run a blueprint here to its end or its gate, as the library does; its id."""
        config = load_config(self.root)
        path = self.root / "blueprints" / f"{blueprint}.yaml"
        with self._store() as store:
            context = execute_blueprint_tracked(
                load_blueprint(path), discover_skills(config), config, initial_data=data, run_store=store,
                blueprint_path=path, tags=tags, started_by=by,
            )  # fmt: skip
        return context.metadata.run_id

    def waiting_run(self, name: str = "Ada") -> str:
        """A letter that waits at its gate; the run's id."""
        return self.run("letters", name=name)

    def start_run(self, blueprint: str, **inputs: str) -> str:
        """Start a run that the server drives, by the form of the blueprint's page; its id."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        url = f"{self.address}/blueprints/{blueprint}"
        page = browser.open(url, timeout=PATIENCE).read().decode()
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        fields = {**hidden, "by": "e2e", **{f"input.{name}": value for name, value in inputs.items()}}
        with browser.open(f"{url}/runs", urllib.parse.urlencode(fields).encode(), timeout=PATIENCE) as answer:
            return str(answer.url).rpartition("/")[2]

    def inspect(self, run_id: str) -> Any:
        """`neurocore runs inspect --json`."""
        return json.loads(self.cli("runs", "inspect", run_id, "--json"))

    def record(self, run_id: str) -> RunRecord:
        """The run as it is recorded."""
        with self._store() as store:
            run = store.load_run(run_id)
        assert run is not None, f"there is no run {run_id}"
        return run

    def answers(self, run_id: str) -> list[tuple[str, bool | None, str, str | None]]:
        """Every answer of the run as it is recorded: gate, approved, by, note."""
        with self._store() as store:
            gates = store.load_gates(run_id)
        return [(gate.node_id, one.approved, one.by, one.note) for gate in gates for one in gate.answers]

    @contextlib.contextmanager
    def _store(self) -> Iterator[RunStore]:
        store = build_run_store(load_config(self.root))
        assert store is not None
        try:
            yield store
        finally:
            store.close()

    # ---------------------------------------------------------------- steered skills

    def go(self, run_id: str, *components: str) -> None:
        """Let these held components go on; mend fragile ones."""
        folder = self.root / "signals" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        for component in components:
            (folder / component).touch()

    def begun(self, run_id: str, component: str) -> None:
        """Wait until a held component works."""
        signal_file = self.root / "signals" / run_id / f"{component}.begun"
        wait_until(signal_file.exists, f"{component} of {run_id} begins")

    def settled(self, run_id: str) -> None:
        """Wait until nobody drives the run: it has ended, or waits for people."""
        with self._store() as store:

            def rests() -> bool:
                run = store.load_summary(run_id)
                return run is not None and run.status is not RunStatus.RUNNING and run.owed is None

            wait_until(rests, f"{run_id} ends or waits")

    def url(self, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self.address}/runs/{run_id}"


def wait_until(there: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Look until `there()`; fail with `what` was waited for."""
    end = time.monotonic() + patience
    while not there():
        assert time.monotonic() < end, f"waited {patience:.0f} s in vain: {what}"
        time.sleep(0.01)


def _free_port() -> int:
    """A port below those the system gives to outgoing connections, so that it is still free after a restart."""
    for _ in range(100):
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port between 20000 and 30000")
