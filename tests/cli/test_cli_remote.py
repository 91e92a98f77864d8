"""The command line against a server: it prints the same, and ends the same, as where the history is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from .conftest import Project, command, environment, make_project
from .servers import config_of, serving


class There(NamedTuple):
    """A server, the project that it serves, and a folder from which it is called."""

    url: str
    project: Project
    home: Project
    tokens: dict[str, str]

    def call(self, *args: str, as_: str | None = None, **env: str) -> Result:
        """Call on the server, with the token of somebody."""
        token = {"NEUROCORE_TOKEN": self.tokens[as_]} if as_ else {}
        return self.home.call(*args, env={"NEUROCORE_SERVER": self.url, **config_of(self.home.root), **token, **env})

    def json(self, *args: str, code: int = 0, **more: str) -> Any:
        done = self.call(*args, "--json", **more)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)


#: Runs of each kind that both sides show: the id, the blueprint, its data, and how it ends.
RUNS = {
    "done": ("plain", ("mode=log",), 0), "failed": ("plain", ("mode=fail",), 1), "evil": ("plain", ("mode=evil",), 1),
    "waits": ("gated", ("batch=june",), 0), "asks": ("asking", (), 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A server where nobody signs in, over runs of every kind."""
    project = make_project(tmp_path_factory.mktemp("open") / "work")
    for run_id, (blueprint, data, code) in RUNS.items():
        pairs = [part for one in data for part in ("-d", one)]
        project.ok("run", blueprint, "--run-id", run_id, "--tag", "shown", "-q", *pairs, code=code)
    project.ok("run", "gated", "--run-id", "agreed", "--tag", "shown", "-q")
    project.ok("runs", "approve", "agreed", "--note", "fine", "-q")
    project.ok("run", "gated", "--run-id", "refused", "--tag", "shown", "-q")
    project.ok("runs", "approve", "refused", "--reject", "--note", "no", "-q")
    project.ok("run", "gated", "--run-id", "stopped", "--tag", "shown", "-q")
    project.ok("runs", "cancel", "stopped", "--note", "late")
    home = Project(tmp_path_factory.mktemp("home"))
    with serving(project.root) as url:
        yield There(url, project, home, {})


SCOPES = {
    "viewer": "view", "starter": "view,start", "answerer": "view,answer", "blind": "start",
    "plain": "view,start,answer", "all": "view,start,answer,resume,replay,cancel", "gone": "view",
}  # fmt: skip


