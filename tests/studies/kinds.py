"""Slowdowns of every kind on made-up turns: `python -m tests.studies.kinds` prints which measure names them.

Twelve benchmarks, of which the first is slower; each process has a level of its own (1 % from one to the
next), each turn is lognormal (2 %) and one in a hundred is disturbed (2 to 6 times as long); of both sides
alike. A gate ends where it would: once nothing is open, or after 120 pairs.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.decision import MOST_PAIRS, RULES, Decision, Differences, decide
from benchmarks.record.pairs_file import Reading, differences

NAMES = tuple(f"b{k}" for k in range(12))
TURNS = 80
CALL_SECONDS = 2e-3
"""The seconds of a call that is a whole turn, so that a slow one is not averaged with others."""

Turns = NDArray[np.float64]
Generator = np.random.Generator


@dataclasses.dataclass
class ProcessReadings:
    """The readings of one benchmark in one process."""

    turns: Turns
    first: float
    peak: int


Kind = Callable[[ProcessReadings, Generator], None]
"""Changes what head's process measures."""


def nothing(process: ProcessReadings, rng: Generator) -> None:
    """No change."""


def every(share: float) -> Kind:
    """Every call takes longer by a share."""

    def change(process: ProcessReadings, rng: Generator) -> None:
        process.turns *= 1 + share

    return change


def every_nth(n: int, factor: float) -> Kind:
    """Every n-th call takes `factor` times as long."""

    def change(process: ProcessReadings, rng: Generator) -> None:
        process.turns[rng.integers(n) :: n] *= factor

    return change


def one_process_in(n: int, factor: float) -> Kind:
    """One process in n takes `factor` times as long."""

    def change(process: ProcessReadings, rng: Generator) -> None:
        if rng.random() < 1 / n:
            process.turns *= factor

    return change


def first_call(factor: float) -> Kind:
    """The first call takes `factor` times as long."""

    def change(process: ProcessReadings, rng: Generator) -> None:
        process.first *= factor

    return change


def memory(factor: float) -> Kind:
    """The peak of memory is `factor` times as large."""

    def change(process: ProcessReadings, rng: Generator) -> None:
        process.peak = round(factor * process.peak)

    return change


KINDS: Mapping[str, Kind] = {
    "nothing": nothing,
    "every call 2 % slower": every(0.02),
    "every call 5 % slower": every(0.05),
    "every call 10 % slower": every(0.10),
    "every third call 5 times": every_nth(3, 5.0),
    "every tenth call 20 times": every_nth(10, 20.0),
    "every 20th call 50 times": every_nth(20, 50.0),
    "every 20th call 2 times": every_nth(20, 2.0),
    "every tenth call 3 times": every_nth(10, 3.0),
    "one process in five 2 times": one_process_in(5, 2.0),
    "one process in ten 2 times": one_process_in(10, 2.0),
    "first call 20 times": first_call(20.0),
    "memory 1.5 times": memory(1.5),
}


def process(rng: Generator, turns: int) -> ProcessReadings:
    """An unchanged process."""
    seconds = CALL_SECONDS * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.02, turns))
    disturbed = rng.random(turns) < 0.01
    seconds[disturbed] *= rng.uniform(2, 6, disturbed.sum())
    return ProcessReadings(
        seconds, CALL_SECONDS * math.exp(rng.normal(0.5, 0.2)), 100_000 + int(rng.integers(3)) * 64
    )


def reading(name: str, kind: Kind, rng: Generator, turns: int) -> Reading:
    """A reading of a benchmark with the change `kind` in head."""
    base, head = process(rng, turns), process(rng, turns)
    kind(head, rng)
    sides = (tuple(base.turns.tolist()), tuple(head.turns.tolist()))
    return Reading(name, 1, *sides, (base.first, head.first), (base.peak, head.peak))


def gate(kind: Kind, rng: Generator) -> tuple[Decision, int]:
    """The decision of a gate, and its pairs."""
    family = dict.fromkeys(NAMES, RULES)
    pairs: list[Differences] = []
    decision = decide(pairs, family, ())
    while decision.to_measure and len(pairs) < MOST_PAIRS:
        pairs.append(
            {
                name: differences(reading(name, kind if name == NAMES[0] else nothing, rng, TURNS))
                for name in decision.to_measure
            }
        )
        decision = decide(pairs, family, ())
    return decision, len(pairs)


@dataclasses.dataclass(frozen=True)
class KindTally:
    """The numbers of gates, of those that named only the changed benchmark, of passes, and their pairs."""

    gates: int
    named: int
    alarms: int
    passed: int
    measures: Mapping[str, int]
    pairs: float


def tally(kind: Kind, gates: int, seed: int) -> KindTally:
    """The verdicts of `gates` gates on a kind of slowdown."""
    named = alarms = passed = 0
    measures: dict[str, int] = {}
    lengths = []
    for k in range(gates):
        decision, pairs = gate(kind, np.random.default_rng([seed, k]))
        slower = {name for name, state in decision.benchmarks.items() if state.outcome == "slower"}
        named += slower == {NAMES[0]}
        alarms += bool(slower - {NAMES[0]})
        passed += all(state.outcome in ("same", "faster") for state in decision.benchmarks.values())
        for measure in decision.benchmarks[NAMES[0]].slower:
            measures[measure] = measures.get(measure, 0) + 1
        lengths.append(pairs)
    return KindTally(gates, named, alarms, passed, measures, statistics.median(lengths))


def main() -> None:
    """A row for each kind."""
    print("| change of one benchmark of twelve | named | passed | another named | measures | pairs, median |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for seed, (name, kind) in enumerate(KINDS.items()):
        found = tally(kind, 40, seed)
        measures = ", ".join(
            f"{m} {count}" for m, count in sorted(found.measures.items(), key=lambda i: -i[1])
        )
        print(
            f"| {name} | {found.named} of {found.gates} | {found.passed} | {found.alarms} | {measures} "
            f"| {found.pairs:g} |"
        )


if __name__ == "__main__":
    main()
