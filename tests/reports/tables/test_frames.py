"""Frames from a record."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from benchmarks.record.race_file import Record
from reports.tables import frames
from tests.reports.records import LADDER, cell, race, record

PANEL = frames.Panel("digits", "gradients", "float64", 1)


def one(made: Record, name: str, size: int = 1, **more: str | int) -> dict[str, Any]:
    """The row of `speedups` over loops of one cell."""
    table = frames.speedups(made, "loops")
    where = {"implementation": name, "batch_size": size, **more}
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return {str(key): value for key, value in table.iloc[0].items()}


def test_a_process_counts_by_its_fastest_round() -> None:
    made = record([cell("loops", 1, seconds=(2.0, 1.0, 30.0))])
    assert one(made, "loops")["seconds"] == pytest.approx(1.0)
    assert made.measurements[0].fastest == 1.0


def test_quantiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    for count in range(1, 8):
        values = sorted(rng.random(count))
        for share in (0.0, 0.1, 0.5):
            assert frames.quantile(values, share) == pytest.approx(np.quantile(values, share))


def test_speedups_are_paired_within_a_process() -> None:
    # The second process is twice as slow for both: the ratio does not move, and its interval is narrow.
    made = record(
        [
            cell("loops", 1, 0, (8.0,)),
            cell("numpy", 1, 0, (2.0,)),
            cell("loops", 1, 1, (16.0,)),
            cell("numpy", 1, 1, (4.0,)),
        ]
    )
    found = one(made, "numpy")
    assert (found["speedup"], found["speedup_low"], found["speedup_high"]) == pytest.approx((4.0, 4.0, 4.0))
    assert (found["basis"], found["pairs"], found["spread"]) == ("paired", 2, "interval")
    assert found["high"] / found["low"] > 100  # the times themselves say little


def test_the_baseline_is_as_fast_as_itself() -> None:
    made = race(processes=3)
    found = one(made, "loops", 64)
    assert (found["speedup"], found["speedup_low"], found["speedup_high"]) == (1.0, 1.0, 1.0)


def test_one_process_gives_a_range_of_its_rounds_and_says_so() -> None:
    made = record(
        [cell("loops", 1, seconds=(4.0, 5.0, 6.0, 7.0, 8.0)), cell("numpy", 1, seconds=(1.0, 2.0, 3.0))]
    )
    found = one(made, "numpy")
    assert found["spread"] == "rounds"
    assert (found["low"], found["high"]) == (1.0, 2.0)
    assert found["speedup"] == pytest.approx(4.0 / 1.0)
    assert (found["speedup_low"], found["speedup_high"]) == pytest.approx((4.0 / 2.0, 6.0 / 1.0))


def test_implementations_of_different_processes_are_unpaired_and_their_intervals_add_in_quadrature() -> None:
    made = record(
        [cell("loops", 1, k, (8.0 + k,)) for k in range(3)]
        + [cell("numpy", 1, k, (2.0,)) for k in range(3, 6)]
    )
    found = one(made, "numpy")
    assert (found["basis"], found["pairs"]) == ("unpaired", 0)
    loops = one(made, "loops")
    assert found["speedup"] == pytest.approx(loops["seconds"] / 2)
    assert found["speedup_high"] / found["speedup_low"] == pytest.approx(loops["high"] / loops["low"])


def test_a_prediction_gives_a_projected_speedup_without_an_interval() -> None:
    made = record(
        [
            cell("loops", 1, status="skipped", reason="too slow", predicted_seconds=10.0),
            cell("numpy", 1, seconds=(2.0,)),
        ]
    )
    found = one(made, "numpy")
    assert (found["speedup"], found["basis"]) == (5.0, "projected")
    assert math.isnan(found["speedup_low"])


def test_a_baseline_without_float32_or_two_threads_lends_its_own() -> None:
    made = record(
        [
            cell("loops", 1, seconds=(8.0,)),
            cell("numpy", 1, seconds=(2.0,)),
            cell("numpy", 1, seconds=(1.0,), dtype="float32"),
            cell("numpy", 1, seconds=(0.5,), dtype="float32", threads=2),
            cell("loops", 1, status="unsupported", reason="one thread", dtype="float32", threads=2),
        ]
    )
    single = one(made, "numpy", dtype="float32", threads=1)
    assert (single["baseline_dtype"], single["baseline_threads"]) == ("float64", 1)
    assert single["speedup"] == pytest.approx(8.0)
    double = one(made, "numpy", dtype="float32", threads=2)
    assert (double["baseline_threads"], double["basis"]) == (1, "paired")
    assert double["speedup"] == pytest.approx(16.0)


@pytest.mark.parametrize("status", ["wrong", "failed", "timed out"])
def test_a_fault_in_one_process_is_not_averaged_away(status: str) -> None:
    made = record(
        [cell("numpy", 1, 0, (2.0,)), cell("numpy", 1, 1, status=status, reason="why"), cell("loops", 1, 0)]
    )
    found = one(made, "numpy")
    assert (found["status"], found["reason"]) == (status, "why")
    assert math.isnan(found["seconds"])


def test_a_cell_measured_once_is_measured_though_another_process_skipped_it() -> None:
    made = record([cell("numpy", 1, 0, (2.0,)), cell("numpy", 1, 1, status="skipped"), cell("loops", 1, 0)])
    assert one(made, "numpy")["status"] == "measured"


def test_memory_measured_in_a_process_of_its_own_joins_the_cell() -> None:
    made = record([cell("loops", 1, 0, (2.0,)), cell("loops", 1, 1, (), peak_bytes=100, least_bytes=50)])
    found = one(made, "loops")
    assert (found["status"], found["seconds"], found["processes"]) == ("measured", 2.0, 1)
    assert (found["peak_bytes"], found["least_bytes"]) == (100, 50)


@pytest.mark.parametrize("seconds", [(), (math.nan,), (math.inf, math.nan), (0.0,), (-1.0,)])
def test_a_cell_without_one_usable_time_has_failed(seconds: tuple[float, ...]) -> None:
    made = record([cell("loops", 1, seconds=seconds)])
    found = one(made, "loops")
    assert found["status"] == "failed"
    assert "no time" in found["reason"]


def test_unusable_times_do_not_spoil_the_others() -> None:
    made = record([cell("loops", 1, seconds=(math.nan, 2.0, math.inf))])
    assert one(made, "loops")["seconds"] == pytest.approx(2.0)


def test_implementations_come_in_the_order_of_the_ladder_and_others_after_them() -> None:
    made = record([cell(name, 1) for name in ("zeta", "numba", "alpha", "loops")])
    assert frames.implementations(made) == ["loops", "numba", "zeta", "alpha"]


def test_every_choice_of_panel_is_found_or_refused_with_those_there_are() -> None:
    made = race(phases=("forward", "gradients"), dtypes=("float32", "float64"), processes=1)
    assert frames.choose(made) == PANEL
    assert frames.choose(made, phase="forward", dtype="float32").dtype == "float32"
    with pytest.raises(frames.UnknownChoice, match=r"phase: expected one of gradients, forward, got 'step'"):
        frames.choose(made, phase="step")
    with pytest.raises(frames.UnknownChoice, match=r"baseline: .*loops, .* got 'jax'"):
        frames.choose_baseline(made, "jax")
    with pytest.raises(frames.UnknownChoice, match="no measurement"):
        frames.choose(record([]))


def test_a_crossover_is_where_the_lines_cross_in_the_logarithms() -> None:
    # 1 + 0 m against m: they are equal at m = 10, whatever sizes around it were measured.
    made = record(
        [cell("numpy", size, seconds=(10.0,)) for size in (1, 100)]
        + [cell("loops", size, seconds=(float(size),)) for size in (1, 100)]
    )
    found = frames.crossovers(frames.of_panel(frames.cells(made), PANEL))
    assert len(found) == 1
    assert found[0].batch_size == pytest.approx(10.0)
    assert (found[0].passer, found[0].passed) == ("numpy", "loops")
    assert found[0].seconds == pytest.approx(10.0)


def test_notable_crossovers_are_new_leaders_and_passings_of_the_baseline() -> None:
    made = race(LADDER, processes=1, noise=0.0)
    panel = frames.of_panel(frames.speedups(made, "loops"), PANEL)
    every = frames.crossovers(panel)
    notable = frames.notable_crossovers(panel, "loops")
    assert [(c.passer, c.passed) for c in notable] == [("numba-parallel", "numba")]
    assert len(every) > len(notable)
    over_jax = frames.notable_crossovers(panel, "jax")
    assert all("jax" in (c.passer, c.passed) or c in notable for c in over_jax)
    assert len(over_jax) > 1


@pytest.mark.parametrize("count", [0, 1, 14])
def test_a_record_gives_one_row_a_cell(count: int) -> None:
    made = race(LADDER[:count], processes=2) if count else record([])
    assert len(frames.speedups(made, "loops")) == count * 6


def test_the_order_of_measurements_does_not_matter() -> None:
    made = race(LADDER[:4], processes=3)
    turned = dataclasses.replace(made, measurements=made.measurements[::-1])
    one, other = (frames.speedups(each, "loops") for each in (made, turned))
    assert one[frames.CELL].equals(other[frames.CELL])
    assert np.allclose(one["speedup"], other["speedup"])
