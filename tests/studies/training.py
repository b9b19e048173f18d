"""`python -m tests.studies.training`: what a training costs beyond plain descent, on one core.

Everything that is compared is timed in turns, in one process, and the fastest turn of each counts.

    steps    a step by optimizer, dropout and implementation, over a plain step of the same
    masks    what dropout adds to the gradients of `numba-blocked`, by number drawn
    peers    a step with adam: the fastest implementation of ours over the fastest of the peers
    blocks   blocks of memory that a step leaves allocated, or numba allocates on its way: 0 is asked
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import click
import numpy as np

import impls
from benchmarks import workloads
from benchmarks.measure.threads import limit_threads
from impls import OPTIMIZERS, Training

OURS = ("numpy-inplace", "numba", "numba-blocked")
PEERS = ("jax", "torch", "torch-compile")

RATE = 1e-4
"""A learning rate so small that a study ends where it began: numbers that vanish would cost another time."""

TURN = 2e-3
"""Seconds of a turn, at least."""

TRAININGS = {
    **{optimizer: Training(optimizer) for optimizer in OPTIMIZERS},
    "l2": Training(l2=1e-4),
    "dropout": Training(dropout=0.5),
    "adam, l2, dropout": Training("adam", l2=1e-4, dropout=0.5),
}


def race(name: str, training: Training, m: int, dtype: str) -> Any:
    """An implementation, ready for the digits in batches of m."""
    digits = dataclasses.replace(workloads.WORKLOADS["digits"], training=training)
    return impls.load(name)(workloads.problem(digits, m), dtype)


def fastest(calls: Mapping[Any, Callable[[], Any]], seconds: float) -> dict[Any, float]:
    """The seconds of each call, in the fastest of its turns."""
    times = dict.fromkeys(calls, math.inf)
    repeats = {}
    for key, call in calls.items():
        call()
        begin = time.perf_counter()
        call()
        repeats[key] = max(1, math.ceil(TURN / (time.perf_counter() - begin)))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, call in calls.items():
            begin, used = time.perf_counter(), time.process_time()
            for _ in range(repeats[key]):
                call()
            # its CPU time where that is less: something else had the CPU meanwhile
            spent = min(time.perf_counter() - begin, time.process_time() - used)
            times[key] = min(times[key], spent / repeats[key])
    return times


def steps(names: list[str], sizes: list[int], dtypes: list[str], seconds: float) -> None:
    """The microseconds of a plain step, and what each training makes of them."""
    print("| implementation | dtype | m | plain, us |", " | ".join(list(TRAININGS)[1:]), "|")
    print("|---|---|--:|--:|" + "--:|" * (len(TRAININGS) - 1))
    for name in names:
        for dtype in dtypes:
            for m in sizes:
                try:
                    races = {key: race(name, training, m, dtype) for key, training in TRAININGS.items()}
                except impls.Unsupported as reason:
                    print(f"| `{name}` | {dtype} | {m} | {reason} |")
                    break
                calls = {key: functools.partial(one.step, RATE) for key, one in races.items()}
                plain, *others = fastest(calls, seconds).values()
                ratios = " | ".join(f"{other / plain:.2f}x" for other in others)
                print(f"| `{name}` | {dtype} | {m} | {plain * 1e6:.2f} | {ratios} |", flush=True)


def masks(sizes: list[int], dtypes: list[str], seconds: float) -> None:
    """Print the time that dropout adds to gradients: to draw the mask, apply it and keep it."""
    print("| dtype | m | numbers | gradients, us | with dropout, us | ns a number |")
    print("|---|--:|--:|--:|--:|--:|")
    for dtype in dtypes:
        for m in sizes:
            races = {p: race("numba-blocked", Training(dropout=p), m, dtype) for p in (0.0, 0.5)}
            plain, dropping = fastest({p: one.gradients for p, one in races.items()}, seconds).values()
            numbers = m * sum(workloads.WORKLOADS["digits"].network.widths[1:-1])
            added = (dropping - plain) / numbers * 1e9
            print(f"| {dtype} | {m} | {numbers} | {plain * 1e6:.2f} | {dropping * 1e6:.2f} | {added:.2f} |")


def peers(sizes: list[int], dtypes: list[str], seconds: float) -> None:
    """The microseconds of a step with adam, and how many times as fast as the fastest peer ours is."""
    print("| dtype | m |", " | ".join(f"`{name}`" for name in (*OURS, *PEERS)), "| lead |")
    print("|---|--:|" + "--:|" * (len(OURS) + len(PEERS) + 1))
    for dtype in dtypes:
        for m in sizes:
            races = {name: race(name, Training("adam"), m, dtype) for name in (*OURS, *PEERS)}
            calls = {name: functools.partial(one.step, RATE) for name, one in races.items()}
            times = fastest(calls, seconds)
            lead = min(times[name] for name in PEERS) / min(times[name] for name in OURS)
            cells = " | ".join(f"{time * 1e6:.2f}" for time in times.values())
            print(f"| {dtype} | {m} | {cells} | {lead:.2f}x |", flush=True)


def new_blocks(one: Any) -> tuple[int, int]:
    """Blocks of arrays that NumPy has more after 20 steps, and blocks that numba has allocated in them."""
    runtime: Any = None
    if type(one).__module__.startswith("impls.numba"):
        import numba

        core: Any = numba.core
        runtime = core.runtime
        runtime._nrt_python.memsys_enable_stats()
    arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    one.step(RATE)
    tracemalloc.start()
    try:
        before = len(tracemalloc.take_snapshot().filter_traces([arrays]).traces)
        allocated = runtime.rtsys.get_allocation_stats().alloc if runtime else 0
        for _ in range(20):
            one.step(RATE)
        allocated = runtime.rtsys.get_allocation_stats().alloc - allocated if runtime else 0
        return len(tracemalloc.take_snapshot().filter_traces([arrays]).traces) - before, allocated
    finally:
        tracemalloc.stop()


def blocks(dtypes: list[str]) -> None:
    """Over every optimizer, with L2, without dropout and with it."""
    print("| implementation | dtype | trainings | blocks |")
    print("|---|---|--:|--:|")
    trainings = [Training(optimizer, l2=1e-4, dropout=p) for optimizer in OPTIMIZERS for p in (0.0, 0.5)]
    for name in ("numpy-inplace", "numba-blocked"):
        for dtype in dtypes:
            found = sum(sum(new_blocks(race(name, training, 64, dtype))) for training in trainings)
            print(f"| `{name}` | {dtype} | {len(trainings)} | {found} |")


def listed(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    return value.split(",")


@click.command()
@click.option(
    "--part",
    default="all",
    show_default=True,
    type=click.Choice(["all", "steps", "masks", "peers", "blocks"]),
)
@click.option(
    "--impl",
    "names",
    default="numpy-inplace,numba-loops,numba,numba-blocked",
    show_default=True,
    callback=listed,
    help="Implementations of the part steps, with commas.",
)
@click.option("--batch-sizes", "sizes", default="1,64,1024", show_default=True, callback=listed)
@click.option("--dtypes", default="float64,float32", show_default=True, callback=listed)
@click.option("--seconds", default=2.0, show_default=True, help="For each row of a table.")
def main(part: str, names: list[str], sizes: list[str], dtypes: list[str], seconds: float) -> None:
    """Print what a training costs beyond plain descent, on one core, as Markdown."""
    limit_threads(1)
    m = [int(size) for size in sizes]
    if part in ("all", "steps"):
        steps(names, m, dtypes, seconds)
    if part in ("all", "masks"):
        masks(m, dtypes, seconds)
    if part in ("all", "peers"):
        peers(m, dtypes, seconds)
    if part in ("all", "blocks"):
        blocks(dtypes)


if __name__ == "__main__":
    main()
