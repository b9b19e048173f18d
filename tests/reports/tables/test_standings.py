import dataclasses
import math

import pytest

from benchmarks.record.race_file import Measurement, Record
from reports.analysis import Analysis
from reports.tables.standings import grid, peers, per_iteration, standings
from tests.reports import records


def of(*measurements: Measurement) -> Record:
    made = records.record(list(measurements))
    below = {"numpy": "loops", "torch-compile": "torch"}
    facts = {name: records.facts(name, differs_from=below.get(name)) for name in made.implementations}
    return dataclasses.replace(made, implementations=facts)


def test_a_peer_and_what_stands_on_it_are_peers_of_the_ladder() -> None:
    race = of(*(records.cell(name, 1) for name in ("loops", "numpy", "torch", "torch-compile")))
    for ground in ("loops", "numpy"):
        assert peers(race.implementations, ground) == {"torch", "torch-compile"}


def test_a_speedup_over_a_predicted_time_is_marked() -> None:
    race = of(
        records.cell("loops", 1, seconds=(8.0,)),
        records.cell("numpy", 1, seconds=(1.0,)),
        records.cell("loops", 4, status="skipped", predicted_seconds=32.0),
        records.cell("numpy", 4, seconds=(1.0,)),
    )
    _, rows = grid(standings(Analysis(race), "loops"))
    assert [row[3] for row in rows] == ["8.00x", "~32.0x"]


def test_the_lead_is_the_ratio_within_a_process() -> None:
    times = {"loops": (8.0, 80.0), "numpy": (1.0, 10.0), "torch": (2.0, 20.0), "torch-compile": (3.0, 30.0)}
    race = of(
        *(
            records.cell(name, 4, process, (seconds,), flops=10**10, bytes=10**9)
            for name, both in times.items()
            for process, seconds in enumerate(both)
        )
    )
    (one,) = standings(Analysis(race), "loops")
    assert (one.best, one.peer) == ("numpy", "torch")
    assert one.lead == pytest.approx(2)
    assert one.low == pytest.approx(2)
    assert one.speedup == pytest.approx(8)
    assert one.share == pytest.approx(10**10 / math.sqrt(10) / records.CALIBRATION["gemm_float64"])
    assert one.memory == pytest.approx(10**9 / math.sqrt(10) / records.CALIBRATION["triad"])


def test_without_a_peer_the_cell_stands_alone() -> None:
    race = of(records.cell("loops", 1), records.cell("torch", 1, status="unsupported"))
    (one,) = standings(Analysis(race), "loops")
    assert one.peer == ""
    assert math.isnan(one.lead)
    head, (row,) = grid([one])
    assert len(head) == len(row)
    assert row[-2:] == ["-", "-"]


def test_the_cost_of_a_connection_is_counted_in_iterations_of_a_plain_loop() -> None:
    connections = 64 * 32 + 32 * 10
    seconds = 3 * records.CALIBRATION["interpreter"] * connections * 8
    race = of(records.cell("loops", 8, seconds=(seconds,)), records.cell("loops", 1))
    assert per_iteration(Analysis(race), "loops") == pytest.approx(3)
    assert per_iteration(Analysis(race), "numpy") is None
