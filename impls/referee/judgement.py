"""The check of an implementation, and the verdicts on single results.

Each result is judged from the state before its call, as the implementation exported it. So errors do not
accumulate from call to call.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls import registry
from impls.interface import LOSSES, Implementation, Problem, Result
from impls.referee.error_bound import ELEMENTARY, FREE, GUARD, Rounding
from impls.referee.reference import Reference, reference
from impls.referee.structure import (
    STATES,
    FoulError,
    asked,
    check_structure,
    held,
    place,
    quantities,
    state_names,
)
from impls.referee.update import Update
from impls.referee.verdict import Comparison, Verdict, digits

Reals = NDArray[np.float64]

RATE = 0.1
"""The largest learning rate of the step under test; like most rates it is not a binary fraction."""

FIRST, SECOND = 1e9, 1e8
"""The multiplications that a reference may cost (see `reference`). FIRST, about 0.5 s, is for the first
batch, whose reference serves every implementation of a problem; SECOND, about 0.05 s, is for the later
states, which differ between implementations."""

BITWISE = 100_000
"""Up to this number of samples times parameters, an implementation that claims the order of sums of `loops`
is compared with it bit for bit: about 30 ms of `loops`."""

UNSEEN = 4.0
"""The factor on the bounds where the parameters before a step are only known to a rounding or two. Each of
these roundings adds less error than the bounds grant to the product with that parameter."""

CLAIM = "bit for bit as in loops, whose order of sums the implementation claims"

QUANTITIES = tuple(field.name for field in dataclasses.fields(Result))
"""The names of a result's fields."""


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """The state of an implementation before a call.

    `problem` is rounded to `dtype`, `batch` is the index of the next batch, `arrays` are the optimizer's in
    the order of `Result.state`, and `t` is the number of steps made.
    """

    problem: Problem
    dtype: str
    weights: tuple[Reals, ...]
    biases: tuple[Reals, ...]
    batch: int
    arrays: tuple[Reals, ...] = ()
    t: int = 0

    def after_step(self, result: Result) -> State:
        """The state after a step that left `result`, which must have been judged before."""
        batch = (self.batch + 1) % self.problem.batches
        arrays = result.state[:-1]
        return State(self.problem, self.dtype, result.weights, result.biases, batch, arrays, self.t + 1)

    def step_of_dropout(self, in_use: bool) -> int | None:
        """The step whose dropout mask a pass has; None without dropout, and in use."""
        return None if in_use or not any(self.problem.dropout) else self.t


@functools.lru_cache(maxsize=1)
def first_state(problem: Problem, dtype: str) -> State:
    """The state after construction; raises ValueError if `problem` overflows `dtype`."""
    problem = held(problem, dtype)
    kinds = STATES[problem.training.optimizer]
    arrays = tuple(np.zeros_like(p) for _ in kinds for p in (*problem.weights, *problem.biases))
    return State(problem, dtype, problem.weights, problem.biases, 0, arrays)


@functools.lru_cache(maxsize=1)
def _first_reference(state: State) -> Reference:
    """The reference of the gradients after construction; cached, as all implementations share it."""
    step = state.step_of_dropout(in_use=False)
    return reference(state.problem, state.weights, state.biases, 0, state.dtype, FIRST, step=step)


@functools.lru_cache(maxsize=2)  # passes with and without dropout alternate
def _later_reference(state: State, step: int | None) -> Reference:
    return reference(state.problem, state.weights, state.biases, state.batch, state.dtype, SECOND, step=step)


def reference_of(state: State, in_use: bool = False) -> Reference:
    """The exact results at a state: of gradients, or of a pass in use, which has no dropout."""
    step = state.step_of_dropout(in_use)
    fresh = state.weights is state.problem.weights and state.batch == state.t == 0
    if fresh and step == state.step_of_dropout(in_use=False):
        return _first_reference(state)
    return _later_reference(state, step)


def judge_forward(state: State, result: Result) -> Verdict:
    """The verdict on the result of `forward` from `state`: loss, output, and unchanged parameters."""
    return _verdict(state, lambda seen: seen.forward(state, result, "in a forward pass"))


def judge_gradients(state: State, result: Result) -> Verdict:
    """The verdict on the result of `gradients` from `state`: as for `forward`, and dw and db."""
    return _verdict(state, lambda seen: seen.gradients(state, result, "in gradients"))


