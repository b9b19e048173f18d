"""The comparison of the losses of trainings: which differ, and which differ by roundings only."""

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cli import main
from benchmarks.race import losses
from benchmarks.race.messages import Experiment, Trained
from benchmarks.race.steps import run
from benchmarks.record import race_file
from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Measurement, Process
from tests.impls.mutants import Sound

ROOT = Path(__file__).parents[3]

ROUND = 101
"""A prime above `steps.ROUNDS`: a multiple of it is divided into few rounds, of which only some are
judged."""

DIGITS = Experiment(steps=4 * ROUND, batch_size=512, workload="digits", dtype="float64", threads=1, budget=60)


class SkipsAnEpoch(Sound):
    """From its fourth round on: each step is right from the state before it, and some are missing."""

    rounds = 0

    def train(self, steps: int, learning_rate: float) -> None:
        self.rounds += 1
        left_out = self.batches if self.rounds > 3 and steps > self.batches else 0
        for _ in range(steps - left_out):
            self.step(learning_rate)


def trained(name: str, found: list[float], iterations: int = 10, seed: int = 0) -> Trained:
    cell = dataclasses.asdict(DIGITS.cell(name))
    seconds = (1e-3,) * len(found)
    measurement = Measurement(
        **cell, process=0, status="measured", seconds=seconds, iterations=iterations, losses=tuple(found)
    )
    return Trained(measurement, Process(seed=seed, started="", seconds=1.0))


def held(found: list[Trained]) -> list[Measurement]:
    return losses.held([each.measurement for each in found], [each.process.seed for each in found])


def statuses(*found: Trained) -> list[str]:
    return [each.status for each in held(list(found))]


def test_a_training_on_other_ranks_has_the_same_losses() -> None:
    def on(ranks: int, loss: float) -> Trained:
        found = trained("numpy-mpi", [loss])
        return Trained(dataclasses.replace(found.measurement, ranks=ranks), found.process)

    assert statuses(on(1, 0.5), on(2, 0.5), on(3, 0.4)) == ["measured", "measured", "wrong"]


@given(
    curve=st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=20),
    share=st.floats(-0.4, 0.4),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_roundings_of_every_step_part_nobody(curve: list[float], share: float, dtype: str) -> None:
    other = [loss * (1 + share * losses.tolerance(dtype, 10 * k)) for k, loss in enumerate(curve, start=1)]
    one, two = trained("numpy", curve), trained("numba", other)
    both = [Trained(dataclasses.replace(each.measurement, dtype=dtype), each.process) for each in (one, two)]
    assert statuses(*both) == ["measured"] * 2


def test_one_that_parts_is_wrong_wherever_it_stands_and_its_times_are_gone() -> None:
    curve = [0.4, 0.3, 0.2]
    honest = [trained(name, curve) for name in ("loops", "numpy")]
    for place in range(3):
        found = [*honest[:place], trained("cheat", [0.4, 0.3, 0.21]), *honest[place:]]
        after = held(found)
        assert [each.status == "wrong" for each in after] == [k == place for k in range(3)]
        assert after[place].seconds == ()
        assert after[place].reason == ("cheat: the loss is 0.21 after 30 steps, and 0.2 with loops, numpy")


def test_of_two_that_part_the_first_that_was_asked_for_is_believed() -> None:
    assert statuses(trained("numpy", [0.4]), trained("numba", [0.5])) == ["measured", "wrong"]


def test_only_losses_after_as_many_steps_from_the_same_beginning_are_compared() -> None:
    one = trained("numpy", [0.4, 0.3, 0.2])
    assert statuses(one, trained("numba", [0.37, 0.31], iterations=7)) == ["measured"] * 2
    assert statuses(one, trained("numba", [0.39, 0.31], seed=1)) == ["measured"] * 2
    # rounds of 20 steps meet those of 10 in every second one
    assert statuses(one, trained("numba", [0.31], iterations=20)) == ["measured", "wrong"]


def test_nan_parts_from_every_loss() -> None:
    assert not losses.agree(float("nan"), 0.5, "float64", 10**9)


@pytest.mark.parametrize("workload", ["digits", "digits+adam"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_honest_implementations_have_the_losses_of_the_reference(workload: str, dtype: str) -> None:
    experiment = dataclasses.replace(DIGITS, workload=workload, dtype=dtype)
    found = [run(name, experiment) for name in ("numpy", "numpy-inplace", "numba")]
    assert [each.reason for each in held(found)] == ["", "", ""]
    last = [each.measurement.losses[-1] for each in found]
    assert max(last) - min(last) <= 0.1 * losses.tolerance(dtype, experiment.steps) * max(last)


@pytest.mark.parametrize("name", ["accuracy", "headline"])
def test_losses_of_the_gallery_differ_by_less_than_a_tenth_of_what_is_granted(name: str) -> None:
    record = race_file.read(ROOT / "docs" / "gallery" / f"{name}.json")
    alike: dict[tuple[tuple[Cell, int], int], list[float]] = {}
    for m in record.measurements:
        for k, loss in enumerate(m.losses, start=1):
            start = dataclasses.replace(m.cell, implementation=""), record.processes[m.process].seed
            alike.setdefault((start, k * m.iterations), []).append(loss)
    parted = [
        (max(found) - min(found)) / max(found) / losses.tolerance(start[0].dtype, steps)
        for (start, steps), found in alike.items()
        if len(found) > 1
    ]
    assert len(parted) > 100
    assert max(parted) < 0.1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_that_are_missing_are_seen_in_the_losses(dtype: str, tmp_path: Path) -> None:
    target = f"{__name__}:{SkipsAnEpoch.__name__}"
    arguments = ["--steps", str(8 * ROUND), "--batch-size", "512", "--dtype", dtype]
    arguments += ["--record", str(tmp_path / "h.json")]
    done = CliRunner().invoke(main, ["headline", "--impl", f"numpy,{target}", *arguments])
    assert done.exit_code == 4
    assert f"{target}: wrong: {target}: the loss is " in done.output
    assert "numpy: wrong" not in done.output.replace(target, "")
