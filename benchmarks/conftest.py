"""The pytest side of a cell: every benchmark's parameters, and the fixture that verifies and times."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.plugin import CONTEST

if TYPE_CHECKING:
    from benchmarks.measure.session import Contest
    from benchmarks.record.cells import Cell


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark for each cell, in the shuffled order of the implementations."""
    if "lane" not in metafunc.fixturenames:
        return
    from benchmarks.record.cells import Cell

    phase = metafunc.function.__name__.removeprefix("test_")
    cells = list(metafunc.config.stash[CONTEST].cells(phase))
    fields = [field.name for field in dataclasses.fields(Cell) if field.name != "phase"]
    values = [[getattr(cell, name) for name in fields] for cell in cells]
    metafunc.parametrize(fields, values, ids=["-".join(str(value) for value in row) for row in values])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All phases of a cell one after the other, so that its implementations are verified and constructed
    once.

    They are timed by the contest's own stopwatch.
    """
    for item in items:
        if CONTEST in config.stash:
            item.add_marker(pytest.mark.benchmark(timer=config.stash[CONTEST].stopwatch))
    place: dict[Any, int] = {}

    def group(item: pytest.Item) -> int:
        params = getattr(getattr(item, "callspec", None), "params", {})
        key = tuple(params.get(name) for name in ("workload", "dtype", "batch_size"))
        return place.setdefault(key, len(place)) if "implementation" in params else -1

    items.sort(key=group)


class Lane:
    """One implementation in one cell: made ready, then timed."""

    def __init__(self, contest: Contest, cell: Cell, benchmark: Any) -> None:
        self.contest = contest
        self.cell = cell
        self.benchmark = benchmark

    def time(self) -> None:
        """Verify the implementation, warm it up and time the phase's method; anything but a timing goes on
        record.
        """
        from benchmarks.measure.session import CellError, guard

        self.contest.tell(begin=dataclasses.asdict(self.cell))
        lost: CellError | None = None
        try:
            with guard(self.cell):
                self._time()
        except CellError as error:
            lost = error
        if lost is None:
            return
        if self.benchmark.enabled:
            self.contest.enter_failure(self.cell, lost)
        named_by_target = ":" in self.cell.implementation
        if lost.status in ("wrong", "failed") or (lost.status == "unavailable" and named_by_target):
            pytest.fail(lost.reason, pytrace=False)
        pytest.skip(lost.reason)

    def _time(self) -> None:
        from benchmarks.measure import clock
        from benchmarks.measure.session import CellError, method

        cell, benchmark = self.cell, self.benchmark
        starter = self.contest.starter(cell)
        call = method(starter.implementation, cell.phase)
        if not benchmark.enabled:
            benchmark.pedantic(call)
            return
        plan = clock.plan(clock.settle(call))
        benchmark.group = f"{cell.workload} {cell.phase} m={cell.batch_size} {cell.dtype}"
        self.contest.stopwatch.reset(call)
        compiled = self.contest.compilations.count()
        benchmark.pedantic(call, rounds=plan.rounds, iterations=plan.iterations)
        if self.contest.compilations.count() != compiled:
            raise CellError("failed", f"{cell.implementation} compiled something inside the clock")
        measurement = self.contest.enter(cell, starter, tuple(benchmark.stats.stats.data), plan.iterations)
        found = dataclasses.asdict(measurement)
        del found["seconds"]
        network = self.contest.workloads[cell.workload].network
        benchmark.extra_info.update(found, widths=network.widths, activations=network.activations)


@pytest.fixture
def lane(
    request: pytest.FixtureRequest,
    benchmark: Any,
    workload: str,
    batch_size: int,
    dtype: str,
    threads: int,
    implementation: str,
) -> Lane:
    """The lane of this test's cell; the phase is that of the test's name."""
    from benchmarks.record.cells import Cell

    phase = request.function.__name__.removeprefix("test_")
    cell = Cell(workload, phase, batch_size, dtype, threads, implementation)
    return Lane(request.config.stash[CONTEST], cell, benchmark)
