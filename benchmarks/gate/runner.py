"""Measures base against head, pair by pair, while the decision needs more pairs and time is left."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from benchmarks.gate import environments, planning, suites, turns, worktrees
from benchmarks.gate.decision import MOST_PAIRS, Measure
from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.gate.injected import CONTROLS
from benchmarks.gate.planning import Schedule
from benchmarks.gate.settings import GateSettings
from benchmarks.gate.sides import PLUGIN, SIDES, Collected, SideEnvironment
from benchmarks.gate.suites import Suites, node_id
from benchmarks.gate.turns import Wanted
from benchmarks.record import files, machine, pairs_file
from benchmarks.record.documents import RecordError
from benchmarks.record.pairs_file import Benchmark, Commit, Incident, Pairs, Side

Say = Callable[[str], None]

ONCE_A_PROCESS: frozenset[Measure] = frozenset({"processes", "first call", "memory"})
"""Measures with one value for each process, for which few turns are enough."""


@dataclasses.dataclass(frozen=True)
class GateRequest:
    """The commits to compare and how; `pairs` is their number, or None for as many as the budget allows."""

    base: str
    head: str
    settings: GateSettings
    pairs: int | None
    out: Path
    resume: bool
    here: bool
    began: datetime.datetime = dataclasses.field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def described(self) -> dict[str, Any]:
        """The settings, besides the commits, that runs which fill the same file must share."""
        return {
            "arguments": list(self.settings.arguments),
            "here": self.here,
            "budget": self.settings.budget,
            "turns": planning.TURNS,
            "turn_seconds": planning.TURN_SECONDS,
        }


def run(asked: GateRequest, root: Path, commits: Mapping[Side, str], say: Say) -> Pairs:
    """Measure pairs of two commits of the repository at `root`; writes `asked.out` after every pair.

    Raises Refusal if the request cannot be carried out, and NoAnswer if no pair can be measured.
    """
    before = _resumed(asked, commits) if asked.resume else None
    with prepared(root, commits, asked.settings, asked.here, say) as places:
        found = find(root, commits, places, asked.settings)
        return Runner(asked, commits, places, found, say).run(before)


@contextlib.contextmanager
def prepared(
    root: Path, commits: Mapping[Side, str], asked: GateSettings, here: bool, say: Say
) -> Iterator[list[SideEnvironment]]:
    """Both sides, ready to run: worktrees, environments, and the gate's plugin in a folder of its own."""
    folder = worktrees.state(root)
    with worktrees.lock(folder, root), worktrees.worktrees(root, folder, commits) as found:
        pythons = dict.fromkeys(SIDES, Path(sys.executable))
        if not here:
            say("building the environments of base and head")
            pythons = environments.environments(folder, found, asked)
        plugin = folder / "plugin"
        shutil.rmtree(plugin, ignore_errors=True)
        plugin.mkdir()
        shutil.copy(Path(__file__).with_name("injected.py"), plugin / f"{PLUGIN}.py")
        yield [
            SideEnvironment(
                side,
                pythons[side],
                found[side],
                asked.arguments,
                path=(found[side] / "src", found[side]) if here else (),
                elsewhere=(root.resolve(), *(found[other] for other in SIDES if other != side)),
                plugin=plugin,
            )
            for side in SIDES
        ]


def find(
    root: Path, commits: Mapping[Side, str], places: Sequence[SideEnvironment], asked: GateSettings
) -> Suites:
    """The benchmarks to compare; raises NoAnswer if there are none or a suite cannot be collected."""
    own = turns.collect(places)
    files = worktrees.differing(root, commits, suites.paths(own.values(), asked))
    crossed: dict[Side, Mapping[Side, Collected]] = {}
    for side in SIDES if files else ():
        worktrees.lay((place.worktree for place in places), commits[side], files)
        with contextlib.suppress(NoAnswer):
            crossed[side] = turns.collect(places)
    return suites.compared(own, crossed, files, asked)


