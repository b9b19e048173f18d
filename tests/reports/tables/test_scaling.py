"""Strong and weak scaling, from known times."""

import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given

from benchmarks.record.race_file import Facts, Measurement, Record
from reports.analysis import Analysis
from reports.tables.scaling import Workers, scalings, stand_ins
from tests.reports.records import cell, facts, record


def on(threads: int, name: str, size: int, seconds: float, process: int = 0) -> Measurement:
    return cell(name, size, process, (seconds,), threads=threads)


def analysed(*measurements: Measurement) -> Analysis:
    return Analysis(record(list(measurements)))


@given(st.floats(1e-6, 1.0), st.floats(0.1, 8.0), st.integers(2, 8))
def test_strong_scaling_is_the_time_of_one_worker_over_that_of_several(
    seconds: float, faster: float, workers: int
) -> None:
    made = analysed(on(1, "jax", 64, seconds), on(workers, "jax", 64, seconds / faster, process=1))
    (found,) = scalings(made, made.panel(), "strong")
    assert (found.workers, found.batch_size) == (workers, 64)
    assert found.speedup.mean == pytest.approx(faster)
    assert found.efficiency == pytest.approx(faster / workers)


@given(st.floats(1e-6, 1.0), st.floats(0.1, 8.0), st.sampled_from([2, 4]))
def test_weak_scaling_is_the_same_time_for_so_many_times_the_work(
    seconds: float, slower: float, workers: int
) -> None:
    made = analysed(on(1, "jax", 16, seconds), on(workers, "jax", 16 * workers, seconds * slower, process=1))
    (found,) = scalings(made, made.panel(), "weak")
    assert (found.workers, found.batch_size) == (workers, 16)
    assert found.speedup.mean == pytest.approx(workers / slower)
    assert found.efficiency == pytest.approx(1 / slower)


@pytest.mark.parametrize("along", ["threads", "ranks"])
def test_threads_and_ranks_scale_each_on_their_own(along: Workers) -> None:
    times = {(1, 1): 4e-3, (2, 1): 3e-3, (1, 2): 2e-3, (2, 2): 1e-3}
    made = analysed(
        *(
            dataclasses.replace(cell("jax", 64, 0, (seconds,)), threads=threads, ranks=ranks)
            for (threads, ranks), seconds in times.items()
        )
    )
    (found,) = scalings(made, made.panel(), "strong", along)
    assert found.speedup.mean == pytest.approx({"threads": 4 / 3, "ranks": 2.0}[along])


def test_the_share_of_communication_is_what_the_call_takes_beyond_the_same_call_without() -> None:
    both = [
        dataclasses.replace(cell("jax", 64, k, (seconds,)), ranks=2, alone_seconds=alone)
        for k, (seconds, alone) in enumerate([(2e-3, 1.5e-3), (1e-3, 0.9e-3), (1e-3, 1.2e-3)])
    ]
    made = analysed(cell("jax", 64, 3, (2e-3,)), *both)
    (found,) = scalings(made, made.panel(), "strong", "ranks")
    assert found.communication == pytest.approx(0.1)
    plain = analysed(cell("jax", 64, 3, (2e-3,)), dataclasses.replace(both[0], alone_seconds=None))
    assert scalings(plain, plain.panel(), "strong", "ranks")[0].communication is None


def test_the_interval_over_processes_holds_the_mean() -> None:
    times = [on(1, "jax", 64, 1e-3 * (1 + k / 50), k) for k in range(5)]
    times += [on(2, "jax", 64, 6e-4 * (1 + k / 50), 5 + k) for k in range(5)]
    made = analysed(*times)
    (found,) = scalings(made, made.panel(), "strong")
    assert found.speedup.low < found.speedup.mean < found.speedup.high
    assert found.speedup.pairs == 0  # a process has one number of threads


def test_what_was_not_measured_on_one_worker_is_left_out() -> None:
    made = analysed(on(2, "jax", 64, 1e-3), on(2, "torch", 64, 1e-3), on(1, "torch", 64, 2e-3, process=1))
    assert [one.implementation for one in scalings(made, made.panel(), "strong")] == ["torch"]
    assert scalings(made, made.panel(), "weak") == []


def test_panels_are_not_mixed() -> None:
    other = dataclasses.replace(on(2, "jax", 64, 1e-3, process=1), dtype="float32")
    made = analysed(on(1, "jax", 64, 1e-3), other)
    assert scalings(made, made.panel(), "strong") == []


def test_what_exists_for_threads_alone_is_held_against_what_it_stands_on() -> None:
    times = [on(2, "numba-parallel", 64, 1e-3), on(1, "numba-parallel", 64, 3e-3, process=1)]
    made = analysed(*times, on(1, "numba-blocked", 64, 1.5e-3, process=1))
    stands_on = {**made.record.implementations, "numba-parallel": facts("numba-parallel", "numba-blocked")}
    found = scalings(_with(made.record, stands_on), made.panel(), "strong")
    assert [one.over for one in found] == ["numba-blocked"]
    assert found[0].speedup.mean == pytest.approx(1.5)
    assert stand_ins(found) == ["numba-parallel over numba-blocked"]
    alone = scalings(analysed(*times), made.panel(), "strong")
    assert [one.over for one in alone] == ["numba-parallel"]
    assert alone[0].speedup.mean == pytest.approx(3.0)
    assert stand_ins(alone) == []


def _with(made: Record, implementations: dict[str, Facts]) -> Analysis:
    return Analysis(dataclasses.replace(made, implementations=implementations))
