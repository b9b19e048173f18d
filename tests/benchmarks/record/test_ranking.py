"""Which implementation is first, which ties, which is behind, and when that is known."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Facts
from benchmarks.record.ranking import FEWEST, HOPELESS, MATTERS, groups, light, ranking, undecided
from benchmarks.record.statistics import Timing, TimingByProcess


def cell(name: str, m: int = 1) -> Cell:
    return Cell("digits", "step", m, "float64", 1, name)


def timed(seconds: dict[str, list[float]]) -> dict[Cell, TimingByProcess]:
    """The times of each implementation in process 0, 1 and so on."""
    return {
        cell(name): {k: Timing(value, value) for k, value in enumerate(each)}
        for name, each in seconds.items()
    }


def verdicts(seconds: dict[str, list[float]], light: set[str] | None = None) -> dict[str, str]:
    return {place.cell.implementation: place.verdict for place in ranking(timed(seconds), light or set())}


def test_a_clear_order_is_known_and_ranked() -> None:
    seconds = {"numpy": [1.5, 1.51, 1.49, 1.5, 1.5], "jax": [1.0, 1.01, 0.99, 1.0, 1.0]}
    assert verdicts(seconds) == {"jax": "first", "numpy": "behind"}
    assert undecided(timed(seconds)) == []
    place = ranking(timed(seconds))[1]
    assert place.behind.low < 1.5 < place.behind.high


def test_a_lead_that_is_real_and_below_what_matters_is_a_tie() -> None:
    seconds = {"numpy": [1.01] * 5, "jax": [1.0] * 5}
    assert verdicts(seconds) == {"jax": "first", "numpy": "tie"}
    assert ranking(timed(seconds))[1].closer
    assert undecided(timed(seconds)) == []


def test_an_interval_that_holds_one_is_a_tie_and_not_known() -> None:
    seconds = {"numpy": [1.5, 0.9, 1.4, 0.8, 1.3], "jax": [1.0] * 5}
    assert verdicts(seconds) == {"jax": "first", "numpy": "tie"}
    assert not ranking(timed(seconds))[1].closer
    assert undecided(timed(seconds)) == [(cell("jax"), cell("numpy"))]


def test_a_ranking_of_too_few_processes_is_not_known() -> None:
    seconds = {"numpy": [1.1] * (FEWEST - 1), "jax": [1.0] * (FEWEST - 1)}
    assert undecided(timed(seconds)) == [(cell("jax"), cell("numpy"))]
    for processes in range(1, FEWEST):  # two that agree by luck make an interval that says nothing
        seconds = {"numpy": [1.1] * processes, "jax": [1.0] * processes}
        assert verdicts(seconds) == {"jax": "first", "numpy": "unknown"}


@pytest.mark.parametrize(("processes", "share"), HOPELESS.items())
def test_who_lags_in_each_of_so_many_processes_is_no_contender_until_there_are_enough(
    processes: int, share: float
) -> None:
    def verdict(count: int, *others: float) -> str:
        times = [share * 1.01] * count + [*others]
        return verdicts({"jax": [1.0] * len(times), "torch": times})["torch"]

    assert verdict(processes) == "dropped"
    assert verdict(processes - 1, 1.0) == "unknown"
    assert verdict(FEWEST) == ("dropped" if processes == 1 else "behind")


def test_the_hopeless_are_no_contenders_but_for_the_fastest_of_numpy_alone() -> None:
    slow = HOPELESS[1] * 1.1
    seconds = {"numba": [1.0] * 5, "numpy": [slow] * 5, "numpy-inplace": [slow * 1.1], "autograd": [slow]}
    found = verdicts(seconds, {"numpy", "numpy-inplace"})
    assert found == {"numba": "first", "numpy": "behind", "numpy-inplace": "dropped", "autograd": "dropped"}
    assert verdicts(seconds) == {
        "numba": "first",
        **dict.fromkeys(("numpy", "numpy-inplace", "autograd"), "dropped"),
    }


def test_one_process_in_which_it_keeps_up_makes_a_contender() -> None:
    assert verdicts({"jax": [1.0, 1.0], "torch": [9.0, 1.4]})["torch"] == "unknown"


def test_processes_that_were_slow_for_all_decide_nothing() -> None:
    times = timed({"jax": [1.0, 1.0], "torch": [1.1]})
    times[cell("jax")] = {0: Timing(1.0, 1.0), 1: Timing(2.0, 2.0)}  # its mean is that of a slower one
    found = ranking(times)
    assert [place.cell.implementation for place in found] == ["jax", "torch"]
    assert found[1].behind.mean == pytest.approx(1.1)


def test_neighbours_are_told_apart_and_each_from_the_first() -> None:
    noisy = [2.0, 2.6, 1.9, 2.2, 2.4]
    seconds = {"jax": [1.0] * 5, "torch": noisy, "numpy": [value * 1.001 for value in reversed(noisy)]}
    assert {frozenset(pair) for pair in undecided(timed(seconds))} == {
        frozenset({cell("torch"), cell("numpy")})
    }


def test_cells_that_differ_in_more_than_the_implementation_are_ranked_apart() -> None:
    cells = [cell("jax"), cell("jax", 16), cell("numpy"), cell("numpy", 16)]
    assert groups(cells) == [[cells[0], cells[2]], [cells[1], cells[3]]]


def test_what_needs_nothing_beyond_numpy_is_known_by_its_versions() -> None:
    def facts(**versions: str) -> Facts:
        return Facts("an idea", None, ("float64",), False, "none", "columns", versions=versions)

    sheet = {"numpy": facts(numpy="2"), "jax": facts(numpy="2", jax="0.8"), "old record": facts()}
    assert light(sheet) == {"numpy"}


@given(st.lists(st.lists(st.floats(0.1, 10.0), min_size=2, max_size=7), min_size=1, max_size=5), st.randoms())
def test_a_ranking_depends_on_no_order_and_on_no_unit(values: list[list[float]], rng: random.Random) -> None:
    seconds = {f"implementation-{k}": each for k, each in enumerate(values)}
    found = ranking(timed(seconds))
    assert found[0].verdict == "first"
    assert all(place.behind.mean >= 1 - 1e-9 or place.behind.pairs < len(values[0]) for place in found[:1])
    shuffled = list(seconds.items())
    rng.shuffle(shuffled)
    faster = {name: [value / 1024 for value in each] for name, each in shuffled}
    if len({place.seconds.mean for place in found}) == len(found):
        for one, other in zip(found, ranking(timed(faster)), strict=True):
            assert (one.cell, one.verdict) == (other.cell, other.verdict)
            assert one.behind == pytest.approx(other.behind, nan_ok=True)


def race(
    truth: dict[str, float], spread: float, rng: random.Random, most: int = 12, disturbed: float = 0.0
) -> dict[Cell, TimingByProcess]:
    """The times of a race that looks after every process and ends when the ranking is known.

    Who is dropped is not measured again. Of the times so large a share is disturbed, by up to 2 times.
    """
    seconds: dict[str, list[float]] = {name: [] for name in truth}
    racing = set(truth)
    for process in itertools.count(1):
        for name in sorted(racing):
            slower = rng.uniform(1.0, 2.0) if rng.random() < disturbed else 1.0
            seconds[name].append(truth[name] * slower * rng.lognormvariate(0.0, spread))
        found = timed(seconds)
        if process == most or not undecided(found):
            return found
        racing = {place.cell.implementation for place in ranking(found) if place.verdict != "dropped"}
    raise AssertionError


@pytest.mark.parametrize("spread", [0.02, 0.06])
def test_of_equals_hardly_one_is_dropped_though_a_tenth_of_their_times_is_disturbed(spread: float) -> None:
    rng = random.Random(9)
    truth = dict.fromkeys(("a", "b", "c", "d", "e"), 1.0)
    dropped = sum(
        any(place.verdict == "dropped" for place in ranking(race(truth, spread, rng, disturbed=0.1)))
        for _ in range(400)
    )
    assert dropped <= 400 * 0.03


@pytest.mark.parametrize("spread", [0.005, 0.02, 0.06])
def test_among_equals_a_race_names_no_one_behind(spread: float) -> None:
    rng = random.Random(7)
    truth = dict.fromkeys(("a", "b", "c", "d", "e"), 1.0)
    wrong = sum(
        any(place.verdict == "behind" for place in ranking(race(truth, spread, rng))) for _ in range(400)
    )
    assert wrong <= 400 * 0.05


@pytest.mark.parametrize("spread", [0.005, 0.02])
def test_a_race_that_ends_early_names_nobody_behind_who_is_ahead(spread: float) -> None:
    rng = random.Random(8)
    truth = {"a": 1.0, "b": 1.02, "c": 1.05, "d": 1.2, "e": 1.5}
    upside_down = covered = behind = 0
    for _ in range(300):
        places = ranking(race(truth, spread, rng))
        first = truth[places[0].cell.implementation]
        pairs = [(place.behind, truth[place.cell.implementation] / first) for place in places[1:]]
        upside_down += any(lead.low > 1 + MATTERS and ratio < 1 for lead, ratio in pairs)
        covered += all(lead.low <= ratio <= lead.high for lead, ratio in pairs)
        behind += any(place.verdict == "behind" for place in places)
    assert upside_down == 0
    assert covered >= 300 * 0.95
    assert behind >= 300 * 0.9
