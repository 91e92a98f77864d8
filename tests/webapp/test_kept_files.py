"""A file that has changed is read again, whatever its times say."""

from __future__ import annotations

import os

import pytest

from neurocore import contents
from webapp.kept_files import KeptFiles

FIRST_SECOND = (1_000_000_000, 1_000_000_000)
LIMIT = """
name: v
components: [{{name: a, type: template, config: {{template: "limit {}", output: o}}}}]
flow: {{steps: [{{component: a}}]}}
"""


def write(path, text, *, anew=False):
    """Write a file whose time of modification is always the same; `anew` puts another file in its place."""
    target = path.with_name("new") if anew else path
    target.write_text(text)
    os.utime(target, ns=FIRST_SECOND)
    if anew:
        target.rename(path)


@pytest.fixture
def reads():
    return []


@pytest.fixture
def kept(reads):
    def make(path):
        reads.append(path)
        return path.read_text()

    return KeptFiles(make)


@pytest.mark.parametrize("anew", [False, True])
def test_new_content_is_seen_although_time_and_size_are_those_of_the_old(tmp_path, kept, anew):
    path = tmp_path / "file"
    for text in ("100", "999", "12345"):
        write(path, text, anew=anew)
        assert kept.get(path) == text


def test_a_file_at_rest_is_neither_made_nor_read_again(tmp_path, kept, reads, monkeypatch):
    path = tmp_path / "file"
    write(path, "100")
    later = path.stat().st_ctime_ns + 2 * contents.SETTLED
    monkeypatch.setattr(contents.time, "time_ns", lambda: later)
    kept.get(path)
    monkeypatch.setattr(contents, "_content", lambda path: pytest.fail("it was read again"))
    assert kept.get(path) == "100"
    assert reads == [path]


@pytest.mark.parametrize("anew", [False, True])
def test_a_file_that_was_at_rest_is_compared_by_its_content_once_it_changes(tmp_path, kept, reads, monkeypatch, anew):
    path = tmp_path / "file"
    write(path, "100")
    at_rest = path.stat().st_ctime_ns + 2 * contents.SETTLED
    with monkeypatch.context() as patch:
        patch.setattr(contents.time, "time_ns", lambda: at_rest)
        kept.get(path)
    write(path, "100", anew=anew)
    assert kept.get(path) == "100"
    assert reads == [path], "the same content is made once"
    write(path, "999", anew=anew)
    assert kept.get(path) == "999"


def test_a_file_that_is_gone_or_comes_back_is_noticed(tmp_path, kept):
    path = tmp_path / "file"
    for text in ("100", "200"):
        with pytest.raises(FileNotFoundError):
            kept.get(path)
        write(path, text)
        assert kept.get(path) == text
        path.unlink()


def test_the_dashboard_starts_what_the_blueprint_says_now(site):
    path = site.root / "blueprints" / "v.yaml"
    for limit in ("100", "999", "99999"):
        write(path, LIMIT.format(limit))
        begun = site.client.post("/api/v1/blueprints/v/runs", json={"by": "ann"})
        run = site.client.get(f"/api/v1/runs/{begun.json['run_id']}").json
        assert run["data"]["o"] == f"limit {limit}"
