"""The referee: whether a racer computes the loss, output, gradients and steps that it should.

Structure, shape, dtype and finiteness come first, then every element is held against the exact value and the
error that rounding can explain there (impls/oracle.py, impls/error_bound.py). Comparisons are written so that
NaN fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls import oracle
from impls.error_bound import FREE, GUARD, Bounds, Rounding, bound
from impls.interface import Implementation, Problem, Result

Reals = NDArray[np.float64]

RATE = 0.1
"""The learning rate of the step under test, at most; like most rates it is no binary fraction."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the referee found.

    `message` is empty when passed; otherwise it names the worst error, its place, the bound, what was got
    and what was expected. `error_of_bound` is the largest error of loss, output, dw and db as a share of its
    bound (of the parameters too, where they fail), inf where structure or finiteness fails.

    `error_ulp` and `error_ulp_median` are over all elements of dw and db, in ulp of the racer's dtype at the
    largest magnitude in the element's array: single elements of a gradient may cancel to nothing, and an ulp
    of what is left would measure the problem's condition, not the racer.
    """

    passed: bool
    message: str
    error_of_bound: float
    error_ulp: float
    error_ulp_median: float


class _FoulError(Exception):
    """A result that fails before its values are compared."""


def held(problem: Problem, dtype: str) -> Problem:
    """The problem as a racer of `dtype` holds it: parameters and data rounded to nearest.

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

    def compare(self, when: str, name: str, got: Any, exact: Any, E: Any) -> None:
        """Hold `got` against `exact`, whose errors may be up to `E`, element by element."""
        got, E = np.asarray(got, np.float64), np.asarray(E, np.float64)
        exact = np.asarray(exact)
        error = np.abs(got - exact).astype(np.float64)
        if name.startswith(("dw", "db")):
            self.ulps.append((error / self.ulp(exact)).ravel())
        if not np.isfinite(E).all():
            raise _FoulError(
                f"{name} {when}: no finite error bound, the numbers come too near to the end of the dtype's "
                "range; scale the problem down"
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
                    f"bound {E[worst]:.3g}; expected {float(exact[worst])!r}, got {float(got[worst])!r}"
                )

    def ulp(self, exact: NDArray[Any]) -> float:
        """The spacing of the racer's dtype at the largest magnitude of an array."""
        top = max(float(np.abs(exact).max()), self.normal)
        return float(self.eps * 2.0 ** np.floor(np.log2(top)))


def exact_pass(
    problem: Problem, weights: tuple[Reals, ...], biases: tuple[Reals, ...], batch: int, dtype: str
) -> oracle.Pass:
    """The oracle's pass over one batch of a held problem, in arithmetic wide enough to judge `dtype`."""
    columns = slice(batch * problem.batch_size, (batch + 1) * problem.batch_size)
    wide = np.longdouble if dtype == "float64" else np.float64
    return oracle.propagate(
        problem.network, weights, biases, problem.X[:, columns], problem.Y[:, columns], wide
    )


def check(racer: Implementation, problem: Problem, dtype: str) -> Verdict:
    """Put a freshly constructed racer through forward, gradients and a step, and judge what it exports.

    The racer can go on afterwards: it has made one step, and stands at the batch after the first. Raises
    ValueError where `problem` overflows `dtype`.
    """
    problem = held(problem, dtype)
    worst = _Worst(dtype)
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            _inspect(racer, problem, dtype, worst)
    except _FoulError as foul:
        return Verdict(False, str(foul), np.inf, np.inf, np.inf)
    ulps = np.concatenate(worst.ulps)
    return Verdict(worst.share <= 1, worst.message, worst.share, float(ulps.max()), float(np.median(ulps)))


def _export(racer: Implementation, problem: Problem, dtype: str, when: str) -> Result:
    result = racer.export()
    try:
        _check_structure(result, problem, dtype)
    except _FoulError as foul:
        raise _FoulError(f"{foul} ({when})") from None
    return result