class Against:
    """Pairs of a good commit and any other one, on the same benchmarks, by the files of the bad end."""

    def __init__(
        self, places: Sequence[SideEnvironment], bad: str, benchmarks: Sequence[str], files: Sequence[str]
    ) -> None:
        self.places = places
        self.bad = bad
        self.benchmarks = tuple(benchmarks)
        self.files = files
        self.schedules: dict[str, Schedule] = {}
        self._at: str | None = None

    def pair(self, commit: str) -> dict[str, float]:
        """The median d of each benchmark in one more pair; raises NoAnswer if there is none at all."""
        if self._at != commit:
            head = self.places[SIDES.index("head")].worktree
            worktrees.move(head, commit)
            worktrees.lay((place.worktree for place in self.places), self.bad, self.files)
            self._at = commit
        measured = turns.measure(self.places, Wanted((), self.benchmarks), self.schedules)
        found = {each.benchmark: pairs_file.differences(each)["median"] for each in measured.pair.readings}
        if missing := set(self.benchmarks) - found.keys():
            reasons = [incident.reason for incident in measured.incidents]
            raise NoAnswer("; ".join(reasons) or f"no reading of {', '.join(sorted(missing))}")
        return found


@contextlib.contextmanager
def against(
    root: Path, commits: Mapping[Side, str], asked: GateSettings, here: bool, say: Say
) -> Iterator[Against]:
    """Pairs against base (the good end), with the environment and the benchmarks of head (the bad end)."""
    with prepared(root, commits, asked, here, say) as places:
        found = find(root, commits, places, asked)
        lost = {incident.benchmark for incident in found.lost}
        names = [each.name for each in found.benchmarks if each.suite != "base" and each.name not in lost]
        if not names:
            raise NoAnswer("expected a benchmark that both ends have, got none")
        yield Against(places, commits["head"], names, found.files)


