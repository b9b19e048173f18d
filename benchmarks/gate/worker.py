"""One process of a pair: `python -m benchmarks.gate.worker`, run in a worktree, told what to do line by line.

It prepares what it is asked for, and then times one benchmark a turn, when it is asked to; between its turns
it sleeps, while the other process of the pair has its own. Orders come in on standard input, answers go
out on standard output, each one line of JSON:

    {"list": [implementations]}                    -> {"protocol": 1, "gated": [...], "controls": [...]}
    {"prepare": [benchmarks], "verify"}   -> {"preparing": name, at last null} ...,
                                             {"ready", "lost", "facts", "source"}
    {"settle": name}                      -> {"seconds": of one warm call}
    {"time": name, "iterations": n}       -> {"seconds": of one call}
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.record.pairs_file import Benchmark

PROTOCOL = 1
"""Runner and worker may come from different commits: they must speak the same."""

Call = Callable[[], Any]


class Desk:
    """The orders, and the calls that were prepared for them."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers = answers
        self.calls: dict[str, Call] = {}

    def answer(self, **content: Any) -> None:
        """One line."""
        print(json.dumps(content), file=self.answers, flush=True)

    def serve(self, orders: IO[str]) -> None:
        """Do what is ordered until there are no more orders."""
        for line in orders:
            order = json.loads(line)
            if "list" in order:
                self.catalogue(order["list"])
            elif "prepare" in order:
                self.prepare(order["prepare"], order["verify"])
            elif "settle" in order:
                self.settle(order["settle"])
            else:
                self.time(order["time"], order["iterations"])

    def catalogue(self, implementations: list[str]) -> None:
        """What there is to measure."""
        from benchmarks.gate import watched

        self.answer(
            protocol=PROTOCOL,
            gated=[dataclasses.asdict(benchmark) for benchmark in watched.gated(implementations)],
            controls=[dataclasses.asdict(benchmark) for benchmark in watched.STEADY],
        )

    def prepare(self, benchmarks: list[dict[str, Any]], verify: bool) -> None:
        """Construct every implementation; then, as nothing is compiled any more, take one CPU and keep it."""
        from benchmarks.measure import environment
        from benchmarks.measure.session import CellError
        from benchmarks.record.pairs_file import Benchmark

        # Before any implementation brings a BLAS of its own: later pairs measure fewer of them, and must say
        # the same.
        versions = environment.versions()
        lost: dict[str, dict[str, str]] = {}
        for given in benchmarks:
            benchmark = Benchmark(**given)
            self.answer(preparing=benchmark.name)
            try:
                self.calls[benchmark.name] = prepare(benchmark, verify)
            except CellError as error:
                lost[benchmark.name] = {"status": error.status, "reason": error.reason}
        self.answer(preparing=None)  # no benchmark is to blame for what fails from here on
        environment.limit_threads(1)
        facts = {
            "machine": environment.machine(),
            "versions": versions,
            "threads_in_force": environment.threads_in_force(),
        }
        self.answer(ready=list(self.calls), lost=lost, facts=facts, source=str(_source()))

    def settle(self, name: str) -> None:
        """Warm a call up."""
        from benchmarks.measure import clock

        self.answer(seconds=clock.settle(self.calls[name]))

    def time(self, name: str, iterations: int) -> None:
        """One turn: a call to fetch back what the other process pushed out of the caches, then the clock."""
        from benchmarks.measure import clock

        call = self.calls[name]
        call()
        self.answer(seconds=clock.seconds_of(call, iterations) / iterations)


def _source() -> Path:
    import impls

    assert impls.__file__ is not None
    return Path(impls.__file__).resolve().parents[1]


def prepare(benchmark: Benchmark, verify: bool) -> Call:
    """The call that a benchmark times; raises CellError, with the reason, where there is none."""
    import impls
    from benchmarks import workloads
    from benchmarks.gate.controls import CONTROLS
    from benchmarks.measure.session import CellError, guard, method
    from benchmarks.record.cells import Cell
    from benchmarks.record.pairs_file import CONTROL

    if benchmark.implementation == CONTROL:
        return CONTROLS[benchmark.phase]()
    cell = Cell(**dataclasses.asdict(benchmark), threads=1)
    with guard(cell):
        try:
            implementation_class = impls.load(cell.implementation)
        except (impls.Unavailable, ValueError) as error:  # ValueError: a name that this commit does not know
            raise CellError("unavailable", str(error)) from error
        problem = workloads.problem(workloads.named(cell.workload), cell.batch_size)
        if verify:
            verdict = impls.check(implementation_class(problem, cell.dtype, 1), problem, cell.dtype)
            if not verdict.passed:
                raise CellError("wrong", verdict.message)
        return method(implementation_class(problem, cell.dtype, 1), cell.phase)


def main() -> None:
    """Serve on the standard streams; what an implementation prints goes to standard error."""
    from benchmarks.measure import environment

    environment.end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    Desk(answers).serve(sys.stdin)


if __name__ == "__main__":
    main()
