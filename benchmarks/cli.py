"""`python -m benchmarks`: training, the article's experiment, whole races, and pairs of commits."""

from __future__ import annotations

import click

from benchmarks.gate.commands import gate
from benchmarks.race.commands import merge, race

# What computes is imported by the commands: --help answers at once, and threads are limited before NumPy.


@click.group()
def main() -> None:
    """Race implementations of forward and back propagation, train with one, or compare two commits."""


THREADS = click.option("--threads", default="1", metavar="N", help="Threads and CPUs.")
DTYPE = click.option("--dtype", default="float64", help="float64 or float32.")
WORKLOAD = click.option("--workload", default="digits", help="A workload on the digits.")


@main.command()
@click.option("--impl", "name", required=True, help="The implementation to train with.")
@click.option("--steps", default="2000", metavar="N", help="Steps of gradient descent.")
@click.option("--batch-size", default="16", metavar="M", help="Samples of a batch.")
@click.option("--learning-rate", default=None, metavar="RATE", help="Default: the workload's own.")
@click.option("--seed", default="0", help="Of the weights to begin with.")
@WORKLOAD
@DTYPE
@THREADS
def train(
    name: str,
    steps: str,
    batch_size: str,
    learning_rate: str | None,
    seed: str,
    workload: str,
    dtype: str,
    threads: str,
) -> None:
    """Train the digits network, and print loss, accuracy on held-out digits and steps a second."""
    from benchmarks import options
    from benchmarks.measure import environment

    environment.limit_threads(options.positive("--threads", threads))
    from benchmarks.race import train

    train.main(
        name,
        train.Course(
            workload=workload,
            steps=options.positive("--steps", steps),
            batch_size=options.positive("--batch-size", batch_size),
            learning_rate=train.learning_rate(workload, learning_rate),
            dtype=dtype,
            threads=int(threads),
            seed=options.whole("--seed", seed),
        ),
    )


@main.command()
@click.option(
    "--impl", "names", multiple=True, help="Implementations, with commas between them; default: all."
)
@click.option("--steps", default="100000", metavar="N", help="Steps of gradient descent.")
@click.option("--batch-size", default="1024", metavar="M", help="Samples of a batch.")
@click.option(
    "--budget", default="150", metavar="S", help="Seconds an implementation may run; more is projected."
)
@click.option("--record", default="reports/out/headline/record.json", metavar="PATH", help="The record.")
@WORKLOAD
@DTYPE
@THREADS
def headline(
    names: tuple[str, ...],
    steps: str,
    batch_size: str,
    budget: str,
    record: str,
    workload: str,
    dtype: str,
    threads: str,
) -> None:
    """Time the article's experiment, 100,000 steps on the digits, by every implementation."""
    import shlex
    import sys
    from pathlib import Path

    from benchmarks import options
    from benchmarks.measure import environment

    environment.limit_threads(options.positive("--threads", threads))
    import impls
    from benchmarks import workloads
    from benchmarks.race import headline

    workloads.named(workload)
    options.choices("--dtype", [dtype], impls.DTYPES)
    asked = options.implementations("--impl", names, impls.names())
    options.check_writable("--record", Path(record))
    experiment = headline.Experiment(
        steps=options.positive("--steps", steps),
        batch_size=options.positive("--batch-size", batch_size),
        workload=workload,
        dtype=dtype,
        threads=int(threads),
        budget=options.positive("--budget", budget),
    )
    headline.main(asked, experiment, Path(record), shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]))


main.add_command(race)
main.add_command(merge)
main.add_command(gate)
