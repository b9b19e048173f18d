"""The tables that are derived from a record."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from benchmarks.record.race_file import Process, Record, RecordedWorkload
from reports.analysis import CELL, Analysis, Panel, UnknownChoice
from reports.charts.words import cell_words
from reports.text import story
from tests.reports.records import LADDER, cell, race, record

PANEL = Panel("digits", "gradients", "float64", 1)


def one(made: Record, name: str, size: int = 1, **more: str | int) -> dict[str, Any]:
    """The row of `speedups` over loops of one cell."""
    table = Analysis(made).speedups("loops")
    where = {"implementation": name, "batch_size": size, **more}
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return {str(key): value for key, value in table.iloc[0].items()}


def test_a_process_counts_by_its_fastest_round() -> None:
    made = record([cell("loops", 1, seconds=(2.0, 1.0, 30.0))])
    assert one(made, "loops")["seconds"] == pytest.approx(1.0)
    assert made.measurements[0].fastest == 1.0


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


def test_without_the_baseline_in_float32_or_two_threads_another_of_its_times_is_the_fallback() -> None:
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


def test_ranks_have_a_panel_of_their_own_and_the_fallback_baseline_is_of_one() -> None:
    made = record(
        [
            cell("loops", 1, seconds=(8.0,)),
            cell("numpy-mpi", 1, seconds=(2.0,)),
            cell("numpy-mpi", 1, seconds=(1.0,), ranks=2),
        ]
    )
    assert [panel.ranks for panel in Analysis(made).panels] == [1, 2]
    found = one(made, "numpy-mpi", ranks=2)
    assert (found["baseline"], found["baseline_ranks"], found["basis"]) == ("loops", 1, "paired")
    assert found["speedup"] == pytest.approx(8.0)
    assert Analysis(made).roof("float64", 1, ranks=2) is None


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


def test_a_cell_without_a_time_has_failed() -> None:
    found = one(record([cell("loops", 1, seconds=())]), "loops")
    assert found["status"] == "failed"
    assert "no time" in found["reason"]


def test_implementations_come_in_the_order_of_the_ladder_and_others_after_them() -> None:
    made = record([cell(name, 1) for name in ("zeta", "numba", "alpha", "loops")])
    assert Analysis(made).implementations == ["loops", "numba", "zeta", "alpha"]


def test_every_choice_of_panel_is_found_or_refused_with_those_there_are() -> None:
    made = race(phases=("forward", "gradients"), dtypes=("float32", "float64"), processes=1)
    analysis = Analysis(made)
    assert analysis.panel() == PANEL
    assert analysis.panel(phase="forward", dtype="float32").dtype == "float32"
    with pytest.raises(UnknownChoice, match=r"phase: expected one of gradients, forward, got 'step'"):
        analysis.panel(phase="step")
    with pytest.raises(UnknownChoice, match=r"baseline: .*loops, .* got 'jax'"):
        analysis.baseline("jax")
    with pytest.raises(UnknownChoice, match="no measurement"):
        Analysis(record([])).panel()


@pytest.mark.parametrize("count", [0, 1, 14])
def test_a_record_gives_one_row_a_cell(count: int) -> None:
    made = race(LADDER[:count], processes=2) if count else record([])
    assert len(Analysis(made).speedups("loops")) == count * 6


def test_the_order_of_measurements_does_not_matter() -> None:
    made = race(LADDER[:4], processes=3)
    turned = dataclasses.replace(made, measurements=made.measurements[::-1])
    one, other = (Analysis(each).speedups("loops") for each in (made, turned))
    assert one[CELL].equals(other[CELL])
    assert np.allclose(one["speedup"], other["speedup"])


def test_a_rung_is_held_against_the_one_it_differs_from() -> None:
    made = record(
        [
            cell("loops", 1, 0, (8.0,)),
            cell("numpy-sample", 1, 0, (4.0,)),
            cell("numpy", 1, 0, (1.0,)),
            cell("jax", 1, 1, (1.0,)),  # in a process where its rung did not run
        ]
    )
    found = Analysis(made).ladder(PANEL).set_index("implementation")
    assert found["factor"].to_dict() == pytest.approx({"numpy-sample": 2.0, "numpy": 4.0})
    assert found.loc["numpy", "differs_from"] == "numpy-sample"


def test_growth_tells_a_fixed_cost_from_a_proportional_one() -> None:
    sizes = (1, 4, 16, 64, 256, 1024)
    made = record(
        [cell("loops", m, k, (1e-3 * m,)) for m in sizes for k in range(2)]
        + [cell("torch", m, k, (max(1.0, m / 64),)) for m in sizes for k in range(2)]
    )
    found = Analysis(made).growth(PANEL)
    assert found["loops"][0].mean == pytest.approx(1.0)
    assert found["torch"][0].mean == pytest.approx(0.0)
    assert found["torch"][1].mean == pytest.approx(1.0)
    assert Analysis(race(sizes=(1, 2, 3))).growth(PANEL) == {}


def test_growth_is_not_averaged_with_that_over_fewer_sizes() -> None:
    sizes = (1, 4, 16, 64)
    cells = [cell("torch", m, k, (max(1.0, m / 16),)) for m in sizes for k in range(2)]
    few = [cell("torch", m, 2, (max(1.0, m / 16),)) for m in (16, 64)]  # a process that was asked for these
    assert Analysis(record([*cells, *few])).growth(PANEL) == Analysis(record(cells)).growth(PANEL)


def test_growth_with_width_needs_three_networks() -> None:
    widths = {"a": (10, 10), "b": (20, 20), "c": (40, 40)}
    shapes = {
        name: RecordedWorkload(w, ("relu",), "mean_squared_error", "random") for name, w in widths.items()
    }
    cells = [cell("loops", 4, 0, (float(w[0] ** 2),), workload=name) for name, w in widths.items()]
    made = record(cells, workloads=tuple(widths))
    made = dataclasses.replace(made, workloads=shapes)
    size, found = Analysis(made).width_growth(PANEL._replace(workload="a"))
    assert size == 4
    assert found["loops"].mean == pytest.approx(1.0)
    assert Analysis(race()).width_growth(PANEL) == (0, {})


def test_the_roof_is_the_highest_of_the_processes_that_measured_it() -> None:
    processes = tuple(
        Process(0, "now", 1.0, calibration=c)
        for c in ({}, {"gemm_float64": 1e9, "triad": 2e9}, {"gemm_float64": 3e9, "triad": 4e9, "dot_L1": 9e9})
    )
    made = record([cell("loops", 1, k) for k in range(3)])
    made = dataclasses.replace(made, processes=processes)
    assert Analysis(made).roof("float64", 1) == (3e9, 4e9, {"L1": 9e9})
    assert Analysis(made).roof("float32", 1) is None
    assert Analysis(made).roof("float64", 2) is None


def headline() -> Record:
    cells = [cell("numpy", 64, 0, (2.0, 2.0), phase="headline", iterations=50, losses=(0.9, 0.5))]
    cells += [
        cell("loops", 64, k, seconds, phase="headline", iterations=1)
        for k, seconds in enumerate(((1.0,), (1.2,)), 1)
    ]
    return record(cells, settings={"steps": 100})


def test_a_run_in_full_is_summed_and_a_sample_projected() -> None:
    found = Analysis(headline()).totals(PANEL._replace(phase="headline"))
    assert found["numpy"].in_full
    assert found["numpy"].mean == pytest.approx(200.0)
    assert not found["loops"].in_full
    assert found["loops"].mean == pytest.approx(100 * math.sqrt(1.2))
    assert found["loops"].low < 100 < found["loops"].high
    assert Analysis(race()).totals(PANEL) == {}


def test_one_process_projects_without_an_interval_and_a_fault_is_not_averaged_away() -> None:
    panel = PANEL._replace(phase="headline")
    made = headline()
    alone = dataclasses.replace(made, measurements=made.measurements[:2])
    loops = Analysis(alone).totals(panel)["loops"]
    assert math.isnan(loops.low)
    assert math.isnan(loops.high)
    crashed = cell("loops", 64, 2, phase="headline", status="failed")
    faulty = dataclasses.replace(made, measurements=(*made.measurements[:2], crashed))
    assert list(Analysis(faulty).totals(panel)) == ["numpy"]


def test_losses_stand_beside_the_seconds_until_then() -> None:
    found = Analysis(headline()).losses(PANEL._replace(phase="headline"))
    spent, losses = found["numpy"]
    assert list(spent) == [100.0, 200.0]
    assert list(losses) == [0.9, 0.5]
    assert "loops" not in found


def test_an_implausible_cell_has_its_rate_and_no_speedup_and_never_wins() -> None:
    cells = [cell("numpy", 64, 0, (1e-3,)), cell("loops", 64, 0, (1.0,))]
    fast = cell("mine", 64, 0, (1e-9,), reason="too fast", flops=10**6)
    cells.append(dataclasses.replace(fast, status="implausible"))
    analysis = Analysis(record(cells))
    rows = analysis.rows(analysis.panel(), "loops")
    mine = rows[rows["implementation"] == "mine"].iloc[0]
    assert mine["status"] == "implausible"
    assert not np.isfinite(mine["speedup"])
    assert cell_words(mine, absolute=False) == ("implausible", "1,000,000 GFLOP/s")
    assert story(analysis, analysis.panel(), "loops").answer.startswith("numpy is 1,000x")
    over = analysis.rows(analysis.panel(), "mine")
    assert not np.isfinite(over["speedup"]).any() or set(over["baseline"]) != {"mine"}