def _inspect(racer: Implementation, problem: Problem, dtype: str, worst: _Worst) -> None:
    m = problem.batch_size
    network = problem.network
    weights, biases = problem.weights, problem.biases
    when = "after construction"
    result = _export(racer, problem, dtype, when)
    for name, got, given in (("weights", result.weights, weights), ("biases", result.biases, biases)):
        for k, (g, e) in enumerate(zip(got, given, strict=True)):
            worst.compare(when, f"{name}[{k}]", g, e, np.zeros_like(e))
    exact = exact_pass(problem, weights, biases, 0, dtype)
    bounds = bound(network, weights, biases, problem.Y[:, :m], exact, dtype)
    compare_pass(worst, when, result, exact, bounds)
    compare_gradients(worst, when, result, exact, bounds)

    # The step is judged on the racer's own parameters: so no error is carried from one step to the next.
    rate = learning_rate(weights, exact)
    racer.step(rate)
    when = "after a step"
    result = _export(racer, problem, dtype, when)
    compare_pass(worst, when, result, exact, bounds)
    compare_gradients(worst, when, result, exact, bounds)
    compare_update(worst, when, result, weights, biases, rate, dtype)

    weights, biases = result.weights, result.biases
    batch = 1 % problem.batches
    Y = problem.Y[:, batch * m : (batch + 1) * m]
    exact = exact_pass(problem, weights, biases, batch, dtype)
    bounds = bound(network, weights, biases, Y, exact, dtype)
    racer.forward()
    when = "in a forward pass after a step"
    compare_pass(worst, when, _export(racer, problem, dtype, when), exact, bounds)
    racer.gradients()
    when = "in gradients after a step"
    result = _export(racer, problem, dtype, when)
    compare_pass(worst, when, result, exact, bounds)
    compare_gradients(worst, when, result, exact, bounds)
    for name, got, given in (("weights", result.weights, weights), ("biases", result.biases, biases)):
        for k, (g, e) in enumerate(zip(got, given, strict=True)):
            worst.compare(when, f"{name}[{k}]", g, e, np.zeros_like(e))


def compare_pass(worst: _Worst, when: str, result: Result, exact: oracle.Pass, bounds: Bounds) -> None:
    """Loss and output."""
    worst.compare(when, "loss", result.loss, exact.loss, bounds.loss)
    worst.compare(when, "output", result.output, exact.output, bounds.output)


def compare_gradients(worst: _Worst, when: str, result: Result, exact: oracle.Pass, bounds: Bounds) -> None:
    """dw and db of every layer."""
    for name, got, want, E in (
        ("dw", result.dw, exact.dw, bounds.dw),
        ("db", result.db, exact.db, bounds.db),
    ):
        for k, (g, e, bound_of_it) in enumerate(zip(got, want, E, strict=True)):
            worst.compare(when, f"{name}[{k}]", g, e, bound_of_it)


def compare_update(
    worst: _Worst,
    when: str,
    result: Result,
    weights: tuple[Reals, ...],
    biases: tuple[Reals, ...],
    rate: float,
    dtype: str,
) -> None:
    """w - rate dw, of the racer's own dw: one product, one difference, and FREE roundings."""
    rounding = Rounding(dtype)
    for name, new, old, d in (
        ("weights", result.weights, weights, result.dw),
        ("biases", result.biases, biases, result.db),
    ):
        for k, (p_new, p, dp) in enumerate(zip(new, old, d, strict=True)):
            want = p.astype(np.longdouble) - np.longdouble(rate) * dp
            change = np.abs(rate * dp)
            E = rounding.gamma(FREE) * change + rounding.u * (np.abs(p) + change) + rounding.eta
            worst.compare(when, f"{name}[{k}]", p_new, want, GUARD * E)


def learning_rate(weights: tuple[Reals, ...], exact: oracle.Pass) -> float:
    """RATE, or less where such a step would throw the parameters far out."""
    share = RATE
    for w, dw in zip(weights, exact.dw, strict=True):
        size, change = float(np.abs(w).max()), float(np.abs(dw).max())
        if size > 0 and change > size:
            share = min(share, RATE * size / change)
    return share
