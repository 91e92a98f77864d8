"""`login` and `logout`: where tokens are kept, who can read them, and to which server they go."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from neurocore.remote import tokens
from neurocore.remote.address import read_address

from .conftest import Project, command, environment
from .servers import Asked, Said, config_of, lying

TOKEN = "nrc_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
ME = {
    "mode": "local", "username": "ann", "label": "Ann", "roles": ["approver", "viewer@pay*"], "groups": [],
    "known_by": "token", "scopes": ["view", "answer"], "blueprints": ["*"], "of_a_newer_version": 1,
}  # fmt: skip
RUNS: dict[str, Any] = {"runs": [], "older": None, "newer": None, "since": None, "until": None, "timezone": "UTC"}


class Desk(NamedTuple):
    """Somebody's machine, and a server that knows one token."""

    home: Project
    url: str
    asked: list[Asked]

    def call(self, *args: str, input: str | None = None, **env: str) -> Result:
        return self.home.call(*args, input=input, env={**config_of(self.home.root), **env})

    def login(self) -> Result:
        return self.call("login", "--server", self.url, "--token-stdin", input=f"{TOKEN}\n")

    def listed(self, **env: str) -> Result:
        return self.call("runs", "list", "--server", self.url, **env)

    @property
    def folder(self) -> Path:
        return self.home.root / "neurocore"

    @property
    def file(self) -> Path:
        (found,) = self.folder.iterdir()
        return found


def answer(one: Asked) -> Said:
    if one.headers.get("Authorization") != f"Bearer {TOKEN}":
        problem = {"type": "about:blank", "title": "Unauthorized", "status": 401}
        problem["detail"] = "This token is not valid: it is wrong, revoked, expired, or its owner is disabled."
        return Said(401, json.dumps(problem).encode(), "application/problem+json")
    return Said(200, json.dumps(ME if one.path.endswith("/me") else RUNS).encode())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with lying(answer) as (url, asked):
        yield Desk(Project(tmp_path), url, asked)


def test_a_token_is_checked_and_kept_where_only_its_owner_reads_it(desk):
    done = desk.login()
    assert (done.exit_code, done.stdout) == (
        0, f"Signed in to {desk.url} as ann (approver, viewer@pay*, for view, answer).\n",
    )  # fmt: skip
    assert f"in {desk.file}" in done.stderr
    assert stat.S_IMODE(desk.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.folder.stat().st_mode) == 0o700
    assert TOKEN not in done.output
    assert desk.listed().exit_code == 0
    assert not any(TOKEN in one.path for one in desk.asked)


def test_a_file_is_private_from_the_start_whatever_the_umask(desk, monkeypatch):
    modes = []
    monkeypatch.setattr(tokens.os, "fsync", lambda file: modes.append(stat.S_IMODE(os.fstat(file).st_mode)))
    before = os.umask(0)
    try:
        assert desk.login().exit_code == 0
    finally:
        os.umask(before)
    assert modes[0] == 0o600
    assert stat.S_IMODE(desk.folder.stat().st_mode) == 0o700


def test_a_wrong_token_is_refused_and_not_kept(desk):
    done = desk.call("login", "--server", desk.url, "--token-stdin", input="nrc_wrong\n")
    assert done.exit_code == 4
    assert "is not valid" in done.stderr
    assert not desk.folder.exists()


@pytest.mark.parametrize(
    ("path", "mode", "mend"), [("file", 0o640, "600"), ("file", 0o604, "600"), ("dir", 0o755, "700")]
)
def test_what_others_can_read_is_refused_with_the_command_that_mends_it(desk, path, mode, mend):
    desk.login()
    target = desk.file if path == "file" else desk.folder
    target.chmod(mode)
    before = len(desk.asked)
    refused = desk.listed()
    assert refused.exit_code == 2
    assert f"`chmod {mend} {target}`" in refused.stderr
    assert len(desk.asked) == before, "nothing was sent"
    subprocess.run(["chmod", mend, str(target)], check=True)
    assert desk.listed().exit_code == 0


