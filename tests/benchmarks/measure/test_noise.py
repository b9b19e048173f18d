"""Undisturbed moments, on a machine that the tests slow down as they like."""

import dataclasses
import gc
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.measure import noise, threads
from benchmarks.measure.noise import Moments, Round
from benchmarks.record.race_file import Measurement
from benchmarks.record.statistics import SLOWER, counting

PROBE = 4e-5


class Machine:
    """Two CPUs; `disturbed(cpu, now)` is which is slowed to half when."""

    def __init__(self, disturbed: Callable[[int, float], bool]) -> None:
        self.disturbed = disturbed
        self.now = 0.0
        self.cpu = 1
        self.moves: list[int] = []

    def run(self, seconds: float) -> float:
        start = self.now
        self.now += seconds * (2 if self.disturbed(self.cpu, self.now) else 1)
        return self.now - start

    def probe(self) -> float:
        return self.run(PROBE)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def move(self, cpu: int) -> None:
        self.cpu = cpu
        self.moves.append(cpu)


Build = Callable[[Callable[[int, float], bool]], Machine]


@pytest.fixture(autouse=True)
def _at_once() -> None:
    """Not here, where waits are what is tested."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Build:
    def build(disturbed: Callable[[int, float], bool]) -> Machine:
        made = Machine(disturbed)
        monkeypatch.setattr(noise, "probe", made.probe)
        monkeypatch.setattr("benchmarks.measure.noise.time.perf_counter", lambda: made.now)
        monkeypatch.setattr("benchmarks.measure.noise.time.sleep", made.sleep)
        monkeypatch.setattr(threads, "move_to", made.move)
        return made

    return build


def never(cpu: int, now: float) -> bool:
    return False


def rounds(moments: Moments, machine: Machine, count: int, seconds: float) -> list[Round]:
    return list(moments.rounds(count, lambda: machine.run(seconds)))


def test_an_undisturbed_machine_is_not_waited_for(machine: Build) -> None:
    made = machine(never)
    moments = Moments(SLOWER, PROBE, [0, 1])
    assert moments.wait() == PROBE
    assert moments.waited == pytest.approx(PROBE)
    assert made.moves == []


def test_a_disturbance_is_sat_out(machine: Build) -> None:
    made = machine(lambda cpu, now: now < 1.5)
    moments = Moments(SLOWER, PROBE)
    assert moments.undisturbed(moments.wait())
    assert made.now == pytest.approx(1.5, rel=0.01)


def test_the_other_cpu_is_tried_and_kept(machine: Build) -> None:
    made = machine(lambda cpu, now: cpu == 1)
    moments = Moments(SLOWER, PROBE, [0, 1])
    assert moments.undisturbed(moments.wait())
    assert (made.cpu, moments.cpus) == (0, [1, 0])
    assert made.now < 0.01
    moments.wait()
    assert made.moves == [0]


def test_the_wait_budget_ends_and_grows_by_the_cell(machine: Build) -> None:
    made = machine(lambda cpu, now: True)
    moments = Moments(SLOWER, PROBE)
    first, more = noise.WAIT_SECONDS
    rounds(moments, made, count=1, seconds=0.01)
    assert moments.waited == pytest.approx(first + more, rel=0.01)
    rounds(moments, made, count=3, seconds=0.01)
    assert moments.waited == pytest.approx(first + 2 * more, rel=0.01)


def test_listening_ends_where_moments_differ_and_else_in_time(machine: Build) -> None:
    made = machine(lambda cpu, now: now < 0.2)
    moments = Moments(SLOWER)
    moments.listen()
    assert moments.fastest == pytest.approx(PROBE)
    assert 0.2 < made.now < 0.21
    made = machine(never)
    Moments(SLOWER).listen()
    assert made.now == pytest.approx(noise.LISTEN_SECONDS, rel=0.01)


def test_rounds_that_a_disturbance_began_or_ended_in_are_known(machine: Build) -> None:
    made = machine(lambda cpu, now: 0.025 < now < 0.055)
    moments = Moments(SLOWER, PROBE)
    taken = rounds(moments, made, count=5, seconds=0.01)
    assert len(taken) == 5
    undisturbed = [each.seconds for each in taken if moments.undisturbed(each.probe)]
    assert 0 < len(undisturbed) < 5
    assert undisturbed == pytest.approx([0.01] * len(undisturbed))


def test_a_round_lies_between_two_probes(machine: Build) -> None:
    made = machine(never)
    (taken,) = Moments(SLOWER, PROBE).rounds(1, lambda: made.run(0.07) / 7)
    assert (taken.seconds, taken.probe) == pytest.approx((0.01, PROBE))
    assert made.now == pytest.approx(0.07 + 2 * PROBE)


def test_no_garbage_is_collected_between_rounds(machine: Build) -> None:
    machine(never)
    seen = []

    def take() -> float:
        seen.append(gc.isenabled())
        return 1.0

    list(Moments(SLOWER, PROBE).rounds(3, take))
    assert seen == [False] * 3
    assert gc.isenabled()


def measured(process: int, probe: float | None, implementation: str = "numpy") -> Measurement:
    return Measurement(
        "digits",
        "gradients",
        implementation,
        16,
        "float64",
        1,
        process,
        "measured",
        seconds=(1.0,),
        probe=probe,
    )


def test_disturbed_times_count_only_where_there_are_too_few_others() -> None:
    calm, slow = [measured(k, PROBE) for k in range(2)], measured(2, 2 * PROBE)
    assert counting([*calm, slow]) == [True, True, False]
    assert counting([*calm[:1], slow]) == [True, True]
    lost = dataclasses.replace(calm[0], status="failed", seconds=())
    assert counting([lost, calm[1], slow]) == [False, True, True]
    other = measured(0, 2 * PROBE, "numba")
    assert counting([*calm, other]) == [True, True, True]
    assert counting([measured(k, None) for k in range(3)]) == [True] * 3


def test_the_probe_of_this_machine_takes_its_time() -> None:
    assert 0 < noise.probe() < math.inf


MOVE = """
import os, threading
from benchmarks.measure import threads
begun, end = threading.Event(), threading.Event()
thread = threading.Thread(target=lambda: (begun.set(), end.wait()))
thread.start()
begun.wait()
cpu = threads.cpus()[0]
threads.move_to(cpu)
assert os.sched_getaffinity(0) == os.sched_getaffinity(thread.native_id) == {cpu}
end.set()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system knows no affinity")
def test_a_process_moves_with_all_its_threads() -> None:
    subprocess.run([sys.executable, "-c", MOVE], check=True, cwd=Path(__file__).parents[3])


def test_a_watch_warns_of_threads_that_differ() -> None:
    cpus = len(threads.cpus())
    warnings = noise.Watch(cpus + 1).warnings()
    assert f"cpus: {cpus + 1} asked for, {cpus} in force" in warnings
