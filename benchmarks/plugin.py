"""The pytest side of a whole race: its options, its threads, and the record at the end.

`pytest --benchmark-only` races; plain `pytest` runs every benchmark once, without timing or record.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import environment, options

if TYPE_CHECKING:
    # Imported only once the threads are limited: they import NumPy.
    from benchmarks.contest import Contest

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

    listed("--impl", "racers: names with commas between them, path/to/file.py:Class, package.module:Class")
    listed("--workload", "workloads, with commas between them (default: digits)")
    listed("--batch-sizes", "batch sizes, with commas between them (default: 1,4,16,64,256,1024)")
    listed("--dtype", "float64, float32 or both (default: float64)")
    group.addoption("--threads", default="1", help="threads and CPUs of every racer (default: 1)")
    group.addoption("--network", metavar="WIDTHS", help="race a network like 784-128-10 on random data")
    group.addoption("--activation", help="of --network: one for all layers, or one each (default: sigmoid)")
    group.addoption("--loss", help="of --network (default: mean_squared_error)")
    group.addoption("--record", default=RECORD, metavar="PATH", help=f"the record (default: {RECORD})")
    group.addoption("--seed", help="shuffles the racers within each cell (default: drawn, and recorded)")


def pytest_configure(config: pytest.Config) -> None:
    """Check the request, limit the threads, and only then load what computes."""
    timing = any(config.getoption(f"benchmark_{name}", None) for name in TIMING)
    if not timing:
        config.option.benchmark_disable = True
    config.option.benchmark_disable_gc = True
    if timing and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args = [str(Path(__file__).parent)]  # a race collects no laws
    try:
        threads = options.positive("--threads", config.getoption("--threads"))
        if timing:
            environment.limit_threads(threads)
        config.stash[CONTEST] = _contest(config, threads)
        if timing:
            options.check_writable("--record", Path(config.getoption("--record")))
    except (ValueError, TypeError) as error:
        raise pytest.UsageError(str(error)) from error


def _contest(config: pytest.Config, threads: int) -> Contest:
    import secrets

    import impls
    from benchmarks import workloads
    from benchmarks.contest import Contest
    from impls.interface import DTYPES

    known = dict(workloads.WORKLOADS)
    raced = options.choices("--workload", options.items(config.getoption("--workload")), tuple(known))
    network = config.getoption("--network")
    if network:
        if config.getoption("--workload"):
            raise ValueError("--network is a workload of its own: expected it without --workload, got both")
        activation = config.getoption("--activation") or "sigmoid"
        loss = config.getoption("--loss") or "mean_squared_error"
        raced = (f"{network} {activation} {loss}",)
        known[raced[0]] = workloads.ad_hoc(network, activation, loss)
    elif config.getoption("--activation") or config.getoption("--loss"):
        raise ValueError("--activation and --loss describe --network: expected it with them, got none")
    elif not config.getoption("--workload"):
        raced = ("digits",)
    sizes = options.items(config.getoption("--batch-sizes")) or [str(m) for m in workloads.BATCH_SIZES]
    seed = config.getoption("--seed")
    settings = options.Settings(
        implementations=options.implementations("--impl", config.getoption("--impl"), impls.names()),
        workloads=raced,
        batch_sizes=options.positives("--batch-sizes", sizes),
        dtypes=options.choices("--dtype", options.items(config.getoption("--dtype")) or ["float64"], DTYPES),
        threads=threads,
        seed=secrets.randbelow(2**31) if seed is None else options.whole("--seed", seed),
    )
    return Contest(settings, known)


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
    from benchmarks import report, results

    path = Path(session.config.getoption("--record"))
    command = shlex.join(["pytest", *session.config.invocation_params.args])
    try:
        results.write(contest.record(command), path)
    except OSError as error:
        session.config.stash[OUTCOME] = f"the record could not be written: {path}: {error}"
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    else:
        session.config.stash[OUTCOME] = report.render(path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the race, and where its pictures are."""
    outcome = terminalreporter.config.stash.get(OUTCOME, "")
    if outcome:
        terminalreporter.section("race")
        terminalreporter.write_line(outcome)
