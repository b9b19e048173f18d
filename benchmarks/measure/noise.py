"""Quiet moments: when nothing else slows the machine down, and rounds are worth taking.

On a shared machine whatever runs beside a process (on the other thread of its core, say) makes it slower by
half for seconds at a time, where no counter of the system shows it. A short loop, the probe, does: it takes
as long as it always took, or it does not. Rounds begin in moments in which it takes no longer than usual, and
those that end in another moment are left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.measure import environment
from benchmarks.record.statistics import SLOWER

LISTEN_SECONDS = 1.0
"""How long a process that was told nothing may listen for how fast the probe can be."""

PATIENCE_SECONDS = (5.0, 0.5)
"""What a process may wait at first, and what each cell adds: waiting must not cost more than it saves."""

_LOOP, _REPEATS, _PAUSE = 1000, 3, 0.002


class Quiet:
    """Tells quiet moments from others, and waits for them.

    `fastest` is the probe's shortest time so far, in seconds: that of earlier processes where it is known. A
    process of one thread waits on whichever of `cpus` is quiet first: they are disturbed one by one.
    """

    def __init__(self, fastest: float | None = None, cpus: Sequence[int] = ()) -> None:
        self.fastest = math.inf if fastest is None else fastest
        self.cpus = list(cpus)
        self.waited = 0.0
        self.patience = PATIENCE_SECONDS[0]

    def probe(self) -> float:
        """The seconds that the probe takes now."""
        took = probe()
        self.fastest = min(self.fastest, took)
        return took

    def is_quiet(self, took: float) -> bool:
        """Whether the moment is quiet in which the probe takes so many seconds."""
        return took <= SLOWER * self.fastest

    def listen(self) -> None:
        """Find out how fast the probe can be: until a moment was slower than another, or for long enough."""
        deadline = time.perf_counter() + LISTEN_SECONDS
        slowest = self.probe()
        while self.is_quiet(slowest) and time.perf_counter() < deadline:
            time.sleep(_PAUSE)
            self._move_on()
            slowest = max(slowest, self.probe())

    def wait(self) -> float:
        """Wait for a quiet moment, as far as patience goes; returns the probe's last seconds."""
        start = time.perf_counter()
        while not self.is_quiet(took := self._probe_everywhere()):
            if time.perf_counter() - start > self.patience:
                break
            time.sleep(_PAUSE)
        taken = time.perf_counter() - start
        self.waited += taken
        self.patience -= taken
        return took

    def _probe_everywhere(self) -> float:
        """Probe here, and while it is not quiet, on the other CPUs; the process stays on the last."""
        took = self.probe()
        for _ in self.cpus[1:]:
            if self.is_quiet(took):
                break
            self._move_on()
            took = self.probe()
        return took

    def _move_on(self) -> None:
        """Go to the next CPU, if there is another; the present one is the last of `cpus`."""
        if len(self.cpus) > 1:
            self.cpus.append(self.cpus.pop(0))
            environment.move_to(self.cpus[-1])


class Stopwatch:
    """A timer for pytest-benchmark, which asks it at the start and at the end of each round.

    A round's start waits for a quiet moment. `probes` holds what the probe took around each round so far, the
    longer of both.
    """

    def __init__(self, moments: Quiet) -> None:
        self.moments = moments
        self.probes: list[float] = []
        self._before: float | None = None
        self._call: Callable[[], Any] = probe

    def reset(self, call: Callable[[], Any]) -> None:
        """A cell begins, whose rounds consist of calls like this."""
        self.probes = []
        self._before = None
        self._call = call
        if self.moments.fastest == math.inf:
            self.moments.listen()
        self.moments.patience += PATIENCE_SECONDS[1]

    def __call__(self) -> float:
        if self._before is None:
            waited = self.moments.waited
            self._before = self.moments.wait()
            if self.moments.waited - waited > _PAUSE:
                self._call()  # the caches may hold something else now, or be those of another CPU
            return time.perf_counter()
        end = time.perf_counter()
        self.probes.append(max(self._before, self.moments.probe()))
        self._before = None
        return end


def probe() -> float:
    """The shortest of a few runs of a loop: a single interrupt is no disturbance."""
    return min(_run() for _ in range(_REPEATS))


def _run() -> float:
    start = time.perf_counter()
    total = 0.0
    for i in range(_LOOP):
        total += i * 0.5
    return time.perf_counter() - start