def judge_step(state: State, result: Result, learning_rate: float) -> Verdict:
    """The verdict on the result of `step` from `state`: loss, output, dw, db, and the update."""
    return _verdict(state, lambda seen: seen.step(state, result, learning_rate, "in a step"))


def judge_unseen_step(after: State, result: Result, learning_rate: float) -> Verdict:
    """The verdict on a `step` of gradient descent to the state `after`, from a state that was not exported.

    The earlier parameters are recovered, to a rounding or two, from the later ones, dw, db and
    `learning_rate`. Loss, output and gradients are compared with the reference at these parameters, within
    UNSEEN times the bounds.
    """
    rate, l2 = float(np.dtype(after.dtype).type(learning_rate)), after.problem.training.l2

    def undone(parameters: tuple[Reals, ...], d: tuple[Reals, ...], l2: float) -> tuple[Reals, ...]:
        pairs = zip(parameters, d, strict=True)
        before = ((p + rate * dp) / (1 - rate * l2) for p, dp in pairs)
        return tuple(p.astype(after.dtype).astype(np.float64) for p in before)

    def look(seen: _Seen) -> None:
        seen.structure(after, result, "in a step")
        before = dataclasses.replace(
            after,
            weights=undone(result.weights, result.dw, l2),
            biases=undone(result.biases, result.db, 0.0),
            batch=(after.batch - 1) % after.problem.batches,
            t=after.t - 1,
        )
        seen.unseen_step(before, result, "in a step")

    return _verdict(after, look)


def judge_train(trained: Result, stepped: Result) -> Verdict:
    """The verdict on `train(n)`: it has to equal n calls of `step` from the same state bit for bit."""
    try:
        same_bits(trained, stepped, "as the same number of steps leaves it")
    except FoulError as foul:
        return failed(foul)
    return Verdict(True, "", 0.0, None, None)


def check(implementation: Implementation, problem: Problem, dtype: str) -> Verdict:
    """The verdict on a freshly constructed implementation, from what it exports after construction, after a
    step (after two, if its optimizer keeps arrays), after a forward pass and after gradients on the next
    batch.

    The implementation can be used afterwards; it has made that step or those two.
    Raises ValueError if `problem` overflows `dtype`.
    """
    state = first_state(problem, dtype)
    return _verdict(state, lambda seen: _inspect(seen, implementation, state))


def failed(foul: FoulError) -> Verdict:
    """The verdict on a result that fails before its values are compared."""
    return Verdict(False, str(foul), np.inf, None, None, "unstable" if foul.fault == "unstable" else "wrong")


class _StopError(Exception):
    """A comparison failed, and no more are made; the message is that of an unstable result, or empty."""


