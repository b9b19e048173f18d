"""Training in one process: an implementation takes all the steps of an experiment, or a sample of them."""

from __future__ import annotations

import dataclasses
import datetime
import math
import random
import secrets
import time

import numpy as np
from numpy.typing import NDArray

import impls
from benchmarks import workloads
from benchmarks.measure import clock, costs
from benchmarks.measure.audit import Subject
from benchmarks.measure.ceiling import Ceiling
from benchmarks.measure.process import Parent
from benchmarks.measure.session import CellError, guard, load, refuse_instruments
from benchmarks.measure.session import facts as facts_of
from benchmarks.measure.threads import cpus, limit_threads, thread_warnings, threads_in_force
from benchmarks.race import losses as trained_losses
from benchmarks.race import messages
from benchmarks.race.messages import PROCESSES, Experiment
from benchmarks.record import machine, race_file
from benchmarks.record.cells import Cell

BESIDE = 2
"""In one of so many first rounds what `train` leaves is held against as many calls of `step`."""

REFERENCE, FOLLOWED = "numpy", 0.1
"""Whose losses those of a training are held against, round by round: in the first one, and in the next ones
as long as that has taken no more than such a share of the training's own time."""

CHECKED_STEPS = 3
"""An implementation's own loop of so many steps is held against its steps, bit for bit."""

ROUNDS = 100
"""A run in full is put on record in so many rounds, at most."""


def serve(parent: Parent) -> None:
    """Answer one order after the other, until there are no more; all have the same threads and `ranks`."""
    limited = False
    while order := parent.receive(messages.Train):
        if not limited:
            limit_threads(order.experiment.threads, order.ranks)
            limited = True
        parent.send(run(order.name, order.experiment, order.ranks))


