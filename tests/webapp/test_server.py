"""What the server bears: idle crowds, readers who do not read, too few descriptors, requests that are none."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests.waiting import until
from webapp import server as serving
from webapp.server import Front
from webapp.watchdog import Watchdog

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class App:
    """A WSGI app whose answers are as large and as slow as the address says."""

    def __init__(self):
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/waits":
            self.go.wait(60)
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/large":
            return self._large()
        return [b"fine"]

    def _large(self):
        try:
            while not self.ended.is_set():
                yield b"x" * 1_000_000
        finally:
            self.ended.set()


@pytest.fixture
def front():
    """A server of this process over `App`, on a thread; its loop ends with the test."""
    app = App()
    front = Front(app, host="127.0.0.1", port=0)
    front.app = app
    thread = threading.Thread(target=front.run, daemon=True, name="loop")
    thread.start()
    yield front
    app.go.set()
    app.ended.set()
    end(front, thread)


def end(front, thread):
    """Stop the server, its workers first."""
    front._workers.shutdown()
    front.close()
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def wires():
    """Connect; every connection is closed at the end."""
    with contextlib.ExitStack() as stack:

        def connect(port, *, receives=None):
            wire = stack.enter_context(socket.socket())
            if receives is not None:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
            wire.settimeout(60)
            wire.connect(("127.0.0.1", port))
            return wire

        yield connect


def ask(wire, request=ASK):
    """Send a request; returns the status of the answer, None when the connection is closed instead."""
    try:
        wire.sendall(request)
        return answered(wire)[0]
    except (http.client.HTTPException, ConnectionError):
        return None


def answered(wire):
    """The status and the body of the answer that comes."""
    with contextlib.closing(http.client.HTTPResponse(wire)) as answer:
        answer.begin()
        return answer.status, answer.read()


def is_closed(wire):
    """Whether the other end has closed it; waits a moment for that."""
    readable, _, _ = select.select([wire], [], [], 30)
    try:
        return bool(readable) and wire.recv(1) == b""
    except ConnectionError:
        return True


# -------------------------------------------------------------------- the loop


def test_the_loop_sleeps_while_a_worker_sends(front, wires, monkeypatch):
    (server,) = front.servers
    sends, go, passes = threading.Event(), threading.Event(), []
    send, readable = serving.HTTPChannel.send, server.readable

    def sent(channel, data, do_close=True):
        if threading.current_thread() is not loop:
            sends.set()
            assert go.wait(60)
        return send(channel, data, do_close)

    loop = next(one for one in threading.enumerate() if one.name == "loop")
    monkeypatch.setattr(serving.HTTPChannel, "send", sent)
    monkeypatch.setattr(server, "readable", lambda: passes.append(1) or readable())
    wire = wires(front.port)
    wire.sendall(ASK)
    assert sends.wait(60)
    for _ in range(5):
        before = len(passes)
        server.pull_trigger()
        until(lambda before=before: len(passes) > before, "that the loop comes by")
    go.set()
    assert len(passes) < 100
    assert answered(wire) == (200, b"fine")


# -------------------------------------------------------------------- idle crowds


def test_a_new_visitor_finds_room_where_the_others_are_idle_and_the_oldest_goes_first(front, wires):
    (server,) = front.servers
    server.most = 20
    crowd = [wires(front.port) for _ in range(20)]
    while len(server.active_channels) < 20:
        pass  # bounded by the test's time limit
    assert ask(crowd[0]) == 200, "it has just been served, so it is not idle longest"
    for _ in range(3):
        assert ask(wires(front.port)) == 200
    assert is_closed(crowd[1])
    assert ask(crowd[0]) == 200
    assert ask(crowd[-1]) == 200


def test_who_sends_a_request_letter_by_letter_is_idle(front, wires):
    (server,) = front.servers
    server.most = 10
    slow = [wires(front.port) for _ in range(10)]
    for wire in slow:
        wire.sendall(ASK[:5])
    while len(server.active_channels) < 10:
        pass  # bounded by the test's time limit
    for wire in slow[:5]:
        wire.sendall(ASK[5:6])
    assert ask(wires(front.port)) == 200
    assert is_closed(slow[0])


def test_a_request_that_is_never_complete_is_told_when_its_connection_is_closed(front, wires, monkeypatch, caplog):
    monkeypatch.setattr(front.servers[0].adj, "cleanup_interval", 0.1)
    monkeypatch.setattr(front.servers[0].adj, "channel_timeout", 0.5)
    begun, quiet = wires(front.port), wires(front.port)
    begun.sendall(ASK[:20])
    assert is_closed(begun)
    assert is_closed(quiet)
    told = [one.getMessage() for one in caplog.records if one.name == "webapp.server"]
    assert told == ["A connection of 127.0.0.1 is closed after 60 s: its request was not complete."]


def test_who_waits_for_an_answer_is_not_sent_away(front, wires):
    (server,) = front.servers
    server.most = 3
    waiting = wires(front.port)
    waiting.sendall(ASK.replace(b"/healthz", b"/waits"))
    while not any(channel.asked_at for channel in list(server.active_channels.values())):
        pass  # bounded by the test's time limit
    first = wires(front.port)
    assert ask(first) == 200
    for _ in range(10):
        assert ask(wires(front.port)) == 200
    assert is_closed(first)
    front.app.go.set()
    assert answered(waiting) == (200, b"fine")


def test_who_has_just_come_is_not_closed_before_he_could_ask(front, wires):
    (server,) = front.servers
    server.most = 3
    for _ in range(3):
        wires(front.port).sendall(ASK.replace(b"/healthz", b"/waits"))
    while sum(channel.asked_at is not None for channel in list(server.active_channels.values())) < 3:
        pass  # bounded by the test's time limit
    late = wires(front.port)
    while len(server.active_channels) < 4:
        pass  # bounded by the test's time limit
    server.pull_trigger()
    before = server.beat
    until(lambda: server.beat > before, "that the loop comes by")
    assert ask(late) == 200


# -------------------------------------------------------------------- readers who do not read


def test_a_reader_who_takes_nothing_is_left_and_his_thread_is_free(front, wires, monkeypatch):
    monkeypatch.setattr(serving, "STALLED", 0.5)
    monkeypatch.setattr(front.servers[0].adj, "cleanup_interval", 0.1)
    monkeypatch.setattr(front.servers[0].adj, "outbuf_high_watermark", 100_000)
    wire = wires(front.port, receives=4096)
    wire.sendall(ASK.replace(b"/healthz", b"/large"))
    assert front.app.ended.wait(60), "the answer is given up"
    while front.servers[0].active_channels:
        pass  # bounded by the test's time limit


def test_a_slow_reader_who_reads_gets_the_whole(front, wires, monkeypatch):
    monkeypatch.setattr(serving, "STALLED", 1.0)
    monkeypatch.setattr(serving, "LEAST_TAKEN", 1)
    monkeypatch.setattr(front.servers[0].adj, "cleanup_interval", 0.1)
    monkeypatch.setattr(front.servers[0].adj, "outbuf_high_watermark", 100_000)
    wire = wires(front.port, receives=4096)
    wire.sendall(ASK.replace(b"/healthz", b"/large"))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert wire.recv(4096), "who takes something is not left"
    assert not front.app.ended.is_set()


def test_readers_who_do_not_read_leave_threads_for_the_others(front, wires, monkeypatch):
    monkeypatch.setattr(front.servers[0].adj, "outbuf_high_watermark", 100_000)
    for _ in range(serving.MAX_HELD + serving.THREADS + 24):
        wires(front.port, receives=4096).sendall(ASK.replace(b"/healthz", b"/large"))
    for _ in range(5):
        assert ask(wires(front.port)) == 200
    assert len(front.servers[0]._held) <= serving.MAX_HELD + 1


# -------------------------------------------------------------------- requests that are none

LEFT_OPEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"0\r\n\r\n" + ASK


@pytest.mark.parametrize(
    "head",
    [
        LEFT_OPEN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        LEFT_OPEN + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        LEFT_OPEN + b"Transfer-Encoding: chunked\r\ncontent-length: 0\r\n\r\n",
        LEFT_OPEN + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        LEFT_OPEN + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        LEFT_OPEN + b"Transfer-Encoding: identity, chunked\r\n\r\n",
        LEFT_OPEN + b"Transfer-Encoding:\r\n chunked\r\n\r\n",
        LEFT_OPEN.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
        LEFT_OPEN + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
        LEFT_OPEN + b"Content-Length: +5\r\n\r\n",
        LEFT_OPEN + b"Content-Length : 5\r\n\r\n",
    ],
)
def test_a_request_whose_end_can_be_seen_in_two_places_is_refused_and_closes_its_connection(front, wires, head):
    wire = wires(front.port)
    wire.sendall(head + SMUGGLED)
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := wire.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.") == 1, "what stands behind it is no request"
    assert re.match(rb"HTTP/1\.\d (400|501) ", answer), answer
    assert b"\r\nConnection: close\r\n" in answer


def test_a_chunked_request_is_taken(front, wires):
    chunked = LEFT_OPEN + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    wire = wires(front.port)
    assert ask(wire, chunked) == 200
    assert ask(wire) == 200


# -------------------------------------------------------------------- the watchdog


def test_a_request_without_an_answer_puts_the_stacks_of_all_threads_into_the_log_once(front, wires, caplog):
    watchdog = Watchdog(front)
    waiting = wires(front.port)
    waiting.sendall(ASK.replace(b"/healthz", b"/waits?secret=1"))
    while not (asked := [one for one in list(front.servers[0].active_channels.values()) if one.environ]):
        pass  # bounded by the test's time limit
    asked[0].asked_at -= 60
    for _ in range(10):
        watchdog.look()
    (record,) = [one for one in caplog.records if one.name == "webapp.watchdog"]
    assert re.search(r"GET /waits\?\S+ of 127\.0\.0\.1 has no answer after \d+ s", record.getMessage())
    assert "self.go.wait(60)" in record.stack_info, "where its thread is"
    assert "wasyncore.py" in record.stack_info, "and the loop's"
    front.app.go.set()
    assert answered(waiting) == (200, b"fine")


def test_a_request_that_waits_for_a_run_as_it_was_asked_to_is_left_alone(site, wires):
    front = Front(site.app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=front.run, daemon=True)
    thread.start()
    run_id = site.run()
    wires(front.port).sendall(
        f"GET /api/v1/runs/{run_id}?wait=50&until=completed HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    while not any(getattr(one, "environ", {}).get("neurocore.waits_until") for one in list(front.channels.values())):
        pass  # bounded by the test's time limit

    def sentences(later):
        return " ".join(one.sentence for one in Watchdog(front).findings(time.monotonic() + later))

    assert "has no answer" not in sentences(45)
    assert "has no answer after 70 s" in sentences(70)
    assert "loop has been busy" in sentences(45), "nobody asked it to come by since then"
    site.app.extensions["neurocore"].closing.set()
    end(front, thread)


# -------------------------------------------------------------------- too few descriptors

LEAKS = """
import os
from neurocore import Skill, SkillMeta

