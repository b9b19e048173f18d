"""Training for real."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import impls
from benchmarks import workloads
from benchmarks.race import headline, train
from benchmarks.race.messages import Experiment
from benchmarks.race.steps import run
from impls.referee.reference import reference
from tests.benchmarks.race.test_headline import ENDS
from tests.benchmarks.race.test_losses import ROUND


@pytest.mark.parametrize("workload", ["digits", "digits-softmax"])
def test_equal_seeds_give_losses_that_agree_step_by_step(implementation: Any, workload: str) -> None:
    """|J_a - J_b| is within both rounding bounds and what the parameters' own difference explains.

    That is sum |dw| |w_a - w_b| to first order; the second order, quadratic in a difference of a few ulp, is
    below half of it.
    """
    problem, rate = workloads.problem(workloads.named(workload), 16), workloads.named(workload).rate
    try:
        implementations = [implementation(problem), impls.load("loops")(problem)]
    except impls.Unsupported as reason:
        pytest.skip(str(reason))
    parameters = [(problem.weights, problem.biases)] * 2
    for k in range(12):
        losses, bounds, found = [], [], []
        batch = k % problem.batches
        for j, race in enumerate(implementations):
            race.step(rate)
            result = race.export()
            exact = reference(problem, *parameters[j], batch, "float64", math.inf)
            losses.append(result.loss)
            bounds.append(float(exact.loss.bound))
            found.append((result.weights, result.biases))
        drift = sum(
            float(np.sum(np.abs(d.hi * (a - b))))
            for d_all, a_all, b_all in (
                (exact.dw, parameters[0][0], parameters[1][0]),
                (exact.db, parameters[0][1], parameters[1][1]),
            )
            for d, a, b in zip(d_all, a_all, b_all, strict=True)
        )
        assert abs(losses[0] - losses[1]) <= sum(bounds) + 1.5 * drift
        parameters = found


TRAINING = Experiment(
    steps=1500, batch_size=16, workload="digits", dtype="float64", threads=1, budget=60, phase="train"
)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_trained_network_reads_held_out_digits(name: str) -> None:
    accuracies = run(name, TRAINING).measurement.accuracies
    assert accuracies[0] < 0.7
    assert accuracies[-1] >= 0.95


def test_other_seeds_are_other_beginnings_and_equal_ones_the_same() -> None:
    short = dataclasses.replace(TRAINING, steps=10)
    one, same, other = (
        run("numpy", dataclasses.replace(short, seed=seed)).measurement.losses for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_the_learning_rate_is_the_workloads_unless_another_is_asked_for() -> None:
    short = dataclasses.replace(TRAINING, steps=10)
    usual, given, other = (
        run("numpy", dataclasses.replace(short, learning_rate=rate)).measurement.losses
        for rate in (None, workloads.named("digits").rate, 0.5)
    )
    assert usual == given
    assert usual != other


def test_a_loss_that_explodes_is_a_failure_with_a_remedy() -> None:
    wild = dataclasses.replace(TRAINING, workload="digits-softmax", steps=20, learning_rate=1e300)
    with np.errstate(all="ignore"):
        measurement = run("numpy", wild).measurement
    assert measurement.status == "failed"
    assert measurement.reason == (
        "numpy: the loss became nan; a lower --learning-rate than 1e+300 may keep it finite"
    )


def test_every_seed_has_a_process_in_which_all_train(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    ends = f"{tmp_path}/ends.py:Ends"
    experiments = [
        dataclasses.replace(TRAINING, steps=4, workload=workload, seed=seed)
        for seed in (3, 8)
        for workload in ("digits", "digits-softmax")
    ]
    names = ("numpy", ends, "numpy-inplace")
    found = list(train.findings(names, experiments))
    where: dict[str, list[tuple[str, int, str]]] = {}
    for each in found:
        m = each.measurement
        where.setdefault(m.implementation, []).append((m.workload, m.process, m.status))
    # What ends its process is lost, and left out in the next: the others go on in a process of their own.
    assert [status for _, _, status in where[ends]] == ["failed", "failed"]
    assert {status for name in ("numpy", "numpy-inplace") for _, _, status in where[name]} == {"measured"}
    assert where["numpy"] == [
        ("digits", 0, "measured"),
        ("digits-softmax", 1, "measured"),
        ("digits", 3, "measured"),
        ("digits-softmax", 3, "measured"),
    ]
    made = headline.record(found, experiments, names, "train")
    assert [process.seed for process in made.processes] == [3, 3, 3, 8]
    assert made.settings["seeds"] == (3, 8)
    assert made.settings["learning_rates"]["digits"] == workloads.named("digits").rate


def test_implementations_take_the_same_steps_to_the_same_accuracy() -> None:
    short = dataclasses.replace(TRAINING, steps=5 * ROUND)
    one, other = (run(name, short).measurement.accuracies for name in ("numpy", "numpy-inplace"))
    assert one == other


@pytest.mark.parametrize(
    "name",
    [
        # what gloo comes with takes seconds to load in each process
        pytest.param(name, marks=pytest.mark.field) if name.endswith("-gloo") else name
        for name in impls.names(ranks=True)
    ],
)
def test_a_training_on_ranks_takes_the_steps_of_one_process(name: str) -> None:
    try:
        impls.load(name)
    except impls.Unavailable as missing:
        pytest.skip(str(missing))
    short = dataclasses.replace(TRAINING, steps=20, workload="digits+adam", ranks=2)
    found = [each.measurement for each in train.findings(("numpy", name), [short])]
    assert [(m.status, m.reason, m.ranks) for m in found] == [("measured", "", 1), ("measured", "", 2)]
    assert found[0].losses[-1] == pytest.approx(found[1].losses[-1], rel=1e-9)


def test_only_digits_are_trained_on() -> None:
    train.check("digits-softmax")
    with pytest.raises(ValueError, match="expected one on the digits, got 'xor'"):
        train.check("xor")