def rounds(steps: int, call_seconds: float, budget: float) -> clock.RoundPlan:
    """All the steps, where they fit the budget in seconds; else as many as fill one process's share of it."""
    if steps * call_seconds <= budget:
        number = max(k for k in range(1, ROUNDS + 1) if steps % k == 0)
        return clock.RoundPlan(number, steps // number)
    iterations = max(1, round(clock.CELL_SECONDS / call_seconds))
    number = round(budget / PROCESSES / (call_seconds * iterations))
    return clock.RoundPlan(min(max(number, clock.ROUNDS[0]), ROUNDS), iterations)


def run(name: str, experiment: Experiment, ranks: int = 1) -> messages.Trained:
    """What the steps take one implementation in this process, once it is verified and warm.

    The process has the CPUs of so many `ranks`.
    """
    started = datetime.datetime.now(datetime.UTC)
    load_before = machine.load_average()
    start = time.perf_counter()
    cell = experiment.cell(name)
    facts, audit_seed = None, None
    try:
        with guard(cell):
            implementation_class = load(name, cell.ranks)
            facts = facts_of(implementation_class)
            measurement, audit_seed = _measure(implementation_class, cell, experiment)
    except CellError as error:
        measurement = error.measurement(cell)
    in_force = threads_in_force()
    process = race_file.Process(
        seed=experiment.seed,
        audit_seed=audit_seed,
        started=started.isoformat(),
        seconds=time.perf_counter() - start,
        threads_in_force=in_force,
        cpus=cpus(),
        load_average=load_before,
        warnings=tuple(thread_warnings(in_force, experiment.threads, ranks)),
    )
    return messages.Trained(measurement, process, facts)


def _measure(
    implementation_class: type[impls.Implementation], cell: Cell, experiment: Experiment
) -> tuple[race_file.Measurement, int]:
    """The measurement, and the seed that drew which rounds are judged."""
    refuse_instruments()
    workload = workloads.named(cell.workload)
    rate = experiment.learning_rate or workload.rate
    problem = workloads.problem(workload, cell.batch_size, experiment.seed)
    start = time.perf_counter()
    implementation = implementation_class(problem, dtype=cell.dtype, threads=cell.threads)
    construct_seconds = time.perf_counter() - start
    verdict = impls.check(implementation, problem, cell.dtype)
    if not verdict.passed:
        raise CellError("wrong", f"{cell.implementation}: {verdict.message}")
    _check_train(implementation_class, problem, cell, rate)
    implementation.train(1, rate)
    plan = rounds(
        experiment.steps,
        clock.settle(lambda: implementation.train(1, rate)),
        experiment.budget,
    )
    # From the start again: warming up took as many steps as it took.
    implementation, stepped = (
        implementation_class(problem, dtype=cell.dtype, threads=cell.threads) for _ in range(2)
    )
    subject = Subject(implementation, problem, cell.dtype, rate)
    reference, followed, reference_seconds = impls.load(REFERENCE)(problem, cell.dtype), 0, 0.0
    audit_seed = secrets.randbits(31)
    draw = random.Random(audit_seed)  # noqa: S311 - no implementation is to know it, no more
    drawn, beside = draw.randrange(plan.rounds), draw.randrange(BESIDE)
    seconds, losses, accuracies, judged = [], [], [], []
    for number in range(plan.rounds):
        whole = clock.seconds_of(lambda: implementation.train(plan.iterations, rate), 1)
        seconds.append(whole / plan.iterations)
        subject.steps += plan.iterations
        trained = implementation.export()
        losses.append(_loss(problem, trained))
        where = f"{cell.implementation}: round {number + 1} of {plan.rounds}"
        if not math.isfinite(losses[-1]):
            raise CellError(
                "failed",
                f"{cell.implementation}: the loss became {losses[-1]}; a lower --learning-rate than {rate:g} "
                "may keep it finite",
            )
        if followed == number and reference_seconds <= FOLLOWED * sum(seconds) * plan.iterations:
            reference_seconds += clock.seconds_of(lambda: reference.train(plan.iterations, rate), 1)
            followed += 1
            expected = _loss(problem, reference.export())
            if not trained_losses.agree(losses[-1], expected, cell.dtype, subject.steps):
                raise CellError(
                    "wrong",
                    f"{where}: the loss is {losses[-1]!r} after {subject.steps} steps; expected that of "
                    f"{REFERENCE}, {expected!r}",
                )
        if workload.data == "digits":
            accuracies.append(_accuracy(problem.network, trained))
        if number == beside:
            for _ in range(subject.steps):
                stepped.step(rate)
            _check_same(trained, stepped.export(), f"{where}, after {subject.steps} steps")
        last = number == plan.rounds - 1
        if last or (number == drawn and problem.training.optimizer == "gradient_descent"):
            found = subject.judge_last_step(trained, and_another=last)
            if not found.passed:
                raise CellError("wrong", f"{where}: {found.message}")
            judged.append(number)
    measurement = race_file.Measurement(
        **dataclasses.asdict(cell),
        process=0,
        status="measured",
        seconds=tuple(seconds),
        judged=tuple(judged),
        losses=tuple(losses),
        accuracies=tuple(accuracies),
        iterations=plan.iterations,
        construct_seconds=construct_seconds,
        compile_seconds=implementation.compile_seconds,
        error_of_bound=verdict.error_of_bound,
        error_ulp=verdict.error_ulp,
        error_ulp_median=verdict.error_ulp_median,
        bound_of_norm=verdict.bound_of_norm,
    )
    flops = costs.flops(problem.network, "step", cell.batch_size)
    return Ceiling(lambda: None).held(measurement, flops), audit_seed


def _check_train(
    implementation_class: type[impls.Implementation], problem: impls.Problem, cell: Cell, rate: float
) -> None:
    """The referee has judged the implementation's step; what is timed here is its train. Raises CellError."""
    trained, stepped = (
        implementation_class(problem, dtype=cell.dtype, threads=cell.threads) for _ in range(2)
    )
    trained.train(CHECKED_STEPS, rate)
    for _ in range(CHECKED_STEPS):
        stepped.step(rate)
    _check_same(trained.export(), stepped.export(), f"{cell.implementation}, after train({CHECKED_STEPS})")


def _check_same(trained: impls.Result, stepped: impls.Result, where: str) -> None:
    """Raise CellError where what `train` left is not bit for bit what as many steps left."""
    verdict = impls.judge_train(trained, stepped)
    if not verdict.passed:
        raise CellError("wrong", f"{where}: {verdict.message}")


def _loss(problem: impls.Problem, trained: impls.Result) -> float:
    """J over all samples, whichever batch the last step was of."""
    return _forward(problem.network, trained, problem.X, problem.Y).loss


def _accuracy(network: impls.Network, trained: impls.Result) -> float:
    """The share of the held-out digits that the network names rightly."""
    digits = workloads.digits(held_out=True)
    output = _forward(network, trained, digits.X, digits.Y).output  # (10, samples)
    return float(np.mean(output.argmax(axis=0) == digits.Y.argmax(axis=0)))


def _forward(
    network: impls.Network, trained: impls.Result, X: NDArray[np.float64], Y: NDArray[np.float64]
) -> impls.Result:
    """All samples through the network as it was trained; by `numpy`, for all implementations alike."""
    judge = impls.load("numpy")(impls.Problem(network, trained.weights, trained.biases, X, Y, X.shape[1]))
    judge.forward()
    return judge.export()
