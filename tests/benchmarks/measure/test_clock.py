"""The clock, on a clock that the tests turn by hand."""

import functools
import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import clock


class Time:
    """A clock that moves only when a call is made, by what that call takes."""

    def __init__(self, takes: Callable[[int], float]) -> None:
        self.now = 0.0
        self.calls = 0
        self.takes = takes

    def call(self) -> None:
        self.now += self.takes(self.calls)
        self.calls += 1


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(takes: Callable[[int], float]) -> Any:
        time = Time(takes)
        monkeypatch.setattr("benchmarks.measure.clock.time.perf_counter", lambda: time.now)
        return time

    return start


@pytest.mark.parametrize("seconds", [2e-7, 1e-5, 1e-3, 0.5])
def test_a_steady_method_settles_at_its_time(turned: Any, seconds: float) -> None:
    time = turned(lambda k: seconds)
    assert clock.settle(time.call) == pytest.approx(seconds)
    assert time.now <= clock.WARM_UP_SECONDS + 2 * seconds


def test_a_compilation_in_the_first_call_is_no_part_of_the_time(turned: Any) -> None:
    time = turned(lambda k: 0.7 if k == 0 else 1e-5)
    clock.seconds_of(time.call, 1)
    assert clock.settle(time.call) == pytest.approx(1e-5)


def test_warming_up_goes_on_while_times_fall(turned: Any) -> None:
    time = turned(lambda k: 1e-3 * max(1.0, 2.0 - 0.05 * k))
    assert clock.settle(time.call) == pytest.approx(1e-3)


@given(st.floats(min_value=1e-8, max_value=100.0))
def test_rounds_are_long_and_few_enough(seconds: float) -> None:
    plan = clock.plan(seconds)
    assert plan.iterations * seconds >= clock.ROUND_SECONDS * (1 - 1e-9)
    assert clock.ROUNDS[0] <= plan.rounds <= clock.ROUNDS[1]
    if plan.rounds > clock.ROUNDS[0]:
        assert plan.rounds * plan.iterations * seconds <= 2 * clock.CELL_SECONDS


def test_a_round_that_is_asked_for_at_once_is_longer() -> None:
    assert clock.plan(1e-5, at_once=True).iterations == 10 * clock.plan(1e-5).iterations
    assert clock.plan(1.0, at_once=True) == clock.plan(1.0)


def test_garbage_is_not_collected_inside_a_round() -> None:
    seen = []
    clock.seconds_of(lambda: seen.append(gc.isenabled()), 2)
    assert seen == [False, False]
    assert gc.isenabled()


def test_a_method_that_raises_leaves_the_collector_on() -> None:
    with pytest.raises(ZeroDivisionError):
        clock.seconds_of(lambda: 1 // 0, 1)
    assert gc.isenabled()


class Repeating:
    """An implementation that repeats its methods itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def gradients(self) -> None:
        self.asked.append(("a single call",))

    def step(self, learning_rate: float) -> None:
        self.gradients()

    def train(self, steps: int, learning_rate: float) -> None:
        self.gradients()

    def repeat(self, method: str, times: int, *arguments: float) -> None:
        self.asked.append((method, times, *arguments))


def test_a_round_is_one_order_to_an_implementation_that_repeats_its_methods_itself() -> None:
    race = Repeating()
    clock.seconds_of(race.gradients, 30)
    clock.seconds_of(functools.partial(race.step, 0.1), 20)
    clock.seconds_of(functools.partial(race.train, 5, 0.1), 1)
    assert race.asked == [("gradients", 30), ("step", 20, 0.1), ("train", 1, 5, 0.1)]


@given(
    once=st.floats(min_value=1e-6, max_value=1.0),
    each=st.floats(min_value=1e-6, max_value=1.0),
    sizes=st.lists(st.integers(1, 4096), min_size=3, max_size=6, unique=True),
)
def test_a_cost_with_a_fixed_and_a_proportional_part_is_predicted(
    once: float, each: float, sizes: list[int]
) -> None:
    *smaller, wanted = sorted(sizes)
    predicted = clock.predict({m: once + each * m for m in smaller}, wanted)
    assert predicted == pytest.approx(once + each * wanted)


def test_one_measurement_is_scaled_and_none_predicts_nothing() -> None:
    assert clock.predict({4: 2.0}, 16) == 8.0
    assert clock.predict({16: 2.0}, 16) is None
    assert clock.predict({}, 16) is None


def test_a_falling_time_is_not_predicted_below_what_was_measured() -> None:
    assert clock.predict({4: 2.0, 8: 1.5}, 64) == 1.5
    assert clock.predict({1: 1e-9, 2: 1e-9}, 4096) == 1e-9
