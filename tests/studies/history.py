"""The history's own figures, measured: `nox -s history`.

How many writers at once lose or double nothing, how long a million measurements take to answer, and how often
change points are seen where there are none. It prints Markdown, and fails where a row was lost or doubled.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from reports.history import changes, page, reading, schema, trends
from reports.history.kinds import KindOfMachine
from reports.history.runs import Series
from reports.history.store import open_store
from tests.reports.history import made
from tests.reports.history.made import levels, run
from tests.reports.history.postgres import Server

WRITERS = {"SQLite": (50, 1), "PostgreSQL": (100, 100)}
"""For each kind of database, the number of simultaneous writers, and of records that each writes."""

KINDS = 4
"""Kinds of machine that they write of."""

COMMITS, SERIES, PROCESSES = 500, 200, 10
SIMULATED = 1000


def main() -> None:
    """Print every figure, on SQLite, and on PostgreSQL where it can be started."""
    say(f"Measured {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, Python {sys.version.split()[0]}.\n")
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as found:
        for kind, place in found.items():
            writers(kind, place("writers"), *WRITERS[kind])
        for kind, place in found.items():
            million(kind, place("million"))
    steps()


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, Callable[[str], str]]]:
    """For each kind of database what makes a new one of a name, as `--db` takes it."""
    found: dict[str, Callable[[str], str]] = {"SQLite": lambda name: str(folder / f"{name}.sqlite")}
    try:
        server = Server()
    except (OSError, subprocess.SubprocessError) as error:
        say(f"no PostgreSQL server here: {error}\n")
        yield found
        return

    def create(name: str) -> str:
        import psycopg

        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return server.url.replace("/postgres?", f"/{name}?")

    try:
        yield {**found, "PostgreSQL": create}
    finally:
        server.remove()


def write(db: str, own: Sequence[int], common: int) -> None:
    """One writer: runs of its own, and one that every other writes, too."""
    store = open_store(db, "create")
    for k in own:
        store.add([run(k, machine=made.MACHINE | {"cores": 1 + k % KINDS})])
    store.add([run(common)])


def writers(kind: str, db: str, count: int, each: int) -> None:
    """Let many processes write into a database that has no tables yet, and count what is in it."""
    # Forked from a process that has imported everything: all of them begin at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.studies.history", "alembic.command"])
    common = count * each
    crowd = [
        context.Process(target=write, args=(db, range(k * each, (k + 1) * each), common))
        for k in range(count)
    ]
    begun = time.perf_counter()
    for process in crowd:
        process.start()
    for process in crowd:
        process.join()
    took = time.perf_counter() - begun
    distinct = sa.func.count(schema.runs.c.commit.distinct())
    with open_store(db).reading() as connection:
        rows = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (schema.runs, schema.documents, schema.measurements)
        }
        commits = connection.scalar(sa.select(distinct))
    runs = common + 1
    expected = {schema.runs.name: runs, schema.documents.name: runs, schema.measurements.name: 8 * runs}
    failed = sum(process.exitcode != 0 for process in crowd)
    say(
        f"- {count} processes at once into {kind}, each {each} records and one that all have: {rows}, "
        f"{commits} commits, {failed} failed; {took:.0f} s"
    )
    assert (rows, commits, failed) == (expected, runs, 0), f"expected {expected} and no failure"


def million(kind: str, db: str) -> None:
    """Time the answers of a history of COMMITS x SERIES x PROCESSES measurements."""
    rng = np.random.default_rng(0)
    every = [
        Series("race", "digits", "64-32-10", "gradients", f"implementation-{k:03}", 128, "float64", 1)
        for k in range(SERIES)
    ]
    store = open_store(db, "create")
    clock = Clock()
    for commit in range(COMMITS):
        # Every third series steps by 5 %, each at a commit of its own.
        typical = [1.05e-4 if k % 3 == 0 and commit >= 100 + k else 1e-4 for k in range(SERIES)]
        seconds = np.exp(0.01 * rng.standard_normal((PROCESSES, SERIES))) * typical
        store.add([levels(commit, dict(zip(every, seconds.T.tolist(), strict=True)))])
    say(f"- {kind}: {COMMITS * SERIES * PROCESSES:,} measurements, added in {clock}")

    clock = Clock()
    store = open_store(db)
    points, tracks = reading.tracks(
        store, reading.choose(store, None, None), {"implementation": "implementation-030"}
    )
    (one,) = (trends.trend(track) for track in tracks)
    say(f"  - trend of one series: {clock}")
    assert [step.began for step in one.steps] == [130]

    whole, clock = Clock(), Clock()
    store = open_store(db)
    timeline = reading.choose(store, None, None)
    points, tracks = reading.tracks(store, timeline, {})
    say(f"  - all {len(tracks)} series, read: {clock}")
    clock = Clock()
    found = [trends.trend(track) for track in tracks]
    say(f"  - their change points: {clock}")
    clock = Clock()
    kind_of_machine = KindOfMachine(timeline, points, found, trends.by_commit(found))
    text = page.page(kind_of_machine, store.place)
    say(f"  - their page drawn: {clock}; {len(text) / 2**20:.1f} MiB")
    say(f"  - from the database to the page: {whole}")
    for words, extra in (
        ("one series", ["--impl", "implementation-030"]),
        ("the page", ["--page", "page.html"]),
    ):
        command = [sys.executable, "-m", "reports", "history", "trend", *extra]
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "GRADRACE_HISTORY": db, "PYTHONPATH": str(Path.cwd())}
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)
        say(f"  - the command `trend`, {words}, Python's start included: {clock}")


class Clock:
    """Seconds since it was made, by the wall and of this process's and its children's CPU."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), self._cpu()

    def __str__(self) -> str:
        wall, cpu = time.perf_counter() - self.wall, self._cpu() - self.cpu
        return f"{wall:.2f} s ({cpu:.2f} s of CPU)"

    @staticmethod
    def _cpu() -> float:
        return sum(os.times()[:4])