def test_a_link_in_place_of_the_file_is_not_followed(desk):
    desk.login()
    desk.file.rename(desk.home.root / "moved")
    (desk.folder / tokens._file(read_address(desk.url)).name).symlink_to(desk.home.root / "moved")
    assert desk.listed().exit_code == 2


def test_the_environment_comes_first_and_is_said(desk):
    desk.login()
    wrong = desk.listed(NEUROCORE_TOKEN="nrc_other")
    assert wrong.exit_code == 4
    assert "NEUROCORE_TOKEN" in wrong.stderr
    desk.call("logout")
    assert desk.listed(NEUROCORE_TOKEN=TOKEN).exit_code == 0
    again = desk.call("login", "--server", desk.url, "--token-stdin", input=TOKEN, NEUROCORE_TOKEN="nrc_x")
    assert "NEUROCORE_TOKEN is set" in again.stderr


@pytest.mark.parametrize("bad", ["nrc_a b", "nrc_a\tb", "x" * 600, "nrc_ä"])
def test_what_cannot_be_a_token_is_neither_sent_nor_repeated(desk, bad):
    for done in (
        desk.call("login", "--server", desk.url, "--token-stdin", input=bad),
        desk.listed(NEUROCORE_TOKEN=bad),
    ):
        assert done.exit_code == 2
        assert bad not in done.output
    assert desk.asked == []


def test_a_token_goes_to_the_address_alone_that_it_was_given_for(desk, tmp_path):
    desk.login()
    with lying(answer) as (other, asked):
        for url in (other, f"{desk.url}/prefix", desk.url.replace("127.0.0.1", "localhost")):
            desk.call("runs", "list", "--server", url)
        assert asked
    assert [one.headers.get("Authorization") for one in (*asked, *desk.asked[1:])] == [None] * 3


def test_logout_forgets_one_server_and_names_several(desk):
    assert desk.call("logout").exit_code == 3
    desk.login()
    with lying(answer) as (other, _):
        desk.call("login", "--server", other, "--token-stdin", input=TOKEN)
        several = desk.call("logout")
        assert several.exit_code == 2
        assert {other, desk.url} <= set(several.stderr.replace(",", " ").replace(".\n", " ").split())
        assert desk.call("logout", "--server", f"{other}/").stdout == f"The token of {other} is forgotten here.\n"
    assert desk.listed().exit_code == 0
    assert desk.call("logout").exit_code == 0
    assert list(desk.folder.iterdir()) == []
    assert desk.listed().exit_code == 4


def test_where_nobody_signs_in_there_is_no_token_to_keep(desk):
    me = json.dumps({**ME, "mode": "open", "username": None, "scopes": None}).encode()
    with lying(lambda _: Said(200, me)) as (url, _):
        done = desk.call("login", "--server", url, "--token-stdin", input=TOKEN)
    assert (done.exit_code, desk.folder.exists()) == (2, False)
    assert "it needs no token, only --server" in done.stderr


def test_without_a_terminal_the_token_comes_from_standard_input_only_if_that_is_said(desk):
    done = desk.call("login", "--server", desk.url, input=TOKEN)
    assert done.exit_code == 2
    assert "--token-stdin" in done.stderr
    assert desk.call("login", "--server", desk.url, "--token", TOKEN).exit_code == 2, "no option takes it"


def test_on_a_terminal_the_token_is_typed_without_echo(desk):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(desk.home.root)
        env = environment(**config_of(desk.home.root))
        os.execve(command()[0], [*command(), "login", "--server", desk.url], env)
    shown = b""
    while b"Token for" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, f"{TOKEN}\n".encode())
    try:
        while part := os.read(terminal, 1000):
            shown += part
    except OSError:  # the end of a terminal
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert TOKEN.encode() not in shown
    assert desk.listed().exit_code == 0


# ---------------------------------------------------------------- the keyring

