"""Whether a call does its work itself: nothing is owed to a later call, nothing kept from an earlier one.

Laws on an implementation's times, each a comparison of the implementation with itself at one moment. The
times are CPU seconds of the whole process, its threads and the processes that it started included, which
other programs on the machine do not prolong. A law looks at the median of ROUNDS ratios of neighbouring calls
and holds it against a share far below what honest implementations show (0.89 and more, on a machine with ten
other programs on two cores), and far above what a kept result shows (0.01). An offence has to be found in
each of ATTEMPTS series.
"""

from __future__ import annotations

import dataclasses
import functools
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
"""Few outputs: what an export copies is small beside what a pass computes."""

BATCHES = (8, 256, 8192)
"""Samples of a batch, the fewest with which a call takes LEAST_SECONDS."""

LEAST_SECONDS = 3e-3

PAUSE_SECONDS = 1e-2
"""How long a thread that is still at work has time to show it."""

ROUNDS, ATTEMPTS = 9, 3

REPEATED = 8

SIZING, SIZING_SECONDS = 64, 0.2
"""The most calls at once that show how long one takes, and seconds after which fewer do. A single call of
ranks is on a busy machine mostly the wait of the others for the one that has no CPU, and they spin.
"""

RATE = 1e-3
"""A step moves the parameters a little, so that the next call has another answer."""

KEPT = 0.25
"""A call that repeats another takes at least so much of its time."""

OWED = 0.5
"""The largest share of a call's work that may seem to be done after it."""


@dataclasses.dataclass(frozen=True)
class RoundSeconds:
    """CPU seconds of each round: of calls right after a step has changed the state (`gradients`, `forward`)
    and of the same calls `again`, of an export right after a call and of another, of a call (`busy`) and of a
    pause right after it (`idle`); and of one call of so many as are `repeated` at once, where it offers that.
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
    """The times of ROUNDS rounds, those that a law compares one after the other."""
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
    """The laws that a series breaks, by name, and how."""
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
    # the least of single calls: ranks that find no CPU have the others wait busily, in each single call anew
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
    """The laws that an implementation breaks in each of ATTEMPTS series, by name, and how.

    Raises Unsupported where it cannot run `network`.
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
    """An implementation on the smallest batch that keeps it busy for a while."""
    for m in BATCHES:
        race = implementation(Problem.random(network, 3 * m, m, seed=9), dtype)
        race.step(RATE)
        if _call_seconds(race) >= LEAST_SECONDS:
            break
    return race


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