def say(words: str) -> None:
    """Print at once: the study takes minutes."""
    print(words, flush=True)


def steps() -> None:
    """The rates at which noise is taken for a step, and at which steps are found."""
    lengths = (8, 20, 60, 200)
    after = ((3, 3), (5, 3), (3, 10), (10, 3))
    heads = [
        *(f"no step, {n} commits" for n in lengths),
        *(f"{size} noise, {n} commits ago" for size, n in after),
    ]
    say(f"\n| series with a step seen, of {SIMULATED} | {' | '.join(heads)} |")
    say(f"|{'---|' * (len(heads) + 1)}")
    for name, noise in NOISES.items():
        rng = np.random.default_rng(0)
        rows = ([noise(rng, n) for _ in range(SIMULATED)] for n in lengths)
        shares = [np.mean([bool(changes.steps(0.02 * values)) for values in row]) for row in rows]
        for size, late in after:
            stepped = np.repeat([0.0, size], [60, late])
            found = (changes.steps(0.02 * (noise(rng, 60 + late) + stepped)) for _ in range(SIMULATED))
            shares.append(np.mean([any(abs(k - 60) <= 1 for k in each) for each in found]))
        say(f"| {name} | {' | '.join(f'{share:.1%}' for share in shares)} |")


def _autoregressive(share: float) -> Callable[[np.random.Generator, int], NDArray[np.float64]]:
    """Noise of deviation 1, each value keeping `share` of the one before."""

    def noise(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        values = rng.standard_normal(n)
        for k in range(1, n):
            values[k] = share * values[k - 1] + np.sqrt(1 - share**2) * values[k]
        return values

    return noise


NOISES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal noise": lambda rng, n: rng.standard_normal(n),
    "heavy tails (Student's t, 3 degrees)": lambda rng, n: rng.standard_t(3, n),
    "drifting (autocorrelation 0.3)": _autoregressive(0.3),
    "drifting much (autocorrelation 0.6)": _autoregressive(0.6),
}


if __name__ == "__main__":
    main()
