"""Laws on times: each call does its own work, neither keeping a result nor leaving work to a later call.

Each law compares times of the same implementation, measured next to each other. The times are CPU seconds of
the process with its threads and the processes that it started, which other programs on the machine do not
prolong. A law compares the median of ROUNDS ratios of neighbouring calls with a threshold far below the
ratios of honest implementations (0.89 and more, beside ten other programs on two cores) and far above that of
a kept result (0.01). An offence has to be found in each of ATTEMPTS series.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import threadpoolctl

from impls.interface import Implementation, Network, Problem
from impls.processes import cpu_seconds

NETWORKS = (
    Network((64, 64, 1), ("sigmoid", "sigmoid"), "mean_squared_error"),
    Network((64, 64, 2), ("relu", "softmax"), "softmax_cross_entropy"),
)
"""They have few outputs, so that an export copies little beside what a pass computes."""

FEWEST, MOST = 8, 8192
"""The smallest and the largest batch size to try."""

LEAST_SECONDS = 3e-3
"""The least seconds of a call, unless the largest batch takes less."""

PAUSE_SECONDS = 1e-2
"""The length of the pause after a call in which the process should be idle."""

ROUNDS, ATTEMPTS = 9, 3

REPEATED = 8

SIZING, SIZING_SECONDS = 64, 0.2
"""The largest number of calls in one request by which the time of a call is measured, and the seconds after
which fewer are enough. On a busy machine a single call of ranks consists mostly of the spinning of those that
wait for the one without a CPU.
"""

RATE = 1e-3
"""The learning rate; a small step changes the parameters, so that the next call has another result."""

KEPT = 0.25
"""A call that repeats another takes at least this share of its time."""

OWED = 0.5
"""The largest share of a call's CPU time that may be measured after the call."""


@dataclasses.dataclass(frozen=True)
class RoundSeconds:
    """CPU seconds, one number for each round.

    `step`; `gradients` and `forward` right after a step; `again` and `forward_again`: the same call once
    more; `export` right after gradients, and `export_again`; `busy`: gradients, and `idle`: a pause right
    after them; `repeated`: one of REPEATED calls in one request, empty if the implementation has no `repeat`.
    """

    step: list[float]
    gradients: list[float]
    again: list[float]
    forward: list[float]
    forward_again: list[float]
    export: list[float]
    export_again: list[float]
    busy: list[float]
    idle: list[float]
    repeated: list[float]


def measure(race: Implementation) -> RoundSeconds:
    """The times of ROUNDS rounds; the calls that a law compares follow each other."""
    found = RoundSeconds(*([] for _ in dataclasses.fields(RoundSeconds)))
    for _ in range(ROUNDS):
        found.step.append(_seconds(lambda: race.step(RATE)))
        found.gradients.append(_seconds(race.gradients))
        found.again.append(_seconds(race.gradients))
        race.step(RATE)
        found.forward.append(_seconds(race.forward))
        found.forward_again.append(_seconds(race.forward))
        race.step(RATE)
        race.gradients()
        found.export.append(_seconds(race.export))
        found.export_again.append(_seconds(race.export))
        race.step(RATE)
        found.busy.append(_seconds(race.gradients))
        found.idle.append(_seconds(lambda: time.sleep(PAUSE_SECONDS)))
        if repeat := getattr(race, "repeat", None):
            found.repeated.append(_seconds(lambda: repeat("gradients", REPEATED)) / REPEATED)
    return found


def _seconds(call: Callable[[], Any]) -> float:
    start = cpu_seconds()
    call()
    return cpu_seconds() - start


def _ratio(numerator: list[float], denominator: list[float]) -> float:
    return float(np.median(np.divide(numerator, np.maximum(denominator, 1e-9))))


def offences(found: RoundSeconds) -> Iterator[tuple[str, str]]:
    """Yield the name of each law that a series breaks, and what was found."""
    for name, first, second in (
        ("gradients", found.gradients, found.again),
        ("forward", found.forward, found.forward_again),
    ):
        ratio = _ratio(second, first)
        if ratio < KEPT:
            yield (
                f"a second {name} takes what the first takes",
                f"it takes {ratio:.2g} of what {name} take right after a step: is a result kept?",
            )
    ratio = _ratio(found.step, found.gradients)
    if ratio < KEPT:
        yield (
            "a step takes what its gradients take",
            f"it takes {ratio:.2g} of that: which part does it leave out?",
        )
    # the minimum of single calls: in each one, the ranks may spin while another waits for a CPU
    if found.repeated and (ratio := _ratio(found.repeated, [min(found.gradients)])) < KEPT:
        yield (
            f"gradients repeated {REPEATED} times take {REPEATED} times as long",
            f"each takes {ratio:.2g} of a single call: which ones does it leave out?",
        )
    call, export = float(np.median(found.gradients)), float(np.median(found.export_again))
    owed = float(np.median(np.subtract(found.export, found.export_again)))
    if owed > OWED * (call + owed) and _ratio(found.export, found.export_again) > 1 / KEPT:
        yield (
            "a first export takes what a second takes",
            f"right after gradients it takes {1e3 * owed:.3g} ms longer: is work left to it?",
        )
    if call < KEPT * export:
        yield (
            "an export copies and nothing more",
            f"it takes {1e3 * export:.3g} ms, and gradients {1e3 * call:.3g} ms: is work left to it?",
        )
    idle, busy = float(np.median(found.idle)), float(np.median(found.busy))
    if idle > OWED * (idle + busy):
        share = 100 * idle / (idle + busy)
        yield (
            "nothing is at work when a call has returned",
            f"{share:.0f} % of the CPU time of gradients is spent afterwards: is a thread at work?",
        )


def broken(implementation: type[Implementation], network: Network, dtype: str) -> dict[str, str]:
    """The laws that an implementation breaks in each of ATTEMPTS series: what was found, by name.

    Raises Unsupported if it cannot run `network`.
    """
    with threadpoolctl.threadpool_limits(1):  # idle threads of a BLAS spin, and their time counts
        race = _built(implementation, network, dtype)
        found = dict(offences(measure(race)))
        for _ in range(ATTEMPTS - 1):
            if found:
                again = dict(offences(measure(race)))
                found = {law: how for law, how in found.items() if law in again}
        return found


def _built(implementation: type[Implementation], network: Network, dtype: str) -> Implementation:
    """The implementation, built with a batch whose call takes at least LEAST_SECONDS, or the largest."""
    m = FEWEST
    while True:
        race = implementation(Problem.random(network, 3 * m, m, seed=9), dtype)
        race.step(RATE)
        seconds = _call_seconds(race)
        if seconds >= LEAST_SECONDS or m == MOST:
            return race
        # in proportion to the samples, and twice as many, since a part of a call does not depend on them
        m = min(2 * m * math.ceil(LEAST_SECONDS / max(seconds, 1e-9)), MOST)


def _call_seconds(race: Implementation) -> float:
    repeat = getattr(race, "repeat", None)
    if repeat is None:
        return _seconds(race.gradients)
    calls, seconds = 1, 0.0
    while seconds < SIZING_SECONDS and calls <= SIZING:
        seconds = _seconds(functools.partial(repeat, "gradients", calls))
        each = seconds / calls
        calls *= 2
    return each
