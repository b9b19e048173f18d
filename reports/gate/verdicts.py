"""Verdicts by pairs of base and head: one for each benchmark, and one for the change."""

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
class VerdictRow:
    """One benchmark or control: its verdict, the pairs that show it, head / base and the bounds of that.

    `detectable` is the minimum detectable effect here (a share), None where that is not known or does not
    apply. A benchmark that is `informational` decides nothing; one that is incomparable never is, as noise
    excuses neither a crash nor a wrong result.
    """

    name: str
    verdict: Verdict | ControlState
    pairs: int
    ratio: float
    low: float
    high: float
    detectable: float | None = None
    informational: bool = False
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict on a change: an exit status, the sentence for it, and what it rests on."""

    exit_code: int
    sentence: str
    rows: tuple[VerdictRow, ...]
    controls: tuple[VerdictRow, ...]


def judge(pairs: Pairs, detectable: Mapping[str, float]) -> Judgement:
    """The judgement by `pairs`; `detectable` holds the minimum detectable effects, as far as they are known.

    A benchmark whose minimum detectable effect exceeds the target is informational. Whatever is not shown is
    no pass.
    """
    decision = pairs_file.decision(pairs)
    series: dict[str, list[float | None]] = {benchmark.name: [] for benchmark in pairs.benchmarks}
    for pair in pairs.pairs:
        found = pairs_file.differences(pair)
        for name, column in series.items():
            column.append(found.get(name))

    controls = tuple(
        VerdictRow(name, state, *_summary(pairs, series[name])) for name, state in decision.controls.items()
    )
    unsteady = [control.name for control in controls if control.verdict != "steady"]
    lost = {incident.benchmark: incident for incident in pairs.incidents}
    elsewhere = pairs.base.machine != pairs.head.machine
    rows, deciding = [], {}
    for name, state in decision.benchmarks.items():
        verdict: Verdict = state.outcome
        reason = ""
        if name in lost:
            verdict = "incomparable"
            reason = f"{lost[name].side}: {lost[name].status}: {lost[name].reason}"
        elif elsewhere:
            verdict, reason = "incomparable", "base and head ran on different machines"
        elif unsteady:
            verdict, reason = "inconclusive", f"{unsteady[0]} is not steady"
        elif verdict == "inconclusive":
            reason = "flagged, not confirmed yet" if state.flagged else "more pairs are needed"
        effect = detectable.get(name)
        informational = effect is not None and effect > pairs.rule.target and verdict != "incomparable"
        if not informational:
            deciding[name] = verdict
        summary = _summary(pairs, series[name][state.first : state.last])
        rows.append(VerdictRow(name, verdict, *summary, effect, informational, reason))
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
    """The exit status and its sentence, from the verdicts that decide and the states of the controls."""
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
