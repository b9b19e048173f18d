"""The audit of a cell: implementations that save work under the clock, and honest ones."""

import dataclasses
import itertools
import random
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import threadpoolctl

import impls
from benchmarks import workloads
from benchmarks.measure import audit, clock, noise, session
from benchmarks.measure.audit import Lead, offences
from benchmarks.record.cells import PHASES, Cell
from tests.impls import cheats, later
from tests.impls.mutants import Sound

LARGE = 4096
"""Samples of a batch whose call takes so much longer than an export that busy caches hide no part of it."""


def measure(
    implementation: type[Any], phase: str, monkeypatch: pytest.MonkeyPatch, m: int = 64
) -> tuple[session.Session, Any]:
    race = session.Session(workloads.WORKLOADS, threads=1)
    monkeypatch.setattr(race, "load", lambda name, ranks: implementation)
    with threadpoolctl.threadpool_limits(1):  # as a race limits them
        return race, race.measure(Cell("digits", phase, m, "float64", 1, "numpy"))


@pytest.mark.parametrize("phase", PHASES)
def test_what_is_timed_is_judged_and_the_last_round_always(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "DRAWN", 1.0)
    race, found = measure(Sound, phase, monkeypatch)
    assert found.status == "measured", found.reason
    assert 1 <= len(found.judged) <= 2
    assert found.judged[-1] >= len(found.seconds) - 1
    process = race.process(0)
    assert process.audit_seed is not None
    assert 0 < process.audit_seconds < process.seconds


def test_no_two_rounds_ask_for_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[tuple[float, int]] = []

    class Watched(Sound):
        def gradients(self) -> None:
            super().gradients()
            states.append((float(self.b[0][0, 0]), self.batch))

    taken: list[int] = []

    def rounds(count: int, take: Any, lead: Any) -> Iterator[Any]:
        for _ in range(count):
            lead()
            taken.append(len(states))
            take()
            yield noise.Round(1e-3, 1e-5)

    race = session.Session(workloads.WORKLOADS, threads=1)
    monkeypatch.setattr(race, "load", lambda name, ranks: Watched)
    monkeypatch.setattr(race.moments, "rounds", rounds)
    monkeypatch.setattr(audit, "offences", lambda *given: iter(()))
    race.measure(Cell("digits", "gradients", 64, "float64", 1, "numpy"))
    asked = [states[start] for start in taken]
    assert len(set(asked)) == len(asked) > 1


# Not WorksInAThread: each of its calls waits for the one before, and saves nothing.
SAVING = [cheat for cheat in cheats.CHEATS if cheat is not cheats.WorksInAThread]