class _Seen(Comparison):
    """The comparisons of an implementation's results, call by call."""

    def structure(self, state: State, result: Any, when: str) -> None:
        """Raise FoulError, with `when` in its message, if the structure of `result` is wrong."""
        try:
            check_structure(result, state.problem, state.dtype)
        except FoulError as foul:
            raise FoulError(f"{foul} ({when})", foul.fault) from None

    def _stop_unless_passed(self, state: State, result: Result, when: str, in_use: bool = False) -> None:
        if not self.passed:
            raise _StopError(_lost_digits(state, result, when, in_use))

    def forward(self, state: State, result: Result, when: str) -> None:
        self.structure(state, result, when)
        self.compare_pass(when, result, reference_of(state, in_use=True))
        self._kept(state, result, when)
        self._stop_unless_passed(state, result, when, in_use=True)

    def gradients(self, state: State, result: Result, when: str) -> None:
        self.structure(state, result, when)
        exact = reference_of(state)
        self.compare_pass(when, result, exact)
        self.compare_gradients(when, result, exact)
        self._kept(state, result, when)
        self._stop_unless_passed(state, result, when)

    def step(self, state: State, result: Result, rate: float, when: str) -> None:
        self.structure(state, result, when)
        exact = reference_of(state)
        self.compare_pass(when, result, exact)
        self.compare_gradients(when, result, exact)
        self._updated(state, result, rate, when)
        self._stop_unless_passed(state, result, when)

    def unseen_step(self, state: State, result: Result, when: str) -> None:
        exact = reference_of(state).within(UNSEEN)
        self.compare_pass(when, result, exact)
        self.compare_gradients(when, result, exact)
        self._stop_unless_passed(state, result, when)

    def _kept(self, state: State, result: Result, when: str) -> None:
        """Compare the parameters and the optimizer's state with those before the call, bit for bit."""
        self.compare_kept(when, "weights", result.weights, state.weights)
        self.compare_kept(when, "biases", result.biases, state.biases)
        self.compare_kept(when, "state", result.state[:-1], state.arrays)
        _check_t(result, state.t, when)

    def _updated(self, state: State, result: Result, rate: float, when: str) -> None:
        """Compare parameters and state with the update of those before the step by the exported gradients."""
        update = Update(state.problem.training, self.dtype, state.t + 1, rate)
        names, L = state_names(state.problem), state.problem.network.layers
        for j, (name, before, d, after) in enumerate(
            (
                ("weights", state.weights, result.dw, result.weights),
                ("biases", state.biases, result.db, result.biases),
            )
        ):
            for k in range(L):
                own = range(j * L + k, len(names), 2 * L)
                exact, arrays = update(before[k], d[k], [state.arrays[i] for i in own], name == "weights")
                self.compare(when, f"{name}[{k}]", after[k], exact)
                for i, array in zip(own, arrays, strict=True):
                    self.compare(when, f"state[{i}], {names[i]},", result.state[i], array)
        _check_t(result, state.t + 1, when)


def _check_t(result: Result, t: int, when: str) -> None:
    if result.state and result.state[-1] != t:
        raise FoulError(
            f"state[-1]: expected t = {t}, the number of steps made, got {result.state[-1]} ({when})"
        )


def _verdict(state: State, look: Any) -> Verdict:
    seen = _Seen(state.dtype)
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            look(seen)
    except FoulError as foul:
        found = failed(foul)
    except _StopError as stopped:
        found = seen.verdict(unstable=str(stopped))
    else:
        found = seen.verdict()
    training = asked(state.problem.training)
    if found.passed or not training:
        return found
    return dataclasses.replace(found, message=f"{found.message} (training: {training})")


def _inspect(seen: _Seen, implementation: Implementation, state: State) -> None:
    result = implementation.export()
    seen.gradients(state, result, "after construction")
    _check_copies(implementation, result)

    for when in ("after a step", "after a second step")[: 2 if state.arrays else 1]:
        rate = learning_rate(state.weights, reference_of(state))
        implementation.step(rate)
        result = implementation.export()
        seen.step(state, result, rate, when)
        if implementation.same_order and state.t == 0:
            _check_bits(result, state, rate)
        state = state.after_step(result)

    implementation.forward()
    seen.forward(state, implementation.export(), "in a forward pass after a step")
    implementation.gradients()
    seen.gradients(state, implementation.export(), "in gradients after a step")


def _check_copies(implementation: Implementation, result: Result) -> None:
    """Writing to an export must not change the implementation."""
    before = [array.copy() for _, array in quantities(result)]
    for _, array in quantities(result):
        if array.flags.writeable:
            array.fill(np.nan)
    for (name, array), kept in zip(quantities(implementation.export()), before, strict=True):
        if not np.array_equal(array, kept):
            raise FoulError(
                f"{name}: expected export to give copies, but writing to them changed the implementation"
            )


def _check_bits(result: Result, state: State, rate: float) -> None:
    """After the first step, an implementation that claims the order of sums of `loops` has to equal `loops`
    bit for bit, in float64 and on problems of at most BITWISE samples times parameters.
    """
    size = state.problem.batch_size * sum(w.size for w in state.weights)
    if state.dtype == "float64" and size <= BITWISE:
        spec = registry.load("loops")(state.problem)
        spec.step(rate)
        same_bits(result, spec.export(), CLAIM)


