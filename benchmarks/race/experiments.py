"""The commands `train` and `headline`: whole trainings on the digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import options
from benchmarks.race.ending import command_line, end, warn_of_no_commit
from benchmarks.record import files

# The commands import the libraries: --help answers at once, and threads are limited before NumPy.
if TYPE_CHECKING:
    from benchmarks.record.race_file import Measurement

HEADLINE = files.OUT / "headline" / "record.json"
TRAINED = files.OUT / "train" / "record.json"

SEEDS = tuple(range(5))
"""The default seeds of a training, enough for an interval."""

WORKLOAD = click.option(
    "--workload", type=options.WORKLOAD, default="digits", metavar="NAME", help="A workload on the digits."
)
BUDGET = click.option(
    "--budget",
    type=options.SECONDS,
    default=150.0,
    metavar="S",
    help="Seconds for each implementation; longer trainings are projected.",
)
DTYPE = click.option(
    "--dtype", type=options.DTYPE, default="float64", metavar="NAME", help="float64 or float32."
)
RATE = click.option(
    "--learning-rate",
    type=options.POSITIVE,
    metavar="RATE",
    help="Learning rate of a step.  [default: the workload's]",
)


@click.command(
    params=[
        options.implementations_option(required=True),
        *options.TRAINING,
        options.listed(
            "--seeds",
            "--seed",
            item=options.SEED,
            help="Seeds that draw the first weights, a training each.",
            show_default=",".join(map(str, SEEDS)),
        ),
        options.THREADS_OPTION,
        options.RANKS_OPTION,
    ]
)
@click.option("--steps", type=options.COUNT, default=2000, metavar="N", help="Steps of training.")
@click.option("--batch-size", type=options.COUNT, default=16, metavar="M", help="Samples per batch.")
@RATE
@click.option(
    "--accuracy",
    type=options.Within("a share from 0 up to 100 %", 0.0, math.nextafter(100.0, math.inf)),
    default=95.0,
    metavar="%",
    help="Share of held-out digits to read correctly.",
)
@BUDGET
@click.option("--record", type=options.OUTPUT, default=TRAINED, metavar="PATH", help="Record to write.")
@WORKLOAD
@DTYPE
@click.pass_context
def train(
    ctx: click.Context,
    /,
    implementations: tuple[str, ...],
    optimizers: tuple[str, ...],
    l2: tuple[float, ...],
    dropout: tuple[float, ...],
    seeds: tuple[int, ...],
    ranks: tuple[int, ...],
    accuracy: float,
    workload: str,
    record: Path,
    **experiment: Any,
) -> None:
    """Measure the time until a training reads held-out digits.

    That time is the training's number of steps times the implementation's time per step.

    Exit status: 0 on success; 4 if an implementation was not measured, or is wrong.
    """
    from benchmarks.measure.threads import check_threads

    check_threads(experiment["threads"])
    from benchmarks import workloads
    from benchmarks.race import headline, journal, messages, train

    train.check(workload)
    options.check_ranks(ranks, implementations)
    known = options.trainings({workload: workloads.named(workload)}, optimizers, l2, dropout)
    experiments = [
        messages.Experiment(
            workload=name, seed=seed, phase="train", accuracy=accuracy / 100, ranks=of_ranks, **experiment
        )
        for seed in seeds or SEEDS
        for name in known
        for of_ranks in ranks or (1,)
    ]
    with journal.sole(record):
        findings = train.findings(implementations, experiments)
        found = headline.keep(findings, implementations, experiments, record, command_line(ctx))
    warn_of_no_commit()
    end(ctx, _lost(found, implementations))


@click.command(
    params=[options.IMPLEMENTATIONS_OPTION, *options.TRAINING, options.THREADS_OPTION, options.RANKS_OPTION]
)
@click.option("--steps", type=options.COUNT, default=100_000, metavar="N", help="Steps of training.")
@click.option("--batch-size", type=options.COUNT, default=1024, metavar="M", help="Samples per batch.")
@RATE
@BUDGET
@click.option("--record", type=options.OUTPUT, default=HEADLINE, metavar="PATH", help="Record to write.")
@click.option("--resume", is_flag=True, help="Continue an interrupted headline.")
@WORKLOAD
@DTYPE
@click.pass_context
def headline(
    ctx: click.Context,
    /,
    implementations: tuple[str, ...],
    optimizers: tuple[str, ...],
    l2: tuple[float, ...],
    dropout: tuple[float, ...],
    ranks: tuple[int, ...],
    workload: str,
    record: Path,
    resume: bool,
    **experiment: Any,
) -> None:
    """Time 100,000 steps on the digits, the article's experiment.

    Every implementation has to reach the same loss after the same number of steps.

    Exit status: 0 on success; 4 if an implementation is wrong, or was named by --impl and not measured.
    """
    from benchmarks.measure.threads import check_threads

    check_threads(experiment["threads"])
    from benchmarks import workloads
    from benchmarks.race import headline, journal, messages

    known = options.trainings({workload: workloads.named(workload)}, optimizers, l2, dropout)
    options.check_ranks(ranks, implementations)
    experiments = [
        messages.Experiment(workload=name, ranks=of_ranks, **experiment)
        for name in known
        for of_ranks in ranks or (1,)
    ]
    names = implementations or options.by_default(ranks)
    with journal.sole(record):
        kept = headline.earlier(record, experiments, names) if resume else []
        findings = headline.findings(names, experiments, kept)
        found = headline.keep(findings, names, experiments, record, command_line(ctx), kept)
    warn_of_no_commit()
    end(ctx, _lost(found, implementations))


def _lost(found: Sequence[Measurement], names: Sequence[str]) -> list[str]:
    """A line, with the reason, for what is wrong, and for each of `names` that was not measured."""
    lost = [m for m in found if m.status == "wrong" or (m.status != "measured" and m.implementation in names)]
    return list(dict.fromkeys(f"{m.implementation}: {m.status}: {m.reason}" for m in lost))
