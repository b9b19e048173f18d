"""Gates that are replayed from recorded pairs: many more than anybody could wait for.

Pairs are drawn from a record of one commit against itself, in blocks of neighbours, and whole: what one pair
shares with the next, and what its benchmarks share with each other, is kept. A slowdown is put into a replay
by making head's turns longer, or by drawing the slowed benchmarks from a record of that slowdown.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import math
import random
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from benchmarks.gate.decision import Decision, Differences, decide
from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pairs
from reports.gate.detectable import GATE_PAIRS, redrawn, slowed
from reports.gate.verdicts import COULD_NOT_TELL, SLOWDOWN, conclude
from tests.studies import rivals
from tests.studies.rivals import Rounds

RIVAL_PROCESSES = 2
"""Processes of each side that a rival gets to see, at most."""


@dataclasses.dataclass(frozen=True)
class GateTally:
    """Many gates: how many ended how, and after how many pairs.

    `alarms` of them failed the change, `named` of them for a benchmark that was slowed and for no other,
    `unknown` of them could not tell.
    """

    gates: int
    alarms: int
    named: int
    unknown: int
    pairs: float


class Recording:
    """Pairs, as replays need them: differences for the gate, rounds for its rivals."""

    def __init__(self, pairs: Pairs) -> None:
        self.family = pairs_file.family(pairs)
        self.gated = list(self.family)
        self.controls = [benchmark.name for benchmark in pairs.benchmarks if benchmark.control]
        self.differences = pairs_file.series(pairs)
        self.base: list[dict[str, Rounds]] = []
        self.head: list[dict[str, Rounds]] = []
        for pair in pairs.pairs:
            self.base.append({r.benchmark: np.array(r.base) for r in pair.readings})
            self.head.append({r.benchmark: np.array(r.head) for r in pair.readings})

    def draw(self, rng: random.Random) -> list[int]:
        """The pairs of one replayed gate."""
        return [int(i) for i in redrawn(range(len(self.differences)), GATE_PAIRS, rng)]


def until_pair(pairs: Pairs, k: int) -> float:
    """Seconds from the start of the gate to the end of its pair k; those of a pause before --resume, too."""
    pair = pairs.pairs[k]
    began, started = map(datetime.datetime.fromisoformat, (pairs.created, pair.started))
    return (started - began).total_seconds() + pair.seconds


Slowdown = Callable[[random.Random], Mapping[str, float]]
"""Draws which benchmarks are slower, and by which share."""


def gate(
    recording: Recording, slowdown: Slowdown, gates: int, seed: int, injected: Recording | None = None
) -> GateTally:
    """Replay `gates` gates of gradrace; `injected` replaces the differences of the gated benchmarks."""
    rng = random.Random(seed)
    verdicts = []
    for _ in range(gates):
        shares = slowdown(rng)
        shift = {name: math.log1p(share) for name, share in shares.items()}
        rows = [
            {name: slowed(d, shift.get(name, 0.0)) for name, d in recording.differences[i].items()}
            for i in recording.draw(rng)
        ]
        hurt: Collection[str] = shares
        if injected is not None:
            hurt = injected.gated
            for row, i in zip(rows, injected.draw(rng), strict=True):
                row.update({name: injected.differences[i][name] for name in injected.gated})
        verdicts.append(_judged(recording, rows, hurt))
    return _tally(verdicts)


def rival(
    recording: Recording, rule: rivals.RivalRule, slowdown: Slowdown, gates: int, seed: int
) -> GateTally:
    """Replay `gates` gates by a rival's rule: base's processes of some pairs against head's of others."""
    rng = random.Random(seed)
    verdicts = []
    for _ in range(gates):
        shares = slowdown(rng)
        chosen = rng.sample(range(len(recording.differences)), 2 * RIVAL_PROCESSES)
        verdicts.append(_rivalled(recording, rule, chosen, shares, shares))
    return _tally(verdicts)


def whole(runs: Sequence[Recording], hurt: Collection[str]) -> GateTally:
    """Gates that were really run, on changes that slow the benchmarks `hurt`."""
    return _tally([_judged(run, run.differences, hurt) for run in runs])


def whole_rival(runs: Sequence[Recording], rule: rivals.RivalRule, hurt: Collection[str]) -> GateTally:
    """A rival's verdicts by the first pairs of gates that were really run, each long enough for it."""
    return _tally([_rivalled(run, rule, range(len(run.differences)), {}, hurt) for run in runs])


@dataclasses.dataclass(frozen=True)
class _Verdict:
    alarm: bool
    named: bool
    unknown: bool
    pairs: int


def _judged(recording: Recording, rows: Sequence[Differences], hurt: Collection[str]) -> _Verdict:
    def decided(pairs: int) -> Decision:
        return decide(rows[:pairs], recording.family, recording.controls)

    def ended(pairs: int) -> bool:
        decision = decided(pairs)
        return decision.controls_settled and not decision.to_measure

    # A gate ends where nothing is left to find out, and does not see the pairs after that.
    end = bisect.bisect_left(range(len(rows)), True, key=ended)
    decision = decided(end)
    outcomes = {name: state.outcome for name, state in decision.benchmarks.items()}
    code, _ = conclude(outcomes, decision.controls)
    slower = {name for name, outcome in outcomes.items() if outcome == "slower"}
    return _Verdict(
        alarm=code == SLOWDOWN,
        named=code == SLOWDOWN and slower <= set(hurt),
        unknown=code == COULD_NOT_TELL,
        pairs=max(each.last for state in decision.benchmarks.values() for each in state.measures.values()),
    )


def _rivalled(
    recording: Recording,
    rule: rivals.RivalRule,
    chosen: Sequence[int],
    shares: Mapping[str, float],
    hurt: Collection[str],
) -> _Verdict:
    slower = set()
    for name in recording.gated:
        # one that is too slow for the budget of its gate is measured in no pair
        measured = [i for i in chosen if name in recording.base[i]][: 2 * RIVAL_PROCESSES]
        before, after = measured[:RIVAL_PROCESSES], measured[RIVAL_PROCESSES:]
        base = [recording.base[i][name] for i in before]
        head = [recording.head[i][name] * (1 + shares.get(name, 0.0)) for i in after]
        if len(measured) == 2 * RIVAL_PROCESSES and rule(base, head):
            slower.add(name)
    return _Verdict(bool(slower), bool(slower) and slower <= set(hurt), False, RIVAL_PROCESSES)


def _tally(verdicts: Sequence[_Verdict]) -> GateTally:
    return GateTally(
        gates=len(verdicts),
        alarms=sum(verdict.alarm for verdict in verdicts),
        named=sum(verdict.named for verdict in verdicts),
        unknown=sum(verdict.unknown for verdict in verdicts),
        pairs=statistics.median(verdict.pairs for verdict in verdicts),
    )


def none(_: random.Random) -> Mapping[str, float]:
    """No slowdown."""
    return {}


def one(names: Sequence[str], share: float) -> Slowdown:
    """A slowdown of one benchmark, drawn for each gate."""
    return lambda rng: {rng.choice(names): share}


def every(names: Sequence[str], share: float) -> Slowdown:
    """The same slowdown of all."""
    return lambda _: dict.fromkeys(names, share)
