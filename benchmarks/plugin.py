"""The pytest side of a whole race: its options, its threads, and the record at the end.

`pytest --benchmark-only` races; plain `pytest` runs every benchmark once, without timing or record.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import options
from benchmarks.measure import environment

if TYPE_CHECKING:
    # Imported only once the threads are limited: they import NumPy.
    from benchmarks.measure.session import Contest

RECORD = "reports/out/record.json"

# pytest-benchmark's own options that ask for timings.
TIMING = ("only", "enable", "json", "save", "autosave", "compare")

CONTEST = pytest.StashKey["Contest"]()
OUTCOME = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a race can be asked for."""
    group = parser.getgroup("gradrace", "the race")

    def listed(name: str, meaning: str) -> None:
        group.addoption(name, action="append", default=[], metavar="LIST", help=f"{meaning}; repeatable")

    listed(
        "--impl",
        "implementations: names with commas between them, path/to/file.py:Class, package.module:Class",
    )
    listed("--workload", "workloads, with commas between them (default: digits)")
    listed("--batch-sizes", "batch sizes, with commas between them (default: 1,4,16,64,256,1024)")
    listed("--dtype", "float64, float32 or both (default: float64)")
    group.addoption("--threads", default="1", help="threads and CPUs of every implementation (default: 1)")
    group.addoption("--network", metavar="WIDTHS", help="race a network like 784-128-10 on random data")
    group.addoption("--activation", help="of --network: one for all layers, or one each (default: sigmoid)")
    group.addoption("--loss", help="of --network (default: mean_squared_error)")
    group.addoption(
        "--record",
        default=RECORD,
        metavar="PATH",
        help=f"the record, with =: --record=PATH (default: {RECORD})",
    )
    group.addoption("--no-report", action="store_true", help="write the record, but draw nothing")
    group.addoption(
        "--seed", help="shuffles the implementations within each cell (default: drawn, and recorded)"
    )
    group.addoption(
        "--conductor", type=int, help=argparse.SUPPRESS
    )  # a socket: benchmarks/measure/channel.py


def pytest_configure(config: pytest.Config) -> None:
    """Check the request, limit the threads, and only then load what computes."""
    timing = any(config.getoption(f"benchmark_{name}", None) for name in TIMING)
    if not timing:
        config.option.benchmark_disable = True
    config.option.benchmark_disable_gc = True
    # A cell that is not timed has said why.
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used")
    if timing and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args = [str(Path(__file__).parent)]  # a race collects no laws
    try:
        threads = options.positive("--threads", config.getoption("--threads"))
        cpus = environment.limit_threads(threads) if timing else ()
        config.stash[CONTEST] = _contest(config, cpus)
        if timing and config.getoption("conductor") is None:
            options.check_writable("--record", Path(config.getoption("--record")))
    except (ValueError, TypeError) as error:
        raise pytest.UsageError(str(error)) from error


def _contest(config: pytest.Config, cpus: Sequence[int]) -> Contest:
    from benchmarks.measure.session import Contest
    from benchmarks.race.request import Request

    fields = [field.name for field in dataclasses.fields(Request)]
    request = Request(**{name: config.getoption(name) for name in fields})
    contest = Contest(request.settings(), request.workloads(), cpus)
    conductor = config.getoption("conductor")
    if conductor is not None:
        from benchmarks.measure.channel import Channel

        channel = Channel(socket.socket(fileno=conductor))
        contest.conduct(channel)
    return contest


def pytest_report_header(config: pytest.Config) -> str:
    """What is needed to race the same way again."""
    settings = config.stash[CONTEST].settings
    return f"race: seed {settings.seed}, threads {settings.threads}, CPUs {environment.cpus()}"


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Threads, BLAS and versions into pytest-benchmark's own record."""
    threads = environment.threads_in_force()
    machine_info.update(gradrace=environment.machine(), threads=threads, versions=environment.versions())


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the record of a race that came to its end; an interrupted one leaves what was there before."""
    contest = session.config.stash[CONTEST]
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if not (contest.measurements and ended):
        return
    if session.config.getoption("conductor") is not None:
        contest.tell(end=dataclasses.asdict(contest.process()))
        return
    from benchmarks.race import report
    from benchmarks.record import race_file

    path = Path(session.config.getoption("--record"))
    command = shlex.join(["pytest", *session.config.invocation_params.args])
    try:
        race_file.write(contest.record(command), path)
    except OSError as error:
        session.config.stash[OUTCOME] = f"the record could not be written: {path}: {error}"
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    else:
        drawn = not session.config.getoption("--no-report")
        session.config.stash[OUTCOME] = report.render(path) if drawn else f"record: {path}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the race, and where its pictures are."""
    outcome = terminalreporter.config.stash.get(OUTCOME, "")
    if outcome:
        terminalreporter.section("race")
        terminalreporter.write_line(outcome)
