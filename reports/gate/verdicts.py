"""Verdicts by pairs of base and head: one for each benchmark, and one for the change."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from benchmarks.gate.decision import (
    RULES,
    SHARES,
    BenchmarkState,
    ControlState,
    Differences,
    Measure,
    Rule,
    interval,
)
from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Benchmark, Pairs

GateVerdict = Literal["faster", "same", "slower", "inconclusive", "incomparable"]

NO_SLOWDOWN, SLOWDOWN, COULD_NOT_TELL = 0, 1, 2

BIMODAL = 0.05
"""The difference between the shares of slow turns in head and in base from which a note is given."""


@dataclasses.dataclass(frozen=True)
class MeasureRow:
    """One measure: its outcome, the pairs that show it, and where it lies: head / base, or for `tail` and
    `processes` the share of head's that are slow less that of base's, with the bounds of that.
    """

    measure: Measure
    outcome: GateVerdict | ControlState
    pairs: int
    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class VerdictRow:
    """One benchmark or control: its verdict, and all of its measures, the one that shows the verdict first.

    `detectable` is the minimum detectable effect here (a share), None if that is not known or does not
    apply. A benchmark that is `informational` decides nothing; one that is incomparable never is, as noise
    excuses neither a crash nor a wrong result.
    """

    name: str
    verdict: GateVerdict | ControlState
    measures: tuple[MeasureRow, ...]
    detectable: float | None = None
    informational: bool = False
    reason: str = ""

    @property
    def shown(self) -> MeasureRow:
        """The measure that shows the verdict."""
        return self.measures[0]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict on a change: an exit status, the sentence for it, and what it rests on."""

    exit_code: int
    sentence: str
    rows: tuple[VerdictRow, ...]
    controls: tuple[VerdictRow, ...]


def judge(pairs: Pairs, detectable: Mapping[str, float]) -> Judgement:
    """The judgement by `pairs`; `detectable` holds the minimum detectable effects, as far as they are known.

    A benchmark whose minimum detectable effect exceeds the target is informational. A benchmark passes only
    if that is shown.
    """
    decision = pairs_file.decision(pairs)
    series = pairs_file.series(pairs)
    controls = tuple(
        VerdictRow(name, state, (_row("median", state, _column(series, name, "median"), RULES["median"]),))
        for name, state in decision.controls.items()
    )
    unsteady = [control.name for control in controls if control.verdict != "steady"]
    lost = {incident.benchmark: incident for incident in pairs.incidents}
    elsewhere = pairs.base.machine != pairs.head.machine
    rows, deciding, improved = [], {}, []
    for benchmark in pairs.benchmarks:
        if benchmark.control:
            continue
        name, state, terms = benchmark.name, decision.benchmarks[benchmark.name], benchmark.terms
        verdict: GateVerdict = state.outcome
        reason = ""
        if name in lost:
            verdict = "incomparable"
            reason = f"{lost[name].side}: {lost[name].status}: {lost[name].reason}"
        elif elsewhere:
            verdict, reason = "incomparable", "base and head ran on different machines"
        elif unsteady:
            verdict, reason = "inconclusive", f"{unsteady[0]} is not steady"
        elif verdict == "inconclusive":
            reason = _open(state)
        elif verdict == "slower" and len(state.slower) > 1:
            reason = f"moved, too: {', '.join(state.slower[1:])}"
        if verdict == "faster" and terms.fail_on_improvement:
            improved.append(name)
            reason = "faster than its reference: renew the reference"
        reason = "; ".join(filter(None, [reason, two_kinds(pairs, benchmark)]))
        effect = detectable.get(name)
        noisy = effect is not None and effect > terms.rules.get("median", RULES["median"]).target
        informational = (noisy or terms.informational) and verdict != "incomparable"
        if not informational:
            deciding[name] = verdict
        rows.append(
            VerdictRow(name, verdict, _measures(state, series, benchmark), effect, informational, reason)
        )
    counted = [name for name in improved if name in deciding]
    code, sentence = conclude(deciding, decision.controls, counted)
    if deciding and len(deciding) < len(rows):
        sentence += f"; {len(rows) - len(deciding)} informational"
    return Judgement(code, sentence, tuple(rows), controls)


