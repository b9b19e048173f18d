"""The commands `race`, `advise`, `merge` and `list`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import options
from benchmarks.race.ending import command_line, end, warn_of_no_commit

# The commands import the libraries: --help answers at once, and threads are limited before NumPy.
if TYPE_CHECKING:
    from benchmarks.race.conductor import Race, RacePlan
    from benchmarks.race.journal import JournalEntry


@click.command(
    params=[
        *options.RACE,
        options.THREADS_LIST_OPTION,
        options.RANKS_OPTION,
        options.PYTHON_OPTION,
        options.PHASES_OPTION,
        options.RECORD_OPTION,
    ]
)
@click.option(
    "--baseline",
    type=options.IMPLEMENTATION,
    metavar="NAME",
    show_default="the lowest on the ladder",
    help="Implementation to which speedups are relative.",
)
@click.option(
    "--until",
    type=click.Choice(["speedups", "ranking"]),
    default="speedups",
    help="Race until every speedup is known to --target, or until each cell's ranking is known.",
)
@click.option(
    "--target", type=options.POSITIVE, default=5.0, metavar="%", help="Half-width of the intervals to reach."
)
@click.option(
    "--budget", type=options.SECONDS, default=215.0, metavar="S", help="Seconds after which no cell begins."
)
@click.option(
    "--timeout", type=options.SECONDS, default=120.0, metavar="S", help="Seconds that a cell may take."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted race, or add to one that ended.")
@click.option("--survey", is_flag=True, help="Measure peak memory and cold compilation, too.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option(
    "--on",
    "fleet",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FLEET",
    help="YAML file of a fleet (docs/scaling.md); race on each of its hosts.",
)
@click.pass_context
def race(
    ctx: click.Context,
    /,
    pythons: tuple[str, ...],
    phases: tuple[str, ...],
    baseline: str | None,
    until: str,
    target: float,
    budget: float,
    timeout: float,
    record: Path,
    resume: bool,
    survey: bool,
    quiet: bool,
    fleet: Path | None,
    **asked: Any,
) -> None:
    """Race in fresh processes until every speedup is known.

    Exit status: 0; 1 if the race could not continue; 2 if an option is wrong; 4 if an implementation named by
    --impl, or a value of another list, was not measured; 130 if it was interrupted.
    """
    from benchmarks.measure.threads import check_threads
    from benchmarks.race import journal, questions, report
    from benchmarks.race.conductor import RacePlan

    if until == "ranking" and baseline is not None:
        raise click.UsageError(
            "--until ranking compares every pair: expected it without --baseline, got both"
        )
    asked["implementations"] = options.under(asked["implementations"], pythons)
    if fleet is not None:
        settings, _ = options.settings(**asked)
        _baseline(baseline, settings.implementations)
        _race_on(ctx, fleet, record, resume, quiet)
        return
    with journal.sole(record):
        entries = _earlier(record) if resume else []
        for entry in entries[:1]:
            assert isinstance(entry, journal.Opened)
            asked["seed"] = entry.settings.get("seed") if asked["seed"] is None else asked["seed"]
        settings, workloads = options.settings(**asked)
        check_threads(max(settings.threads))
        over = _baseline(baseline, settings.implementations)
        plan = RacePlan(
            settings=settings,
            workloads={name: workload.described() for name, workload in workloads.items()},
            phases=phases or options.phases(workloads),
            question=questions.Ranking() if until == "ranking" else questions.Speedups(over, target / 100),
            budget=budget,
            timeout=timeout,
            command=command_line(ctx),
            survey=math.inf if survey else 0.0,
        )
        running = _run(ctx, plan, record, entries, quiet)
    warn_of_no_commit()
    if not quiet:
        verdict = running.verdict()
        click.echo(f"{report.draw('render', record)}\n{verdict}")
    several = any(asked[name] for name in ("workloads", "optimizers", "l2", "dropout"))
    unreached = running.unreached(
        workload=settings.workloads if several else (),
        batch_size=asked["batch_sizes"],
        dtype=asked["dtypes"],
        phase=phases,
        threads=asked["threads"],
        ranks=asked["ranks"],
    )
    end(ctx, [*running.missing(asked["implementations"]), *unreached])


def _race_on(ctx: click.Context, path: Path, record: Path, resume: bool, quiet: bool) -> None:
    """Race on every host of a fleet; merge the records of like machines, compare the others."""
    from benchmarks.fleet import description, fleet, state, tasks
    from benchmarks.fleet.progress import FleetProgress
    from benchmarks.race import journal, report

    described = description.read(path)
    arguments = options.given(ctx, without=("fleet", "record", "resume", "quiet"))
    with journal.sole(record):
        kept = state.HostRecords(record, arguments, resume)
        try:
            with (
                FleetProgress(quiet) as shown,
                fleet.engine(described, kept.folder / "jobs", shown.say) as running,
            ):
                missing = fleet.race(described, running, arguments, kept, shown)
        except (tasks.SchedulerLost, KeyboardInterrupt) as error:
            why = str(error) or "interrupted"
            click.echo(f"{why}; finished records are kept in {kept.folder}: continue with --resume", err=True)
            ctx.exit(130 if isinstance(error, KeyboardInterrupt) else 1)
        found = [one for host in running.hosts if (one := kept.finished(host)) is not None]
        written = state.write(state.merged(found), record) if found else []
    if written and not quiet:
        click.echo(report.draw("render" if len(written) == 1 else "compare", *written))
    end(ctx, missing)


@click.command(params=[*options.ADVISE, options.record_option(options.ADVICE)])
@click.option(
    "--budget",
    type=options.SECONDS,
    metavar="S",
    show_default="60; 120 for a wide network",
    help="Seconds for the whole command, compilation included.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but the answer, and errors.")
@click.pass_context
def advise(
    ctx: click.Context, /, network: str, record: Path, budget: float | None, quiet: bool, **asked: Any
) -> None:
    """Measure which implementation to use for a network.

    NETWORK is its widths, like 784-128-10. Prints the fastest at each batch size, which ones tie with it, how
    far behind the others are, and what each costs. It ends when the ranking is known, ties to 3 %.

    An implementation is dropped if it takes more than 3 times as long as the fastest in every process, 1.5
    times in each of two or more, or 1.2 times in each of three or four; the fastest that needs nothing beyond
    NumPy stays. Those that compile longest are measured last, the interpreted loops only if --impl names
    them.

    Exit status: 0; 1 if the race could not continue; 2 if an option is wrong; 4 if an implementation named by
    --impl, or a batch size, was not measured; 130 if it was interrupted.
    """
    from benchmarks.measure.threads import check_threads
    from benchmarks.race import advice, journal, questions, report
    from benchmarks.race.conductor import RacePlan

    check_threads(asked["threads"])
    settings, workloads = options.settings(
        **{
            **asked,
            "threads": (asked["threads"],),
            "implementations": asked["implementations"] or advice.contenders(asked["threads"]),
            "network": network,
            "batch_sizes": asked["batch_sizes"] or options.ADVISED_BATCH_SIZES,
        }
    )
    seconds = budget or advice.seconds(workload.network for workload in workloads.values())
    with journal.sole(record):
        plan = RacePlan(
            settings=settings,
            workloads={name: workload.described() for name, workload in workloads.items()},
            phases=("step",),
            question=questions.Ranking(),
            budget=advice.RACE * seconds,
            timeout=seconds,
            command=command_line(ctx),
            survey=advice.SURVEY * seconds,
            scouting=advice.SCOUTING * seconds,
        )
        running = _run(ctx, plan, record, [], quiet)
    warn_of_no_commit()
    measured = any(m.status == "measured" for m in running.measurements)
    if measured:
        report.ranking(record)
    tried = {m.implementation for m in running.measurements}
    if left_out := [name for name in settings.implementations if name not in tried]:
        click.echo(f"Not tried within --budget: {', '.join(left_out)}; give a larger --budget.")
    if not quiet:
        click.echo(f"{running.verdict()}\nrecord: {record}")
    unreached = running.unreached(
        workload=settings.workloads, batch_size=settings.batch_sizes, dtype=settings.dtypes
    )
    end(
        ctx,
        [*running.missing(asked["implementations"] if measured else settings.implementations), *unreached],
    )


def _baseline(asked: str | None, names: tuple[str, ...]) -> str:
    """The baseline of the speedups: by default the lowest on the ladder, `loops` if it races."""
    import impls

    if asked is None:
        return next((name for name in impls.names() if name in names), names[0])
    if asked not in names:
        raise click.UsageError(
            f"--baseline: expected one of the implementations that race ({', '.join(names)}), got {asked!r}"
        )
    return asked


def _run(ctx: click.Context, plan: RacePlan, record: Path, entries: list[JournalEntry], quiet: bool) -> Race:
    """Race, from the entries of an earlier one on, until the record is at its path."""
    from benchmarks.race import journal
    from benchmarks.race.conductor import Race, RaceError
    from benchmarks.race.progress import Progress

    progress = Progress(quiet)
    running = Race(plan, record, progress)
    running.resume(entries)
    try:
        with progress:
            running.run()
    except KeyboardInterrupt:
        kept = f"the race so far is saved in {journal.of(record)}"
        kept += ": continue with --resume" if "resume" in ctx.params else ""
        words = kept if running.measurements else "nothing was measured yet"
        click.echo(f"interrupted; {words}", err=True)
        ctx.exit(130)
    except RaceError as error:
        raise click.ClickException(str(error)) from error
    return running


def _earlier(path: Path) -> list[JournalEntry]:
    """The entries of the race to continue: those of its journal, or of a record, finished or not."""
    from benchmarks.race import journal
    from benchmarks.record import race_file

    place, partial = journal.of(path), race_file.partial_of(path)
    if place.exists() and (entries := journal.read(place)):
        return entries
    for earlier in (partial, path):
        if earlier.exists():
            return list(journal.entries_of(race_file.read(earlier)))
    raise ValueError(f"--resume: expected a race at {path} or {place}, found none; race without --resume")


@click.command(params=[options.RECORD_OPTION])
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
def merge(records: tuple[Path, ...], record: Path) -> None:
    """Merge records of the same machine, versions and settings."""
    from benchmarks.race import journal
    from benchmarks.record import merging, race_file

    with journal.sole(record):
        merged = merging.merge([race_file.read(path) for path in records])
        race_file.write(merged, record)
    click.echo(f"{len(merged.processes)} processes, {len(merged.measurements)} measurements: {record}")


@click.command("list")
def list_() -> None:
    """Show the facts of each implementation, and its threads in force."""
    from benchmarks.race import sheet

    sheet.main()
