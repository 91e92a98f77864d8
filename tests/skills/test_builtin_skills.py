"""What is built in does what docs/skills.md says: command, template, python, delay."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurocore import FlowContext, Skill
from neurocore.errors import SkillError
from neurocore.skills.builtin.command import CommandSkill
from neurocore.skills.builtin.delay import DelaySkill
from neurocore.skills.builtin.python import PythonSkill
from neurocore.skills.builtin.template import TemplateSkill
from neurocore.skills.loader import BUILTIN, discover_skills
from tests.aside import ended


def made(kind: type[Skill], **config: Any) -> Any:
    """An initialised instance; its configuration must fit its schema."""
    skill = kind(name="it")
    skill.init(config)
    assert skill.validate_config() == []
    return skill


def ran(skill: Any, context: FlowContext) -> FlowContext:
    """The context after an async skill."""
    result: FlowContext = ended(skill.process(context))
    return result


def python(code: str, **config: Any) -> Any:
    """A command that runs a line of Python."""
    return made(CommandSkill, argv=[sys.executable, "-c", code], **config)


def test_a_command_runs_without_a_shell_and_fills_in_its_arguments() -> None:
    context = FlowContext({"name": "a b; echo $HOME"})
    skill = made(CommandSkill, argv=[sys.executable, "-c", "import sys; print(sys.argv[1])", "{{ name }}"])
    ran(skill, context)
    assert context.get("it")["stdout"] == "a b; echo $HOME\n"
    assert context.get("it")["exit_code"] == 0


def test_a_command_sees_only_the_environment_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKY", "x")
    monkeypatch.setenv("PASSED", "y")
    context = FlowContext()
    ran(python("import os; print(sorted(os.environ))", pass_env=["PASSED"], env={"GIVEN": "z"}), context)
    names = context.get("it")["stdout"]
    assert "LEAKY" not in names
    assert "PASSED" in names
    assert "GIVEN" in names
    assert "NEUROCORE_IDEMPOTENCY_KEY" in names


#: Starts a child that leaves the process group, writes down its number, and never ends by itself.
FAMILY = ["/bin/sh", "-c", "setsid sleep 600 & echo $! > started; sleep 600"]


def gone(pid: int) -> bool:
    """Whether a process has ended, or is only waiting to be asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(what: Callable[[], bool]) -> None:
    """Look until it is so, or for ten seconds."""
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def in_folder(skill: Any, folder: Path) -> Any:
    """The skill in a project of its own."""
    skill.project_root = folder
    return skill


def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(SkillError, match=r"did not end within 1 s and was killed"):
        ran(in_folder(made(CommandSkill, argv=FAMILY, timeout=1), tmp_path), FlowContext())
    child = int((tmp_path / "started").read_text())
    wait_for(lambda: gone(child))


def test_a_command_is_killed_with_all_that_it_started_when_its_run_is_cancelled(tmp_path: Path) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(in_folder(made(CommandSkill, argv=FAMILY), tmp_path).process(FlowContext()))
        started = tmp_path / "started"
        await asyncio.to_thread(wait_for, lambda: started.exists() and started.read_text().endswith("\n"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    ended(cancelled())
    child = int((tmp_path / "started").read_text())
    wait_for(lambda: gone(child))


def test_a_command_ends_when_its_program_does_although_a_daemon_holds_its_output(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nprint('done', flush=True)\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        open('daemon', 'w').write(str(os.getpid()))\n        time.sleep(600)\n    os._exit(0)\n"
        "os.wait()\n"
        "while not os.path.exists('daemon') or not open('daemon').read(): time.sleep(0.01)\n"
    )
    context = ran(in_folder(python(code, timeout=30), tmp_path), FlowContext())
    os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)
    assert context.get("it")["stdout"] == "done\n"


def test_a_command_runs_in_the_project_and_a_signal_is_named(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    context = ran(in_folder(python("import os; print(os.getcwd())", cwd="below"), tmp_path), FlowContext())
    assert context.get("it")["stdout"] == f"{tmp_path / 'below'}\n"
    with pytest.raises(SkillError, match="was ended by SIGTERM"):
        ran(python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), FlowContext())


def test_what_a_command_prints_beyond_the_limit_is_dropped() -> None:
    context = FlowContext()
    ran(python("print('x' * 100_000)", max_output=1000), context)
    assert (len(context.get("it")["stdout"]), context.get("it")["truncated"]) == (1000, True)


def test_an_exit_code_that_is_not_fine_fails_the_step() -> None:
    with pytest.raises(SkillError, match="ended with exit code 3: gone wrong"):
        ran(python("import sys; sys.stderr.write('gone wrong'); sys.exit(3)"), FlowContext())
    context = FlowContext()
    ran(python("import sys; sys.exit(3)", ok_codes=[0, 3]), context)
    assert context.get("it")["exit_code"] == 3


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(SkillError, match="cannot start 'no-such-program'"):
        ran(made(CommandSkill, argv=["no-such-program"]), FlowContext())


def test_a_template_goes_to_a_key_or_to_a_file_of_the_project(tmp_path: Path) -> None:
    context = FlowContext({"name": "Ada", "rows": [1, 2]})
    made(TemplateSkill, template="Hi {{ name }}: {{ rows | sum }}", output="text").process(context)
    assert context.get("text") == "Hi Ada: 3"
    in_folder(made(TemplateSkill, template="x", file="out/{{ name }}.txt"), tmp_path).process(context)
    assert (tmp_path / "out" / "Ada.txt").read_text() == "x"
    assert context.get("it") == "out/Ada.txt"
    plain = tmp_path / "out" / "plain"
    plain.touch()
    assert (tmp_path / "out" / "Ada.txt").stat().st_mode == plain.stat().st_mode
    for wrong in ("../x.txt", "/etc/x", "."):
        with pytest.raises(SkillError, match="writes below"):
            in_folder(made(TemplateSkill, template="x", file=wrong), tmp_path).process(context)


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "outside").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "fifo")
    before = sorted(tmp_path.iterdir())
    for file, said in (
        ("folder", "not a regular file"), ("fifo", "not a regular file"), ("outside", "not a regular file"),
        ("outside/x", "Not a directory"), ("n" * 300, "File name too long"),
    ):  # fmt: skip
        with pytest.raises(SkillError, match=f"it cannot write .*{said}"):
            in_folder(made(TemplateSkill, template="x", file=file), tmp_path).process(FlowContext())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("config", [{"file": "outbox/{{ name }}"}, {"folder": "outbox", "file": "{{ name }}"}])
