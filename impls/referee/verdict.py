"""The referee: whether an implementation computes the loss, output, gradients and steps that it should.

Structure, shape, dtype and finiteness come first, then every element is held against the exact value and the
error that rounding can explain there (oracle.py, error_bound.py). Comparisons are written so that NaN fails.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls import registry
from impls.interface import Implementation, Problem, Result
from impls.referee.double_double import two_product, two_sum
from impls.referee.error_bound import FREE, GUARD, Rounding
from impls.referee.reference import Exact, Reference, reference

Reals = NDArray[np.float64]

RATE = 0.1
"""The learning rate of the step under test, at most; like most rates it is no binary fraction."""


FIRST, SECOND = 1e9, 1e8
"""What references may cost (see `reference`): that of the first batch, which serves every implementation
of a problem, about 0.5 s; that after a step, which is each implementation's own, about 0.05 s."""


BITWISE = 100_000
"""Samples times parameters up to which an implementation that sums in the order of `loops` is held against
it bit for bit: some 30 ms of loops."""

CLAIM = "the very bits of loops, whose order of sums the implementation claims"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the referee found.

    `message` is empty when passed; otherwise it names the worst error, its place, the bound, what was got
    and what was expected. `error_of_bound` is the largest error of loss, output, dw and db as a share of its
    bound (of the parameters too, where they fail), inf where structure or finiteness fails.

    `error_ulp` and `error_ulp_median` are over all elements of dw and db, in ulp of the implementation's
    dtype at the largest magnitude in the element's array: single elements of a gradient may cancel to
    nothing, and an ulp of what is left would measure the problem's condition, not the implementation. They
    are None where the batch is so large that the reference is no more precise than the implementation.
    """

    passed: bool
    message: str
    error_of_bound: float
    error_ulp: float | None
    error_ulp_median: float | None


class _FoulError(Exception):
    """A result that fails before its values are compared."""


@functools.lru_cache(maxsize=1)
def held(problem: Problem, dtype: str) -> Problem:
    """The problem as an implementation of `dtype` holds it: parameters and data rounded to nearest.

    Raises ValueError, by name and index, for a number that overflows on the way.
    """
    if dtype == "float64":
        return problem
    largest = np.finfo(dtype).max

    def rounded(name: str, array: Reals) -> Reals:
        with np.errstate(over="ignore"):
            narrow = array.astype(dtype).astype(np.float64)
        beyond = np.argwhere(~np.isfinite(narrow))
        if len(beyond):
            place = ", ".join(str(int(index)) for index in beyond[0])
            raise ValueError(
                f"{name}: expected numbers within {dtype}, which ends at {largest:.3g}, "
                f"got {array[tuple(beyond[0])]} at [{place}]; scale the problem down or use float64"
            )
        return narrow

    # Targets that are rounded one by one may sum to 1 within float32 only, which Problem would refuse.
    copy = object.__new__(Problem)
    for name, value in (
        ("network", problem.network),
        ("weights", tuple(rounded(f"weights[{k}]", w) for k, w in enumerate(problem.weights))),
        ("biases", tuple(rounded(f"biases[{k}]", b) for k, b in enumerate(problem.biases))),
        ("X", rounded("X", problem.X)),
        ("Y", rounded("Y", problem.Y)),
        ("batch_size", problem.batch_size),
    ):
        object.__setattr__(copy, name, value)
    return copy


def quantities(result: Result) -> Iterator[tuple[str, Any]]:
    """Every array of a result, by name."""
    yield "output", result.output
    for name in ("dw", "db", "weights", "biases"):
        for k, array in enumerate(getattr(result, name)):
            yield f"{name}[{k}]", array


def _check_structure(result: Any, problem: Problem, dtype: str) -> None:
    n, m = problem.network.widths, problem.batch_size
    if not isinstance(result, Result):
        raise _FoulError(f"export: expected a Result, got {type(result).__name__}")
    if isinstance(result.loss, bool) or not isinstance(result.loss, (float, np.floating)):
        raise _FoulError(f"loss: expected a float, got {type(result.loss).__name__}")
    pairs = list(zip(n[1:], n[:-1], strict=True))
    shapes: dict[str, list[tuple[int, int]]] = {
        "dw": pairs,
        "db": [(i, 1) for i, _ in pairs],
        "weights": pairs,
        "biases": [(i, 1) for i, _ in pairs],
    }
    for name, wanted in shapes.items():
        arrays = getattr(result, name)
        if not isinstance(arrays, tuple) or len(arrays) != len(wanted):
            got = f"{len(arrays)} of them" if isinstance(arrays, Sequence) else type(arrays).__name__
            raise _FoulError(f"{name}: expected a tuple of {len(wanted)} arrays, one a layer, got {got}")
    wanted_shapes = [(n[-1], m), *(shape for name in shapes for shape in shapes[name])]
    for (name, array), shape in zip(quantities(result), wanted_shapes, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            got = getattr(array, "dtype", type(array).__name__)
            raise _FoulError(f"{name}: expected a float64 NumPy array, got {got}")
        if array.shape != shape:
            raise _FoulError(f"{name}: expected shape {shape}, got {array.shape}")
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = ", ".join(str(int(index)) for index in bad[0])
            raise _FoulError(f"{name}: expected finite numbers, got {array[tuple(bad[0])]} at [{place}]")
        if dtype != "float64":
            wide = np.argwhere(array != array.astype(dtype))
            if len(wide):
                place = ", ".join(str(int(index)) for index in wide[0])
                raise _FoulError(
                    f"{name}: expected numbers of {dtype}, got {array[tuple(wide[0])]!r} at [{place}], "
                    "which is none: was it computed in another dtype?"
                )
    if not np.isfinite(result.loss):
        raise _FoulError(f"loss: expected a finite number, got {result.loss}")


class _Worst:
    """The largest error as a share of its bound, and the gradients' errors in ulp."""

    def __init__(self, dtype: str) -> None:
        self.eps = float(np.finfo(dtype).eps)
        self.normal = float(np.finfo(dtype).smallest_normal)
        self.share = 0.0
        self.message = ""
        self.ulps: list[Reals] = []

    def compare(self, when: str, name: str, got: Any, exact: Exact, ulps: bool = False) -> None:
        """Hold `got` against the exact value and its bound, element by element."""
        got, E = np.asarray(got), exact.bound
        error = np.abs((got - exact.hi) - exact.lo)
        if ulps:
            self.ulps.append((error / self.ulp(exact.hi)).ravel())
        if not (np.isfinite(E) & (E >= 0)).all():
            raise _FoulError(
                f"{name} {when}: no finite error bound, the numbers come too near to the end of the dtype's "
                "range, or too many of them are added up; scale the problem down, or take smaller batches"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(error == 0, 0.0, error / E)
        share = np.where(np.isnan(share), np.inf, share)
        worst = np.unravel_index(np.argmax(share), share.shape)
        sound = bool(error[worst] <= E[worst])
        # parameters differ from w - rate dw by one rounding of u |w|, as a rule: their share says nothing
        if sound and name.startswith(("weights", "biases")):
            return
        if share[worst] > self.share:
            self.share = float(share[worst])
            if not sound:
                place = "" if share.ndim == 0 else " at [" + ", ".join(str(int(i)) for i in worst) + "]"
                self.message = (
                    f"{name}{place}, {when}: the error {error[worst]:.3g} is {self.share:.3g} times its "
                    f"bound {E[worst]:.3g}; expected {float(exact.hi[worst])!r}, got {float(got[worst])!r}"
                )

    def ulp(self, exact: Reals) -> float:
        """The spacing of the implementation's dtype at the largest magnitude of an array."""
        top = max(float(np.abs(exact).max()), self.normal)
        return float(self.eps * 2.0 ** np.floor(np.log2(top)))


@functools.lru_cache(maxsize=1)
def first_reference(problem: Problem, dtype: str) -> Reference:
    """The reference of the first batch: the same for all, and so kept while the problem is."""
    return reference(problem, problem.weights, problem.biases, 0, dtype, FIRST)


def check(implementation: Implementation, problem: Problem, dtype: str) -> Verdict:
    """Put a freshly constructed implementation through forward, gradients and a step, and judge what it
    exports.

    The implementation can go on afterwards: it has made one step, and stands at the batch after the first.
    Raises ValueError where `problem` overflows `dtype`.
    """
    problem = held(problem, dtype)
    worst = _Worst(dtype)
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            _inspect(implementation, problem, dtype, worst)
    except _FoulError as foul:
        return Verdict(False, str(foul), np.inf, None, None)
    if not worst.ulps:
        return Verdict(worst.share <= 1, worst.message, worst.share, None, None)
    ulps = np.concatenate(worst.ulps)
    return Verdict(worst.share <= 1, worst.message, worst.share, float(ulps.max()), float(np.median(ulps)))


def _export(implementation: Implementation, problem: Problem, dtype: str, when: str) -> Result:
    result = implementation.export()
    try:
        _check_structure(result, problem, dtype)
    except _FoulError as foul:
        raise _FoulError(f"{foul} ({when})") from None
    return result


def _inspect(implementation: Implementation, problem: Problem, dtype: str, worst: _Worst) -> None:
    when = "after construction"
    result = _export(implementation, problem, dtype, when)
    compare_parameters(worst, when, result, problem.weights, problem.biases)
    first = first_reference(problem, dtype)
    compare_pass(worst, when, result, first)
    compare_gradients(worst, when, result, first)
    _check_copies(implementation, result)

    rate = learning_rate(problem.weights, first)
    implementation.step(rate)
    when = "after a step"
    result = _export(implementation, problem, dtype, when)
    compare_pass(worst, when, result, first)
    compare_gradients(worst, when, result, first)
    compare_update(worst, when, result, problem, rate, dtype)

    size = problem.batch_size * sum(w.size for w in problem.weights)
    if implementation.same_order and dtype == "float64" and size <= BITWISE and worst.share <= 1:
        _check_bits(result, problem, rate)

    # What follows is judged on the implementation's own parameters: so no error is carried from one step to
    # the next.
    weights, biases = result.weights, result.biases
    second = reference(problem, weights, biases, 1 % problem.batches, dtype, SECOND)
    implementation.forward()
    when = "in a forward pass after a step"
    compare_pass(worst, when, _export(implementation, problem, dtype, when), second)
    implementation.gradients()
    when = "in gradients after a step"
    result = _export(implementation, problem, dtype, when)
    compare_pass(worst, when, result, second)
    compare_gradients(worst, when, result, second)
    compare_parameters(worst, when, result, weights, biases)


def _check_copies(implementation: Implementation, result: Result) -> None:
    """Writing to what was exported must leave the implementation as it is."""
    before = [array.copy() for _, array in quantities(result)]
    for _, array in quantities(result):
        if array.flags.writeable:
            array.fill(np.nan)
    for (name, array), kept in zip(quantities(implementation.export()), before, strict=True):
        if not np.array_equal(array, kept):
            raise _FoulError(
                f"{name}: expected export to give copies, but writing to them changed the implementation"
            )


def _check_bits(result: Result, problem: Problem, rate: float) -> None:
    """An implementation that claims the order of sums of `loops` has its very bits, after a step."""
    spec = registry.load("loops")(problem)
    spec.step(rate)
    exact = spec.export()
    if result.loss != exact.loss:
        raise _FoulError(f"loss: expected {exact.loss!r}, {CLAIM}, got {result.loss!r}")
    for (name, got), (_, want) in zip(quantities(result), quantities(exact), strict=True):
        other = np.argwhere(got != want)
        if len(other):
            i = tuple(other[0])
            place = ", ".join(map(str, i))
            raise _FoulError(
                f"{name} at [{place}]: expected {float(want[i])!r}, {CLAIM}, got {float(got[i])!r}"
            )


def compare_pass(worst: _Worst, when: str, result: Result, exact: Reference) -> None:
    """Loss and output."""
    worst.compare(when, "loss", result.loss, exact.loss)
    worst.compare(when, "output", result.output, exact.output)


def compare_gradients(worst: _Worst, when: str, result: Result, exact: Reference) -> None:
    """dw and db of every layer."""
    for name, got, want in (("dw", result.dw, exact.dw), ("db", result.db, exact.db)):
        for k, (g, e) in enumerate(zip(got, want, strict=True)):
            worst.compare(when, f"{name}[{k}]", g, e, ulps=exact.wider)


def compare_parameters(
    worst: _Worst, when: str, result: Result, weights: tuple[Reals, ...], biases: tuple[Reals, ...]
) -> None:
    """The very parameters, to the last bit."""
    for name, got, want in (("weights", result.weights, weights), ("biases", result.biases, biases)):
        for k, (g, p) in enumerate(zip(got, want, strict=True)):
            zero = np.zeros_like(p)
            worst.compare(when, f"{name}[{k}]", g, Exact(p, zero, zero))


def compare_update(
    worst: _Worst, when: str, result: Result, problem: Problem, rate: float, dtype: str
) -> None:
    """w - rate dw, of the implementation's own dw: one product, one difference, and FREE roundings."""
    rounding = Rounding(dtype)
    for name, new, old, d in (
        ("weights", result.weights, problem.weights, result.dw),
        ("biases", result.biases, problem.biases, result.db),
    ):
        for k, (p_new, p, dp) in enumerate(zip(new, old, d, strict=True)):
            change, change_lo = two_product(np.full_like(dp, rate), dp)
            hi, lo = two_sum(p, -change)
            size = np.abs(change)
            E = rounding.gamma(FREE) * size + rounding.u * (np.abs(p) + size) + rounding.eta
            worst.compare(when, f"{name}[{k}]", p_new, Exact(hi, lo - change_lo, GUARD * E))


def learning_rate(weights: tuple[Reals, ...], exact: Reference) -> float:
    """RATE, or less where such a step would throw the parameters far out."""
    rate = RATE
    for w, dw in zip(weights, exact.dw, strict=True):
        size, change = float(np.abs(w).max()), float(np.abs(dw.hi).max())
        if size > 0 and change > size:
            rate = min(rate, RATE * size / change)
    return rate