@pytest.fixture(scope="module")
def team_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A server where people sign in, and tokens of ann for different things; `gone` is revoked."""
    project = make_project(tmp_path_factory.mktemp("team") / "work")
    (project.root / "neurocore.yaml").write_text("project: {name: work}\nauth: {mode: local}\n")
    project.ok("users", "add", "ann", "--role", "operator", "--role", "approver")
    tokens = {}
    for name, scopes in SCOPES.items():
        only = ("--blueprints", "pl*") if name == "plain" else ()
        made = project.ok("tokens", "create", "--user", "ann", "--name", name, "--scope", scopes, *only)
        tokens[name] = made.strip()
    listed = json.loads(project.ok("tokens", "list", "--json"))["tokens"]
    project.ok("tokens", "revoke", next(one["id"] for one in listed if one["name"] == "gone"))
    project.ok("run", "gated", "--run-id", "waits", "-q")
    home = Project(tmp_path_factory.mktemp("home"))
    with serving(project.root) as url:
        yield There(url, project, home, tokens)


def timeless(text: str) -> str:
    """A text without what the moment decides at which it is printed, and without how long things took."""
    text = re.sub(r"\b(just now|\d+ (s|min) ago)", "<ago>", text)
    text = re.sub(r"\b[\d.]+ m?s\b", "<time>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+\+00:00)?", "<at>", text)
    return re.sub(r"  +", "  ", text)  # the columns of a table depend on the times


READING = [
    ("runs", "list", "--tag", "shown"),
    ("runs", "list", "--tag", "shown", "-s", "failed,suspended", "-n", "2"),
    ("runs", "list", "--waiting", "--search", "Payments of j"),
    ("runs", "list", "--blueprint", "nothing"),
    ("runs", "list", "--since", "2001-01-01", "--until", "2001-01-02"),
    *(("runs", verb, run) for verb in ("inspect", "logs", "watch") for run in (*RUNS, "agreed", "refused", "stopped")),
    *(("runs", "inspect", run, "--full") for run in ("done", "failed", "evil", "waits", "agreed", "refused")),
    ("runs", "logs", "done", "--level", "error"),
    ("runs", "logs", "done", "--node", "act"),
    ("runs", "inspect", "wai"),
    ("runs", "inspect", "=waits"),
]


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_what_is_read_from_a_server_is_what_is_read_where_the_history_is(open_server, args):
    here, there = open_server.project.call(*args), open_server.call(*args)
    root = f"{open_server.project.root}/"  # a path below the current folder is shown without it
    told = [
        (one.exit_code, *(timeless(text.replace(root, "")) for text in (one.stdout, one.stderr)))
        for one in (here, there)
    ]
    assert told[1] == told[0]
    here, there = open_server.project.call(*args, "--json"), open_server.call(*args, "--json")
    assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout)


WRONG = [
    (("runs", "inspect", "nothing"), 3),
    (("runs", "inspect", "../../me"), 3),
    (("runs", "logs", "done", "--node", "nope"), 3),
    (("runs", "approve", "done"), 4),
    (("runs", "approve", "agreed", "--reject", "--note", "x"), 4),
    (("runs", "approve", "waits", "--reject"), 2),
    (("runs", "approve", "waits", "--digest", "v2:stale"), 4),
    (("runs", "approve", "waits", "--gate", "nope"), 4),
    (("runs", "resume", "done"), 4),
    (("runs", "resume", "waits"), 4),
    (("runs", "cancel", "done"), 4),
    (("runs", "list", "--since", "soon"), 2),
    (("runs", "list", "--before", "nonsense"), 2),
    (("run", "nothing"), 3),
    (("run", "plain", "-d", "nope=1"), 2),
    (("run", "plain", "-d", "mode"), 2),
    (("run", "plain", "--run-id", "done"), 4),
    (("run", "plain", "--run-id", "../x"), 2),
    (("run", "plain", "--by", "two\nlines"), 2),
]


@pytest.mark.parametrize(("args", "code"), WRONG, ids=lambda one: " ".join(one) if isinstance(one, tuple) else "")
def test_what_is_refused_is_refused_in_one_sentence_and_with_the_same_code(open_server, args, code):
    here, there = open_server.project.call(*args), open_server.call(*args)
    assert (here.exit_code, there.exit_code) == (code, code), there.output
    assert there.stdout == ""
    assert there.stderr.startswith(("Error: ", "Usage: ")), there.stderr
    assert "Traceback" not in there.output


def test_an_ambiguous_id_lists_the_candidates(open_server):
    for run_id in ("batch-1", "batch-2"):
        open_server.project.ok("run", "plain", "--run-id", run_id, "-q")
    here, there = (call("runs", "inspect", "batch") for call in (open_server.project.call, open_server.call))
    assert (there.exit_code, there.stderr) == (3, here.stderr)


VERBS = [
    [("run", "gated", "-d", "batch=03", "--run-id", "{}")],
    [("run", "plain", "-d", "mode=fail", "--run-id", "{}"), ("runs", "resume", "{}", "-d", "mode=3")],
    [("run", "gated", "--exit-code", "--run-id", "{}"), ("runs", "approve", "{}"), ("runs", "approve", "{}")],
    [("run", "gated", "--run-id", "{}"), ("runs", "approve", "{}", "--reject", "--note", "no")],
    [("run", "gated", "-d", "mode=fail", "--run-id", "{}"), ("runs", "approve", "{}"), ("runs", "resume", "{}")],
    [("run", "asking", "--run-id", "{}"), ("runs", "resume", "{}", "-d", "number=7", "--gate", "ask")],
    [("run", "gated", "--run-id", "{}"), ("runs", "cancel", "{}", "--note", "late")],
    [("run", "plain", "-d", "rows=[1, {{a: x}}]", "--tag", "a", "--run-id", "{}"), ("runs", "watch", "{}", "--follow")],
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("calls", VERBS, ids=lambda calls: " ".join((*calls[0][1:4], *calls[-1][:2])))
def test_a_verb_does_and_prints_the_same(open_server, calls, as_json):
    place = f"{VERBS.index(calls)}{'j' if as_json else 't'}"
    told: dict[str, list[tuple[int, str]]] = {}
    for side, call in (("here", open_server.project.call), ("ther", open_server.call)):
        told[side] = []
        for args in calls:
            done = call(*(one.format(f"{side}{place}") for one in args), "-q" if args[1] != "cancel" else "--by=root",
                        *(["--json"] if as_json else []))  # fmt: skip
            told[side].append((done.exit_code, _alike(done.stdout, f"{side}{place}", as_json)))
    assert told["ther"] == told["here"]


def _alike(text: str, run_id: str, as_json: bool) -> str:
    text = timeless(text.replace(run_id, "<run>"))
    text = re.sub(r"(v\d+:|sha256:)?[0-9a-f]{64}", "<hash>", text)
    # Compared with what was approved last, which is another run on each side.
    text = re.sub(r"The same values as last approved .*|Changed since the last approval .*", "<since>", text)
    if as_json:
        document = json.loads(text)
        document["duration_ms"] = None
        return json.dumps(document)
    return text


def test_a_replay_makes_a_new_run_with_the_same_inputs(open_server):
    made = open_server.json("runs", "replay", "waits", "--tag", "again")
    assert (made["replay_of"], made["status"], made["tags"]) == ("waits", "suspended", ["again"])
    assert open_server.project.json("runs", "inspect", made["run_id"])["run"]["initial_data"]["batch"] == "june"


def test_progress_is_told_once_while_the_server_drives(open_server):
    started = open_server.call("run", "gated", "--run-id", "told")
    assert "load completed in" in started.stderr
    assert "review waits" in started.stderr
    answered = open_server.call("runs", "approve", "told")
    assert "book completed in" in answered.stderr
    assert "load completed" not in answered.stderr


def test_inputs_are_read_by_the_server_and_files_here(open_server):
    (open_server.home.root / "rows.txt").write_text("of this side")
    (open_server.project.root / "rows.txt").write_text("of the server")
    made = open_server.json("run", "gated", "-d", "batch=@rows.txt")
    assert made["title"] == "Payments of of this side"
    assert open_server.json("run", "gated", "-d", "batch=@@rows.txt")["title"] == "Payments of @rows.txt"


def test_where_nobody_signs_in_the_local_user_or_by_is_claimed(open_server):
    open_server.call("run", "gated", "--run-id", "who", "--by", "Ann", "-q")
    open_server.call("runs", "approve", "who", "--by", "Bo", "-q")
    shown = open_server.json("runs", "inspect", "who")
    assert shown["run"]["started_by"] == "Ann"
    assert [one["by"] for one in shown["gates"][0]["answers"]] == ["Bo"]


def test_the_next_commands_name_a_server_that_the_environment_does_not(open_server):
    home, url = open_server.home, open_server.url
    shown = home.call("runs", "inspect", "waits", "--server", f"{url}/", env=config_of(home.root))
    assert f"neurocore runs approve waits --server {url}\n" in shown.stdout
    listed = json.loads(home.call("runs", "inspect", "waits", "--json", "--server", url).stdout)["next"]
    assert listed == [f"neurocore runs approve waits --server {url}",
                      f'neurocore runs approve waits --server {url} --reject --note "…"']  # fmt: skip


@pytest.mark.parametrize("args", [("db", "stats"), ("runs", "diff", "a"), ("runs", "sweep"), ("validate",)])
def test_what_works_here_alone_refuses_a_server_and_ignores_the_environment(open_server, args):
    refused = open_server.home.call(*args, "--server", open_server.url)
    assert refused.exit_code == 2
    said = r"Error: `(neurocore|cli) [a-z ]+` works only where the history is; leave --server out\.\n"
    assert re.fullmatch(said, refused.stderr)
    local = open_server.project.call("db", "stats", env={"NEUROCORE_SERVER": "https://nowhere.example"})
    assert local.exit_code == 0


@pytest.mark.parametrize(("option", "said"), [("--take-over", "runs resume"), ("--no-resume", "runs approve")])
def test_an_option_that_needs_the_history_is_refused(open_server, option, said):
    done = open_server.call(*said.split(), "waits", option)
    assert done.exit_code == 2
    assert "works only where the history is" in done.stderr


# ---------------------------------------------------------------- where people sign in


def test_an_answer_is_in_the_name_of_the_tokens_owner(team_server):
    open_one = team_server.json("run", "gated", as_="all")
    assert open_one["started_by"] == "ann"
    run_id = open_one["run_id"]
    answered = team_server.json("runs", "approve", run_id, as_="answerer")
    assert (answered["decision"]["by"], answered["status"]) == ("ann", "completed")
    shown = team_server.json("runs", "inspect", run_id, as_="viewer")
    assert shown["gates"][0]["answers"][0]["known_by"] == "token"
    assert shown["gates"][0]["answers"][0]["digest"] == open_one["waits"][0]["digest"]


RIGHTS = [
    ("viewer", ("runs", "approve", "waits"), 4),
    ("viewer", ("run", "plain"), 4),
    ("viewer", ("runs", "cancel", "waits"), 4),
    ("starter", ("runs", "replay", "waits"), 4),
    ("blind", ("runs", "list"), 4),
    ("plain", ("runs", "inspect", "waits"), 3),
    ("plain", ("runs", "approve", "waits"), 3),
    ("plain", ("run", "gated"), 3),
    ("plain", ("run", "plain", "-q"), 0),
    ("gone", ("runs", "list"), 4),
    ("all", ("runs", "cancel", "waits", "--by", "eve"), 2),
    ("all", ("run", "plain", "--by", "eve"), 2),
]


@pytest.mark.parametrize(("who", "args", "code"), RIGHTS)
def test_a_token_does_what_it_is_for(team_server, who, args, code):
    done = team_server.call(*args, as_=who)
    assert done.exit_code == code, done.output
    assert team_server.tokens[who] not in done.output
    if code:
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_token_that_is_missing_or_revoked_says_how_to_sign_in(team_server):
    missing, revoked = team_server.call("runs", "list"), team_server.call("runs", "list", as_="gone")
    assert (missing.exit_code, revoked.exit_code) == (4, 4)
    assert f"sign in with `neurocore login --server {team_server.url}`" in missing.stderr
    assert f"{team_server.url} does not accept the token in NEUROCORE_TOKEN" in revoked.stderr


def test_the_command_line_where_the_history_is_says_where_to_answer(team_server):
    done = team_server.project.call("runs", "approve", "waits")
    assert done.exit_code == 4
    assert "/runs/waits" in done.stderr
    assert "`neurocore login --server http" in done.stderr


def test_the_token_is_in_no_log_and_in_no_address(team_server):
    team_server.call("--debug", "run", "plain", as_="all")
    team_server.call("--debug", "runs", "inspect", "waits", as_="all")
    for file in team_server.project.root.rglob("*"):
        if file.is_file():
            assert not any(token.encode() in file.read_bytes() for token in team_server.tokens.values()), file


def test_ctrl_c_stops_watching_and_not_the_run(open_server):
    root: Path = open_server.project.root
    env = environment(NEUROCORE_SERVER=open_server.url, **config_of(open_server.home.root))
    (root / "waiting").unlink(missing_ok=True)
    started = subprocess.Popen(
        command("run", "plain", "-d", "mode=wait", "--run-id", "long"), cwd=open_server.home.root, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stderr is not None
    told = iter(started.stderr.readline, "")
    assert any("act started" in line for line in told)
    shown = [timeless(one.call("runs", "inspect", "long").stdout) for one in (open_server.project, open_server)]
    assert shown[1] == shown[0]
    assert "drives it." in shown[1]
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert (started.returncode, out) == (130, "")
    assert f"Stopped watching; the run continues on {open_server.url}" in err
    (root / "go").write_text("x")
    watched = open_server.call("runs", "watch", "long")
    (root / "go").unlink()
    assert (watched.exit_code, "completed" in watched.stdout) == (0, True)


def test_a_local_command_imports_nothing_of_it(open_server):
    code = (
        "import sys\nfrom neurocore.cli import main\ntry:\n    main(['runs', 'list'])\nexcept SystemExit:\n    pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print('\\n'.join(sys.modules), file=sys.stderr)"], capture_output=True,
        text=True, cwd=open_server.project.root, env=environment(), check=True,
    )  # fmt: skip
    loaded = set(done.stderr.split())
    assert not {"httpx", "keyring", "neurocore.remote", "neurocore.cli.elsewhere"} & loaded


def test_completion_asks_no_server(tmp_path):
    def completed(words: str) -> str:
        env = {"_NEUROCORE_COMPLETE": "bash_complete", "COMP_WORDS": f"neurocore {words}"}
        env |= {"COMP_CWORD": str(len(words.split())), "NEUROCORE_SERVER": "https://nowhere.example"}
        done = subprocess.run(
            command(), cwd=tmp_path, env=environment(**env), capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    assert "--server" in completed("runs list --se")
    assert completed("runs inspect w").strip() == ""
    assert "login" in completed("log")
