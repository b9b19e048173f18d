"""The session under pytest: its options, a test for each cell, and the record at the end.

`pytest --benchmark-only` measures; plain `pytest` calls every method once, without timing or record. Cells
are measured by a session as in any process of a race, and pytest-benchmark is given their rounds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.util
import itertools
import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from benchmarks import options
from benchmarks.measure.threads import cpus, limit_threads, threads_in_force
from benchmarks.record import machine
from benchmarks.record.cells import PHASES as ALL_PHASES
from benchmarks.record.cells import Cell

if TYPE_CHECKING:
    # Imported only once the threads are limited: they import NumPy.
    from benchmarks.measure.session import Session
    from benchmarks.record.race_file import Record

# pytest-benchmark's own options that ask for timings.
TIMING = ("only", "enable", "json", "save", "autosave", "compare", "histogram")

# Those options that set how to time, which the session decides itself.
PLANNED = {
    *("--benchmark-min-time", "--benchmark-max-time", "--benchmark-min-rounds", "--benchmark-timer"),
    *("--benchmark-precision", "--benchmark-confidence", "--benchmark-calibration-precision"),
    *("--benchmark-warmup", "--benchmark-warmup-iterations", "--benchmark-disable-gc"),
    *(f"--benchmark-cprofile{what}" for what in ("", "-loops", "-top", "-dump")),
}

PARAMETERS = tuple(field.name for field in dataclasses.fields(Cell) if field.name != "ranks")  # pytest is one

# The groupings of its tables, and the places of its runs.
GROUPS = ("group", "name", "func", "fullname", "fullfunc", "param", *(f"param:{p}" for p in PARAMETERS))
STORAGES = ("file://", "elasticsearch+http://", "elasticsearch+https://")

SETTINGS: pytest.StashKey[options.RaceSettings] = pytest.StashKey()
SESSION: pytest.StashKey[Session] = pytest.StashKey()
REPLAY: pytest.StashKey[Replay] = pytest.StashKey()
PHASES: pytest.StashKey[Sequence[str]] = pytest.StashKey()
RECORD: pytest.StashKey[Path] = pytest.StashKey()
OUTCOME: pytest.StashKey[str] = pytest.StashKey()

OPTIONS = (*options.RACE, options.THREADS_OPTION, options.PHASES_OPTION, options.RECORD_OPTION)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the race, which are those of its command."""
    group = parser.getgroup("gradrace", "the race")
    context = click.Context(click.Command("pytest"), show_default=True)
    for option in OPTIONS:
        _, meaning = option.get_help_record(context) or ("", "")
        action = "append" if option.multiple else "store"
        group.addoption(*option.opts, dest=option.name, action=action, metavar=option.metavar, help=meaning)
    group.addoption("--no-report", action="store_true", help="Write the record, but draw nothing.")


def _asked(config: pytest.Config) -> dict[str, Any]:
    """The settings, checked and converted as by the command; raises click.UsageError."""
    arguments = []
    for option in OPTIONS:
        given = config.getoption(str(option.name))
        values = given if isinstance(given, list) else [given]
        arguments += [f"{option.opts[0]}={value}" for value in values if value is not None]
    return click.Command("pytest", params=list(OPTIONS)).make_context("pytest", arguments).params


def _refuse_what_fails_later(config: pytest.Config) -> None:
    """Raise pytest.UsageError for options with which pytest-benchmark would fail after the measurement."""

    def given(name: str) -> Any:
        return config.getoption(f"benchmark_{name}", None)

    if given("only") and (given("skip") or (given("disable") and not given("enable"))):
        raise pytest.UsageError(
            "--benchmark-only: expected it without --benchmark-skip and --benchmark-disable, got both"
        )
    if given("histogram") and importlib.util.find_spec("pygal") is None:
        raise pytest.UsageError(
            "--benchmark-histogram: expected pygal to draw it with, got none; "
            "pip install 'pytest-benchmark[histogram]'"
        )
    json = given("json")  # an open file in older versions of pytest-benchmark
    place = json and Path(getattr(json, "name", json))
    if place and (place.is_dir() or not place.parent.is_dir()):
        raise pytest.UsageError(f"--benchmark-json: expected a file in a folder that is there, got '{place}'")
    for way in (given("group_by") or "group").split(","):
        if way not in GROUPS:
            raise pytest.UsageError(f"--benchmark-group-by: expected {', '.join(GROUPS)}, got {way!r}")
    storage = given("storage") or ""
    if "://" in storage and not storage.startswith(STORAGES):
        raise pytest.UsageError(f"--benchmark-storage: expected {' or '.join(STORAGES)}..., got {storage!r}")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the request, limit the threads, and only then load the libraries that compute."""
    warnings.simplefilter("default")  # a warning of another plugin during its configuration is not an error
    timing = any(config.getoption(f"benchmark_{name}", None) for name in TIMING)
    if timing:
        _refuse_what_fails_later(config)
    config.option.benchmark_disable = not timing
    if timing:
        config.addinivalue_line("filterwarnings", "default")  # nor in a session, which is not a test
    # A cell that is not timed has reported the reason.
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used")
    if timing and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args = [str(Path(__file__).parent)]  # a race collects no laws
    if timing and config.getoption("dist", "no") != "no":
        raise pytest.UsageError(
            "-n, --dist: expected a session that has the machine for itself, got parallel workers; "
            "measure with -n0, or -p no:xdist"
        )
    try:
        asked = _asked(config)
        config.stash[RECORD], config.stash[PHASES] = asked.pop("record"), asked.pop("phases") or ALL_PHASES
        threads = asked.pop("threads")
        allowed = limit_threads(threads) if timing else ()
        settings, workloads = options.settings(threads=(threads,), **asked)
        if timing:
            from benchmarks.race import journal

            alone = contextlib.ExitStack()
            alone.enter_context(journal.sole(config.stash[RECORD]))
            config.add_cleanup(alone.close)
    except click.UsageError as error:
        raise pytest.UsageError(error.format_message()) from error
    except (ValueError, TypeError) as error:
        raise pytest.UsageError(str(error)) from error
    from benchmarks.measure.session import Session

    config.stash[SETTINGS] = settings
    config.stash[REPLAY] = Replay()
    config.stash[SESSION] = Session(workloads, threads, allowed)


def pytest_report_header(config: pytest.Config) -> str:
    """The settings on record, with which the race can be repeated."""
    settings = config.stash[SETTINGS]
    return f"race: seed {settings.seed}, threads {settings.threads[0]}, CPUs {cpus()}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each cell, in the shuffled order of the implementations."""
    if "measure" not in metafunc.fixturenames:
        return
    config = metafunc.config
    settings = config.stash[SETTINGS]
    replays = pytest.mark.benchmark(timer=config.stash[REPLAY])
    tests = [
        pytest.param(*(getattr(cell, name) for name in PARAMETERS), marks=replays)
        for cell in settings.cells(config.stash[PHASES], settings.seed)
    ]
    metafunc.parametrize(PARAMETERS, tests)


