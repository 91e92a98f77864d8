"""What a program or a server said stays with the step that failed over it."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from neurocore.errors import ExecutionError
from tests.runtime.worlds import World


def failing(world: World, code: str, **config: Any) -> list[tuple[str, str]]:
    """The log of a step whose program fails."""
    settings = json.dumps({"argv": [sys.executable, "-c", code], **config})
    text = f"name: f\ncomponents: [{{name: a, type: command, config: {settings}}}]\nflow: {{steps: [{{component: a}}]}}"
    with pytest.raises(ExecutionError):
        world.run(text)
    return [(line.level, line.message) for line in world.steps(world.only_run().run_id)[0].logs]


def test_a_program_that_fails_leaves_its_exit_code_and_its_output_with_the_step(world: World) -> None:
    code = "import sys; print('so far\\nso good'); print('no money', file=sys.stderr); sys.exit(7)"
    assert failing(world, code) == [
        ("ERROR", "The program ended with exit code 7."),
        ("STDERR", "no money"), ("STDOUT", "so far"), ("STDOUT", "so good"),
    ]  # fmt: skip


def test_a_program_that_is_killed_for_its_time_leaves_what_it_had_said(world: World) -> None:
    code = "import time; print('begun', flush=True); time.sleep(600)"
    lines = failing(world, code, timeout=0.5)
    assert lines == [("ERROR", "The program was ended by SIGKILL."), ("STDOUT", "begun")]


def test_of_much_output_the_end_stays_and_what_is_left_out_is_said(world: World) -> None:
    code = "import sys\nfor n in range(5000): print(n)\n"
    code += "for n in range(50): print('e' * 5000, file=sys.stderr)\nsys.exit(1)"
    lines = failing(world, code)
    assert ("STDERR", "… the beginning of stderr was left out …") in lines
    assert ("STDOUT", "… the beginning of stdout was left out …") in lines
    assert lines[-1] == ("STDOUT", "4999")


def test_the_whole_answer_to_a_request_that_failed_stays_with_the_step(world: World) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(422)
            self.end_headers()
            self.wfile.write(b"x" * 1000)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        config = json.dumps({"url": url})
        text = f"name: h\ncomponents: [{{name: a, type: http, config: {config}}}]\nflow: {{steps: [{{component: a}}]}}"
        with pytest.raises(ExecutionError, match=r"answered 422: x{300} … \(the step's log has more\)"):
            world.run(text)
    (line,) = [one for one in world.steps(world.only_run().run_id)[0].logs if one.level == "ERROR"]
    assert (line.level, line.message) == ("ERROR", f"{url} answered 422: {'x' * 1000}")
