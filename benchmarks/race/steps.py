"""Training in one process: an implementation takes all the steps of an experiment, or a sample of them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import random
import secrets
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import impls
from benchmarks import workloads
from benchmarks.measure import clock, costs
from benchmarks.measure.audit import Subject
from benchmarks.measure.ceiling import Ceiling
from benchmarks.measure.process import Parent
from benchmarks.measure.session import CellError, guard, load, refuse_instruments, verified
from benchmarks.measure.session import facts as facts_of
from benchmarks.measure.threads import cpus, limit_threads, thread_warnings, threads_in_force
from benchmarks.race import losses as trained_losses
from benchmarks.race import messages
from benchmarks.race.messages import PROCESSES, Experiment
from benchmarks.record import machine, race_file
from benchmarks.record.cells import Cell

BESIDE = 2
"""In one of so many first rounds, drawn at random, `train` is compared with as many calls of `step`."""

REFERENCE, FOLLOWED = "numpy", 0.1
"""The implementation with whose losses those of a training are compared, in the first round and in the next
ones while it has taken at most this share of the training's time."""

CHECKED_STEPS = 3
"""The steps after which `train` is compared with calls of `step`, bit for bit."""

ROUNDS = 100
"""The largest number of rounds of a full run on record."""


def serve(parent: Parent) -> None:
    """Answer all orders, one after the other; they have the same threads and `ranks`."""
    limited = False
    while order := parent.receive(messages.Train):
        if not limited:
            limit_threads(order.experiment.threads, order.ranks)
            limited = True
        parent.send(run(order.name, order.experiment, order.ranks))


def rounds(steps: int, call_seconds: float, budget: float) -> clock.RoundPlan:
    """All the steps if they fit the budget in seconds; otherwise those of one process's share of it."""
    if steps * call_seconds <= budget:
        number = max(k for k in range(1, ROUNDS + 1) if steps % k == 0)
        return clock.RoundPlan(number, steps // number)
    iterations = max(1, round(clock.CELL_SECONDS / call_seconds))
    number = round(budget / PROCESSES / (call_seconds * iterations))
    return clock.RoundPlan(min(max(number, clock.ROUNDS[0]), ROUNDS), iterations)


def run(name: str, experiment: Experiment, ranks: int = 1) -> messages.Trained:
    """The measurement of one implementation's steps in this process, after it is verified and warm.

    The process has the CPUs of `ranks` ranks.
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
    new = functools.partial(implementation_class, problem, dtype=cell.dtype, threads=cell.threads)
    prepared = verified(implementation_class, problem, cell)
    implementation, verdict = prepared.subject.implementation, prepared.verdict
    construct_seconds = prepared.construct_seconds
    _check_train(new, cell.implementation, rate)
    implementation.train(1, rate)
    call_seconds = clock.settle(lambda: implementation.train(1, rate))
    plan = rounds(experiment.steps, call_seconds, experiment.budget)
    # From the start again: warming up took as many steps as it took.
    del prepared, implementation
    implementation, stepped = new(), new()
    subject = Subject(implementation, problem, cell.dtype, rate)
    reference, followed, reference_seconds = impls.load(REFERENCE)(problem, cell.dtype), 0, 0.0
    audit_seed = secrets.randbits(31)
    draw = random.Random(audit_seed)  # noqa: S311 - hidden from implementations, not secret
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


def _check_train(new: Callable[[], impls.Implementation], name: str, rate: float) -> None:
    """Compare `train`, which is timed, with `step`, which the referee has judged; raises CellError."""
    trained, stepped = new(), new()
    trained.train(CHECKED_STEPS, rate)
    for _ in range(CHECKED_STEPS):
        stepped.step(rate)
    _check_same(trained.export(), stepped.export(), f"{name}, after train({CHECKED_STEPS})")


def _check_same(trained: impls.Result, stepped: impls.Result, where: str) -> None:
    """Raise CellError unless the results of `train` and of as many steps are equal bit for bit."""
    verdict = impls.judge_train(trained, stepped)
    if not verdict.passed:
        raise CellError("wrong", f"{where}: {verdict.message}")


def _loss(problem: impls.Problem, trained: impls.Result) -> float:
    """J over all samples, for any batch of the last step."""
    return _forward(problem.network, trained, problem.X, problem.Y).loss


def _accuracy(network: impls.Network, trained: impls.Result) -> float:
    """The share of the held-out digits that the network classifies correctly."""
    digits = workloads.digits(held_out=True)
    output = _forward(network, trained, digits.X, digits.Y).output  # (10, samples)
    return float(np.mean(output.argmax(axis=0) == digits.Y.argmax(axis=0)))


def _forward(
    network: impls.Network, trained: impls.Result, X: NDArray[np.float64], Y: NDArray[np.float64]
) -> impls.Result:
    """The output for all samples after the training; computed by `numpy` for all implementations."""
    judge = impls.load("numpy")(impls.Problem(network, trained.weights, trained.biases, X, Y, X.shape[1]))
    judge.forward()
    return judge.export()