class Replay:
    """A timer that replays rounds to pytest-benchmark, which calls it at the start and the end of each."""

    def __init__(self) -> None:
        self._times: Iterator[float] = iter(())

    def rounds(self, seconds: Iterable[float]) -> None:
        """The seconds of the rounds to replay."""
        self._times = itertools.chain.from_iterable((0.0, each) for each in seconds)

    def __call__(self) -> float:
        return next(self._times)


@pytest.fixture
def measure(
    request: pytest.FixtureRequest,
    benchmark: Any,
    workload: str,
    phase: str,
    batch_size: int,
    dtype: str,
    threads: int,
    implementation: str,
) -> Callable[[], None]:
    """Measure the test's cell; without a measurement the test fails or is skipped, with the reason."""
    cell = Cell(workload, phase, batch_size, dtype, threads, implementation)
    return lambda: _measure(request.config, cell, benchmark)


def _measure(config: pytest.Config, cell: Cell, benchmark: Any) -> None:
    session = config.stash[SESSION]
    if not benchmark.enabled:
        found = session.call_once(cell)
    elif (found := session.measure(cell)).status == "measured":
        config.stash[REPLAY].rounds(each * found.iterations for each in found.seconds)
        benchmark.group = f"{cell.workload} {cell.phase} m={cell.batch_size} {cell.dtype}"
        benchmark.pedantic(lambda: None, rounds=len(found.seconds), iterations=found.iterations)
        workload = session.workloads[cell.workload].described()
        shown = {name: value for name, value in dataclasses.asdict(found).items() if name != "seconds"}
        network = {"widths": workload.widths, "activations": workload.activations}
        benchmark.extra_info.update(shown, **network, training=workload.training.words)
    faults = ("wrong", "implausible", "failed", *["unavailable"] * (":" in cell.implementation))
    if found.status in faults:
        pytest.fail(found.reason, pytrace=False)
    if found.status != "measured":
        pytest.skip(found.reason)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Add threads, BLAS and versions to pytest-benchmark's own record."""
    machine_info.update(gradrace=machine.machine(), threads=threads_in_force(), versions=machine.versions())


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the record of a complete session; an interrupted one leaves an earlier record unchanged."""
    config = session.config
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if not (ended and config.stash[SESSION].measurements):
        return
    from benchmarks.race import report
    from benchmarks.record import race_file

    path = config.stash[RECORD]
    try:
        race_file.write(_record(config), path)
    except OSError as error:
        config.stash[OUTCOME] = f"the record could not be written: {path}: {error}"
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    else:
        drawn = not config.getoption("no_report")
        config.stash[OUTCOME] = report.draw("render", path) if drawn else f"record: {path}"


def _record(config: pytest.Config) -> Record:
    """The session as the record of a race of one process."""
    from benchmarks.record import checkout, race_file

    settings, session = config.stash[SETTINGS], config.stash[SESSION]
    return race_file.Record(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        command=shlex.join(["pytest", *config.invocation_params.args]),
        machine=machine.machine(),
        versions=machine.versions(),
        settings={**dataclasses.asdict(settings), **checkout.described(), **machine.variables()},
        workloads={name: workload.described() for name, workload in session.workloads.items()},
        implementations=session.facts,
        processes=(session.process(settings.seed),),
        measurements=tuple(session.measurements),
    )


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """The table of the race, and where its pictures are; then pytest-benchmark's, and what fails there."""
    from pytest_benchmark.session import PerformanceRegression

    _show(terminalreporter)
    try:
        return (yield)
    except PerformanceRegression as error:  # by --benchmark-compare-fail, which printed the difference
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


def _show(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    if not (outcome := config.stash.get(OUTCOME, "")):
        return
    from benchmarks.record import checkout

    terminalreporter.section("race")
    terminalreporter.write_line(outcome)
    given = [*config.invocation_params.args, *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    for option in sorted({argument.partition("=")[0] for argument in given} & PLANNED):
        terminalreporter.write_line(
            f"{option} changed nothing: the session plans and times its rounds itself"
        )
    if checkout.unknown():
        terminalreporter.write_line(f"warning: {checkout.unknown()}", yellow=True)
