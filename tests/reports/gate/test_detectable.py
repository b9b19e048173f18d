"""Floors: the noise of a benchmark decides how small a slowdown it can show."""

import math
import random

import pytest

from benchmarks.gate.decision import RULES, Differences, decide
from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pairs
from reports.gate.detectable import BLOCK, detectable, redrawn
from tests.reports.gate import pairs as by_hand

LOOPS, NUMPY, NUMBA = by_hand.names()


def noise(spread: float, pairs: int, seed: str) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(0, spread) for _ in range(pairs)]


def same(pairs: int = 40, **spreads: float) -> Pairs:
    named = {name: next(n for n in by_hand.names() if n.startswith(name)) for name in spreads}
    columns = {named[name]: noise(spread, pairs, name) for name, spread in spreads.items()}
    return by_hand.made(columns, pairs, head="a" * 40)


FAMILY = pairs_file.family(by_hand.made({}))


def test_the_noisier_a_benchmark_the_higher_its_minimum_detectable_effect() -> None:
    found = detectable(same(loops=0.001, numpy=0.03, numba=0.06), FAMILY)
    assert RULES["median"].minimum_effect < found[LOOPS] < 0.05
    assert found[LOOPS] < found[NUMPY] < found[NUMBA]


def test_more_pairs_lower_the_minimum() -> None:
    record = same(numpy=0.03)
    few, many = (detectable(record, FAMILY, pairs)[NUMPY] for pairs in (14, 60))
    assert many < few


def test_a_slowdown_of_the_minimum_is_detected_and_one_well_below_is_not() -> None:
    record = same(numpy=0.02)
    minimum = detectable(record, FAMILY)[NUMPY]
    rng = random.Random(1)

    def found(share: float) -> float:
        count = 0
        for _ in range(200):
            drawn = [rng.gauss(0, 0.02) + math.log1p(share) for _ in range(30)]
            series: list[Differences] = [{NUMPY: {"median": d}} for d in drawn]
            outcome = decide(series, FAMILY, ()).benchmarks[NUMPY].outcome
            count += outcome == "slower"
        return count / 200

    assert found(minimum) > 0.85
    assert found(minimum - 0.02) < 0.85


def test_a_benchmark_that_shows_nothing_has_no_minimum() -> None:
    wild = detectable(same(numpy=3.0), FAMILY)
    assert wild[NUMPY] == math.inf
    assert detectable(same(pairs=19, numpy=0.01), FAMILY) == {}


def test_controls_have_none_and_the_answer_repeats() -> None:
    record = same(numpy=0.02)
    found = detectable(record, FAMILY)
    assert set(found) == set(by_hand.names())
    assert detectable(record, FAMILY) == found


@pytest.mark.parametrize("length", [1, BLOCK, 30])
def test_noise_is_redrawn_in_blocks_of_neighbours(length: int) -> None:
    drawn = redrawn(list(range(10)), length, random.Random(0))
    assert len(drawn) == length
    for k in range(1, length):
        if k % BLOCK:
            assert drawn[k] == (drawn[k - 1] + 1) % 10
