"""The power goes: of what the disk was not yet told to sync, any part may be missing (promises 1 and 5).

Processes that drive, decide and drive on are watched by strace. Their writes are then replayed, up to some moment, onto
an empty disk, where everything up to a file's last sync is there and of what came later some sectors are, some are not.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurocore.persistence import GateStatus, RunStatus, StepStatus
from neurocore.persistence.admin import check
from neurocore.persistence.testing.contract import event
from tests.system.conftest import WORKER, Site
from tests.system.test_kills import finish

NODES = ["a", "b", "ok", "c", "d"]
SECTOR = 512
#: A call with the file that it is about, as `strace -y` writes it, every string in hexadecimal.
CALL = re.compile(r"^\d+ +(\w+)\((?:\d+<([^>]*)>|\"([^\"]*)\")(.*)\) += (-?\d+|\?)")
UNFINISHED, RESUMED = " <unfinished ...>", re.compile(r"^ *<\.\.\. \w+ resumed>(.*)$")
WRITTEN = re.compile(r', "([^"]*)", (\d+)(?:, (\d+))?$')

Operation = tuple[str, str, int, bytes]


class File:
    """What a disk may hold of one file: what was synced, and what was done since, in order."""

    def __init__(self, before: File | None = None) -> None:
        self.synced = bytearray()
        self.since: list[tuple[str, int, bytes]] = []
        self.is_removed = False
        #: The file that stood here and was removed, as long as nothing says that the removal has reached the disk.
        self.before = before

    def sync(self) -> None:
        """All of it is on the disk, and so is that it stands where it stands."""
        for operation in self.since:
            _apply(self.synced, operation)
        self.since.clear()
        self.before = None

    def left(self, chance: random.Random) -> bytes | None:
        """What may be there after a power cut; None where there is no file."""
        if self.before is not None and chance.random() < 0.5:
            return self.before.left(chance)
        if self.is_removed:
            return None
        data, share = bytearray(self.synced), chance.choice([0.0, 0.5, 1.0])
        for operation in self.since:
            for part in _sectors(operation):
                if chance.random() < share:
                    _apply(data, part)
        return bytes(data)


def _apply(data: bytearray, operation: tuple[str, int, bytes]) -> None:
    kind, place, written = operation
    if kind == "truncate":
        del data[place:]
    data.extend(bytes(max(0, place - len(data))))
    data[place : place + len(written)] = written


def _sectors(operation: tuple[str, int, bytes]) -> Iterator[tuple[str, int, bytes]]:
    kind, place, written = operation
    if kind == "truncate":
        yield operation
    start = 0
    while start < len(written):
        end = start + SECTOR - (place + start) % SECTOR
        yield kind, place + start, written[start:end]
        start = end


def operations(trace: Path) -> list[Operation]:
    """What processes did to files: (write | truncate | sync | unlink, path, place, data)."""
    found: list[Operation] = []
    for line in _whole(trace.read_text("ascii").splitlines()):
        call = CALL.match(line)
        assert call is not None or "+++ exited" in line, f"what is this? {line[:200]}"
        if call is None or call[5] == "?" or int(call[5]) < 0:  # it failed, or its process ended within it
            continue
        name, path, rest = call[1], _bytes(call[2] or call[3] or "").decode(), call[4]
        if name in ("write", "pwrite64"):
            written = WRITTEN.match(rest)
            assert written is not None, line[:200]
            data = _bytes(written[1])
            assert len(data) == int(written[2]) == int(call[5])
            found.append(("write", path, int(written[3] or 0), data))
        elif name == "ftruncate":
            found.append(("truncate", path, int(rest.strip(", ")), b""))
        else:
            found.append(("sync" if name in ("fsync", "fdatasync") else "unlink", path, 0, b""))
    return found


def _whole(lines: list[str]) -> Iterator[str]:
    """The lines of a trace; a call that another thread's came in between of is written when it ends."""
    begun: dict[str, str] = {}
    for line in lines:
        thread, _, rest = line.partition(" ")
        resumed = RESUMED.match(rest)
        if rest.endswith(UNFINISHED):
            begun[thread] = line.removesuffix(UNFINISHED)
        else:
            yield begun.pop(thread) + resumed[1] if resumed else line


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def watched(root: Path, *arguments: str) -> list[Operation]:
    """What a worker did to files, from its start to its end."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace for this system")
    trace = root / "trace"
    watching = [
        "strace", "-f", "-y", "-xx", "-s", "1000000", "-o", str(trace),
        "-e", "trace=write,pwrite64,ftruncate,fsync,fdatasync,unlink",
    ]  # fmt: skip
    told = subprocess.run(
        [*watching, sys.executable, str(WORKER), *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if "PTRACE" in told.stderr:
        pytest.skip("this machine lets nobody watch a process")
    assert told.returncode == 0, told.stderr
    found = operations(trace)
    trace.unlink()
    return found


def replayed(root: Path, done: list[Operation], chance: random.Random) -> dict[str, bytes]:
    """The database's files as the disk may hold them when the power goes after these operations."""
    files: dict[str, File] = {}
    for kind, path, place, data in done:
        if kind == "sync" and Path(path) == root / "data":  # what is removed stays so
            for file in files.values():
                file.before = None
        if Path(path).parent != root / "data" or not Path(path).name.startswith("runs.db") or path.endswith("-shm"):
            continue  # what is shared in memory is gone, and nobody relies on the rest
        file = files.setdefault(path, File())
        if file.is_removed:
            file = files[path] = File(before=file)
        if kind == "sync":
            file.sync()
        elif kind == "unlink":
            file = files[path] = File(before=file)
            file.is_removed = True
        else:
            file.since.append((kind, place, data))
    left = ((Path(path).name, file.left(chance)) for path, file in files.items())
    return {name: content for name, content in left if content is not None}