def _open(state: BenchmarkState) -> str:
    if not any(each.last for each in state.measures.values()):
        return "no pairs yet"
    flagged = [measure for measure in state.open if state.measures[measure].flagged]
    if flagged:
        return f"flagged, not confirmed yet: {', '.join(flagged)}"
    return f"more pairs are needed: {', '.join(state.open)}"


def _measures(
    state: BenchmarkState, series: Sequence[Differences], benchmark: Benchmark
) -> tuple[MeasureRow, ...]:
    """The measures of a benchmark: those that moved, then those that are open, then the others."""
    rules = {"limit": Rule(), **benchmark.terms.rules}
    rows = []
    for measure in dict.fromkeys([*state.slower, *state.open, *state.measures]):
        found = state.measures[measure]
        column = _column(series[found.first : found.last], benchmark.name, measure)
        rows.append(_row(measure, found.outcome, column, rules[measure]))
    return tuple(rows)


def _column(series: Sequence[Differences], name: str, measure: Measure) -> list[float]:
    return [pair[name][measure] for pair in series if measure in pair.get(name, {})]


def _row(
    measure: Measure, outcome: GateVerdict | ControlState, column: Sequence[float], rule: Rule
) -> MeasureRow:
    """Pairs, centre and bounds of the differences that there are."""
    shares = measure in SHARES
    middle = statistics.fmean if shares else statistics.median
    centre = middle(column) if column else math.nan
    value = centre if shares else math.exp(centre)
    return MeasureRow(measure, outcome, len(column), value, *interval(column, measure, rule))


def two_kinds(pairs: Pairs, benchmark: Benchmark) -> str:
    """A note on a benchmark with fast and slow turns in head; "" if there is nothing to note."""
    readings = [r for pair in pairs.pairs for r in pair.readings if r.benchmark == benchmark.name]
    if not readings:
        return ""
    base, head = (
        statistics.fmean(pairs_file.slow_turns(getattr(reading, side)) for reading in readings)
        for side in ("base", "head")
    )
    if head - base < BIMODAL:
        return ""
    factors = []
    for reading in readings:
        usual = statistics.median(reading.head)
        factors += [turn / usual for turn in reading.head if turn > pairs_file.SLOW_TURN * usual]
    return (
        f"two kinds of turns: {100 * head:.0f} % of head's take {statistics.median(factors):.1f} times as "
        f"long; of base's {100 * base:.0f} % do"
    )


def conclude(
    verdicts: Mapping[str, GateVerdict], controls: Mapping[str, ControlState], improved: Collection[str] = ()
) -> tuple[int, str]:
    """The exit status and its sentence, from the verdicts that decide and the states of the controls;
    `improved` are faster where that fails, too.
    """
    moved = [name for name, state in controls.items() if state == "moved"]
    if moved:
        return COULD_NOT_TELL, (
            f"could not tell: {', '.join(moved)} moved, although no change affects a control; "
            "the machine or its libraries are not the same for both sides"
        )
    unsettled = [name for name, state in controls.items() if state != "steady"]
    if unsettled:
        return COULD_NOT_TELL, (
            f"could not tell: more pairs are needed to see that {', '.join(unsettled)} did not move"
        )
    slower = [name for name, verdict in verdicts.items() if verdict == "slower"]
    if slower:
        return SLOWDOWN, f"slower: {', '.join(slower)}"
    if improved:
        return SLOWDOWN, f"faster than the reference, which needs renewal: {', '.join(improved)}"
    unknown = [name for name, verdict in verdicts.items() if verdict in ("inconclusive", "incomparable")]
    if unknown or not verdicts:
        return COULD_NOT_TELL, (
            f"could not tell: {', '.join(unknown) if unknown else 'every benchmark is informational here'}"
        )
    return NO_SLOWDOWN, f"no slowdown in {len(verdicts)} benchmarks"


def figures(row: MeasureRow) -> tuple[str, str]:
    """The value of a measure and its bounds, as far as they are known: ratios, or shares in percent."""
    if row.measure in SHARES:
        value = f"{100 * row.value:+.0f} %" if row.pairs else ""
        known = row.low > -1 or row.high < 1
        return value, f"{100 * row.low:+.0f} to {100 * row.high:+.0f} %" if known else ""
    value = f"{row.value:.3f}" if row.pairs else ""
    return value, f"{row.low:.3f} to {row.high:.3f}" if math.isfinite(row.high) else ""
