"""The gate's decision on made-up noise: `python -m tests.studies.gate_simulation` prints a table of it.

Twelve benchmarks, up to MOST_PAIRS pairs. The noise of a pair's difference has a deviation of 1 to 5 %: it is
normal, or heavy-tailed (Student's t with 3 degrees of freedom), or normal with 10 % of pairs eight times as
wide; or it is shared by neighbouring pairs (an autocorrelation of 0.5), or drifts by a deviation in 30 pairs.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.decision import RULES, Measure, Rule, decide

NAMES = tuple(f"b{k}" for k in range(12))
MOST_PAIRS = 30
FAMILIES = 400
SHAPES = ("normal", "heavy tails", "outliers", "autocorrelated", "drifting")


def noise(shape: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """(MOST_PAIRS, 12) of deviation 1."""
    size = (MOST_PAIRS, len(NAMES))
    normal = rng.standard_normal(size)
    if shape == "heavy tails":
        return rng.standard_t(3, size) / math.sqrt(3)
    if shape == "outliers":
        wide = np.where(rng.random(size) < 0.1, 8.0, 1.0)
        return normal * wide / math.sqrt(0.9 + 0.1 * 64)
    if shape == "autocorrelated":
        found = normal.copy()
        for i in range(1, MOST_PAIRS):
            found[i] = 0.5 * found[i - 1] + math.sqrt(0.75) * normal[i]
        return found
    if shape == "drifting":
        return normal + np.linspace(-0.5, 0.5, MOST_PAIRS)[:, None]
    return normal


def families(shape: str, spread: float, shares: NDArray[np.float64], seed: int) -> tuple[int, int, float]:
    """The numbers of families with a confirmed slowdown and of settled ones, and their median of pairs."""
    rng = np.random.default_rng(seed)
    shift = np.log1p(shares)
    alarms = settled = 0
    lengths = []
    for _ in range(FAMILIES):
        rows: list[dict[str, dict[Measure, float]]] = [
            {name: {"median": d} for name, d in zip(NAMES, row, strict=True)}
            for row in (spread * noise(shape, rng) + shift).tolist()
        ]
        gated: dict[str, dict[Measure, Rule]] = {name: {"median": RULES["median"]} for name in NAMES}
        states = decide(rows, gated, ()).benchmarks.values()
        alarms += any(state.outcome == "slower" for state in states)
        settled += not any(state.open for state in states)
        lengths.append(max(state.measures["median"].last for state in states))
    return alarms, settled, statistics.median(lengths)


def main() -> None:
    """One row for each shape and spread; shares of FAMILIES families."""
    none, one = np.zeros(12), np.eye(12)[0]
    columns = ("noise", "deviation", "false alarms", "2 % in all", "settled", "pairs", "5 %", "10 %", "pairs")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for shape in SHAPES:
        for spread in (0.01, 0.02, 0.03, 0.05):
            unchanged = families(shape, spread, none, 0)
            edge = families(shape, spread, none + 0.02, 1)
            five = families(shape, spread, 0.05 * one, 2)
            ten = families(shape, spread, 0.10 * one, 3)
            print(
                f"| {shape} | {100 * spread:g} % | {unchanged[0] / FAMILIES:.1%} | {edge[0] / FAMILIES:.1%} "
                f"| {unchanged[1] / FAMILIES:.0%} | {unchanged[2]:g} | {five[0] / FAMILIES:.1%} "
                f"| {ten[0] / FAMILIES:.1%} | {five[2]:g} |"
            )


if __name__ == "__main__":
    main()
