"""The structure of a result, checked before its values: types, shapes, dtypes, finiteness; and the problem
rounded to a dtype.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.interface import LOSSES, Problem, Result, Training

Reals = NDArray[np.float64]

STATES: dict[str, tuple[str, ...]] = {
    "gradient_descent": (),
    "momentum": ("v",),
    "nesterov": ("v",),
    "rmsprop": ("v",),
    "adam": ("m", "v"),
    "adamw": ("m", "v"),
}
"""The arrays that an optimizer keeps for each array of parameters, in the order of `Result.state`."""

CONSTANTS: dict[str, tuple[str, ...]] = {
    "gradient_descent": (),
    "momentum": ("mu",),
    "nesterov": ("mu",),
    "rmsprop": ("rho", "eps"),
    "adam": ("b1", "b2", "eps"),
    "adamw": ("b1", "b2", "eps", "weight_decay"),
}
"""The constants of each optimizer."""


class FoulError(Exception):
    """A result that fails before its values are compared; `fault` as in a Verdict."""

    def __init__(self, message: str, fault: str = "wrong") -> None:
        super().__init__(message)
        self.fault = fault


@functools.lru_cache(maxsize=1)
def held(problem: Problem, dtype: str) -> Problem:
    """The problem with parameters and data rounded to `dtype`, as an implementation holds it.

    Raises ValueError for a number that overflows, with its name and index, and for an `eps` of the training
    below the normal range of `dtype`, where hardware may flush it to 0.
    """
    least, training = float(np.finfo(dtype).smallest_normal), problem.training
    if "eps" in CONSTANTS[training.optimizer] and training.eps < least:
        raise ValueError(
            f"eps: expected {least:.3g} or more, where the normal numbers of {dtype} begin, got "
            f"{training.eps:.3g}"
        )
    if dtype == "float64":
        return problem
    largest = np.finfo(dtype).max

    def rounded(name: str, array: Reals) -> Reals:
        with np.errstate(over="ignore"):
            narrow = array.astype(dtype).astype(np.float64)
        beyond = np.argwhere(~np.isfinite(narrow))
        if len(beyond):
            raise ValueError(
                f"{name}: expected numbers within {dtype}, which ends at {largest:.3g}, "
                f"got {array[tuple(beyond[0])]} at {place(beyond[0])}; scale the problem down or use float64"
            )
        return narrow

    # Rounded targets sum to 1 only within float32, which Problem would refuse.
    copy = object.__new__(Problem)
    for name, value in (
        ("network", problem.network),
        ("weights", tuple(rounded(f"weights[{k}]", w) for k, w in enumerate(problem.weights))),
        ("biases", tuple(rounded(f"biases[{k}]", b) for k, b in enumerate(problem.biases))),
        ("X", rounded("X", problem.X)),
        ("Y", rounded("Y", problem.Y)),
        ("batch_size", problem.batch_size),
        ("training", problem.training),
    ):
        object.__setattr__(copy, name, value)
    return copy


def quantities(result: Result) -> Iterator[tuple[str, Any]]:
    """Every array of a result with its name; t, the last item of its state, is left out."""
    yield "output", result.output
    for name in ("dw", "db", "weights", "biases"):
        for k, array in enumerate(getattr(result, name)):
            yield f"{name}[{k}]", array
    for k, array in enumerate(result.state[:-1]):
        yield f"state[{k}]", array


def state_names(problem: Problem) -> list[str]:
    """A description of each array of `Result.state`, like "m of weights[0]"."""
    L = problem.network.layers
    return [
        f"{kind} of {name}[{k}]"
        for kind in STATES[problem.training.optimizer]
        for name in ("weights", "biases")
        for k in range(L)
    ]


def asked(training: Training) -> str:
    """A training in words: the optimizer and its constants other than defaults; empty for plain descent."""
    dropout = np.any(training.dropout)
    names = ("l2", *(("dropout", "seed") if dropout else ()), *CONSTANTS[training.optimizer])
    usual = Training()
    changed = [
        f"{name}={getattr(training, name)}"
        for name in names
        if getattr(training, name) != getattr(usual, name)
    ]
    plain = training.optimizer == usual.optimizer and not changed
    return "" if plain else ", ".join([training.optimizer, *changed])


def place(index: Sequence[int]) -> str:
    """An index in the notation of Python, like [1, 2]."""
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def check_structure(result: Any, problem: Problem, dtype: str) -> None:
    """Raise FoulError unless `result` is a Result of finite numbers of `dtype` in the problem's shapes."""
    n, m = problem.network.widths, problem.batch_size
    if not isinstance(result, Result):
        raise FoulError(f"export: expected a Result, got {type(result).__name__}")
    if isinstance(result.loss, bool) or not isinstance(result.loss, (float, np.floating)):
        raise FoulError(f"loss: expected a float, got {type(result.loss).__name__}")
    pairs = list(zip(n[1:], n[:-1], strict=True))
    columns = [(i, 1) for i, _ in pairs]
    shapes = {"dw": pairs, "db": columns, "weights": pairs, "biases": columns}
    for name, wanted in shapes.items():
        arrays = getattr(result, name)
        if not isinstance(arrays, tuple) or len(arrays) != len(wanted):
            got = f"{len(arrays)} of them" if isinstance(arrays, Sequence) else type(arrays).__name__
            raise FoulError(f"{name}: expected a tuple of {len(wanted)} arrays, one a layer, got {got}")
    names = _check_state(result.state, problem)
    parameters = [*pairs, *columns]
    wanted_shapes = [(n[-1], m), *(shape for name in shapes for shape in shapes[name])]
    wanted_shapes += [parameters[k % len(parameters)] for k in range(len(names))]
    labels = [""] * (len(wanted_shapes) - len(names)) + names
    for (name, array), label, shape in zip(quantities(result), labels, wanted_shapes, strict=True):
        what = f"{name}, {label}" if label else name
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            got = getattr(array, "dtype", type(array).__name__)
            raise FoulError(f"{what}: expected a float64 NumPy array, got {got}")
        if array.shape != shape:
            raise FoulError(f"{what}: expected shape {shape}, got {array.shape}")
        _check_numbers(what, array, result, problem, dtype)
    if not np.isfinite(result.loss):
        raise _infinite("loss", f"expected a finite number, got {result.loss}", result, problem)