class Runner:
    """Measures pairs and writes them to the pairs file."""

    def __init__(
        self,
        asked: GateRequest,
        commits: Mapping[Side, str],
        places: Sequence[SideEnvironment],
        found: Suites,
        say: Say,
    ) -> None:
        self.asked = asked
        self.commits = commits
        self.places = places
        self.found = found
        self.say = say
        controls = tuple(Benchmark(name, control=True) for name in CONTROLS)
        self.benchmarks = (*found.benchmarks, *controls)
        self.left_out = dict(found.left_out)
        self.incidents = list(found.lost)
        self.schedules: dict[Side, dict[str, Schedule]] = {side: {} for side in SIDES}  # by each side's files
        self.order: tuple[str, ...] = ()
        self.laid: Side | None = None

    def run(self, record: Pairs | None) -> Pairs:
        """Continue from `record`, or begin."""
        begun = time.perf_counter()
        for note in self.found.notes:
            self.say(note)
        for name, why in self.left_out.items():
            self.say(f"left out: {name}: {why}")
        if record is not None:
            now = {benchmark.name for benchmark in self.benchmarks} | self.left_out.keys()
            was = {benchmark.name for benchmark in record.benchmarks} | record.left_out.keys()
            _check_resumed(self.asked, "benchmarks", sorted(was), sorted(now))
            terms = {benchmark.name: benchmark.terms for benchmark in self.benchmarks}
            for benchmark in record.benchmarks:
                what = f"what is asked of {benchmark.name}"
                _check_resumed(self.asked, what, benchmark.terms, terms.get(benchmark.name, benchmark.terms))
            of_sides: dict[Side, Commit] = {"base": record.base, "head": record.head}
            for side, commit in of_sides.items():
                versions = dict(self.found.versions[side])
                _check_resumed(self.asked, f"versions of {side}", dict(commit.versions), versions)
            self.benchmarks, self.left_out = record.benchmarks, dict(record.left_out)
            self.incidents = list(record.incidents)
        else:
            files.put_aside(self.asked.out)
        self.plan()
        tried = record is not None
        while wanted := self.wanted(record):
            if tried and self.late(time.perf_counter() - begun, record):
                break
            tried = True
            suite, names = self.suite(wanted, record)
            self.lay(suite)
            before_it = len(self.incidents)
            record = self.measure(record, suite, names, wanted)
            for incident in self.incidents[before_it:]:
                self.say(f"lost: {incident.benchmark} of {incident.side}: {incident.reason}")
            if record is not None:
                self.report(record, time.perf_counter() - begun)
                pairs_file.write(record, self.asked.out)
        if record is None:
            lost = [f"{i.benchmark} of {i.side}: {i.reason}" for i in self.incidents]
            lost += [f"{name}: {why}" for name, why in self.left_out.items()]
            raise NoAnswer(
                f"expected a pair within {self.asked.settings.budget:g} s, got none: " + "; ".join(lost)
            )
        return record

    def plan(self) -> None:
        """Log the watched benchmarks and the time; drop the benchmarks that do not fit the budget."""
        self.lay("head")
        head = self.places[SIDES.index("head")]
        left = [benchmark for benchmark in self.gated() if benchmark.suite != "base"]
        budget = float("inf") if self.asked.pairs else self.asked.settings.budget
        costs, starting = turns.survey(head, [node_id(benchmark) for benchmark in left])
        doubled = {
            name: dataclasses.replace(cost, test=2 * cost.test) if self.found.files else cost
            for name, cost in costs.items()
        }
        plan = planning.GatePlan.of(doubled, starting, budget)
        self.order = (*plan.watched, *plan.too_slow)
        ahead = f"unchanged, they pass after {planning.PAIRS_TO_PASS} pairs, in some {plan.seconds:.0f} s of "
        ahead += f"{self.asked.settings.budget:g} s"
        if self.asked.pairs:
            ahead = f"some {self.asked.pairs * plan.pair:.0f} s for all {self.asked.pairs}"
        self.say(f"plan: {len(plan.watched)} benchmarks, some {plan.pair:.1f} s per pair; {ahead}")
        for benchmark in self.gated():
            if node_id(benchmark) in plan.too_slow:
                seconds = costs[node_id(benchmark)].pair(few=False)
                reason = (
                    f"{seconds:.1f} s per pair, more than the budget of {budget:g} s leaves beside the "
                    "cheaper ones; raise --budget, or name fewer tests"
                )
                self.incidents.append(Incident(benchmark.name, "head", "too slow", reason))
                self.say(f"too slow: {benchmark.name}: {reason}")

    def gated(self) -> list[Benchmark]:
        """The benchmarks that can still be measured, the cheap ones first."""
        lost = {incident.benchmark for incident in self.incidents}
        left = [each for each in self.benchmarks if not each.control and each.name not in lost]
        ranks = {name: rank for rank, name in enumerate(self.order)}
        return sorted(left, key=lambda each: ranks.get(node_id(each), len(ranks)))

    def late(self, elapsed: float, record: Pairs | None) -> bool:
        """Whether another pair, as long as the last one, would go past the budget."""
        if self.asked.pairs is not None:
            return False
        return elapsed + (record.pairs[-1].seconds if record else 0.0) > self.asked.settings.budget

    def wanted(self, record: Pairs | None) -> dict[str, tuple[Measure, ...]]:
        """The open measures of each benchmark and control that the next pair measures; empty if none is left.

        Controls are measured to the end; steady ones have no open measure.
        """
        left = [benchmark.name for benchmark in self.gated()]
        everything: dict[str, tuple[Measure, ...]] = dict.fromkeys(left, get_args(Measure))
        controls: dict[str, tuple[Measure, ...]] = dict.fromkeys(CONTROLS, ("median",))
        # A control that was lost can never settle: more pairs would not help.
        hopeless = any(incident.benchmark in CONTROLS for incident in self.incidents)
        if hopeless or (not left and record is None):
            return {}
        if record is None:
            return everything | controls
        if self.asked.pairs is not None:
            return everything | controls if left and len(record.pairs) < self.asked.pairs else {}
        decision = pairs_file.decision(record)
        gated = {name: decision.to_measure[name] for name in left if name in decision.to_measure}
        moved = "moved" in decision.controls.values()
        if len(record.pairs) >= MOST_PAIRS or moved or (decision.controls_settled and not gated):
            return {}
        steady = {name: () for name, state in decision.controls.items() if state == "steady"}
        return gated | controls | steady

    def suite(self, wanted: Mapping[str, object], record: Pairs | None) -> tuple[Side, list[Benchmark]]:
        """The side whose files the next pair uses, in turn, and the benchmarks that it can measure."""
        done = len(record.pairs) if record else 0
        for k in range(len(self.found.turns)):
            suite = self.found.turns[(done + k) % len(self.found.turns)]
            names = [each for each in self.gated() if each.name in wanted and each.suite in ("", suite)]
            if names:
                return suite, names
        return self.found.turns[0], []

    def lay(self, suite: Side) -> None:
        """Put a side's files into both worktrees."""
        if self.found.files and suite != self.laid:
            worktrees.lay((place.worktree for place in self.places), self.commits[suite], self.found.files)
        self.laid = suite

    def measure(
        self,
        record: Pairs | None,
        suite: Side,
        chosen: Sequence[Benchmark],
        wanted: Mapping[str, Sequence[Measure]],
    ) -> Pairs | None:
        """The record with one more pair, and with the benchmarks that are lost or skipped in it."""
        names = {node_id(benchmark): benchmark.name for benchmark in chosen}
        left = {node: wanted[names.get(node, node)] for node in (*CONTROLS, *names)}
        few = frozenset(node for node, measures in left.items() if ONCE_A_PROCESS.issuperset(measures))
        untraced = frozenset(node for node, measures in left.items() if "memory" not in measures)
        asked = Wanted(CONTROLS, tuple(names), few, untraced)
        measured = turns.measure(self.places, asked, self.schedules[suite])
        for incident in measured.incidents:
            name = names.get(incident.benchmark, incident.benchmark)
            if name in self.found.new and incident.side == "base":
                self.leave_out(name, f"new in head, and cannot be run on base: {incident.reason}")
            else:
                self.incidents.append(dataclasses.replace(incident, benchmark=name))
        for node, why in measured.skipped.items():
            self.leave_out(names.get(node, node), why)
        readings = tuple(
            dataclasses.replace(reading, benchmark=names.get(reading.benchmark, reading.benchmark))
            for reading in measured.pair.readings
        )
        if record is None and not any(reading.benchmark not in CONTROLS for reading in readings):
            return None
        record = record or self.begun()
        pairs = (*record.pairs, dataclasses.replace(measured.pair, readings=readings))
        return dataclasses.replace(
            record,
            benchmarks=self.benchmarks,
            incidents=tuple(self.incidents),
            left_out=dict(self.left_out),
            pairs=tuple(
                dataclasses.replace(
                    pair, readings=tuple(r for r in pair.readings if r.benchmark not in self.left_out)
                )
                for pair in pairs
            ),
        )

    def leave_out(self, name: str, why: str) -> None:
        """Stop comparing a benchmark, without an incident."""
        self.say(f"left out: {name}: {why}")
        self.left_out[name] = why
        self.benchmarks = tuple(each for each in self.benchmarks if each.name != name)

    def begun(self) -> Pairs:
        """The record before its first pair."""

        def side(ref: str, side: Side) -> Commit:
            return Commit(ref, self.commits[side], machine.machine(), dict(self.found.versions[side]))

        new = [f"new in head: {name}" for name in sorted(self.found.new - self.left_out.keys())]
        return Pairs(
            created=self.asked.began.isoformat(timespec="seconds"),
            command=shlex.join(["gradrace", *sys.argv[1:]]),
            base=side(self.asked.base, "base"),
            head=side(self.asked.head, "head"),
            settings=self.asked.described(),
            benchmarks=self.benchmarks,
            incidents=(),
            pairs=(),
            notes=(*self.found.notes, *new),
        )

    def report(self, record: Pairs, elapsed: float) -> None:
        """Log one line on the pair just measured."""
        states = pairs_file.decision(record).benchmarks.values()
        self.say(
            f"pair {len(record.pairs)}: {record.pairs[-1].seconds:.1f} s; {elapsed:.0f} s in all; "
            f"{sum(bool(state.open) for state in states)} of {len(states)} benchmarks open, "
            f"{sum(state.outcome == 'slower' for state in states)} slower"
        )


def _resumed(asked: GateRequest, commits: Mapping[Side, str]) -> Pairs | None:
    """The pairs to continue from, None if there are none yet."""
    try:
        record = pairs_file.read(asked.out)
    except FileNotFoundError:
        return None
    except (RecordError, OSError) as error:
        raise Refusal(f"--resume: {error}") from error
    _check_resumed(asked, "base", record.base.commit, commits["base"])
    _check_resumed(asked, "head", record.head.commit, commits["head"])
    _check_resumed(asked, "settings", record.settings, asked.described())
    _check_resumed(asked, "machine", record.head.machine, machine.machine())
    return record


def _check_resumed(asked: GateRequest, what: str, was: object, now: object) -> None:
    """Raise Refusal unless the pairs in the file and the new ones agree in this setting."""
    if was != now:
        raise Refusal(f"--resume: {what}: {asked.out} has {was}, got {now}; write to another file with --out")
