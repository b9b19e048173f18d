"""The accuracy and the time of each implementation: the errors of its gradients in ulp, and its seconds."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator

from rich.markup import escape
from rich.table import Table

from impls import referee, registry
from impls.interface import DTYPES, LOSSES, Implementation, Network, Problem, Unavailable, Unsupported
from impls.referee import conformance

LEAST_SECONDS = 0.05
"""The fewest seconds for which a call is repeated; its time is that of the fastest."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One implementation at one dtype and batch size.

    `error_ulp` and `error_ulp_median` are those of a `referee.Verdict`; `seconds` is the time of one
    `gradients()`. If they are None, `reason` says why.
    """

    implementation: str
    dtype: str
    batch_size: int
    error_ulp: float | None = None
    error_ulp_median: float | None = None
    seconds: float | None = None
    reason: str = ""


def network(widths: str, activation: str, loss: str) -> Network:
    """The network of these widths, like 64-32-10, with one activation, except where the loss needs another.

    Raises ValueError if it is invalid.
    """
    try:
        layers = tuple(int(n) for n in widths.split("-"))
    except ValueError:
        raise ValueError(f"--network: expected widths like 64-32-10, got {widths!r}") from None
    return Network(layers, (*(activation,) * (len(layers) - 2), LOSSES.get(loss) or activation), loss)


def rows(
    network: Network, implementations: Iterable[str], dtypes: Iterable[str], batch_sizes: Iterable[int]
) -> Iterator[Row]:
    """Yield the rows of all implementations on random problems, the same one for a dtype and batch size.

    Raises ValueError for an unknown implementation or dtype, and for an empty batch.
    """
    names, kinds = tuple(implementations), tuple(dtypes)
    for dtype in kinds:
        if dtype not in DTYPES:
            raise ValueError(f"--dtypes: expected some of {', '.join(DTYPES)}, got {dtype!r}")
    for m in batch_sizes:
        problem = Problem.random(network, 2 * m, m)
        for dtype in kinds:
            for name in names:
                yield row(name, problem, dtype)


def row(name: str, problem: Problem, dtype: str) -> Row:
    """One implementation, judged and timed."""
    empty = Row(name, dtype, problem.batch_size)
    try:
        implementation_class = registry.load(name)
    except Unavailable as reason:
        return dataclasses.replace(empty, reason=str(reason))
    try:
        implementation = implementation_class(problem, dtype=dtype, threads=1)
        verdict = referee.check(implementation, problem, dtype)
        if not verdict.passed:
            return dataclasses.replace(empty, reason=verdict.message)
        seconds = fastest(implementation)
    except Unsupported as reason:
        return dataclasses.replace(empty, reason=str(reason))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the implementation may raise anything
        return dataclasses.replace(empty, reason=conformance.blame(implementation_class, error))
    return dataclasses.replace(
        empty, error_ulp=verdict.error_ulp, error_ulp_median=verdict.error_ulp_median, seconds=seconds
    )


def fastest(implementation: Implementation) -> float:
    """Seconds of the fastest of several `gradients()`, which is less precise than a race."""
    best, start = math.inf, time.perf_counter()
    while time.perf_counter() - start < LEAST_SECONDS:
        before = time.perf_counter()
        implementation.gradients()
        best = min(best, time.perf_counter() - before)
    return best


def table(found: Iterable[Row]) -> Table:
    """The rows as a table for the terminal."""
    shown = Table("name", "dtype", title="Errors of the gradients against the exact ones, and time")
    for heading in ("batch", "largest, ulp", "median, ulp", "one gradients(), us"):
        shown.add_column(heading, justify="right")
    shown.add_column("", overflow="fold")
    for one in found:
        shown.add_row(
            one.implementation,
            one.dtype,
            str(one.batch_size),
            *("" if x is None else f"{x:.3g}" for x in (one.error_ulp, one.error_ulp_median)),
            "" if one.seconds is None else f"{1e6 * one.seconds:.4g}",
            escape(one.reason),
        )
    return shown
