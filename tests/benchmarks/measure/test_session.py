"""One process's race: order, predictions, and failures that stay in their cell."""

import dataclasses
import itertools
import sys
from typing import Any

import pytest

import impls
from benchmarks import workloads
from benchmarks.measure import session
from benchmarks.measure.noise import Round
from benchmarks.record import race_file
from benchmarks.record.cells import PHASES, Cell
from impls.numpy_batch import NumpyBatch


def of() -> session.Session:
    return session.Session(workloads.WORKLOADS, threads=1)


def cell(
    name: str = "numpy", workload: str = "xor", m: int = 1, phase: str = "gradients", dtype: str = "float64"
) -> Any:
    return Cell(workload, phase, m, dtype, 1, name)


def test_one_implementation_serves_every_phase_of_its_cell() -> None:
    race = of()
    prepared = [race.prepared(cell(phase=phase)) for phase in PHASES]
    assert prepared[0] is prepared[1] is prepared[2]
    assert prepared[0].verdict.passed


def test_implementations_of_another_batch_size_are_let_go() -> None:
    race = of()
    first = race.prepared(cell(m=1))
    race.prepared(cell(m=4))
    assert race.prepared(cell(m=1)) is not first


def test_a_cell_predicted_too_slow_is_skipped_with_the_prediction() -> None:
    race = of()
    race.fastest = {cell(m=1): 1.0, cell(m=4): 4.0}
    with pytest.raises(session.CellError, match="predicted to take 64 s") as caught:
        race.prepared(cell(m=64))
    assert caught.value.status == "skipped"
    assert caught.value.predicted_seconds == pytest.approx(64.0)
    measurement = race.measure(cell(m=64))
    assert (measurement.status, measurement.predicted_seconds) == ("skipped", caught.value.predicted_seconds)


def test_predictions_come_from_the_same_implementation_phase_and_dtype_alone() -> None:
    race = of()
    race.fastest = {cell("loops"): 9.0, cell(phase="step"): 9.0, cell(dtype="float32"): 9.0}
    assert race.prepared(cell(m=16)).verdict.passed


def test_what_could_be_too_slow_is_probed_at_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    race = of()
    monkeypatch.setattr(session.Session, "_probe", lambda self, cell: {1: 0.01, 4: 0.04})
    with pytest.raises(session.CellError) as caught:
        race.prepared(cell("loops", "mnist-shape", 4096))
    assert caught.value.predicted_seconds == pytest.approx(40.96)


def test_a_cell_that_an_earlier_process_measured_is_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    race = of()
    race.affordable.add(cell(m=64))
    race.fastest = {cell(m=1): 1.0, cell(m=4): 4.0}
    assert race.prepared(cell(m=64)).verdict.passed


