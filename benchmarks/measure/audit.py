"""The audit of one cell, outside the clock: it checks that what is timed is what was verified.

Before each round the audit moves the state by a small step to another batch, so that no two rounds ask for
the same answer. The referee judges results of timed calls, in the last round always and in another one at
random. The audit also compares the cell's times with each other; an implementation that keeps a result,
leaves work to a later call or has it done elsewhere breaks one of the laws that relate them.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import impls
from benchmarks import workloads
from benchmarks.measure import clock, noise
from benchmarks.record.cells import Cell

RATE = 0.01
"""The learning rate, under gradient descent, of timed steps and of steps between rounds. It is small so that
the activations stay in their curved part after any number of steps."""

BLOCKS = 16
"""A round has this many times the calls of a block, which is what the audit times before the round."""

DRAWN = 0.25
"""The probability that one more round of a cell is judged beside the last."""

ATTEMPTS = 3
"""The number of further series, in each of which an offence has to be found again."""

SERIES = 5
"""The rounds of such a series."""

HELD = 10
"""The number of rounds of a cell, drawn at random, that are compared with blocks. Before the other rounds the
state moves and nothing is timed."""

FEW = 2
"""The number of rounds of slow steps that are compared with gradients."""

AGAIN = 0.25
"""A call that repeats another takes at least this share of its time. Right after a step, honest calls have
taken more than twice as long as their repetition, where the library had more to do or the caches held other
data."""

KEPT = 0.5
"""A step takes at least this share of the time of gradients or of a forward pass, which it contains."""

LEFT = {"forward": 1 / 256, "gradients": 1 / 16}
"""A call takes at least this share of the time of a step, which contains it. A forward pass of `autograd`,
which traces its steps, takes 1/70 of a step with dropout and m = 1."""

OWED = 0.1
"""An export right after a call may take longer than one after another method by this share of the call's
time."""

OWED_OF_A_ROUND = 0.5
"""An export may take longer than the next one by this share of the time of the round before it. A library may
convert its arrays for the first export and keep what it has converted."""

LONGER = 2.5
"""An export may always take this many times as long as the export that it is compared with. With 1.5 and half
as many exports in a series, `jax` was accused, whose exports take from 0.2 to 0.6 ms."""

SKIPPED = 0.08
"""Every single call takes at least this share of the first call after a step, and every step this share of
gradients. The fastest calls of `jax` have taken 0.19 of the first, with m = 1 on a busy machine."""

SINGLE = 200
"""The largest number of calls that are timed one by one."""

TWICE = 1.25
"""A round of twice the calls takes at least this many times as long; 2 where every call is made."""

PAUSE_SECONDS = 2e-3
"""The length of the pause after a call in which the process should be idle."""

AT_WORK = 0.5
"""The share of that pause for which the process may be at work."""


Timer = Callable[[Callable[[], Any], int], float]
"""`timer(call, n)` returns the seconds of n calls."""


class AuditError(Exception):
    """The implementation broke a law of the audit; the message names the round and what was found."""


class Subject:
    """An implementation, the problem it runs, and the number of steps at `rate` since its construction."""

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
        """Make a small step, which moves the implementation to the next batch."""
        self.implementation.step(self.rate)
        self.steps += 1

    @property
    def repeat(self) -> Callable[[str, int], None] | None:
        """`repeat(method, times)` makes `times` steps at once; None if the implementation cannot repeat."""
        repeat = getattr(self.implementation, "repeat", None)
        if repeat is None:
            return None

        def steps(method: str, times: int) -> None:
            repeat(method, times, self.rate)
            self.steps += times

        return steps

    def state(self, result: impls.Result) -> impls.State:
        """The state after the last step, which left `result`."""
        first = impls.first_state(self.problem, self.dtype)
        batch = (self.steps - 1) % self.problem.batches
        return dataclasses.replace(first, batch=batch, t=self.steps - 1).after_step(result)

    def judge_last_step(self, result: impls.Result, and_another: bool) -> impls.Verdict:
        """The verdict on the last step, which left `result` and before which nothing was exported.

        A step of gradient descent can be undone, so that it is judged itself, and `and_another` adds a
        further step. For any other optimizer only a further step is judged.
        """
        state = self.state(result)
        if self.problem.training.optimizer == "gradient_descent":
            verdict = impls.judge_unseen_step(state, result, self.rate)
            if not (and_another and verdict.passed):
                return verdict
        self.step()
        return impls.judge_step(state, self.implementation.export(), self.rate)


def method(implementation: impls.Implementation, phase: str, training: impls.Training) -> Callable[[], Any]:
    """The call that is timed in a phase."""
    if phase == "forward":
        return implementation.forward
    if phase == "gradients":
        return implementation.gradients
    return functools.partial(implementation.step, workloads.learning_rate(training, RATE))


@dataclasses.dataclass(frozen=True)
class Lead:
    """Seconds of one call, from the blocks before a round and from the round itself.

    `step`: a step. `first`: the phase's call right after a step. `second`: the same call once more, in a
    block. `again`: the call in the round. `second` equals `again` unless the implementation runs a whole
    round on one request: there each request takes time of its own. In the phase "step", `first` is the time
    of gradients, `second` and `again` that of a step.
    """

    step: float
    first: float
    second: float
    again: float


class Times(NamedTuple):
    """Seconds of one call, from the blocks before a round; None is the time of a call in the round."""

    step: float
    first: float | None
    second: float | None

    def before(self, again: float) -> Lead:
        """The lead of a round in which a call takes `again` seconds."""
        first, second = (again if each is None else each for each in (self.first, self.second))
        return Lead(self.step, first, second, again)


class Audit:
    """The audit of one cell, while its rounds are timed.

    Call `lead` before each of `rounds` rounds, `take` for its calls, and `after` behind it.

    A round of a single call is judged as it is recorded. Where a round has more calls, an implementation
    could count them and compute in the last one only. So the judged rounds come on top of the planned ones,
    and are not recorded: they look like the others, but the number of their calls is random and the state
    moves between these calls.
    """

    def __init__(self, subject: Subject, cell: Cell, plan: clock.RoundPlan, draw: random.Random) -> None:
        self.subject = subject
        self.phase = phase = cell.phase
        self.threads = cell.threads * cell.ranks
        self.plan = plan
        training = subject.problem.training
        self.call = method(subject.implementation, phase, training)
        self.step = method(subject.implementation, "step", training)
        self._draw = draw
        judged = 1 + (draw.random() < DRAWN)
        self.on_top = plan.iterations > 1
        self.rounds = plan.rounds + judged * self.on_top
        self.drawn = {self.rounds - 1, *draw.sample(range(self.rounds - 1), judged - 1)}
        held = FEW if plan.slow and phase == "step" else HELD
        recorded = [number for number in range(self.rounds) if self.is_recorded(number)]
        self.held = frozenset(draw.sample(recorded, min(held, len(recorded))))
        self._round_to_come = 0
        self.seconds = 0.0
        self.judged: list[int] = []
        self.leads: list[Lead] = []
        self.unheld: list[float] = []
        self.block = self._block()
        self._lead: Times | None = None
        self._led: int | None = None
        self._busy: list[str] = []

    def _block(self) -> int:
        """The number of calls in a block: few if they are slower than the timed call, as a cheat's are."""
        if self.plan.iterations < 2 * BLOCKS:
            return 1
        call = self.subject.implementation.gradients if self.phase == "step" else self.subject.step
        seconds = clock.seconds_of(call, 1)
        return max(1, min(self.plan.iterations, int(clock.ROUND_SECONDS / seconds)) // BLOCKS)

    def is_recorded(self, number: int) -> bool:
        """Whether the time of this round counts for the cell."""
        return not (self.on_top and number in self.drawn)

    def take(self) -> float:
        """Make the calls of a round; seconds of a call."""
        start = time.perf_counter()
        seconds = self._calls()
        if self.is_recorded(self._round_to_come):
            start = time.perf_counter()  # until here the time is the race's own
        if self._round_to_come == self.rounds - 1:
            self._busy = list(self._at_work())
        self.seconds += time.perf_counter() - start
        return seconds

    def _calls(self) -> float:
        if self.is_recorded(self._round_to_come):
            return self._round(clock.seconds_of)
        n = self.plan.iterations
        before, after, seconds = 0, self._draw.randint(1, n), 0.0
        if self.phase != "step":
            before = self._draw.randint(1, n)
            seconds = self._round_of(before, clock.seconds_of)
            self.subject.step()
        return (seconds + self._round_of(after, clock.seconds_of)) / (before + after)

    def lead(self) -> None:
        """Move the state, and time the blocks that the round is compared with.

        If it is called again before the same round, as after a wait, it fills the caches again; a slow call
        depends little on them, and the state has moved.
        """
        if self.plan.slow and self._led == self._round_to_come:
            return
        start = time.perf_counter()
        self._led = self._round_to_come
        if self._round_to_come in self.held:
            self._lead = self._blocks(self.block, clock.seconds_of)
        else:
            self._lead = None
            self._move()
        self.seconds += time.perf_counter() - start

    def _move(self) -> None:
        if self.phase != "step":
            self.subject.step()

    def _blocks(self, calls: int, timed: Timer) -> Times:
        return self._gradients(calls, timed) if self.phase == "step" else self._moved(calls, timed)

    def _gradients(self, n: int, timed: Timer) -> Times:
        gradients = self.subject.implementation.gradients
        if not hasattr(self.subject.implementation, "repeat"):
            return Times(0.0, timed(gradients, n) / n, None)
        gradients()  # on a busy machine a process that has been waiting is slow to answer
        self.subject.steps += n
        return Times(0.0, timed(gradients, n) / n, timed(self.step, n) / n)

    def _moved(self, n: int, timed: Timer) -> Times:
        step, call = self.step, self.call

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
        """Record that a call of round `number` took `seconds`; judge the round's last call if it was drawn.

        Raises AuditError if a law is broken.
        """
        start = time.perf_counter()
        self._round_to_come = number + 1
        if self._lead is not None:
            self.leads.append(self._lead.before(seconds))
        elif self.is_recorded(number):
            self.unheld.append(seconds)
        if number in self.drawn:
            self._judge(number, seconds)
        if number == self.rounds - 1:
            self._confirm(number, list(offences(self.phase, self.leads, self.unheld)), self._series)
        self.seconds += time.perf_counter() - start

    def _series(self) -> Iterator[str]:
        """The offences of another series of rounds, in CPU seconds where these are fewer.

        A round is longer than the scheduler's time slice and a block is shorter, so that on a busy machine
        every round may wait for a CPU while no block does. And of a few calls the first, which finds cold
        caches, may be most. So these blocks are as long as a round.
        """
        found, unheld = [], []
        calls = min(self.plan.iterations, BLOCKS * self.block)
        for _ in range(SERIES):
            times = self._blocks(calls, _seconds)
            if self.phase != "step" and hasattr(self.subject.implementation, "repeat"):
                times = times._replace(step=self._step_at_once())
            found.append(times.before(self._round(_seconds)))
            self._move()
            unheld.append(self._round(_seconds))
        return offences(self.phase, found, unheld)

    def _step_at_once(self) -> float:
        """Seconds of a step in a request so long that the message itself takes a small part of it."""
        n = self.block
        while True:
            self.subject.steps += n
            seconds = _seconds(self.step, n)
            if seconds >= clock.AT_ONCE_SECONDS / 2 or n >= self.plan.iterations:
                return seconds / n
            n = min(4 * n, self.plan.iterations)

    def _round(self, timed: Timer) -> float:
        """Seconds of a call in a round."""
        return self._round_of(self.plan.iterations, timed) / self.plan.iterations

    def _confirm(self, number: int, found: list[str], again: Callable[[], Iterator[str]]) -> None:
        for _ in range(ATTEMPTS):
            if not found:
                return
            found = list(again())
        if found:
            raise AuditError(f"round {number + 1} of {self.rounds}: {found[0]}")

    def _judge(self, number: int, seconds: float) -> None:
        """Have the referee judge the result of the round's last call, and check the laws on single rounds.

        Raises AuditError if either fails.
        """
        exports: list[impls.Result] = []
        export, last = self.subject.implementation.export, number == self.rounds - 1
        first, second = _seconds(lambda: exports.append(export()), 1), _seconds(export, 1)
        verdict = self._verdict(exports[0], last)
        if not verdict.passed:
            raise AuditError(f"round {number + 1} of {self.rounds}: {verdict.message}")
        self.judged.append(number)
        # a busy machine prolongs a single round many times over
        fastest = min([seconds, *self.unheld, *(lead.again for lead in self.leads)])
        # a library may keep what it converts for the first export: then the series decides
        self._confirm(number, list(_owed(OWED * fastest, first, second)), self._owed_again)
        if not last:
            return
        self._confirm(number, list(self._skipped(1)), functools.partial(self._skipped, SERIES))
        again = functools.partial(self._repeated, 2 * SERIES)
        self._confirm(number, list(self._repeated(1)), again)
        self._confirm(number, self._busy, self._at_work_again)

    def _verdict(self, result: impls.Result, last: bool) -> impls.Verdict:
        if self.phase == "step":
            return self.subject.judge_last_step(result, and_another=not last)
        judge = impls.judge_forward if self.phase == "forward" else impls.judge_gradients
        return judge(self.subject.state(result), result)

    def _owed_again(self) -> Iterator[str]:
        """Whether an export does work that belongs to the call before it, or to the whole round.

        The exports that it is compared with come after another method, so that the caches are as cold.
        """
        implementation = self.subject.implementation
        other = implementation.gradients if self.phase == "step" else self.subject.step
        calls, firsts, others = [], [], []
        for _ in range(2 * SERIES):
            self.subject.step()
            calls.append(self._round_of(1, _seconds))
            firsts.append(_seconds(implementation.export, 1))
            self.subject.step()
            _seconds(other, 1)  # timed like a call: reading the clock alone made an export longer
            others.append(_seconds(implementation.export, 1))
        # on a busy machine, a few of either are much faster than the rest
        yield from _owed(OWED * min(calls), min(firsts), sorted(others)[len(others) // 4])
        self._move()
        whole = self._round(_seconds) * self.plan.iterations
        first, second = (_seconds(implementation.export, 1) for _ in range(2))
        yield from _owed(OWED_OF_A_ROUND * whole, first, second)

    def _skipped(self, rounds: int) -> Iterator[str]:
        """Whether some calls of a round take next to no time, by `rounds` rounds of single calls."""
        if self.plan.iterations == 1 or hasattr(self.subject.implementation, "repeat"):
            return
        calls = min(self.plan.iterations, SINGLE)
        firsts, fastest = [], []
        for _ in range(rounds):
            self._move()
            noise.probe()  # as before any round
            seconds = [self._round_of(1, clock.seconds_of) for _ in range(calls)]
            fastest.append(min(seconds))
            if self.phase == "step":
                firsts.append(clock.seconds_of(self.subject.implementation.gradients, 1))
            else:
                firsts.append(seconds[0])
        share = min(fastest) / max(min(firsts), 1e-9)
        if share < SKIPPED:
            what = "gradients" if self.phase == "step" else "the first call after a step"
            yield f"the fastest of {calls} calls takes {share:.2g} of {what}: is it left out?"

    def _repeated(self, rounds: int) -> Iterator[str]:
        """Whether an implementation that runs a whole round on one request makes every call of it.

        Compares the fastest of `rounds` rounds, since a process on a busy machine may wait for a CPU longer
        than a round takes. A round that was planned during such a wait is too short, about as long as the
        request itself, and is made longer first.
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
        """Seconds of the fastest of `rounds` rounds of `calls` calls."""
        return min(self._round_of(calls, clock.seconds_of) for _ in range(rounds))

    def _round_of(self, calls: int, timed: Timer) -> float:
        """Seconds of a round of `calls` calls."""
        if self.phase == "step":
            self.subject.steps += calls
        return timed(self.call, calls)

    def _at_work_again(self) -> Iterator[str]:
        self._move()
        self._round_of(1, clock.seconds_of)
        return self._at_work()

    def _at_work(self) -> Iterator[str]:
        """Whether the process is at work after the call that has just returned."""
        if self.threads > 1:  # the idle ones of a pool may spin for a while
            return
        before = impls.cpu_seconds()
        start, begun = impls.cpu_seconds(), time.perf_counter()
        time.sleep(PAUSE_SECONDS)
        took = time.perf_counter() - begun  # longer than asked for on a busy machine
        busy = impls.cpu_seconds() - start - (start - before)  # less the cost of reading the clock
        if busy > AT_WORK * took:
            yield (
                f"in a pause of {1e3 * took:.3g} ms after a call the process was at work for "
                f"{1e3 * busy:.3g} ms: what does a thread or a process do there?"
            )


def _seconds(call: Callable[[], Any], times: int) -> float:
    """The smaller of the wall-clock seconds and the CPU seconds of `times` calls.

    A busy machine prolongs the former, idle threads that spin the latter.
    """
    used = impls.cpu_seconds()
    seconds = clock.seconds_of(call, times)
    return min(seconds, impls.cpu_seconds() - used)


def _owed(most: float, first: float, other: float) -> Iterator[str]:
    """Whether an export takes more than `most` seconds longer than another one."""
    owed = first - other
    if owed > most and first > LONGER * other:
        yield (
            f"an export right after it takes {1e3 * owed:.3g} ms longer than another one, and may take "
            f"{1e3 * most:.3g} ms longer: is work left to the export?"
        )


def offences(phase: str, leads: list[Lead], unheld: Sequence[float] = ()) -> Iterator[str]:
    """A sentence for each law that the times of a series of rounds break.

    `unheld` has the seconds of a call in rounds that are not compared with blocks.
    """
    name = {"forward": "a forward pass", "gradients": "gradients", "step": "a step"}[phase]
    if unheld and (share := min(unheld) / max(min(lead.again for lead in leads), 1e-9)) < KEPT:
        yield f"{name} take {share:.2g} of their time in rounds that no block precedes: what is left out?"
    ratio = _ratio([lead.second for lead in leads], [lead.first for lead in leads])
    if phase == "step":
        if ratio < KEPT:
            yield f"a step takes {ratio:.2g} of what its gradients take: which part does it leave out?"
        return
    if ratio < AGAIN:
        yield f"{name} again take {ratio:.2g} of what they take right after a step: is a result kept?"
    # the minimum: ranks that wait for a CPU prolong their steps many times over
    step = min(lead.step for lead in leads)
    share = statistics.median(lead.again for lead in leads) / max(step, 1e-9)
    if share < LEFT[phase]:
        yield f"{name} take {share:.2g} of what a step takes: does something else do their work?"
    # the minimum: a round is longer than a block, and loses more of its time to other programs
    whole = _ratio([lead.step for lead in leads], [min(lead.second, lead.again) for lead in leads])
    if whole < KEPT:
        yield f"a step takes {whole:.2g} of what {name} take: which part does it leave out?"


def _ratio(seconds: list[float], others: list[float]) -> float:
    """The ratio of `seconds` to `others`: the median over pairs, or the ratio of the minima if larger.

    A call of microseconds may wait milliseconds for a CPU. More than half of `others` may have waited; it is
    rare that all of them have.
    """
    pairs = [(one, max(other, 1e-9)) for one, other in zip(seconds, others, strict=True)]
    least = min(one for one, _ in pairs) / min(other for _, other in pairs)
    return max(statistics.median(one / other for one, other in pairs), least)