OPEN = [os.open(os.devnull, os.O_RDONLY) for _ in range(120)]


class Leaks(Skill):
    skill_meta = SkillMeta(name="leaks", version="1")

    def process(self, context):
        return context
"""


@pytest.fixture
def cramped(site):
    """A real server that may open few files, beside a skill that holds most of them; the process and its port."""
    (site.root / "neurocore.yaml").write_text("project: {name: tested}\n")
    (site.root / "skills" / "leaks.py").write_text(LEAKS)
    process = subprocess.Popen(
        [sys.executable, "-m", "neurocore", "serve", "--port", "0"], cwd=site.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "NO_COLOR": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (250, 250)),  # noqa: PLW1509
    )  # fmt: skip
    found = re.search(r":(\d+)/", process.stdout.readline())
    yield process, int(found.group(1))
    process.kill()
    process.communicate()


def test_out_of_descriptors_it_serves_on_says_what_to_raise_once_and_does_not_spin(cramped, wires):
    process, port = cramped
    assert ask(wires(port), ASK.replace(b"/healthz", b"/blueprints/payout")) == 200, "the skills are loaded"
    crowd = [wires(port) for _ in range(200)]
    for _ in range(40):
        assert ask(wires(port)) == 200, "who comes is served, whoever else is idle"
    assert is_closed(crowd[0])
    began = psutil.Process(process.pid).cpu_times()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    used = psutil.Process(process.pid).cpu_times()
    assert used.user + used.system - began.user - began.system < 0.2, "it waits, and does not try again and again"
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=30)
    assert talk.count("Too many open files") == 1, talk
    assert "LimitNOFILE" in talk
    assert len(talk.splitlines()) < 10, talk


def test_a_server_that_is_told_to_stop_before_it_has_served_stops_without_a_word(caplog):
    Front(App(), host="127.0.0.1", port=0).close()
    assert not caplog.records
