"""Training for real: the digits network, with any implementation."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np

import impls
from benchmarks import workloads


@dataclasses.dataclass(frozen=True)
class Course:
    """What is trained, for how long, and from which weights."""

    workload: str = "digits"
    steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 2.0
    dtype: str = "float64"
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if workloads.named(self.workload).data != "digits":
            raise ValueError(f"--workload: expected one on the digits, got {self.workload!r}")

    def problem(self) -> impls.Problem:
        """The network to begin with, and the digits to train on."""
        return workloads.problem(workloads.named(self.workload), self.batch_size, self.seed)


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a training stands: seconds are those of the steps alone."""

    steps: int
    seconds: float
    loss: float


def train(implementation: impls.Implementation, course: Course, chunk: int) -> Iterator[Progress]:
    """Where the training stands after each `chunk` of steps.

    Raises ArithmeticError where the loss leaves the finite numbers.
    """
    done, seconds = 0, 0.0
    while done < course.steps:
        steps = min(chunk, course.steps - done)
        start = time.perf_counter()
        implementation.train(steps, course.learning_rate)
        seconds += time.perf_counter() - start
        done += steps
        loss = implementation.export().loss
        if not np.isfinite(loss):
            raise ArithmeticError(
                f"the loss became {loss} within {done} steps; try a lower --learning-rate than "
                f"{course.learning_rate:g}"
            )
        yield Progress(done, seconds, loss)


def accuracy(
    implementation_class: type[impls.Implementation], trained: impls.Result, course: Course
) -> float:
    """The share of held-out digits that the network names rightly, by its own forward pass."""
    digits = workloads.digits(held_out=True)
    samples = digits.X.shape[1]
    network = workloads.named(course.workload).network
    problem = impls.Problem(network, trained.weights, trained.biases, digits.X, digits.Y, samples)
    implementation = implementation_class(problem, dtype=course.dtype, threads=course.threads)
    implementation.forward()
    output = implementation.export().output  # (10, samples)
    return float(np.mean(output.argmax(axis=0) == digits.Y.argmax(axis=0)))


CHUNKS = 50
"""So often the progress bar moves."""


def main(name: str, course: Course) -> None:
    """Train with a progress bar, and print what came of it."""
    import rich.console
    import rich.progress

    implementation_class = impls.load(name)
    implementation = implementation_class(course.problem(), dtype=course.dtype, threads=course.threads)
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=course.steps)
        for progress in train(implementation, course, chunk=-(-course.steps // CHUNKS)):
            bar.update(task, completed=progress.steps, description=f"{name}  loss {progress.loss:.4f}")
    share = accuracy(implementation_class, implementation.export(), course)
    print(f"implementation   {name} ({course.dtype}, threads: {course.threads})")
    print(f"steps            {course.steps} of {course.batch_size} samples, rate {course.learning_rate:g}")
    print(f"seconds          {progress.seconds:.6g} ({course.steps / progress.seconds:,.6g} steps/s)")
    print(f"loss             {progress.loss:.6g}")
    print(f"held-out digits  {share:.2%} right")