@pytest.mark.parametrize("cheat", SAVING, ids=lambda cheat: cheat.__name__)
def test_saved_work_is_found_out_in_a_race(cheat: type[Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [measure(cheat, phase, monkeypatch)[1] for phase in ("gradients", "forward")]
    assert "wrong" in [each.status for each in found]


@pytest.mark.parametrize(
    "cheat",
    [
        *(cheats.KeepsEveryOtherCall, cheats.KeepsAtRandom, cheats.KeepsUnlessCompared),
        *(cheats.DetectsByAPause, cheats.DetectsTheLastCall, cheats.PatchesTheClockInACall),
    ],
    ids=lambda cheat: cheat.__name__,
)
def test_calls_that_are_left_out_between_others_are_found_out(
    cheat: type[Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", time.perf_counter)  # one of them replaces it
    assert measure(cheat, "gradients", monkeypatch)[1].status == "wrong"


class LeavesTheBackwardPassOut(Sound):
    """Only after 39 calls, which are more than the check makes."""

    calls = 0

    def backward(self) -> None:
        self.calls += 1
        if self.calls < 40:
            super().backward()


@pytest.mark.parametrize("phase", ["gradients", "step"])
def test_right_at_first_and_wrong_under_the_clock_is_wrong_with_the_round(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    race, found = measure(LeavesTheBackwardPassOut, phase, monkeypatch)
    assert found.status == "wrong"
    assert found.reason.startswith("numpy: round ")
    assert race.measure(dataclasses.replace(found.cell, phase="forward")).status == "wrong"


class RightAfterAnExport(Sound):
    """The first step after an export is honest; others leave the backward pass out."""

    seen = True

    def backward(self) -> None:
        if self.seen or not hasattr(self, "last"):
            super().backward()
            self.last = self.dw, self.db

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate)
        self.seen = False

    def gradients(self) -> None:
        super().gradients()

    def export(self) -> impls.Result:
        self.seen = True
        return super().export()


def test_a_step_that_is_right_only_when_it_was_just_looked_at_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert measure(RightAfterAnExport, "step", monkeypatch)[1].status == "wrong"


STEPS = [
    cls
    for cls in later.LATER
    if not cls.__name__.startswith(
        ("Trains", "Forward", "Rate", "Updates", "GradientsStale", "ThirdBatchWith")
    )
]
"""The mutants of training, except those that only other calls, other rates or the third batch of 23
reveal."""


@pytest.mark.parametrize("mutant", STEPS, ids=lambda mutant: mutant.__name__)
def test_steps_that_are_wrong_only_later_are_wrong_under_the_clock(
    mutant: type[Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "DRAWN", 1.0)
    assert measure(mutant, "step", monkeypatch)[1].status == "wrong"


def test_leads_of_an_honest_call_break_no_law() -> None:
    for phase in PHASES:
        assert list(offences(phase, [Lead(1.2, 1.0, 1.0, 1.0)] * 5)) == []
    traced = Lead(1.0, 0.014, 0.014, 0.014)  # as autograd's, with dropout at m = 1
    assert list(offences("forward", [traced] * 5)) == []
    waiting = Lead(300.0, 1.0, 1.0, 1.0)  # a step of ranks that wait for a CPU
    assert list(offences("gradients", [waiting] * 9 + [Lead(1.2, 1.0, 1.0, 1.0)])) == []


@pytest.mark.parametrize(
    ("phase", "lead", "words"),
    [
        ("gradients", Lead(1.0, 1.0, 0.2, 0.2), "again take 0.2 of what they take right after a step"),
        ("forward", Lead(1.0, 0.003, 0.003, 0.003), "take 0.003 of what a step takes"),
        ("gradients", Lead(0.1, 1.0, 1.0, 1.0), "a step takes 0.1 of what gradients take"),
        ("step", Lead(0.0, 1.0, 0.3, 0.3), "a step takes 0.3 of what its gradients take"),
    ],
)
def test_each_law_on_times_is_named(phase: str, lead: Lead, words: str) -> None:
    assert any(words in found for found in offences(phase, [lead] * 5))
    disturbed = Lead(1.0, 1.0, 1.0, 1.0)
    assert list(offences(phase, [lead] * 2 + [disturbed] * 3)) == []


def waits(draw: random.Random) -> float:
    """The wait of a call that takes 1: in half of the calls 10, for a CPU."""
    return 10.0 * draw.randrange(2)


def test_waits_for_a_cpu_break_no_law() -> None:
    draw, found = random.Random(0), 0
    for phase in ("forward", "gradients", "step"):
        for _ in range(1000):
            leads = [Lead(*(1.0 + waits(draw) for _ in range(4))) for _ in range(audit.SERIES)]
            found += bool(list(offences(phase, leads)))
    assert (
        found < 3000 / 2**audit.SERIES
    )  # that all calls of one kind have to wait; ATTEMPTS more series follow


class WaitsInEachRound(Sound):
    """An honest one on a machine so busy that a round, and no block, is longer than its turn on a CPU."""

    row = 0

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate)
        self.row = 0

    def gradients(self) -> None:
        super().gradients()
        self.row += 1
        if self.row % 8 == 0:
            time.sleep(3e-3)  # while others have the CPU


def test_who_waits_for_a_cpu_in_each_round_is_not_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = measure(WaitsInEachRound, "gradients", monkeypatch, m=1)
    assert found.status == "measured", found.reason


class WaitsForADevice(Sound):
    """An honest implementation whose work is done elsewhere, while this process sleeps."""

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate)
        time.sleep(2e-3)

    def gradients(self) -> None:
        super().gradients()
        time.sleep(2e-3)


@pytest.mark.parametrize("phase", ["gradients", "step"])
def test_who_waits_for_a_device_is_not_accused_where_a_disturbance_was_seen(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = itertools.count()

    def disturbed_at_first(phase: str, leads: list[Lead], unheld: list[float]) -> Iterator[str]:
        return iter(["a disturbance"]) if next(series) == 0 else offences(phase, leads, unheld)

    monkeypatch.setattr(audit, "offences", disturbed_at_first)
    _, found = measure(WaitsForADevice, phase, monkeypatch, m=1)
    assert found.status == "measured", found.reason
    assert next(series) > 1


@pytest.mark.parametrize("planned", [1, 43, 500])
def test_a_process_that_waits_for_a_cpu_makes_every_call(
    planned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call takes 20 us, its message 0.1 ms, a wait as long as a round: short ones were planned in waits."""
    draw = random.Random(0)
    looked = audit.Audit.__new__(audit.Audit)
    looked.plan, looked.phase, looked.call = clock.RoundPlan(5, planned), "gradients", lambda: None
    looked.subject = SimpleNamespace(implementation=SimpleNamespace(repeat=None))  # type: ignore[assignment]
    monkeypatch.setattr(clock, "seconds_of", lambda call, n: 1e-4 + n * 2e-5 + 1e-3 * waits(draw))
    assert sum(bool(list(looked._repeated(2 * audit.SERIES))) for _ in range(1000)) < 1000 / 2**audit.SERIES
    for one_call_of_all in (2e-5, 1e-2):
        monkeypatch.setattr(
            clock, "seconds_of", lambda call, n, took=one_call_of_all: 1e-4 + took + 1e-4 * waits(draw)
        )
        assert sum(bool(list(looked._repeated(2 * audit.SERIES))) for _ in range(100)) > 90


@pytest.mark.parametrize("phase", PHASES)
def test_a_clock_that_fills_the_caches_accuses_no_one(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the CPU clock opens files, and an export after two readings has taken longer than after one."""
    readings = 0

    def seconds(call: Any, times: int) -> float:
        nonlocal readings
        call()
        if call == looked.subject.implementation.export:
            took, readings = 2e-5 * (1 + 4 * (readings > 0)), 0
            return took
        readings += 1
        return 1e-5 * times

    problem = workloads.problem(workloads.WORKLOADS["xor"], 4)
    looked = audit.Audit.__new__(audit.Audit)
    looked.plan, looked.phase = clock.RoundPlan(5, 20), phase
    looked.subject = audit.Subject(Sound(problem), problem, "float64")
    looked.call = audit.method(looked.subject.implementation, phase, problem.training)
    monkeypatch.setattr(audit, "_seconds", seconds)
    assert list(looked._owed_again()) == []


@pytest.mark.parametrize("phase", PHASES)
def test_the_first_round_may_be_judged(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class First(random.Random):
        def random(self) -> float:
            return 0.0

        def sample(self, population: Any, k: int, **named: Any) -> Any:
            return list(population)[:k]

    monkeypatch.setattr(random, "Random", First)
    _, found = measure(Sound, phase, monkeypatch)
    assert found.status == "measured", found.reason
    assert found.judged[0] == 0


def test_a_judged_round_that_waits_for_a_cpu_hides_no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    after = audit.Audit.after

    def waited(self: audit.Audit, number: int, seconds: float) -> None:
        after(self, number, seconds * (20 if number in self.drawn else 1))

    monkeypatch.setattr(audit.Audit, "after", waited)
    _, found = measure(cheats.FirstDwOnExport, "gradients", monkeypatch, m=LARGE)
    assert found.status == "wrong"


def test_a_third_of_a_call_that_is_left_to_the_export_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = measure(cheats.FirstDwOnExport, "gradients", monkeypatch, m=LARGE)
    assert found.status == "wrong"
    assert "left to the export" in found.reason


def test_a_message_that_takes_as_long_as_many_calls_accuses_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message takes 1 ms, gradients 2 us and a step 4 us, as in a small network under PyPy."""

    class Distant(Sound):
        def repeat(self, method: str, times: int, *arguments: float) -> None:
            pass

    def seconds(call: Any, times: int) -> float:
        if not clock._repeated(call):  # a message for each call
            return times * 1e-3
        return 1e-3 + times * (4e-6 if call == looked.step else 2e-6)

    problem = workloads.problem(workloads.WORKLOADS["xor"], 1)
    subject = audit.Subject(Distant(problem), problem, "float64")
    looked = audit.Audit.__new__(audit.Audit)
    looked.subject, looked.phase, looked.plan = subject, "gradients", clock.RoundPlan(8, 2000)
    looked.call = audit.method(subject.implementation, "gradients", problem.training)
    looked.step = audit.method(subject.implementation, "step", problem.training)
    monkeypatch.setattr(clock, "seconds_of", seconds)
    monkeypatch.setattr(audit, "_seconds", seconds)
    looked.block = looked._block()
    assert list(looked._series()) == []


def test_the_draw_is_not_the_same_twice() -> None:
    seeds = {session.Session(workloads.WORKLOADS, threads=1).audit_seed for _ in range(4)}
    assert len(seeds) == 4
    assert random.Random(next(iter(seeds))).random() < 1


@pytest.mark.parametrize("phase", PHASES)
def test_waits_between_rounds_lose_none_of_those_that_are_held(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[int, int]] = []

    class AuditOfHeldRounds(audit.Audit):
        def after(self, number: int, seconds: float) -> None:
            super().after(number, seconds)
            if number == self.rounds - 1:
                held.append((len(self.leads), len(self.held)))

    def wait(self: noise.Moments) -> float:
        self.waited += 1.0
        return self.probe()

    monkeypatch.setattr(session, "Audit", AuditOfHeldRounds)
    monkeypatch.setattr(noise.Moments, "wait", wait)
    _, found = measure(Sound, phase, monkeypatch)
    assert found.status == "measured", found.reason
    [(leads, rounds)] = held
    assert leads == rounds
