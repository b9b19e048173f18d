"""What is timed is what is checked: the audit of one cell, outside the clock.

Before each round the state moves, by a small step on to another batch, so that no two rounds ask for the same
answer. Results that go before the referee are those of timed calls: the last one of a cell always, others by
a draw. And the cell's times are compared with each other, by laws that work which is kept, owed or done
elsewhere breaks.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import impls
from benchmarks import workloads
from benchmarks.measure import clock
from benchmarks.record.cells import Cell

RATE = 0.01
"""The learning rate of timed steps and of moves, that of plain gradient descent. Small: however many there
are, the network stays in its curved part."""

BLOCKS = 16
"""What is timed around a round, to hold the round against, takes so many times fewer calls."""

DRAWN = 0.25
"""How likely one more round of a cell is to be judged beside the last."""

ATTEMPTS = 3
"""An offence has to be found again in each of so many further series."""

SERIES = 5
"""Rounds of such a series."""

HELD = 10
"""Rounds of a cell that are held against blocks, by a draw; before the others the state moves, and nothing is
timed."""

FEW = 2
"""Rounds of slow steps that are held against gradients."""

AGAIN = 0.25
"""A call that repeats another takes at least so much of its time: after a step honest ones have had more than
twice of it, where a library then has more to look after or the caches hold something else."""

KEPT = 0.5
"""A step takes at least so much of the time of what it does, gradients or a forward pass."""

LEFT = {"forward": 1 / 256, "gradients": 1 / 16}
"""A call takes at least so much of a step, which does all that the call does: a forward pass of `autograd`,
whose steps are traced, takes 1/70 of one with dropout and m = 1."""

OWED = 0.5
"""An export that follows a round takes at most so much of the round longer than the next export."""

LONGER = 3.0
"""And at most so many times as long."""

TWICE = 1.25
"""A round of twice the calls takes at least so many times as long; where each call is made it is 2."""

PAUSE_SECONDS = 2e-3
"""How long what is at work after a call has time to show it."""

AT_WORK = 0.5
"""The share of that pause which the process may be at work."""


Timer = Callable[[Callable[[], Any], int], float]
"""The seconds of so many calls."""


class AuditError(Exception):
    """What the audit found against an implementation; the message says what, and in which round."""


class Subject:
    """An implementation, and where it stands: `steps` counts those since its construction, at `rate`."""

    def __init__(
        self,
        implementation: impls.Implementation,
        problem: impls.Problem,
        dtype: str,
        rate: float | None = None,
    ) -> None:
        self.implementation = implementation
        self.problem = problem
        self.dtype = dtype
        self.steps = 0
        self.rate = rate or workloads.learning_rate(problem.training, RATE)

    def step(self) -> None:
        """A small step, on to the next batch."""
        self.implementation.step(self.rate)
        self.steps += 1

    @property
    def repeat(self) -> Callable[[str, int], None] | None:
        """So many steps at once; None where the implementation cannot repeat them itself."""
        repeat = getattr(self.implementation, "repeat", None)
        if repeat is None:
            return None

        def steps(method: str, times: int) -> None:
            repeat(method, times, self.rate)
            self.steps += times

        return steps

    def state(self, result: impls.Result) -> impls.State:
        """Where it stands, with the parameters that it exported."""
        first = impls.first_state(self.problem, self.dtype)
        batch = (self.steps - 1) % self.problem.batches
        return dataclasses.replace(first, batch=batch, t=self.steps - 1).after_step(result)

    def judge_last_step(self, result: impls.Result, and_another: bool) -> impls.Verdict:
        """The verdict on the last step, which left `result`: nobody exported anything before it.

        What other optimizers than gradient descent did cannot be undone: another step is made and judged, as
        it is where `and_another`.
        """
        state = self.state(result)
        if self.problem.training.optimizer == "gradient_descent":
            verdict = impls.judge_unseen_step(state, result, self.rate)
            if not (and_another and verdict.passed):
                return verdict
        self.step()
        return impls.judge_step(state, self.implementation.export(), self.rate)


def method(implementation: impls.Implementation, phase: str, training: impls.Training) -> Callable[[], Any]:
    """The call that a phase times."""
    if phase == "forward":
        return implementation.forward
    if phase == "gradients":
        return implementation.gradients
    return functools.partial(implementation.step, workloads.learning_rate(training, RATE))


@dataclasses.dataclass(frozen=True)
class Lead:
    """Seconds of a call by blocks around a round: of a `step`, of the phase's call right after a step
    (`first`) and of the same call after that (`second`), and of the call `again`, in the round.

    `second` is `again` but of an implementation that is asked for a whole round at once: asking for each call
    takes its time. In the phase "step", `first` is that of gradients, the others that of a step.
    """

    step: float
    first: float
    second: float
    again: float


class Times(NamedTuple):
    """What was timed before a round: None is the time of a call in the round."""

    step: float
    first: float | None
    second: float | None

    def before(self, again: float) -> Lead:
        """With the seconds of a call in the round."""
        first, second = (again if each is None else each for each in (self.first, self.second))
        return Lead(self.step, first, second, again)


class Audit:
    """The audit of one cell, while its rounds are taken.

    `lead` has to be called before each round, and `after` with the seconds of a call in it.
    """

    def __init__(self, subject: Subject, cell: Cell, plan: clock.RoundPlan, draw: random.Random) -> None:
        self.subject = subject
        self.phase = phase = cell.phase
        self.threads = cell.threads * cell.ranks
        self.plan = plan
        training = subject.problem.training
        self.call = method(subject.implementation, phase, training)
        self.step = method(subject.implementation, "step", training)
        self.drawn = {plan.rounds - 1}
        if draw.random() < DRAWN:
            self.drawn.add(draw.randrange(plan.rounds))
        held = FEW if plan.slow and phase == "step" else HELD
        self.held = frozenset(draw.sample(range(plan.rounds), min(held, plan.rounds)))
        self._round_to_come = 0
        self.seconds = 0.0
        self.judged: list[int] = []
        self.leads: list[Lead] = []
        self.block = self._block()
        self._lead: Times | None = None

    def _block(self) -> int:
        """The calls of a block: few where they take longer than the call that is timed, as a cheat's do."""
        call = self.subject.implementation.gradients if self.phase == "step" else self.subject.step
        seconds = clock.seconds_of(call, 1)
        return max(1, min(self.plan.iterations, int(clock.ROUND_SECONDS / seconds)) // BLOCKS)

    def lead(self) -> None:
        """Move the state; time what the round is held against. May be called again before the same round."""
        start = time.perf_counter()
        if self.phase == "step":
            self._lead = self._gradients(clock.seconds_of) if self._round_to_come in self.held else None
        elif self._round_to_come in self.held:
            self._lead = self._moved(clock.seconds_of)
        else:
            self.subject.step()
            self._lead = None
        self.seconds += time.perf_counter() - start

    def _gradients(self, timed: Timer) -> Times:
        gradients, n = self.subject.implementation.gradients, self.block
        if not hasattr(self.subject.implementation, "repeat"):
            return Times(0.0, timed(gradients, n) / n, None)
        gradients()  # on a busy machine a process that has been waiting is slow to answer
        self.subject.steps += n
        return Times(0.0, timed(gradients, n) / n, timed(self.step, n) / n)

    def _moved(self, timed: Timer) -> Times:
        step, call, n = self.step, self.call, self.block

        def steps() -> None:
            step()

        def both() -> None:
            step()
            call()

        def calls() -> None:
            call()

        self.subject.steps += n
        if self.plan.slow:
            return Times(timed(step, n) / n, None, None)  # the round is one call, and the first
        alone = timed(steps, n) / n
        if n == 1:
            first = timed(calls, 1)
        else:
            self.subject.steps += n
            first = timed(both, n) / n - alone
        if not hasattr(self.subject.implementation, "repeat"):
            return Times(alone, first, None)
        self.subject.steps += n
        return Times(timed(step, n) / n, first, timed(calls, n) / n)

    def after(self, number: int, seconds: float) -> None:
        """Take a round into account, and judge its last call where it was drawn; raises AuditError."""
        start = time.perf_counter()
        self._round_to_come = number + 1
        if self.phase == "step":
            self.subject.steps += self.plan.iterations
        if self._lead is not None:
            self.leads.append(self._lead.before(seconds))
        if number in self.drawn:
            self._judge(number, seconds)
        if number == self.plan.rounds - 1:
            self._confirm(number, list(offences(self.phase, self.leads)), self._series)
        self.seconds += time.perf_counter() - start

    def _series(self) -> Iterator[str]:
        """What another series of rounds shows, by the CPU where that is less: on a busy machine every round
        may have to wait, as it is longer than a turn, and no block.
        """
        found = []
        for _ in range(SERIES):
            lead = self._gradients(_seconds) if self.phase == "step" else self._moved(_seconds)
            found.append(lead.before(self._round(_seconds)))
        return offences(self.phase, found)

    def _round(self, timed: Timer) -> float:
        """The seconds of a call in a round."""
        return self._round_of(self.plan.iterations, timed) / self.plan.iterations

    def _confirm(self, number: int, found: list[str], again: Callable[[], Iterator[str]]) -> None:
        for _ in range(ATTEMPTS):
            if not found:
                return
            found = list(again())
        if found:
            raise AuditError(f"round {number + 1} of {self.plan.rounds}: {found[0]}")

    def _judge(self, number: int, seconds: float) -> None:
        """What the round's last call left, before the referee; raises AuditError."""
        exports: list[impls.Result] = []
        found = list(self._owed(seconds, exports))
        verdict = self._verdict(exports[0], last=number == self.plan.rounds - 1)
        if not verdict.passed:
            raise AuditError(f"round {number + 1} of {self.plan.rounds}: {verdict.message}")
        self.judged.append(number)
        self._confirm(number, found, self._owed_again)
        if number == self.plan.rounds - 1:
            again = functools.partial(self._repeated, 2 * SERIES)
            self._confirm(number, list(self._repeated(1)), again)
        # the idle threads of a pool may spin for a while, where there are several
        if number == self.plan.rounds - 1 and self.threads == 1:
            self._confirm(number, list(self._at_work()), self._at_work)

    def _verdict(self, result: impls.Result, last: bool) -> impls.Verdict:
        if self.phase == "step":
            return self.subject.judge_last_step(result, and_another=not last)
        judge = impls.judge_forward if self.phase == "forward" else impls.judge_gradients
        return judge(self.subject.state(result), result)

    def _owed(self, seconds: float, exports: list[impls.Result]) -> Iterator[str]:
        """Whether an export right after a round does work that the round owes."""
        export = self.subject.implementation.export
        first, second = _seconds(lambda: exports.append(export()), 1), _seconds(export, 1)
        whole = seconds * self.plan.iterations
        if first - second > OWED * whole and first > LONGER * second:
            yield (
                f"the export right after it takes {1e3 * (first - second):.3g} ms longer than the next one, "
                f"the round {1e3 * whole:.3g} ms: is work left to the export?"
            )

    def _owed_again(self) -> Iterator[str]:
        if self.phase != "step":
            self._moved(_seconds)
        return self._owed(self._round(_seconds), [])

    def _repeated(self, rounds: int) -> Iterator[str]:
        """Whether an implementation that is asked for a whole round at once makes each of its calls.

        By the least of so many rounds: on a busy machine a process may wait longer for a CPU than a round
        takes. A round that was planned while it did is too short: as long as the message that asks for it.
        """
        if not hasattr(self.subject.implementation, "repeat"):
            return
        n = self.plan.iterations
        while (once := self._least(rounds, n)) < clock.AT_ONCE_SECONDS / 2 and n < clock.MOST_CALLS:
            n *= 4
        twice = self._least(rounds, 2 * n)
        if twice < TWICE * once:
            yield (
                f"{2 * n} calls take {twice / once:.2g} times as long as {n}: "
                "is every call made of a round that is asked for at once?"
            )

    def _least(self, rounds: int, calls: int) -> float:
        """The seconds of the fastest of so many rounds of so many calls."""
        return min(self._round_of(calls, clock.seconds_of) for _ in range(rounds))

    def _round_of(self, calls: int, timed: Timer) -> float:
        """The seconds of a round of so many calls."""
        if self.phase == "step":
            self.subject.steps += calls
        return timed(self.call, calls)

    def _at_work(self) -> Iterator[str]:
        """Whether something is at work after a call has returned, while nothing is asked for."""
        self.subject.step()
        before = impls.cpu_seconds()
        start, begun = impls.cpu_seconds(), time.perf_counter()
        time.sleep(PAUSE_SECONDS)
        took = time.perf_counter() - begun  # longer where other programs have the CPU
        busy = impls.cpu_seconds() - start - (start - before)  # less what looking takes
        if busy > AT_WORK * took:
            yield (
                f"in a pause of {1e3 * took:.3g} ms after a step the process was at work for "
                f"{1e3 * busy:.3g} ms: what does a thread or a process do there?"
            )


def _seconds(call: Callable[[], Any], times: int) -> float:
    """The lesser of the seconds of so many calls and of their CPU seconds: a busy machine prolongs the ones,
    idle threads that spin the others.
    """
    used = impls.cpu_seconds()
    seconds = clock.seconds_of(call, times)
    return min(seconds, impls.cpu_seconds() - used)


def offences(phase: str, leads: list[Lead]) -> Iterator[str]:
    """The laws on times that a series of rounds breaks, in words."""
    name = {"forward": "a forward pass", "gradients": "gradients", "step": "a step"}[phase]
    ratio = _ratio([lead.second for lead in leads], [lead.first for lead in leads])
    if phase == "step":
        if ratio < KEPT:
            yield f"a step takes {ratio:.2g} of what its gradients take: which part does it leave out?"
        return
    if ratio < AGAIN:
        yield f"{name} again take {ratio:.2g} of what they take right after a step: is a result kept?"
    # the least: ranks that have to wait for a CPU prolong their steps many times over
    step = min(lead.step for lead in leads)
    share = statistics.median(lead.again for lead in leads) / max(step, 1e-9)
    if share < LEFT[phase]:
        yield f"{name} take {share:.2g} of what a step takes: does something else do their work?"
    # the lesser of both: a round is longer than a block, and more of it goes to others on a busy machine
    whole = _ratio([lead.step for lead in leads], [min(lead.second, lead.again) for lead in leads])
    if whole < KEPT:
        yield f"a step takes {whole:.2g} of what {name} take: which part does it leave out?"


def _ratio(seconds: list[float], others: list[float]) -> float:
    """How many times as long as the others: the median of neighbours, or of the least where that is more.

    Waits for a CPU, of whole milliseconds in calls of microseconds, may fall on the others alone more often
    than not; that they fall on each of them is rare.
    """
    pairs = [(one, max(other, 1e-9)) for one, other in zip(seconds, others, strict=True)]
    least = min(one for one, _ in pairs) / min(other for _, other in pairs)
    return max(statistics.median(one / other for one, other in pairs), least)
