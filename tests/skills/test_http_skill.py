"""The skills `http` and `llm`, against a real server on this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from neurocore import FlowContext
from neurocore.errors import SkillError
from neurocore.llm.provider import LLMMessage, build_provider
from neurocore.skills.builtin.http import HttpSkill
from tests.aside import ended
from tests.skills.test_builtin_skills import made


class _Answers(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []
    #: Status and address by path: where a request is sent on to.
    redirects: ClassVar[dict[str, tuple[int, str]]] = {}
    #: Content type and body by path.
    documents: ClassVar[dict[str, tuple[str, bytes]]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, dict(self.headers), body))
        if self.path in self.redirects:
            self._send_on(*self.redirects[self.path])
        elif self.path.endswith("/chat/completions"):
            self._send(
                200, {"choices": [{"message": {"content": "hello"}}], "model": "m", "usage": {"prompt_tokens": 3}}
            )
        else:
            self._send(200, {"got": json.loads(body or b"null")})

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers), b""))
        if self.path in self.redirects:
            self._send_on(*self.redirects[self.path])
            return
        self._send(404 if self.path == "/missing" else 200, {"path": self.path, "pad": "x" * 5000})

    def _send_on(self, status: int, address: str) -> None:
        self.send_response(status)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status: int, document: Any) -> None:
        kind, data = self.documents.get(self.path, ("application/json", json.dumps(document).encode()))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """A server on this machine; its address."""
    httpd = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def server() -> Iterator[str]:
    """A server on this machine that has seen nothing yet; its address."""
    _Answers.seen, _Answers.redirects, _Answers.documents = [], {}, {}
    with serving() as address:
        yield address


@pytest.fixture
def elsewhere(server: str) -> Iterator[str]:
    """Another server."""
    with serving() as address:
        yield address


def test_a_request_carries_the_idempotency_key_and_reads_json(server: str) -> None:
    context = FlowContext({"order": {"n": 1}})
    context.metadata.run_id, context.node_id = "run", "pay"
    ended(made(HttpSkill, url=f"{server}/pay", method="POST", json_from="order").process(context))
    assert context.get("it")["body"] == {"got": {"n": 1}}
    assert _Answers.seen[0][1]["Idempotency-Key"] == context.idempotency_key


def test_a_request_s_own_headers_go_before_and_what_cannot_be_sent_is_told(server: str) -> None:
    context = FlowContext({"order": {"n": "é"}, "odd": {1, 2}})
    own = {"idempotency-key": "mine", "content-type": "application/vnd.own+json"}
    ended(made(HttpSkill, url=server, method="POST", json_from="order", headers=own).process(context))
    sent = {name.lower(): value for name, value in _Answers.seen[0][1].items()}
    assert (sent["idempotency-key"], sent["content-type"]) == ("mine", "application/vnd.own+json")
    with pytest.raises(SkillError, match="'odd' cannot be sent as JSON: Object of type set"):
        ended(made(HttpSkill, url=server, method="POST", json_from="odd").process(context))
    with pytest.raises(SkillError, match="needs the context key 'gone'"):
        ended(made(HttpSkill, url=server, method="POST", json_from="gone").process(context))
    assert len(_Answers.seen) == 1


SECRET_HEADERS = {"X-Api-Key": "k", "Authorization": "Bearer t", "Cookie": "c=1", "Accept": "text/x", "User-Agent": "u"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_header_to_another_server_and_all_to_the_same(
    server: str, elsewhere: str, status: int
) -> None:
    _Answers.redirects = {"/a": (status, "/b"), "/b": (status, f"{elsewhere}/c"), "/c": (status, f"{server}/d")}
    context = FlowContext()
    skill = made(HttpSkill, url=f"{server}/a", headers=SECRET_HEADERS, follow_redirects=True)
    ended(skill.process(context))
    assert context.get("it")["body"]["path"] == "/d"
    sent = {path: {name.lower(): value for name, value in headers.items()} for path, headers, _ in _Answers.seen}
    assert [path for path, _, _ in _Answers.seen] == ["/a", "/b", "/c", "/d"]
    for path in ("/a", "/b"):
        assert sent[path]["x-api-key"] == "k"
        assert sent[path]["idempotency-key"] == context.idempotency_key
    for path in ("/c", "/d"):
        assert not {"x-api-key", "authorization", "cookie", "idempotency-key"} & sent[path].keys()
        assert (sent[path]["accept"], "u" in sent[path]["user-agent"].split()) == ("*/*", False)
        assert sent[path]["host"] == (elsewhere if path == "/c" else server).removeprefix("http://")


def test_a_password_in_the_address_goes_to_no_other_server(server: str, elsewhere: str) -> None:
    _Answers.redirects = {"/a": (302, f"{elsewhere}/b")}
    ended(made(HttpSkill, url=server.replace("//", "//ann:pw@") + "/a", follow_redirects=True).process(FlowContext()))
    assert ["Authorization" in headers for _, headers, _ in _Answers.seen] == [True, False]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_takes_no_body_to_another_server(server: str, elsewhere: str, status: int) -> None:
    _Answers.redirects = {"/a": (status, f"{elsewhere}/b"), "/same": (status, "/c")}
    send = {"method": "POST", "json_from": "order", "follow_redirects": True}
    context = FlowContext({"order": {"n": 1}})
    with pytest.raises(
        SkillError, match=f"answered {status}, which would send the body to 127.0.0.1; set url to the intended address"
    ):
        ended(made(HttpSkill, url=f"{server}/a", **send).process(context))
    assert [path for path, _, _ in _Answers.seen] == ["/a"]
    ended(made(HttpSkill, url=f"{server}/same", **send).process(context))
    assert context.get("it")["body"] == {"got": {"n": 1}}


def test_redirects_are_followed_only_where_they_are_wanted_and_not_for_ever(server: str) -> None:
    _Answers.redirects = {"/a": (302, "/a")}
    context = FlowContext()
    ended(made(HttpSkill, url=f"{server}/a").process(context))
    assert (context.get("it")["status"], len(_Answers.seen)) == (302, 1)
    with pytest.raises(SkillError, match="was redirected more than 20 times"):
        ended(made(HttpSkill, url=f"{server}/a", follow_redirects=True).process(context))


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("hex", "grün", "grün"), ("base64", "grün", "grün"), ("zip", "grün", "grün"), ("no-such", "grün", "grün"),
        ("undefined", "x", "x"), ("punycode", "-" + "a" * 200_000, "-" + "a" * 200_000), ("idna", "xn--x", "xn--x"),
        ("unicode_escape", "\\x41", "\\x41"), ("utf-8", "grün", "grün"), ("latin-1", "x", "x"),
    ],
)  # fmt: skip
def test_whatever_charset_an_answer_claims_its_text_is_read(server: str, charset: str, body: str, text: str) -> None:
    _Answers.documents = {"/odd": (f"text/plain; charset={charset}", body.encode())}
    context = FlowContext()
    ended(made(HttpSkill, url=f"{server}/odd").process(context))
    assert context.get("it")["body"] == text


def test_a_header_that_cannot_be_sent_is_told(server: str) -> None:
    for header in ("grün", "two\r\nlines"):
        with pytest.raises(SkillError, match=r"it: the request to http://.* failed: "):
            ended(made(HttpSkill, url=server, headers={"X-Odd": header}).process(FlowContext()))


def test_what_a_language_model_answers_in_an_odd_charset_is_told(server: str) -> None:
    provider = build_provider({"llm_provider": "own", "llm_model": "m", "llm_base_url": server})
    assert provider is not None
    _Answers.documents = {"/chat/completions": ("application/json; charset=hex", b"no JSON")}
    with pytest.raises(SkillError, match=r"did not answer: JSONDecodeError"):
        ended(provider.complete([LLMMessage(role="user", content="hi")]))


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not stop.wait(0.05):  # always sooner than the time-out of a single read
                connection.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(SkillError, match=r"did not answer within 0\.5 s"):
            ended(made(HttpSkill, url=url, timeout=0.5).process(FlowContext()))
    finally:
        stop.set()
        thread.join()
        listening.close()


def test_a_request_that_is_refused_or_answers_too_much_fails(server: str) -> None:
    with pytest.raises(SkillError, match="answered 404"):
        ended(made(HttpSkill, url=f"{server}/missing").process(FlowContext()))
    with pytest.raises(SkillError, match="larger than 1,000 bytes"):
        ended(made(HttpSkill, url=f"{server}/big", max_bytes=1000).process(FlowContext()))
    with pytest.raises(SkillError, match="the request to http://127"):
        ended(made(HttpSkill, url="http://127.0.0.1:1/").process(FlowContext()))


def test_a_language_model_is_asked_over_any_compatible_endpoint(server: str) -> None:
    provider = build_provider({"llm_provider": "own", "llm_model": "m", "llm_base_url": server, "llm_api_key": "k"})
    assert provider is not None
    answer = ended(provider.complete([LLMMessage(role="user", content="hi")], system="be kind"))
    assert (answer.content, answer.input_tokens) == ("hello", 3)
    assert json.loads(_Answers.seen[0][2])["messages"][0] == {"role": "system", "content": "be kind"}
    assert build_provider({}) is None
    with pytest.raises(SkillError, match=r"needs llm\.base_url"):
        build_provider({"llm_provider": "own", "llm_model": "m"})
