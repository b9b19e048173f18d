"""`python -m benchmarks race` and `merge`: the command line of whole races."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchmarks.record import race_file

RECORD = "reports/out/record.json"


@click.command()
@click.option(
    "--impl", multiple=True, metavar="LIST", help="Implementations, or path/to/file.py:Class.  [default: all]"
)
@click.option("--workload", multiple=True, metavar="LIST", help="Workloads.  [default: digits]")
@click.option("--batch-sizes", multiple=True, metavar="LIST", help="[default: 1,4,16,64,256,1024]")
@click.option("--dtype", multiple=True, metavar="LIST", help="float64, float32.  [default: float64]")
@click.option(
    "--phases", multiple=True, metavar="LIST", help="forward, gradients, step.  [default: gradients]"
)
@click.option("--threads", default="1", metavar="N", help="Threads and CPUs of every implementation.")
@click.option("--network", metavar="WIDTHS", help="A network like 784-128-10, on random data.")
@click.option("--activation", help="Of --network.")
@click.option("--loss", help="Of --network.")
@click.option("--target", default="5", metavar="PERCENT", help="Race until every speedup is known to +-this.")
@click.option("--budget", default="215", metavar="S", help="Seconds; whatever is known then is what is told.")
@click.option(
    "--timeout", default="120", metavar="S", help="Seconds that a cell may take before it is given up."
)
@click.option("--seed", help="Shuffles the implementations within each cell.  [default: drawn]")
@click.option("--record", default=RECORD, metavar="PATH", help="The record.")
@click.option(
    "--resume", is_flag=True, help="Go on with the race that was interrupted, or add to one that ended."
)
@click.option(
    "--survey", is_flag=True, help="Peak memory and cold compilation, too: every implementation alone."
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def race(
    impl: tuple[str, ...],
    workload: tuple[str, ...],
    batch_sizes: tuple[str, ...],
    dtype: tuple[str, ...],
    phases: tuple[str, ...],
    threads: str,
    network: str | None,
    activation: str | None,
    loss: str | None,
    target: str,
    budget: str,
    timeout: str,
    seed: str | None,
    record: str,
    resume: bool,
    survey: bool,
    quiet: bool,
) -> None:
    """Race in several fresh processes, until the speedups are known well enough."""
    from benchmarks import options
    from benchmarks.measure import environment
    from benchmarks.race import report
    from benchmarks.race.conductor import Plan, Race, RaceError
    from benchmarks.race.progress import Progress
    from benchmarks.race.request import Request
    from benchmarks.record.cells import PHASES

    path = Path(record)
    options.check_writable("--record", path)
    earlier = _earlier(path) if resume else None
    if earlier is not None and seed is None:
        seed = str(earlier.settings.get("seed"))
    request = Request(impl, workload, batch_sizes, dtype, threads, network, activation, loss, seed)
    plan = Plan(
        request=request,
        settings=request.settings(),
        phases=options.choices("--phases", options.items(phases) or ["gradients"], PHASES),
        target=options.number("--target", target) / 100,
        budget=options.number("--budget", budget),
        timeout=options.number("--timeout", timeout),
        survey=survey,
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    )
    environment.check_threads(plan.settings.threads)
    progress = Progress(quiet)
    running = Race(plan, path, progress)
    if earlier is not None:
        running.resume(earlier)
    try:
        with progress:
            running.run()
    except KeyboardInterrupt:
        kept = f"the race so far is kept in {running.partial}: go on with --resume"
        click.echo(f"interrupted; {kept if running.measurements else 'nothing was measured yet'}", err=True)
        raise SystemExit(130) from None
    except RaceError as error:
        raise click.ClickException(str(error)) from error
    if not quiet:
        verdict = running.verdict()
        click.echo(f"{report.render(path)}\n{verdict}")


def _earlier(path: Path) -> race_file.Record:
    from benchmarks.record import race_file

    partial = race_file.partial_of(path)
    for place in (partial, path):
        if place.exists():
            return race_file.read(place)
    raise ValueError(f"--resume: expected a race at {path} or {partial}, found none; race without it")


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--record", default=RECORD, type=click.Path(path_type=Path), help="Where the merged one goes.")
def merge(records: tuple[Path, ...], record: Path) -> None:
    """Merge the records of races of the same machine, versions and settings into one."""
    from benchmarks.record import merging, race_file

    merged = merging.merge([race_file.read(path) for path in records])
    race_file.write(merged, record)
    click.echo(f"{len(merged.processes)} processes, {len(merged.measurements)} measurements: {record}")