@pytest.mark.parametrize(
    "name",
    [
        "../requirements.txt", "/etc/passwd", "a/../../requirements.txt", "..", ".", "", "a/", "/",
        "//requirements.txt", "a\0b", "..\\x", "\uff0e\uff0e/requirements.txt",
        "..\uff0frequirements.txt", "\u2025/requirements.txt",
        "..\u200b/requirements.txt", "fine\u202etxt.exe", "\x1b[2J", "two\nlines", "\udcff",
        "out/requirements.txt", "project.txt", "up/requirements.txt",
    ],
)  # fmt: skip
def test_no_value_leads_a_file_out_of_the_folder_that_the_configuration_names(
    tmp_path: Path, config: dict[str, Any], name: str
) -> None:
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    (tmp_path / "requirements.txt").write_text("httpx")
    (outbox / "out").symlink_to(tmp_path)
    (outbox / "up").symlink_to("..")
    (outbox / "project.txt").symlink_to(tmp_path / "requirements.txt")
    skill = in_folder(made(TemplateSkill, template="x", **config), tmp_path)
    with pytest.raises(SkillError, match=r"it writes below .*outbox only|it cannot write .* below .*outbox: "):
        skill.process(FlowContext({"name": name}))
    assert (tmp_path / "requirements.txt").read_text() == "httpx"
    assert {path.name for path in outbox.iterdir()} <= {"out", "up", "project.txt", "a"}
    for fine in ("Grüße.txt", "deep/er/a b.txt", ".hidden"):
        context = FlowContext({"name": fine})
        skill.process(context)
        assert (outbox / fine).read_text() == "x"
        assert context.get("it") == f"outbox/{fine}"


@pytest.mark.parametrize(
    "config",
    [
        {"file": "{{ name }}.txt"}, {"file": "../{{ name }}"}, {"file": "./{{ name }}"}, {"file": "a/../{{ name }}"},
        {"file": "/tmp/{{ name }}"}, {"file": "{{ name }}/report.txt"}, {"file": "report-{{ name }}"},
        {"folder": ".", "file": "{{ name }}"}, {"folder": "..", "file": "{{ name }}"},
        {"folder": "out/..", "file": "{{ name }}"},
        {"folder": "/tmp", "file": "{{ name }}"}, {"folder": "linked", "file": "{{ name }}"},
    ],
)  # fmt: skip
def test_a_file_named_by_data_needs_a_folder_of_the_project(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "linked").symlink_to(tmp_path.parent)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SkillError, match=r"names no folder before its first tag|below a folder of the project only"):
        in_folder(made(TemplateSkill, template="x", **config), tmp_path).process(FlowContext({"name": "x"}))
    assert sorted(tmp_path.iterdir()) == before
    told = [sentence for _, sentence in TemplateSkill.template_problems({"template": "x", **config})]
    assert told or "folder" in config


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro again(x) %}{{ again(x) }}{% endmacro %}{{ again(1) }}",
        "{{ ''.__class__.__mro__ }}", "{{ 9 ** 9 ** 9 }}", "{{ 'a' * 999999999 }}", "{{ missing }}", "{% for %}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{% for a in b %}" * 25 + "{% endfor %}" * 25,
        "{{ " + "9" * 5000 + " }}", "{% for i in range(10000000) %}{{ i }}{% endfor %}",
        "{{ name.__init__.__globals__ }}",
    ],
)  # fmt: skip
def test_a_hostile_template_is_refused(template: str) -> None:
    with pytest.raises(SkillError):
        made(TemplateSkill, template=template).process(FlowContext({"name": "x"}))


def test_a_function_is_called_with_context_keys_and_values() -> None:
    context = FlowContext({"n": 16})
    made(PythonSkill, function="math:isqrt", output="root", values={}).config["arguments"] = {}
    skill = made(PythonSkill, function="builtins:dict", arguments={"x": "n"}, values={"y": 2}, output="both")
    skill.process(context)
    assert context.get("both") == {"x": 16, "y": 2}
    with pytest.raises(SkillError, match="needs the context key 'gone'"):
        made(PythonSkill, function="builtins:dict", arguments={"x": "gone"}).process(context)


def test_a_delay_waits_on_the_event_loop() -> None:
    ended(made(DelaySkill, seconds=0).process(FlowContext()))
    assert DelaySkill.config_problems({"seconds": -1})


def test_every_built_in_skill_says_what_it_is() -> None:
    registry = discover_skills()
    for name in BUILTIN:
        meta = registry.require(name).skill_meta
        assert (meta.name, meta.author) == (name, "NeuroCore")
        assert meta.description
        assert meta.config_schema