def _check_state(state: Any, problem: Problem) -> list[str]:
    """The names of the arrays in a state; raises FoulError unless the state consists of these and t."""
    names = state_names(problem)
    if names:
        kinds = " and ".join(STATES[problem.training.optimizer])
        wanted = f"{len(names)} arrays, {kinds} of all weights and then of all biases, and t"
    elif any(problem.dropout):
        wanted = "(t,), t being the number of steps made"
    else:
        wanted = "(), as plain gradient descent keeps nothing"
    if not isinstance(state, tuple):
        raise FoulError(f"state: expected a tuple of {wanted}, got {type(state).__name__}")
    if len(state) != (len(names) + 1 if names or any(problem.dropout) else 0):
        got = f"{len(state)} items" if state else "(): is problem.training ignored?"
        raise FoulError(f"state: expected {wanted}, got {got}")
    if state and (isinstance(state[-1], bool) or not isinstance(state[-1], (int, np.integer))):
        raise FoulError(f"state[-1]: expected t as an int, got {type(state[-1]).__name__}")
    return names


def _check_numbers(name: str, array: Reals, result: Result, problem: Problem, dtype: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        text = f"expected finite numbers, got {array[tuple(bad[0])]} at {place(bad[0])}"
        raise _infinite(name, text, result, problem)
    if dtype != "float64":
        with np.errstate(over="ignore"):
            same = array == array.astype(dtype)
        if not same.all():
            wide = np.argwhere(~same)
            raise FoulError(
                f"{name}: expected numbers of {dtype}, got {array[tuple(wide[0])]!r} at {place(wide[0])}, "
                f"which is not a {dtype} number: was it computed in another dtype?"
            )


def _infinite(name: str, text: str, result: Result, problem: Problem) -> FoulError:
    """The error on a number that is not finite: unstable if an output has rounded to 0 or 1, whose logarithm
    or reciprocal is infinite; else wrong.
    """
    saturated = np.argwhere((result.output == 0) | (result.output == 1))
    of_loss = name.startswith(("loss", "dw", "db"))
    if LOSSES[problem.network.loss] is None or not len(saturated) or not of_loss:
        return FoulError(f"{name}: {text}")
    where = f"output {place(saturated[0])} has rounded to {result.output[tuple(saturated[0])]:g}"
    return FoulError(
        f"unstable: {name}: {text}; no digits are left where an output saturates ({where}): "
        "take the logarithm from z, and dz = a - y",
        "unstable",
    )