KEYRING = '''
import json
from pathlib import Path
from keyring.backend import KeyringBackend

class Box(KeyringBackend):
    """Keeps what it gets in a file of its own."""

    priority = 5
    file = Path({file!r})

    def _all(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {{}}

    def get_password(self, service, name):
        return self._all().get(f"{{service}} {{name}}")

    def set_password(self, service, name, password):
        self.file.write_text(json.dumps({{**self._all(), f"{{service}} {{name}}": password}}))

    def delete_password(self, service, name):
        self.file.write_text(json.dumps({{k: v for k, v in self._all().items() if k != f"{{service}} {{name}}"}}))


class Locked(Box):
    def get_password(self, service, name):
        raise RuntimeError("locked")
'''


def with_keyring(desk: Desk, name: str, *args: str, input: str = "") -> subprocess.CompletedProcess[str]:
    """Call as a process of its own that finds this keyring."""
    (desk.home.root / "boxes.py").write_text(KEYRING.format(file=str(desk.home.root / "box.json")))
    env = environment(**config_of(desk.home.root), PYTHONPATH=str(desk.home.root))
    env |= {"PYTHON_KEYRING_BACKEND": name}
    return subprocess.run(
        command(*args, "--server", desk.url), cwd=desk.home.root, env=env, input=input, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_a_keyring_keeps_the_token_if_there_is_one(desk):
    box = desk.home.root / "box.json"
    done = with_keyring(desk, "boxes.Box", "login", "--token-stdin", input=TOKEN)
    assert "kept in the system's keyring" in done.stderr
    assert json.loads(box.read_text()) == {f"neurocore {desk.url}": TOKEN}
    assert TOKEN not in desk.file.read_text()
    assert with_keyring(desk, "boxes.Box", "runs", "list").returncode == 0
    locked = with_keyring(desk, "boxes.Locked", "runs", "list")
    assert (locked.returncode, "unlock it" in locked.stderr) == (2, True)
    assert with_keyring(desk, "boxes.Box", "logout").returncode == 0
    assert json.loads(box.read_text()) == {}


@pytest.mark.parametrize(
    "name", ["boxes.Locked", "keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "no.such.Keyring"]
)
def test_a_keyring_that_keeps_nothing_is_not_used(desk, name):
    done = with_keyring(desk, name, "login", "--token-stdin", input=TOKEN)
    assert (done.returncode, f"in {desk.file}" in done.stderr) == (0, True), done.stderr
    assert with_keyring(desk, name, "runs", "list").returncode == 0


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://runs.example.com", "http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example.com",
        "ftp://127.0.0.1", "runs.example.com", "https://", "https://ann:hunter22@runs.example.com", "https://x/?a=b",
        "https://x/#a", "https://x:99999", "https://x/a/../b", "https://a b", "https://ex\u0430mple.com", "https://x\\y",
    ],
)  # fmt: skip
def test_an_address_to_which_no_token_can_go_safely_is_refused(desk, url):
    for args in (("login", "--token-stdin"), ("runs", "list"), ("run", "plain")):
        done = desk.call(*args, "--server", url, input=TOKEN, NEUROCORE_TOKEN=TOKEN)
        assert done.exit_code == 2, done.output
        assert len(done.stderr.strip().splitlines()) == 1
        assert "hunter22" not in done.output


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://Runs.Example.COM:443/", "https://runs.example.com"), ("http://[::1]:8321", "http://[::1]:8321"),
        ("http://localhost:80/a/", "http://localhost/a"), (" https://x/a ", "https://x/a"),
    ],
)  # fmt: skip
def test_one_server_has_one_address(given, meant):
    assert read_address(given).url == meant


def test_without_the_packages_it_says_what_to_install(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    done = desk.listed(NEUROCORE_TOKEN=TOKEN)
    assert (done.exit_code, "pip install 'neurocore-ai[team]'" in done.stderr) == (2, True)


def test_login_and_logout_fail_if_their_output_is_lost(desk):
    for args, text in ((("login", "--token-stdin"), TOKEN), (("logout",), "")):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command(*args, "--server", desk.url), input=text, stdout=full, stderr=subprocess.PIPE, text=True,
                env=environment(**config_of(desk.home.root)), cwd=desk.home.root, check=False, timeout=60,
            )  # fmt: skip
        assert (done.returncode, "output of this command is lost" in done.stderr) == (1, True), done.stderr
