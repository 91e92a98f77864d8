"""What is logged: one record is one line, and nothing that is logged steers the terminal it is read in."""

from __future__ import annotations

import json
import logging
import os
import shutil

import pytest

from neurocore import log
from neurocore.config import Logging, NeuroCoreConfig, Persistence
from tests.waiting import until

#: Line breaks of every kind, escapes, C1, bidirectional controls, half a pair of surrogates.
FORGED = "no\n2026-01-01 00:00:00,000 INFO    root: forged"
EVIL = f"{FORGED}\r\x1b[2J\x1b]0;owned\x07\x9b31m\x85\u2028\u2029\u202egpj\u2066\ud800\x7f"
BAD = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2066, 0xD800)}


@pytest.fixture
def logged(tmp_path):
    """Log to a file in this form; returns what it then has."""

    def set_up(form):
        config = NeuroCoreConfig(project_root=tmp_path, logging=Logging(format=form, file="all.log"))
        log.set_up(config)
        return lambda: (config.logs_dir / "all.log").read_text("utf-8")

    level = logging.getLogger().level
    yield set_up
    log.set_up(NeuroCoreConfig(project_root=tmp_path))
    logging.getLogger().setLevel(level)


def tell(text, *, name="neurocore", level=logging.INFO, error=None, stack=None):
    """Log it, past the handlers of pytest: those cannot carry half a pair of surrogates."""
    trouble = (type(error), error, None) if error is not None else None
    record = logging.LogRecord(name, level, "here.py", 1, "%s", (text,), trouble, sinfo=stack)
    for handler in log._ours:
        handler.handle(record)


@pytest.mark.parametrize("form", ["console", "json"])
def test_nothing_logged_writes_a_line_of_its_own_or_steers_a_terminal(logged, form):
    text = logged(form)
    tell(EVIL, name=f"evil{EVIL}", error=ValueError(EVIL))
    tell(EVIL, stack=f"Stack:\n{EVIL}" if form == "console" else None)
    tell("after")
    written = text()
    assert not BAD & set(written), sorted(map(hex, map(ord, BAD & set(written))))
    records = [line for line in written.split("\n") if line and not line.startswith("    ")]
    assert len(records) == 3, written
    assert [line for line in records if line.startswith("2026-01-01")] == []
    if form == "json":
        documents = [json.loads(line) for line in records]
        assert documents[0]["message"] == EVIL, "the document keeps it exactly"
        assert documents[0]["error"].endswith(f"ValueError: {EVIL}")
        assert documents[1]["message"] == EVIL
    else:
        assert "no\\n2026-01-01 00:00:00,000 INFO    root: forged\\x0d\\x1b[2J" in records[0]
        assert "\n    ValueError: no\n    2026-01-01" in written, "what belongs to a record is indented"


def test_a_secret_is_taken_out_before_its_characters_are_written_out(logged, monkeypatch):
    secret = "line one\nline\x07two"
    monkeypatch.setattr(log, "redactors", [lambda text: text.replace(secret, "•••")])
    text = logged("console")
    tell(f"token {secret}", error=ValueError(f"token {secret}"))
    assert "line one" not in text()
    assert text().count("token •••") == 2


def test_one_place_in_our_code_cannot_fill_the_log(logged, monkeypatch):
    text = logged("console")

    def trouble(count, at, name="webapp.somewhere", line=7):
        for number in range(count):
            record = logging.LogRecord(name, logging.ERROR, "here.py", line, "trouble %d", (number,), None)
            record.created = at
            for handler in log._ours:
                handler.handle(record)

    trouble(100, 1000.0)
    trouble(3, 1000.0, line=8)
    trouble(30, 1000.0, name="skill")
    trouble(1, 1000.0 + log.BOUND_SECONDS)
    lines = text().splitlines()
    assert sum("webapp" in line and "trouble" in line for line in lines) == log.BOUND_LINES + 3 + 1
    assert sum(" skill: " in line for line in lines) == 30, "what skills log is theirs"
    assert "80 lines like the next one were left out." in lines[-2]
    assert lines[-1].endswith("trouble 0")


def moved(file):
    """As logrotate moves a log away."""
    return file.rename(file.with_name("all.log.1"))


def truncated(file):
    """As logrotate's copytruncate does."""
    copy = file.with_name("all.log.1")
    copy.write_bytes(file.read_bytes())
    os.truncate(file, 0)
    return copy


@pytest.mark.parametrize("rotate", [moved, truncated])
def test_after_a_rotation_the_next_line_is_in_a_new_file(logged, tmp_path, rotate):
    text = logged("console")
    tell("before")
    old = rotate(tmp_path / "logs" / "all.log")
    tell("after")
    assert "before" in old.read_text()
    assert "after" not in old.read_text()
    assert text().endswith(" INFO    neurocore: after\n")
    assert "before" not in text()
    assert "\0" not in text()
    assert (tmp_path / "logs" / "all.log").stat().st_mode & 0o777 == 0o600


def test_a_log_that_was_removed_with_its_folder_is_made_again(logged, tmp_path):
    text = logged("console")
    tell("before")
    shutil.rmtree(tmp_path / "logs")
    tell("after")
    assert "after" in text()


def test_a_new_log_file_may_be_read_by_those_who_may_read_the_old_one(tmp_path, logged):
    logged("console")
    config = NeuroCoreConfig(
        project_root=tmp_path, logging=Logging(file="all.log"), persistence=Persistence(mode="0640")
    )
    log.set_up(config)
    moved(tmp_path / "logs" / "all.log")
    tell("after")
    assert (tmp_path / "logs" / "all.log").stat().st_mode & 0o777 == 0o640


def test_lines_go_on_into_the_old_file_where_no_new_one_can_be_made(logged, tmp_path):
    logged("console")
    old = moved(tmp_path / "logs" / "all.log")
    (tmp_path / "logs" / "all.log").mkdir()
    tell("after")
    assert "after" in old.read_text()


def test_a_signal_handler_has_the_log_opened_again_while_its_thread_writes_to_it(logged, tmp_path):
    text = logged("console")
    moved(tmp_path / "logs" / "all.log")
    (handler,) = log._ours
    with handler.lock:
        log.reopen()
    until(lambda: (tmp_path / "logs" / "all.log").exists() and "opened again" in text())
