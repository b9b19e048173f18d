"""Undisturbed and disturbed moments of a machine; rounds are timed in undisturbed ones.

On a shared machine, work beside a process (on the other thread of its core, for example) slows it by half for
seconds at a time, and no counter of the system shows it. A short loop, the probe, shows it: it takes about
its shortest time, or half as long again. Each round begins in an undisturbed moment, and rounds that end in a
disturbed one are marked.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import clock, instruments, threads
from benchmarks.record import machine

LISTEN_SECONDS = 1.0
"""How long a process may look for the probe's shortest time if none is known."""

WAIT_SECONDS = (5.0, 0.5)
"""The initial wait budget of a process, and the addition for each cell."""

_LOOP, _REPEATS, _PAUSE = 1000, 3, 0.002


@dataclasses.dataclass(frozen=True)
class Round:
    """Seconds of one call in a round, and of the probe around it: the longer of before and after."""

    seconds: float
    probe: float


class Moments:
    """Waits for undisturbed moments, and times rounds in them.

    `fastest` is the probe's shortest time so far in seconds, at first that of earlier processes, if known. A
    moment is undisturbed if the probe takes at most `slower` times as long. A process of one thread moves to
    the first of `cpus` that is undisturbed, as CPUs are disturbed separately.
    """

    def __init__(self, slower: float, fastest: float | None = None, cpus: Sequence[int] = ()) -> None:
        self.slower = slower
        self.fastest = math.inf if fastest is None else fastest
        self.cpus = list(cpus)
        self.waited = 0.0
        self.wait_budget = WAIT_SECONDS[0]

    def probe(self) -> float:
        """The seconds that the probe takes now."""
        took = probe()
        self.fastest = min(self.fastest, took)
        return took

    def undisturbed(self, took: float) -> bool:
        """Whether a moment in which the probe takes `took` seconds is undisturbed."""
        return took <= self.slower * self.fastest

    def listen(self) -> None:
        """Find the probe's shortest time: until two moments differ, or for LISTEN_SECONDS."""
        deadline = time.perf_counter() + LISTEN_SECONDS
        slowest = self.probe()
        while self.undisturbed(slowest) and time.perf_counter() < deadline:
            time.sleep(_PAUSE)
            self._move_on()
            slowest = max(slowest, self.probe())

    def wait(self) -> float:
        """Wait for an undisturbed moment, or until the wait budget is spent; returns the probe's seconds."""
        start = time.perf_counter()
        while not self.undisturbed(took := self._probe_everywhere()):
            if time.perf_counter() - start > self.wait_budget:
                break
            time.sleep(_PAUSE)
        taken = time.perf_counter() - start
        self.waited += taken
        self.wait_budget -= taken
        return took

    def rounds(
        self, count: int, take: Callable[[], float], lead: Callable[[], Any] = lambda: None
    ) -> Iterator[Round]:
        """`count` rounds; each begins in an undisturbed moment, as far as the wait budget allows.

        `take` makes the calls of a round and returns the seconds of one. `lead` is called before each round,
        outside the clock, and again after a wait.
        """
        if self.fastest == math.inf:
            self.listen()
        self.wait_budget += WAIT_SECONDS[1]
        with clock.no_collection():
            for _ in range(count):
                lead()
                waited = self.waited
                before = self.wait()
                if self.waited - waited > _PAUSE:
                    lead()  # the caches may hold something else now, or be those of another CPU
                seconds = take()
                yield Round(seconds, max(before, self.probe()))

    def _probe_everywhere(self) -> float:
        """Probe this CPU and then others until one is undisturbed; the process stays on the last one."""
        took = self.probe()
        for _ in self.cpus[1:]:
            if self.undisturbed(took):
                break
            self._move_on()
            took = self.probe()
        return took

    def _move_on(self) -> None:
        """Move to the next CPU, if there is another; the current one is the last of `cpus`."""
        if len(self.cpus) > 1:
            self.cpus.append(self.cpus.pop(0))
            threads.move_to(self.cpus[-1])


def probe() -> float:
    """The shortest of a few runs of a loop, in seconds, so that a single interrupt does not count."""
    return min(_run() for _ in range(_REPEATS))


def _run() -> float:
    start = time.perf_counter()
    total = 0.0
    for i in range(_LOOP):
        total += i * 0.5
    return time.perf_counter() - start


STOLEN = 0.02
"""The share of the CPUs' time that other virtual machines may take before a warning."""

_CPUS = Path("/sys/devices/system/cpu")


class Watch:
    """Watches the machine while a process measures; `warnings` returns what may have affected the times."""

    def __init__(self, asked: int, ranks: int = 1) -> None:
        self.asked, self.ranks = asked, ranks
        self.load = machine.load_average()
        self._ticks = _ticks()
        self._hot = _throttled()
        self._held_back = instruments.throttled()

    def warnings(self) -> list[str]:
        """What may have affected the times, each with its remedy."""
        found = threads.thread_warnings(threads.threads_in_force(), self.asked, self.ranks)
        cores = os.cpu_count() or 1
        if self.load is not None and self.load > cores - self.asked * self.ranks + 0.5:
            found.append(
                "other programs kept the CPUs busy before the race (load_average): end them, or race later"
            )
        ticks: list[int] = [now - then for now, then in zip(_ticks(), self._ticks, strict=False)]
        # /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal (man 5 proc)
        if len(ticks) >= 8 and ticks[7] > STOLEN * sum(ticks):
            found.append(
                f"more than {STOLEN:.0%} of the CPUs' time was taken by other virtual machines (steal): "
                "race on another host, or later"
            )
        governors = set(map(machine.text, _CPUS.glob("cpu*/cpufreq/scaling_governor"))) - {""}
        if governors - {"performance"}:
            found.append(
                f"the clock frequency follows the governor {', '.join(sorted(governors))}: "
                "set it to performance (cpupower frequency-set -g performance)"
            )
        if held_back := instruments.throttled() - self._held_back:
            found.append(
                f"a control group's quota of CPU time stopped the process {held_back} times: "
                "race in a container without a limit (cpu.max), or with a larger one"
            )
        if _throttled() > self._hot:
            found.append("a CPU was throttled for its temperature: let it cool, or race fewer cells")
        return found


def _ticks() -> list[int]:
    """The kernel's counts of the CPUs' time since the start, in ticks; empty if there are none."""
    return [int(field) for field in machine.fact(Path("/proc/stat"), "cpu").split()]


def _throttled() -> int:
    counts = _CPUS.glob("cpu*/thermal_throttle/core_throttle_count")
    return sum(int(text) for text in map(machine.text, counts) if text.isdecimal())