@pytest.mark.system
@pytest.mark.timeout(300)
@pytest.mark.parametrize("durability", ["normal", "full"])
def test_after_a_power_cut_all_is_there_that_was_recorded_before_the_last_sync(tmp_path: Path, durability: str) -> None:
    root, settings = tmp_path / "site", f"persistence: {{durability: {durability}}}\n"
    root.mkdir()
    (root / "neurocore.yaml").write_text(settings)
    done, ends = [], []
    for arguments in (("run", "r", "gated"), ("decide", "r", "ann", "yes"), ("sweep",)):
        done += watched(root, *arguments)
        ends.append(len(done))
    chance = random.Random(7)
    moments = [*ends, *(chance.randint(1, len(done)) for _ in range(100))]
    for number, moment in enumerate(moments):
        place = tmp_path / f"cut-{number}"
        (place / "data").mkdir(parents=True)
        (place / "neurocore.yaml").write_text(settings)
        for name, content in replayed(root, done[:moment], chance).items():
            (place / "data" / name).write_bytes(content)
        site = Site(place)
        is_there(site, begun(done[:moment]), [moment >= end for end in ends], durability)
        if number % 25 == 0:
            site.store.adopt_runs(None, event=event())  # what was left of the disk is another file
            finish(site, "r")
            assert site.run("r").completed_nodes == NODES
        site.store.close()
        shutil.rmtree(place)


def begun(done: list[Operation]) -> list[str]:
    """The nodes that had their effect: what was recorded before the last of them had been told to be."""
    return [
        data.decode().split()[0] for kind, path, _, data in done if kind == "write" and path.endswith("effects.txt")
    ]


def is_there(site: Site, nodes: list[str], ended: list[bool], durability: str) -> None:
    """See that a history has all that it must have when these nodes had begun and these processes had ended."""
    assert check(site.store).problems == []
    run, steps = site.store.load_summary("r"), site.store.load_steps("r")
    recorded = [step.node_id for step in steps if step.status is StepStatus.COMPLETED]
    assert recorded == NODES[: len(recorded)]
    assert run is not None or not nodes, "the start of a run is synced"
    if nodes and durability == "full":
        before = NODES[: NODES.index(nodes[-1])]
        assert recorded[: len(before)] == before
    gates = site.store.load_gates("r")
    waited, decided, completed = ended
    if waited:
        assert recorded[:2] == NODES[:2]
        assert len(gates) == 1
    if decided:
        assert gates[0].status in (GateStatus.DECIDED, GateStatus.DONE)
        assert len(gates[0].answers) == 1
    if completed:
        assert run is not None
        assert run.status is RunStatus.COMPLETED
        assert recorded == NODES


@pytest.mark.system
@pytest.mark.timeout(300)
def test_after_a_power_cut_every_start_that_has_returned_is_there_whole(tmp_path: Path) -> None:
    root = tmp_path / "site"
    root.mkdir()
    (root / "neurocore.yaml").write_text("project: {name: site}\n")
    done = watched(root, "starts", "24")
    returned = [place for place, (_, path, _, _) in enumerate(done) if path.endswith("started.txt")]
    assert len(returned) == 24
    chance = random.Random(11)
    for moment in [len(done), *(place + 1 for place in chance.sample(returned, 12))]:
        place = tmp_path / "cut"
        (place / "data").mkdir(parents=True)
        (place / "neurocore.yaml").write_text("project: {name: site}\n")
        for name, content in replayed(root, done[:moment], chance).items():
            (place / "data" / name).write_bytes(content)
        site = Site(place)
        assert check(site.store).problems == []
        names = {data.decode().strip() for _, path, _, data in done[:moment] if path.endswith("started.txt")}
        there = {run.run_id for run in site.store.list_runs(limit=100)}
        assert names <= there
        assert all(site.run(run_id).tags == ["seen"] for run_id in there)
        site.store.close()
        shutil.rmtree(place)
