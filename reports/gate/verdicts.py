"""What pairs of base and head say: a verdict for each benchmark, and one for the change."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import Literal

from benchmarks.gate.decision import ControlState, interval
from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pairs

Verdict = Literal["faster", "same", "slower", "inconclusive", "incomparable"]

NO_SLOWDOWN, SLOWDOWN, COULD_NOT_TELL = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Row:
    """One benchmark: `ratio` is head / base, `low` and `high` its bounds.

    `floor` is the smallest slowdown (a share) that can be detected here, None where that is not known. A
    benchmark that is `informational` decides nothing; one that is incomparable never is: a floor is about
    noise, and excuses neither a crash nor a wrong result.
    """

    name: str
    verdict: Verdict
    pairs: int
    ratio: float
    low: float
    high: float
    floor: float | None
    informational: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class Control:
    """One control: steady, moved or inconclusive."""

    name: str
    state: ControlState
    pairs: int
    ratio: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict on a change: an exit code, and the sentence for it."""

    exit_code: int
    sentence: str
    rows: tuple[Row, ...]
    controls: tuple[Control, ...]


def judge(pairs: Pairs, floors: Mapping[str, float]) -> Judgement:
    """What `pairs` say; `floors` holds the smallest detectable slowdowns, as far as they are known.

    A benchmark whose floor exceeds the target is informational. Whatever is not shown is no pass.
    """
    decision = pairs_file.decision(pairs)
    series: dict[str, list[float | None]] = {benchmark.name: [] for benchmark in pairs.benchmarks}
    for pair in pairs.pairs:
        found = pairs_file.differences(pair)
        for name, column in series.items():
            column.append(found.get(name))

    controls = tuple(
        Control(name, state, *_summary(pairs, series[name])) for name, state in decision.controls.items()
    )
    unsteady = [control.name for control in controls if control.state != "steady"]
    lost = {incident.benchmark: incident for incident in pairs.incidents}
    elsewhere = pairs.base.machine != pairs.head.machine
    rows = []
    for name, finding in decision.findings.items():
        verdict: Verdict = finding.outcome
        reason = ""
        if name in lost:
            verdict = "incomparable"
            reason = f"{lost[name].side}: {lost[name].status}: {lost[name].reason}"
        elif elsewhere:
            verdict, reason = "incomparable", "base and head ran on different machines"
        elif unsteady:
            verdict, reason = "inconclusive", f"{unsteady[0]} is not steady"
        elif verdict == "inconclusive":
            reason = "flagged, not confirmed yet" if finding.flagged else "more pairs are needed"
        floor = floors.get(name)
        rows.append(
            Row(
                name,
                verdict,
                *_summary(pairs, series[name][finding.first : finding.last]),
                floor,
                floor is not None and floor > pairs.rule.target and verdict != "incomparable",
                reason,
            )
        )
    deciding = {row.name: row.verdict for row in rows if not row.informational}
    code, sentence = conclude(deciding, decision.controls)
    if deciding and len(deciding) < len(rows):
        sentence += f"; {len(rows) - len(deciding)} informational"
    return Judgement(code, sentence, tuple(rows), controls)


def _summary(pairs: Pairs, column: list[float | None]) -> tuple[int, float, float, float]:
    """Pairs, ratio and bounds of the differences that there are."""
    differences = [d for d in column if d is not None]
    ratio = math.exp(statistics.median(differences)) if differences else math.nan
    return len(differences), ratio, *interval(differences, pairs.rule)


def conclude(verdicts: Mapping[str, Verdict], controls: Mapping[str, ControlState]) -> tuple[int, str]:
    """The exit code and its sentence, from the verdicts that decide and the states of the controls."""
    moved = [name for name, state in controls.items() if state == "moved"]
    if moved:
        return COULD_NOT_TELL, (
            f"could not tell: {', '.join(moved)} moved, which no change of ours touches; "
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
    unknown = [name for name, verdict in verdicts.items() if verdict in ("inconclusive", "incomparable")]
    if unknown or not verdicts:
        return COULD_NOT_TELL, (
            f"could not tell: {', '.join(unknown) if unknown else 'every benchmark is informational here'}"
        )
    return NO_SLOWDOWN, f"no slowdown in {len(verdicts)} benchmarks"
