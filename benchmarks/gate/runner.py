"""Base against head: pair after pair, as long as the decision asks for more and time is left."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import impls
from benchmarks.gate import turns, worktrees
from benchmarks.gate.decision import MOST_PAIRS, Rule
from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.gate.messages import Ready
from benchmarks.gate.turns import SIDES, Incidents, Place
from benchmarks.record import pairs_file
from benchmarks.record.documents import RecordError
from benchmarks.record.pairs_file import Benchmark, Commit, Incident, Pair, Pairs, Side

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What to compare, in which way, and for how long: within a budget of seconds, or so many pairs."""

    base: str
    head: str
    implementations: tuple[str, ...]
    rule: Rule
    budget: float
    pairs: int | None
    out: Path
    resume: bool
    here: bool

    def settings(self) -> dict[str, Any]:
        """What the runs that fill one file must have in common, besides the commits."""
        return {
            "implementations": list(self.implementations),
            "here": self.here,
            "budget": self.budget,
            "turns": turns.TURNS,
            "turn_seconds": turns.TURN_SECONDS,
        }


def run(asked: Comparison, root: Path, say: Say) -> Pairs:
    """The pairs that are asked for, in the repository at `root`; `asked.out` is written after every pair.

    Raises Refusal where that cannot be followed, and NoAnswer where no pair can be measured.
    """
    commits: dict[Side, str] = {
        "base": worktrees.commit(root, "--base", asked.base),
        "head": worktrees.commit(root, "--head", asked.head),
    }
    if asked.head == "HEAD":
        worktrees.check_clean(root, besides=asked.out)
    with contextlib.ExitStack() as held:
        held.enter_context(worktrees.lock(root))
        before = _resumed(asked, commits) if asked.resume else None
        folders = held.enter_context(worktrees.worktrees(root, commits))
        pythons = dict.fromkeys(SIDES, Path(sys.executable))
        if not asked.here:
            say("building the environments of base and head")
            pythons = worktrees.environments(root, folders, impls.extras(asked.implementations))
        places = [Place(side, pythons[side], folders[side]) for side in SIDES]
        return Runner(asked, commits, places, say).run(before)


