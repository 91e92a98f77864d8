"""Lists of many runs: pages by key, filters, look-up by prefix, counts."""

from __future__ import annotations

import random
from collections import Counter

from neurocore.errors import InputError
from neurocore.persistence.base import RunStore
from neurocore.persistence.projections import matches
from neurocore.persistence.records import RunFilter, RunRecord, RunStatus
from neurocore.persistence.testing.contract import Contract, at, found, gate, refused, run, step, turn

STATUSES = tuple(RunStatus)
TITLES = ("", "Payments of May", "payments of June", "PAYMENTS", "Überweisung", "100%", "50_", "it's")


class Lists(Contract):
    """`page_runs`, `failed_runs`, `find_runs`, `load_summary`, `step_summaries`, `load_step`, and the counts."""

    def many(self, count: int = 60) -> list[RunRecord]:
        """Return runs of every kind, some at the same moment; newest first."""
        chance = random.Random(7)  # noqa: S311
        runs = []
        for number in range(count):
            record = run(
                f"{chance.randrange(16**8):08x}",
                minute=number // 3 * 400,
                status=chance.choice(STATUSES),
                blueprint_name=chance.choice("abc"),
                title=chance.choice(TITLES),
                started_by=chance.choice(("ada", "bob", None)),
                tags=chance.sample(["x", "y", "z"], chance.randrange(3)),
            )
            record.gates = [gate(record.run_id)] if chance.random() < 0.2 else []
            self.store.save_run(record)
            runs.append(record)
        return runs[::-1]

    def test_pages_give_every_run_once_in_both_directions(self) -> None:
        runs = self.many()
        filters = [
            RunFilter(), RunFilter(status=(RunStatus.FAILED,)), RunFilter(blueprint="a"), RunFilter(tag="x"),
            RunFilter(status=(RunStatus.FAILED, RunStatus.RUNNING), blueprint="b"), RunFilter(started_by="ada"),
            RunFilter(text="payments"), RunFilter(text="PAY"), RunFilter(waiting=True), RunFilter(text="übe"),
            RunFilter(since=at(2000), until=at(5000)), RunFilter(tag="y", status=(RunStatus.COMPLETED,)),
            RunFilter(text="p", tag="x"), RunFilter(text=runs[5].run_id[:3]), RunFilter(text=runs[5].run_id),
            RunFilter(text="p", status=(RunStatus.FAILED, RunStatus.COMPLETED)), RunFilter(text="50_"),
            RunFilter(text="100%"), RunFilter(text="it's"), RunFilter(text="%"), RunFilter(text="_"),
            RunFilter(text="nothing like it"), RunFilter(blueprint="nothing"), RunFilter(text="\ud800"),
        ]  # fmt: skip
        for wanted in filters:
            expected = {one.run_id for one in runs if matches(one, wanted)}
            backward = walk(self.store, wanted, limit=4)
            assert set(backward) == expected, wanted
            assert len(backward) == len(expected), f"a run came twice: {wanted}"
            times = [found(self.store, run_id).created_at for run_id in backward]
            assert times == sorted(times, reverse=True), wanted
            assert walk(self.store, wanted, limit=4, forward=True) == backward, wanted

    def test_a_page_keeps_its_place_while_new_runs_come(self) -> None:
        self.many(30)
        first = self.store.page_runs(limit=10)
        assert first.newer is None
        second = self.store.page_runs(before=first.older, limit=10)
        for number in range(5):
            self.store.save_run(run(f"new{number}", minute=100_000 + number))
        again = self.store.page_runs(before=first.older, limit=10)
        assert [one.run_id for one in again.runs] == [one.run_id for one in second.runs]
        back = self.store.page_runs(after=again.newer, limit=10)
        assert [one.run_id for one in back.runs] == [one.run_id for one in first.runs]
        assert back.newer is not None

    def test_a_cursor_that_no_page_gave_is_refused_and_never_the_end_of_the_list(self) -> None:
        self.many(5)
        for cursor in ("", "nonsense", "~", "-", "ff-zz", "' OR 1=1 --", "9" * 400, "\ud800", "0x1-1", " 1-1", "~r1"):
            for wanted in (RunFilter(), RunFilter(tag="x"), RunFilter(text="p"), RunFilter(status=STATUSES)):
                with refused(InputError):
                    self.store.page_runs(wanted, before=cursor, limit=3)
                with refused(InputError):
                    self.store.page_runs(wanted, after=cursor, limit=3)

    def test_a_cursor_outlives_its_run_and_works_for_runs_of_any_time(self) -> None:
        self.store.save_run(run("old", created_at="1969-12-31T23:00:00.000000+00:00"))
        self.store.save_run(run("older", created_at="0001-01-01T00:00:00.000000+00:00"))
        self.store.save_run(run("new", created_at="9999-12-31T23:59:59.999999+00:00"))
        assert walk(self.store, RunFilter(), limit=1) == ["new", "old", "older"]
        first = self.store.page_runs(limit=2)
        self.store.delete_run("old")
        assert [one.run_id for one in self.store.page_runs(before=first.older).runs] == ["older"]

    def test_runs_of_a_list_have_what_a_row_shows(self) -> None:
        saved = run(
            "r1", title="Payments", status=RunStatus.FAILED, error="no", started_by="ada", tags=["x"], nodes_done=2,
            nodes_total=3, duration_ms=4.0, finished_at=at(3), replay_of="r0", version=4,
        )  # fmt: skip
        self.store.save_run(saved)
        names = (
            "run_id", "blueprint_name", "blueprint_version", "flow_type", "title", "status", "error", "started_by",
            "tags", "nodes_done", "nodes_total", "duration_ms", "created_at", "finished_at", "replay_of", "version",
        )  # fmt: skip
        summary = self.store.load_summary("r1")
        for back in (self.store.page_runs().runs[0], self.store.list_runs()[0], summary):
            for name in names:
                assert getattr(back, name) == getattr(saved, name), name
        assert self.store.load_summary("nothing") is None

    def test_ids_are_found_by_any_beginning(self) -> None:
        for run_id in ("abc1", "abc2", "abd1", "ABC3", "a%c", "a_c"):
            self.store.save_run(run(run_id))
        assert sorted(self.store.find_runs("abc")) == ["abc1", "abc2"]
        assert sorted(self.store.find_runs("abc1")) == ["abc1"]
        assert len(self.store.find_runs("", limit=4)) == 4
        assert len(self.store.find_runs("a", limit=2)) == 2
        for odd, expected in (("a%", ["a%c"]), ("a_", ["a_c"]), ("%", []), ("'", []), ("\ud800", []), ("a\0", [])):
            assert self.store.find_runs(odd) == expected, odd

    def test_a_name_in_another_unicode_form_is_the_same_name(self) -> None:
        composed, decomposed = "Jos\u00e9", "Jose\u0301"
        for place, name in enumerate((composed, decomposed, "Jose")):
            self.store.save_run(
                run(f"r{place}", minute=place, blueprint_name=name, title=f"{name} pays", started_by=name, tags=[name])
            )
        for name in (composed, decomposed):
            for wanted in (
                RunFilter(blueprint=name), RunFilter(text=name.upper()), RunFilter(tag=name),
                RunFilter(started_by=name), RunFilter(blueprint=name, text=name, tag=name, started_by=name),
            ):  # fmt: skip
                assert walk(self.store, wanted, limit=1) == ["r1", "r0"], wanted
            assert sum(self.store.status_counts(blueprint=name).values()) == 2
            (day,) = self.store.day_counts(since=at(0), blueprint=name)
            assert day.count == 2
        assert [one.blueprint_name for one in self.store.page_runs().runs] == ["Jose", decomposed, composed], "as typed"

    def test_counts_are_those_of_the_rows_whatever_happens(self) -> None:
        runs = self.many(40)
        for one in runs[:10]:
            self.store.delete_run(one.run_id)
        for one in runs[10:20]:
            epoch = self.store.claim(one.run_id, owner="me@here:1", expected_epoch=one.epoch)
            mine = found(self.store, one.run_id)
            mine.status = RunStatus.COMPLETED if epoch else mine.status
            self.store.commit(turn(mine))
        moved = found(self.store, runs[20].run_id)
        moved.blueprint_name, moved.created_at = "moved", at(9_000)
        self.store.save_run(moved)
        rows = self.reopened().list_runs(limit=100)
        assert len(rows) == 30
        assert self.store.status_counts() == Counter(one.status for one in rows)
        assert self.store.blueprint_counts() == Counter(one.blueprint_name for one in rows)
        for name in "abc":
            mine_only = Counter(one.status for one in rows if one.blueprint_name == name)
            assert self.store.status_counts(blueprint=name) == mine_only
        for status in STATUSES:
            expected = Counter(one.blueprint_name for one in rows if one.status is status)
            assert self.store.blueprint_counts(status=status) == expected
        for blueprint in (None, "a"):
            days = Counter((one.created_at[:10], one.status) for one in rows if blueprint in (None, one.blueprint_name))
            since = sorted(day for day, _ in days)[len(days) // 2]
            listed = self.store.day_counts(since=since, blueprint=blueprint)
            assert {(one.day, one.status): one.count for one in listed} == {
                key: count for key, count in days.items() if key[0] >= since
            }
            assert [one.day for one in listed] == sorted(one.day for one in listed)

    def test_failed_runs_come_by_when_they_ended_and_not_by_when_they_began(self) -> None:
        for number in range(6):
            ended = at(1_000 - 10 * number)
            self.store.save_run(run(f"r{number}", minute=number, status=RunStatus.FAILED, finished_at=ended))
        self.store.save_run(run("old", minute=900, status=RunStatus.FAILED, finished_at=at(949.9)))
        self.store.save_run(run("done", status=RunStatus.COMPLETED, finished_at=at(999)))
        self.store.save_run(run("open", status=RunStatus.FAILED))
        assert [one.run_id for one in self.store.failed_runs(since=at(950))] == [f"r{number}" for number in range(6)]
        assert [one.run_id for one in self.store.failed_runs(since=at(950), limit=2)] == ["r0", "r1"]
        assert self.store.failed_runs(since=at(1_001)) == []
        again = found(self.store, "r0")
        assert self.store.claim("r0", owner="me@here:1", expected_epoch=again.epoch)
        self.store.delete_run("r1")
        listed = self.reopened().failed_runs(since=at(950), limit=2)
        assert [(one.run_id, one.finished_at) for one in listed] == [("r2", at(980)), ("r3", at(970))]

    def test_steps_can_be_read_one_by_one_and_from_a_place_on(self) -> None:
        self.store.save_run(run("r1"))
        for index in range(6):
            self.store.save_step(step("r1", index, sets={"a": index}))
        assert [one.step_index for one in self.store.step_summaries("r1")] == list(range(6))
        assert [one.step_index for one in self.store.step_summaries("r1", after=2)] == [3, 4, 5]
        assert [one.step_index for one in self.store.step_summaries("r1", after=2, limit=2)] == [3, 4]
        assert [one.output_keys for one in self.store.step_summaries("r1", limit=1)] == [["a"]]
        assert self.store.step_summaries("nothing") == []
        assert self.store.load_step("r1", 3) == self.store.load_steps("r1")[3]
        assert self.store.load_step("r1", 6) is None
        assert self.store.load_step("nothing", 0) is None


def walk(store: RunStore, wanted: RunFilter, *, limit: int, forward: bool = False) -> list[str]:
    """Return the ids of a whole list, newest first, read page by page; `forward` starts from its old end."""
    ids: list[str] = []
    cursor: str | None = None
    if forward:
        page = store.page_runs(wanted, limit=limit)
        while page.older is not None and page.runs:
            last = page
            page = store.page_runs(wanted, before=page.older, limit=limit)
            if not page.runs:
                page = last
                break
        ids = [one.run_id for one in page.runs]
        cursor = page.newer
        while cursor is not None:
            page = store.page_runs(wanted, after=cursor, limit=limit)
            ids = [one.run_id for one in page.runs] + ids
            cursor = page.newer
        return ids
    while True:
        page = store.page_runs(wanted, before=cursor, limit=limit)
        ids += [one.run_id for one in page.runs]
        cursor = page.older
        if cursor is None:
            return ids
