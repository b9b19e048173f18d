"""The article's experiment: what is run in full, what is projected, and how it is shown."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.race import headline
from benchmarks.race.messages import Experiment, Trained
from benchmarks.race.steps import ROUNDS, rounds, run
from benchmarks.record import race_file
from benchmarks.record.statistics import total

ENDS = """
import os
from impls.numpy_batch import NumpyBatch

class Ends(NumpyBatch):
    def gradients(self):
        print("goodbye")
        os._exit(0)
"""

TINY = Experiment(steps=60, batch_size=1, workload="xor", dtype="float64", threads=1, budget=60)


@given(steps=st.integers(1, 10**6), seconds=st.floats(1e-7, 10.0), budget=st.integers(1, 1000))
def test_all_steps_are_run_where_they_fit_the_budget_and_a_sample_elsewhere(
    steps: int, seconds: float, budget: int
) -> None:
    plan = rounds(steps, seconds, budget)
    if steps * seconds <= budget:
        assert plan.rounds * plan.iterations == steps
    else:
        assert plan.rounds >= 3
        assert plan.rounds <= ROUNDS


def test_a_run_in_full_is_one_process_and_its_own_sum() -> None:
    found = list(headline.findings(("numpy",), [TINY]))
    assert len(found) == 1
    measurement = found[0].measurement
    assert headline.in_full(measurement, TINY.steps)
    taken = total([measurement], TINY.steps)
    assert taken.mean == pytest.approx(sum(measurement.seconds) * measurement.iterations)
    assert taken.low == taken.mean == taken.high
    record = headline.record(found, [TINY], ("numpy",), "a test")
    assert record.settings["steps"] == 60
    assert "class NumpyBatch" in record.implementations["numpy"].source


def test_what_takes_no_ranks_is_measured_once_beside_what_does() -> None:
    experiments = [dataclasses.replace(TINY, seed=seed, ranks=ranks) for seed in (0, 1) for ranks in (2, 3)]
    asked = [
        order.experiment.cell(order.name) for order in headline.orders(("numpy", "numpy-mpi"), experiments)
    ]
    of_a_seed = [("numpy", 1), ("numpy-mpi", 2), ("numpy-mpi", 3)]
    assert [(cell.implementation, cell.ranks) for cell in asked] == 2 * of_a_seed
    assert headline.record((), experiments, ("numpy-mpi",), "a test").settings["ranks"] == (2, 3)


def test_an_interrupted_headline_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headline, "PROCESSES", processes := 2)
    projected = dataclasses.replace(TINY, steps=10**9, budget=0.1)
    path = tmp_path / "h.json"
    whole = list(headline.findings(("numpy", "loops"), [projected]))
    assert [f.measurement.process for f in whole] == list(range(2 * processes))
    kept = headline.record(whole[: processes + 1], [projected], ("numpy", "loops"), "a test")
    race_file.write(kept, race_file.partial_of(path))
    earlier = headline.earlier(path, [projected], ("numpy", "loops"))
    assert [f.measurement for f in earlier] == list(kept.measurements)
    more = list(headline.findings(("numpy", "loops"), [projected], earlier))
    assert [(f.measurement.implementation, f.measurement.process) for f in more] == [
        ("loops", number) for number in range(processes + 1, 2 * processes)
    ]


def test_another_experiment_is_none_to_go_on_with(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    with pytest.raises(ValueError, match=r"expected an interrupted headline at .*, found none"):
        headline.earlier(path, [TINY], ("numpy",))
    race_file.write(headline.record((), [TINY], ("numpy",), "a test"), race_file.partial_of(path))
    assert headline.earlier(path, [TINY], ("numpy",)) == []
    with pytest.raises(ValueError, match="settings differ in 'steps': 60 and 61"):
        headline.earlier(path, [dataclasses.replace(TINY, steps=61)], ("numpy",))


def test_every_implementation_starts_anew_and_records_the_loss_over_all_samples() -> None:
    experiment = dataclasses.replace(TINY, workload="digits", batch_size=512, steps=20)
    one, other = (run(name, experiment).measurement for name in ("numpy", "numpy-inplace"))
    assert headline.in_full(one, 20)
    assert one.losses[-1] == pytest.approx(other.losses[-1], rel=1e-9)
    assert one.losses[-1] < one.losses[0]


def test_a_projection_comes_from_every_process_with_an_interval() -> None:
    measurement = run("numpy", TINY).measurement
    sample = [
        dataclasses.replace(measurement, seconds=(s, s), iterations=5, process=k)
        for k, s in enumerate((1.0, 2.0, 4.0))
    ]
    assert not headline.in_full(sample[0], 100)
    taken = total(sample, 100)
    assert taken.mean == pytest.approx(200.0)
    assert taken.low < 200.0 < taken.high


def test_a_process_that_ends_costs_its_implementation_alone(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    target = f"{tmp_path}/ends.py:Ends"
    found = list(headline.findings((target, "numpy"), [TINY]))
    assert [(f.measurement.implementation, f.measurement.status) for f in found] == [
        (target, "failed"),
        ("numpy", "measured"),
    ]
    assert "exited with status 0 instead of answering; it printed: goodbye" in found[0].measurement.reason


def test_a_implementation_that_cannot_is_on_record_with_its_reason(tmp_path: Path) -> None:
    found = list(headline.findings(("loops",), [dataclasses.replace(TINY, dtype="float32")]))
    assert found[0].measurement.status == "unsupported"
    path = tmp_path / "record.json"
    race_file.write(headline.record(found, [TINY], ("loops",), "a test"), path)
    assert race_file.read(path).measurements[0].reason == found[0].measurement.reason


def test_an_experiment_that_is_interrupted_keeps_what_it_found(tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    def findings() -> Iterator[Trained]:
        yield run("numpy", TINY)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        headline.keep(findings(), ("numpy", "loops"), [TINY], path, "headline")
    assert not path.exists()
    (kept,) = race_file.read(race_file.partial_of(path)).measurements
    assert kept.implementation == "numpy"


def test_every_training_is_a_workload_of_the_record() -> None:
    adam = dataclasses.replace(TINY, workload="xor+adam")
    found = list(headline.findings(("numpy",), [TINY, adam]))
    made = headline.record(found, [TINY, adam], ("numpy",), "a test")
    assert [m.workload for m in made.measurements] == ["xor", "xor+adam"]
    assert [m.process for m in made.measurements] == [0, 1]
    assert made.workloads["xor+adam"].training == race_file.RecordedTraining("adam")
    assert found[0].measurement.losses != found[1].measurement.losses


def test_a_train_that_is_no_row_of_steps_is_wrong() -> None:
    name = "tests.impls.referee.test_conformance:ForgetsAStep"
    measurement = run(name, TINY).measurement
    assert measurement.status == "wrong"
    assert "after train(3): " in measurement.reason
    assert "as the same number of steps leaves it" in measurement.reason


@pytest.mark.parametrize(
    "mutant",
    ["later:StopsLearning", "later:BackwardLeftOutAfterTwoSteps"],
)
def test_a_training_that_is_wrong_only_later_is_wrong_with_the_round(mutant: str) -> None:
    experiment = dataclasses.replace(TINY, workload="digits", batch_size=512, steps=1000)
    measurement = run(f"tests.impls.{mutant}", experiment).measurement
    assert measurement.status == "wrong"
    assert re.search(r"round \d+ of|train\(3\)", measurement.reason)


def test_what_a_training_leaves_is_judged() -> None:
    for optimizer in ("", "+adam"):
        found = run("numpy", dataclasses.replace(TINY, workload=f"xor{optimizer}"))
        assert found.measurement.status == "measured", found.measurement.reason
        assert found.measurement.judged[-1] == len(found.measurement.seconds) - 1
        assert found.process.audit_seed is not None