class Runner:
    """Fills a pairs file."""

    def __init__(self, asked: Comparison, commits: Mapping[Side, str], places: list[Place], say: Say) -> None:
        self.asked = asked
        self.commits = commits
        self.places = places
        self.say = say
        self.incidents: list[Incident] = []

    def run(self, record: Pairs | None) -> Pairs:
        """Go on from `record`, or begin."""
        begun = time.perf_counter()
        benchmarks = turns.catalogue(self.places[SIDES.index("head")], self.asked.implementations)
        iterations: dict[str, int] = {}
        if record is not None:
            _check_resumed(self.asked, "benchmarks", record.benchmarks, benchmarks)
            self.incidents += record.incidents
            for pair in record.pairs:
                iterations |= {reading.benchmark: reading.iterations for reading in pair.readings}
        elif self.asked.out.exists():
            self.asked.out.replace(self.asked.out.with_name(f"{self.asked.out.name}.previous"))
        while wanted := self.wanted(benchmarks, record):
            elapsed = time.perf_counter() - begun
            if self.late(elapsed, record):
                break
            try:
                pair, ready = turns.measure(self.places, wanted, iterations, verify=record is None)
                record = self.extended(record, benchmarks, pair, ready)
            except Incidents as lost:
                self.incidents += lost.incidents
                for incident in lost.incidents:
                    self.say(_lost(incident))
                if record is None:
                    continue
                record = dataclasses.replace(record, incidents=tuple(self.incidents))
            else:
                self.report(record, time.perf_counter() - begun)
            pairs_file.write(record, self.asked.out)
        if record is None:
            raise NoAnswer(
                f"expected a pair within {self.asked.budget:g} s, got none: "
                + "; ".join(map(_lost, self.incidents))
            )
        return record

    def late(self, elapsed: float, record: Pairs | None) -> bool:
        """Whether another pair, as long as the last one, would go past the budget; one is always tried."""
        if self.asked.pairs is not None or not (record or self.incidents):
            return False
        return elapsed + (record.pairs[-1].seconds if record else 0.0) > self.asked.budget

    def wanted(self, benchmarks: Sequence[Benchmark], record: Pairs | None) -> list[Benchmark]:
        """What the next pair is to measure; nothing where there is nothing left to find out."""
        lost = {incident.benchmark for incident in self.incidents}
        left = [benchmark for benchmark in benchmarks if benchmark.name not in lost]
        if record is None:
            return left
        if self.asked.pairs is not None:
            return left if len(record.pairs) < self.asked.pairs else []
        decision = pairs_file.decision(record)
        gated = [benchmark for benchmark in left if benchmark.name in decision.to_measure]
        controls = [benchmark for benchmark in left if benchmark.implementation == pairs_file.CONTROL]
        # A control that was lost can never settle: more pairs would not help.
        hopeless = any(name in lost for name in decision.controls)
        if len(record.pairs) >= MOST_PAIRS or hopeless or (decision.controls_settled and not gated):
            return []
        return gated + controls

    def extended(
        self, record: Pairs | None, benchmarks: tuple[Benchmark, ...], pair: Pair, ready: Mapping[Side, Ready]
    ) -> Pairs:
        """The record with one more pair; raises Refusal where that comes from elsewhere than those before."""
        asked, incidents = self.asked, tuple(self.incidents)
        if record is not None:
            for was, now in ((record.base, ready["base"]), (record.head, ready["head"])):
                _check_resumed(asked, "machine", was.machine, now.machine)
                _check_resumed(asked, "versions", was.versions, now.versions)
            return dataclasses.replace(record, incidents=incidents, pairs=(*record.pairs, pair))

        def side(ref: str, side: Side) -> Commit:
            here = ready[side]
            return Commit(ref, self.commits[side], here.machine, here.versions, here.threads_in_force)

        return Pairs(
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            command=shlex.join(["gradrace", *sys.argv[1:]]),
            base=side(asked.base, "base"),
            head=side(asked.head, "head"),
            settings=asked.settings(),
            rule=asked.rule,
            benchmarks=benchmarks,
            incidents=incidents,
            pairs=(pair,),
        )

    def report(self, record: Pairs, elapsed: float) -> None:
        """Log one line on the pair just measured."""
        states = pairs_file.decision(record).benchmarks.values()
        self.say(
            f"pair {len(record.pairs)}: {record.pairs[-1].seconds:.1f} s; {elapsed:.0f} s in all; "
            f"{sum(state.open for state in states)} of {len(states)} benchmarks open, "
            f"{sum(state.outcome == 'slower' for state in states)} slower"
        )


def _lost(incident: Incident) -> str:
    return f"lost: {incident.benchmark} of {incident.side}: {incident.reason}"


def _resumed(asked: Comparison, commits: Mapping[Side, str]) -> Pairs | None:
    """The pairs to go on from, None where there are none yet."""
    try:
        record = pairs_file.read(asked.out)
    except FileNotFoundError:
        return None
    except (RecordError, OSError) as error:
        raise Refusal(f"--resume: {error}") from error
    _check_resumed(asked, "base", record.base.commit, commits["base"])
    _check_resumed(asked, "head", record.head.commit, commits["head"])
    _check_resumed(asked, "settings", record.settings, asked.settings())
    _check_resumed(asked, "rule", record.rule, asked.rule)
    return record


def _check_resumed(asked: Comparison, what: str, was: object, now: object) -> None:
    """Raises Refusal unless the pairs in the file and those to come are alike in this."""
    if was != now:
        raise Refusal(f"--resume: {what}: {asked.out} has {was}, got {now}; write to another file with --out")