@pytest.mark.parametrize(("seconds", "sizes"), [(1e-6, [1]), (1.0, [1, 4])])
def test_one_sample_is_probed_alone_where_it_shows_that_the_cell_is_fast_enough(
    seconds: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.measure.clock.settle", lambda call: seconds)
    assert list(of()._probe(cell(m=4096))) == sizes


def test_what_the_probe_compiled_counts_as_compiled() -> None:
    race = of()
    race._probe(cell(m=4096))
    assert race._compiled == {cell(m=4096): 0.0}
    race._compiled = {cell(): 2.0}
    found = race.measure(cell())
    assert found.compile_seconds == 2.0
    assert found.construct_seconds is not None
    assert found.construct_seconds > 2.0


class RaisesInConstructor:
    """An implementation in name only."""

    def __init__(self, problem: Any, dtype: str = "float64", threads: int = 1) -> None:
        raise ZeroDivisionError("no such luck")


class Leaves(RaisesInConstructor):
    def __init__(self, problem: Any, dtype: str = "float64", threads: int = 1) -> None:
        sys.exit(0)


class Declines(RaisesInConstructor):
    def __init__(self, problem: Any, dtype: str = "float64", threads: int = 1) -> None:
        raise impls.Unsupported("not today")


@pytest.mark.parametrize(
    ("implementation", "status", "reason"),
    [
        (RaisesInConstructor, "failed", "numpy: ZeroDivisionError: no such luck"),
        (Declines, "unsupported", "not today"),
        (Leaves, "failed", "numpy: SystemExit: 0"),
    ],
)
def test_what_a_implementation_raises_is_its_own_cells_failure(
    implementation: Any, status: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = of()
    monkeypatch.setattr(session.Session, "load", lambda self, name, ranks: implementation)
    for _ in range(2):  # the second time, from memory
        with pytest.raises(session.CellError) as caught:
            race.prepared(cell())
        assert (caught.value.status, caught.value.reason) == (status, reason)


def test_a_wrong_implementation_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class OffByOne(NumpyBatch):
        def export(self) -> impls.Result:
            result = super().export()
            return dataclasses.replace(result, loss=result.loss + 1)

    race = of()
    monkeypatch.setattr(session.Session, "load", lambda self, name, ranks: OffByOne)
    with pytest.raises(session.CellError, match=r"numpy: loss.*times its bound") as caught:
        race.prepared(cell())
    assert caught.value.status == "wrong"


def test_times_that_speak_against_themselves_are_warned_of() -> None:
    steady = [
        race_file.Measurement("digits", "step", "numpy", 1, "float64", 1, 0, "measured", seconds=(1e-3,) * 9)
    ]
    spread = [dataclasses.replace(steady[0], seconds=(1e-3, 2e-3, 3e-3))]
    assert list(session.clock_warnings(steady, 1e-8)) == []
    assert [w.partition("(")[0] for w in session.clock_warnings(steady * 5 + spread, 1e-8)] == [
        "the rounds of more than 10% of the cells spread widely "
    ]
    assert list(session.clock_warnings(steady * 2, 1e-4)) == [
        "the call itself is more than 5% of the time of numpy in its shortest cells"
    ]


def test_facts_of_a_implementation_come_with_its_source() -> None:
    facts = session.facts(impls.load("loops"))
    assert facts.idea == impls.load("loops").idea
    assert "class Loops" in facts.source
    assert facts.lines_of_code is not None
    assert 0 < facts.lines_of_code < len(facts.source.splitlines())


def test_undisturbed_rounds_go_on_record_where_there_are_enough() -> None:
    race = of()
    prepared = race.prepared(cell())
    race.moments.fastest = 1e-5
    rounds = [Round(*each) for each in ((4.0, 1.1e-5), (1.0, 2e-5), (3.0, 1e-5), (5.0, 1e-5))]
    found = race.timed(cell(), prepared, rounds, iterations=1)
    assert (found.seconds, found.fastest, found.probe) == ((4.0, 3.0, 5.0), 3.0, 1e-5)
    rounds[0] = Round(4.0, 2e-5)
    found = race.timed(cell(), prepared, rounds, iterations=1)
    assert found.seconds == (4.0, 1.0, 3.0, 5.0)
    assert found.probe == pytest.approx(1.5e-5)
    assert any("no undisturbed moment" in words for words in race.process(seed=0).warnings)


def test_a_clock_that_stands_still_is_a_failure_of_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):  # the audit draws where it looks
        race = of()
        monkeypatch.setattr(race.moments, "rounds", lambda call, plan, lead: [Round(0.0, 1e-5)] * 3)
        found = race.measure(cell())
        assert found.status == "failed"
        assert "the clock stood still" in found.reason


def test_a_method_that_compiles_inside_the_clock_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    race = of()
    counts = itertools.count()
    monkeypatch.setattr(race._compilations, "count", lambda: next(counts))
    found = race.measure(cell())
    assert (found.status, found.reason) == ("failed", "numpy compiled something inside the clock")
    assert race.measurements == [found]


def test_a_call_that_is_not_timed_is_not_on_record() -> None:
    race = of()
    assert race.call_once(cell()).status == "measured"
    assert race.call_once(cell("loops", dtype="float32")).status == "unsupported"
    assert race.measurements == []


def test_a_problem_beyond_a_dtype_is_refused_before_a_implementation_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    race = of()
    problem = race.problem("xor", 1)
    beyond = dataclasses.replace(problem, weights=(problem.weights[0] * 1e39, *problem.weights[1:]))
    monkeypatch.setattr(race, "problem", lambda *_: beyond)
    monkeypatch.setattr(race, "load", lambda name, ranks: RaisesInConstructor)
    with pytest.raises(session.CellError, match=r"weights\[0\]: expected numbers within float32") as caught:
        race.prepared(cell(dtype="float32"))
    assert caught.value.status == "unsupported"


@pytest.mark.parametrize("training", ["momentum", "adam", "adam+dropout=0.5", "dropout=0.5", "l2=0.1"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_training_is_timed_from_where_its_check_left_it(training: str, phase: str) -> None:
    name = f"xor+{training}"
    race = session.Session({name: workloads.named(name)}, threads=1)
    measurement = race.measure(cell("numpy", workload=name, phase=phase))
    assert (measurement.status, measurement.reason) == ("measured", "")
