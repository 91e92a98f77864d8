"""What must come of a blueprint, said a second time and as simply as it goes: an interpreter of the design's words.

It knows nothing of stores, processes, plans or commits, and goes over the whole flow again and again until nothing
moves. `Case` is a blueprint in a form that both sides understand; `Model(case).end()` is what the loop must come to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

#: Conditions as the blueprint has them, and the same in Python over a plain dict; a TypeError says: no answer.
#: Beside these there is `context.data.<key> < <number>`.
CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "context.data.x > 2": lambda data: data["x"] > 2,
    "context.data.x + context.data.y < 5": lambda data: data["x"] + data["y"] < 5,
    "context.get('y') in [0, 1, 2]": lambda data: data["y"] in [0, 1, 2],
    "context.data.nowhere is None": lambda data: True,
    "not context.has('x')": lambda data: False,
    "context.data.word > 3": lambda data: data["word"] > 3,  # text and a number: cannot be evaluated
}


@dataclass
class Place:
    """A node. `skill` is ok, flaky (fails once, then works), broken (fails until mended), stubborn (always), gate."""

    name: str
    skill: str = "ok"
    is_async: bool = False
    on_error: str = "fail"
    port: str | None = None
    condition: str | None = None
    join: str = "all"
    max_visits: int | None = None
    require: bool = True
    on_reject: str | None = None
    adds: bool = False
    drops: str | None = None


@dataclass
class Way:
    """An edge; `back` closes a cycle."""

    source: str
    target: str
    port: str | None = None
    condition: str | None = None
    back: bool = False


@dataclass
class Case:
    """A blueprint, what it is given, what people answer at each gate in turn, and whether what is broken is mended."""

    flow: str
    places: list[Place]
    ways: list[Way] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[bool]] = field(default_factory=dict)
    mended: bool = True


@dataclass
class End:
    """How a run ended. `ended` counts (node, completed | skipped | failed); `failed_at` are nodes that may be named."""

    status: str
    kind: str | None
    failed_at: set[str | None]
    ended: Counter[tuple[str, str]]
    data: dict[str, Any]
    approvals: dict[str, bool]


class Model:
    """Runs a case to its end."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.data = dict(case.data)
        self.ways = list(case.ways)
        self.approvals: dict[str, bool] = {}
        self.asked: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.failed_at: set[str | None] = set()
        self.rejected_at: str | None = None
        self.stuck_at: str | None = None
        self.waiting: list[str] = []
        self.mended = False
        self.place_now = 0
        self.jump: int | None = None
        for place in case.places if case.flow == "graph" else ():
            if place.on_reject:  # what names no port is for approval, and one edge is for rejection
                mine = [way for way in case.ways if way.source == place.name]
                self.ways = [replace(way, port=way.port or "approved") if way in mine else way for way in self.ways]
                if not any((way.target, way.port) == (place.on_reject, "rejected") for way in mine):
                    self.ways.append(Way(place.name, place.on_reject, "rejected"))
        policy = case.settings.get("on_condition_error")
        self.strict = (policy or ("skip" if case.flow == "conditional" else "fail")) == "fail"

    def end(self) -> End:
        """What must come of the case."""
        go = self._graph if self.case.flow == "graph" else self._chain
        while True:
            self.failed_at, self.waiting = set(), []
            finished = go()
            if self.rejected_at is not None:
                return self._end("failed", "rejected", {self.rejected_at})
            if self.stuck_at is not None:
                return self._end("failed", "error", {self.stuck_at})
            if self.failed_at and self.case.mended and not self.mended:
                self.mended = True
            elif self.failed_at:
                return self._end("failed", "error", self.failed_at)
            elif self.waiting:
                self._answer(min(self.waiting))
            else:
                assert finished
                return self._end("completed", None, set())

    def _end(self, status: str, kind: str | None, at: set[str | None]) -> End:
        return End(status, kind, at, self.ended, self.data, self.approvals)

    def _answer(self, name: str) -> None:
        answers = self.case.answers[name]
        approved = answers[self.asked[name] % len(answers)]
        self.asked[name] += 1
        place = self._place(name)
        if not approved and place.require and place.on_reject is None:
            self.rejected_at = name
            return
        if self._done(place, "completed", "approved" if approved else "rejected"):
            self.approvals[name] = approved
        elif self.case.mended and not self.mended:
            self.mended = True
        else:
            self.stuck_at = name

    def _place(self, name: str) -> Place:
        return next(place for place in self.case.places if place.name == name)

    # ---------------------------------------------------------------- one node

    def _run(self, place: Place, visit: int) -> None:
        """Run a node that is ready: it completes, fails (the run stops there), is tolerated, or waits."""
        if place.skill == "gate":
            self.waiting.append(place.name)
            return
        fails = place.skill == "stubborn" or (place.skill == "broken" and not self.mended)
        before = dict(self.data)
        if not fails:
            self.data["k_" + place.name] = visit
            if place.adds:
                self.data["n"] = self.data.get("n", 0) + 1
            if place.drops:
                self.data.pop(place.drops, None)
            fails = not self._done(place, "completed", place.port)
        if fails:
            self.data = before
            how = {"skip": "skipped", "continue": "failed"}.get(place.on_error)
            if how is None or not self._done(place, how, None):
                self.failed_at.add(place.name)

    def _holds(self, condition: str | None) -> bool:
        """Whether a condition holds; raises TypeError when that cannot be said and matters."""
        try:
            if condition is None or condition in CONDITIONS:
                return condition is None or CONDITIONS[condition](self.data)
            key, _, number = condition.removeprefix("context.data.").partition(" < ")
            return bool(self.data.get(key) < int(number))  # type: ignore[operator]
        except TypeError:
            if self.strict:
                raise
            return False

    # ---------------------------------------------------------------- sequential and conditional

    def _chain(self) -> bool:
        places = self.case.places
        while self.place_now < len(places):
            place = places[self.place_now]
            if self.jump is not None and self.place_now < self.jump:
                self._pass(place)
                continue
            try:
                holds = self._holds(place.condition)
            except TypeError:
                if place.on_error == "fail":
                    self.failed_at.add(place.name)
                    return False
                self._done(place, {"skip": "skipped", "continue": "failed"}[place.on_error], None)
                continue
            if not holds:
                self._pass(place)
                continue
            before = self.place_now
            self._run(place, 1)
            if self.place_now == before:
                return False  # it failed, or waits
        return True

    def _pass(self, place: Place) -> None:
        self.ended[place.name, "skipped"] += 1
        self.place_now += 1

    # ---------------------------------------------------------------- both

    def _done(self, place: Place, how: str, port: str | None) -> bool:
        """A node came to its end; False when where it leads cannot be said."""
        if self.case.flow == "graph":
            return self._leave(place, how, port)
        self.ended[place.name, how] += 1
        self.place_now += 1
        if self.case.flow == "conditional":
            self.jump = len(self.case.places)
        elif port == "rejected" and place.on_reject:
            self.jump = self.case.places.index(self._place(place.on_reject))
        return True

    # ---------------------------------------------------------------- graphs

    def _graph(self) -> bool:
        if not hasattr(self, "state"):
            self.left: list[set[str]]  # loops that have come to rest
            self.state: dict[str, str] = {}  # ended nodes of the present round
            self.edge: dict[int, bool] = {}  # decided edges
            self.round: dict[str, int] = dict.fromkeys((place.name for place in self.case.places), 1)
            self.out: set[int] = set()  # edges out of a loop that some visit took
            self.loops, self.left = self.loops_of(), []
        moved = True
        while moved:
            moved = any(self._look(place) for place in self.case.places)
            moved = moved or any(self._turn(header, loop) for header, loop in self.loops.items())
        return len(self.state) == len(self.case.places)

    def _incoming(self, name: str) -> list[int]:
        return [i for i, way in enumerate(self.ways) if way.target == name and not way.back]

    def _look(self, place: Place) -> bool:
        name = place.name
        if name in self.state or name in self.failed_at or name in self.waiting:
            return False
        ways = self._incoming(name)
        inside = next((loop for loop in self.loops.values() if name in loop), set())
        if self.round[name] > 1:  # in a later round, only what is inside the loop counts
            ways = [i for i in ways if self.ways[i].source in inside]
        decided = [self.edge.get(i) for i in ways]
        entered = not ways or (place.join == "any" and any(decided))
        if not entered and None in decided:
            return False
        if entered or any(decided):
            self._run(place, self.round[name])
        else:
            self.state[name] = "skipped"
            self.ended[name, "skipped"] += 1
            self._decide(name, set())
        return True

    def _leave(self, place: Place, how: str, port: str | None) -> bool:
        taken = set()
        for i, way in enumerate(self.ways):
            if way.source == place.name and way.port in (None, port):
                try:
                    if self._holds(way.condition):
                        taken.add(i)
                except TypeError:
                    return False
        self.state[place.name] = how
        self.ended[place.name, how] += 1
        self._decide(place.name, taken)
        return True

    def _decide(self, name: str, taken: set[int]) -> None:
        inside = next((loop for loop in self.loops.values() if name in loop), set())
        for i, way in enumerate(self.ways):
            if way.source == name and (not inside or way.target in inside):
                self.edge[i] = i in taken
            elif way.source == name and i in taken:
                self.out.add(i)

    def _turn(self, header: str, loop: set[str]) -> bool:
        """When every node of a loop has ended: round again, or leave."""
        ways = self.ways
        inner = {i for i, way in enumerate(ways) if way.source in loop and way.target in loop}
        outer = [i for i, way in enumerate(ways) if way.source in loop and way.target not in loop]
        if not all(name in self.state for name in loop) or loop in self.left:
            return False
        if any(ways[i].back and self.edge[i] for i in inner):
            bound = self.case.settings.get("max_iterations", 10)
            limits = [self._place(name).max_visits for name in loop]
            if self.round[header] < min([bound, *(limit for limit in limits if limit is not None)]):
                for name in loop:
                    del self.state[name]
                    self.round[name] += 1
                for i in inner:
                    self.edge.pop(i, None)
                return True
            if self.case.settings.get("on_max_iterations", "fail") == "fail":
                self.failed_at.add(None)
                return False
        for i in outer:
            self.edge[i] = i in self.out
        self.left.append(loop)
        return True

    def loops_of(self) -> dict[str, set[str]]:
        """Header to the nodes of its loop: what reaches a back edge's source without passing the header."""
        loops: dict[str, set[str]] = {}
        for way in self.ways:
            if way.back:
                loop, todo = loops.setdefault(way.target, {way.target}), [way.source]
                while todo:
                    name = todo.pop()
                    if name not in loop:
                        loop.add(name)
                        todo += [self.ways[i].source for i in self._incoming(name)]
        return loops
