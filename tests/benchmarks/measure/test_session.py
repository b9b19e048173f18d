"""One process's race: order, predictions, and failures that stay in their cell."""

import dataclasses
from typing import Any

import pytest

import impls
from benchmarks import workloads
from benchmarks.measure import session
from benchmarks.options import Settings
from benchmarks.record import race_file
from benchmarks.record.cells import PHASES, Cell
from impls.numpy_batch import NumpyBatch

SETTINGS = Settings(
    implementations=("loops", "numpy", "numpy-sample"),
    workloads=("digits", "xor"),
    batch_sizes=(1, 4, 16),
    dtypes=("float64", "float32"),
    threads=1,
    seed=0,
)


def of(seed: int = 0, **changes: Any) -> Any:
    return session.Contest(dataclasses.replace(SETTINGS, seed=seed, **changes), dict(workloads.WORKLOADS))


def cell(
    name: str = "numpy", workload: str = "xor", m: int = 1, phase: str = "gradients", dtype: str = "float64"
) -> Any:
    return Cell(workload, phase, m, dtype, 1, name)


def test_every_cell_is_raced_once_whatever_the_seed() -> None:
    one, other = set(of(1).cells("step")), set(of(2).cells("step"))
    assert one == other
    assert len(one) == len(list(of(1).cells("step"))) == 3 * 2 * 3 * 2


def test_equal_seeds_shuffle_alike_and_others_do_not() -> None:
    assert list(of(1).cells("step")) == list(of(1).cells("step"))
    orders = {tuple(of(seed).cells("step")) for seed in range(10)}
    assert len(orders) == 10


def test_the_implementations_of_a_cell_stand_together_and_in_orders_that_differ() -> None:
    cells = list(of(3).cells("forward"))
    groups = [cells[k : k + 3] for k in range(0, len(cells), 3)]
    for group in groups:
        assert len({dataclasses.replace(c, implementation="") for c in group}) == 1
    assert len({tuple(c.implementation for c in group) for group in groups}) > 1


def test_one_implementation_serves_every_phase_of_its_cell() -> None:
    race = of()
    starters = [race.starter(cell(phase=phase)) for phase in PHASES]
    assert starters[0] is starters[1] is starters[2]
    assert starters[0].verdict.passed


def test_implementations_of_another_batch_size_are_let_go() -> None:
    race = of()
    first = race.starter(cell(m=1))
    race.starter(cell(m=4))
    assert race.starter(cell(m=1)) is not first


def test_a_cell_predicted_too_slow_is_skipped_with_the_prediction() -> None:
    race = of()
    race.fastest = {cell(m=1): 1.0, cell(m=4): 4.0}
    with pytest.raises(session.CellError, match="predicted to take 64 s") as caught:
        race.starter(cell(m=64))
    assert caught.value.status == "skipped"
    assert caught.value.predicted_seconds == pytest.approx(64.0)
    measurement = race.enter_failure(cell(m=64), caught.value)
    assert (measurement.status, measurement.predicted_seconds) == ("skipped", caught.value.predicted_seconds)


def test_predictions_come_from_the_same_implementation_phase_and_dtype_alone() -> None:
    race = of()
    race.fastest = {cell("loops"): 9.0, cell(phase="step"): 9.0, cell(dtype="float32"): 9.0}
    assert race.starter(cell(m=16)).verdict.passed


def test_what_could_be_too_slow_is_probed_at_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    race = of(workloads=("mnist-shape",))
    monkeypatch.setattr(session.Contest, "_probe", lambda self, cell: {1: 0.01, 4: 0.04})
    with pytest.raises(session.CellError) as caught:
        race.starter(cell("loops", "mnist-shape", 4096))
    assert caught.value.predicted_seconds == pytest.approx(40.96)


class Raises:
    """An implementation in name only."""

    def __init__(self, problem: Any, dtype: str = "float64", threads: int = 1) -> None:
        raise ZeroDivisionError("no such luck")


class Declines(Raises):
    def __init__(self, problem: Any, dtype: str = "float64", threads: int = 1) -> None:
        raise impls.Unsupported("not today")


@pytest.mark.parametrize(
    ("implementation", "status", "reason"),
    [(Raises, "failed", "numpy: ZeroDivisionError: no such luck"), (Declines, "unsupported", "not today")],
)
def test_what_a_implementation_raises_is_its_own_cells_failure(
    implementation: Any, status: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = of()
    monkeypatch.setattr(session.Contest, "load", lambda self, name: implementation)
    for _ in range(2):  # the second time, from memory
        with pytest.raises(session.CellError) as caught:
            race.starter(cell())
        assert (caught.value.status, caught.value.reason) == (status, reason)


def test_a_wrong_implementation_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class OffByOne(NumpyBatch):
        def export(self) -> impls.Result:
            result = super().export()
            return dataclasses.replace(result, loss=result.loss + 1)

    race = of()
    monkeypatch.setattr(session.Contest, "load", lambda self, name: OffByOne)
    with pytest.raises(session.CellError, match=r"numpy: loss.*times its bound") as caught:
        race.starter(cell())
    assert caught.value.status == "wrong"


def test_times_that_speak_against_themselves_are_told() -> None:
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


def test_rounds_of_quiet_moments_go_on_record_where_there_are_enough() -> None:
    race = of()
    starter = race.starter(cell())
    race.moments.fastest = 1e-5
    race.stopwatch.probes = [1.1e-5, 2e-5, 1e-5, 1e-5]
    entered = race.enter(cell(), starter, (4.0, 1.0, 3.0, 5.0), iterations=1)
    assert (entered.seconds, entered.fastest, entered.probe) == ((4.0, 3.0, 5.0), 3.0, 1e-5)
    race.stopwatch.probes[0] = 2e-5
    entered = race.enter(cell(), starter, (4.0, 1.0, 3.0, 5.0), iterations=1)
    assert (entered.seconds, entered.probe) == ((4.0, 1.0, 3.0, 5.0), pytest.approx(1.5e-5))
    assert any("no quiet moment" in words for words in race.process().warnings)


def test_a_problem_beyond_a_dtype_is_refused_before_a_implementation_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    race = of()
    problem = race.problem("xor", 1)
    beyond = dataclasses.replace(problem, weights=(problem.weights[0] * 1e39, *problem.weights[1:]))
    monkeypatch.setattr(race, "problem", lambda *_: beyond)
    monkeypatch.setattr(race, "load", lambda name: Raises)
    with pytest.raises(session.CellError, match=r"weights\[0\]: expected numbers within float32") as caught:
        race.starter(cell(dtype="float32"))
    assert caught.value.status == "unsupported"