def same_bits(result: Result, exact: Result, claim: str, among: Sequence[str] = QUANTITIES) -> None:
    """Raise FoulError at the first number of `result` that differs from that of `exact`.

    `claim` is the phrase of the message that says why they should be equal. Two NaN are equal: where both
    diverge, the learning rate is the cause.
    """
    if "loss" in among and result.loss != exact.loss and not (np.isnan(result.loss) and np.isnan(exact.loss)):
        raise FoulError(f"loss: expected {exact.loss!r}, {claim}, got {result.loss!r}")
    for (name, got), (_, want) in zip(quantities(result), quantities(exact), strict=True):
        if name.partition("[")[0] not in among:
            continue
        if got.shape != want.shape:
            raise FoulError(f"{name}: expected the shape {want.shape}, {claim}, got {got.shape}")
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        if not same.all():
            i = tuple(np.argwhere(~same)[0])
            raise FoulError(
                f"{name} at {place(i)}: expected {float(want[i])!r}, {claim}, got {float(got[i])!r}"
            )
    if "state" in among and result.state[-1:] != exact.state[-1:]:
        raise FoulError(f"state[-1]: expected t = {exact.state[-1:]}, {claim}, got {result.state[-1:]}")


def _lost_digits(state: State, result: Result, when: str, in_use: bool) -> str:
    """The message on a result whose errors a right formula explains that loses digits where an output
    saturates; empty if it does not explain them, or if no digits are lost.
    """
    problem, m = state.problem, state.problem.batch_size
    if LOSSES[problem.network.loss] is None:
        return ""
    exact, step = reference_of(state, in_use), state.step_of_dropout(in_use)
    lossy = reference(
        problem, state.weights, state.biases, state.batch, state.dtype, SECOND, lossy=True, step=step
    )
    arrays = [("output", result.output, exact.output, lossy.output)]
    if not in_use:
        for name in ("dw", "db"):
            found = zip(*(getattr(q, name) for q in (result, exact, lossy)), strict=True)
            arrays += [(f"{name}[{k}]", *array) for k, array in enumerate(found)]
    where, left = "", 17
    for name, got, strict, loose in arrays:
        error = np.abs((got - strict.hi) - strict.lo)
        if not (error <= np.maximum(strict.bound, loose.bound)).all():
            return ""
        found_digits = digits(float(error.max()), float(np.abs(strict.hi).max()))
        if (error > strict.bound).any() and found_digits < left:
            worst = [int(i) for i in np.unravel_index(np.argmax(error), error.shape)]
            where, left = f"{name} at {place(worst)}", found_digits
    loss = float(exact.loss.hi)
    distance = abs(result.loss - loss)
    if not distance <= float(exact.loss.bound):
        Y = problem.Y[:, state.batch * m : (state.batch + 1) * m]
        if not _is_logarithm_of_output(state, result, Y):
            return ""
        where, left = "loss", min(left, digits(distance, abs(loss)))
    if not where:
        return ""
    return (
        f"unstable: {where}, {when}: {left} digits are left where an output saturates: "
        "take the logarithm from z, and dz = a - y"
    )


def _is_logarithm_of_output(state: State, result: Result, Y: Reals) -> bool:
    """Whether the loss is computed from the logarithm of the rounded output, with or without clipping."""
    rounding = Rounding(state.dtype)
    binary = state.problem.network.loss == "binary_cross_entropy"

    def loss(least: float) -> tuple[float, float]:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(Y > 0, -Y * np.log(np.maximum(result.output, least)), 0.0)
            if binary:
                terms += np.where(Y < 1, -(1 - Y) * np.log(np.maximum(1 - result.output, least)), 0.0)
        total = float(terms.sum())
        slack = GUARD * rounding.gamma(Y.size + FREE + 2 * ELEMENTARY) * (total + Y.size)
        return (total - slack) / Y.shape[1], (total + slack) / Y.shape[1]

    at_roundings = loss(2 * FREE * rounding.u)[0] <= result.loss <= loss(rounding.u / 2)[1]
    at_the_end = [loss(least) for least in (rounding.eta, 0.0)]
    return at_roundings or any(low <= result.loss <= high for low, high in at_the_end)


def learning_rate(weights: tuple[Reals, ...], exact: Reference) -> float:
    """RATE, or less if such a step would change a layer's weights by more than RATE of their largest."""
    rate = RATE
    for w, dw in zip(weights, exact.dw, strict=True):
        size, change = float(np.abs(w).max()), float(np.abs(dw.hi).max())
        if size > 0 and change > size:
            rate = min(rate, RATE * size / change)
    return rate
