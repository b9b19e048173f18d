"""The structure of a result, examined before its values: types, shapes, dtypes, finiteness; and the problem
as an implementation of a dtype holds it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.interface import LOSSES, Problem, Result

Reals = NDArray[np.float64]


class FoulError(Exception):
    """A result that fails before its values are compared; `fault` as in a Verdict."""

    def __init__(self, message: str, fault: str = "wrong") -> None:
        super().__init__(message)
        self.fault = fault


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
            raise ValueError(
                f"{name}: expected numbers within {dtype}, which ends at {largest:.3g}, "
                f"got {array[tuple(beyond[0])]} at {place(beyond[0])}; scale the problem down or use float64"
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
        ("training", problem.training),
    ):
        object.__setattr__(copy, name, value)
    return copy


def quantities(result: Result) -> Iterator[tuple[str, Any]]:
    """Every array of a result, by name."""
    yield "output", result.output
    for name in ("dw", "db", "weights", "biases"):
        for k, array in enumerate(getattr(result, name)):
            yield f"{name}[{k}]", array


def place(index: Sequence[int]) -> str:
    """An index as it is written."""
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def check_structure(result: Any, problem: Problem, dtype: str) -> None:
    """Raises FoulError where `result` is no Result of finite numbers of `dtype` in the problem's shapes."""
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
    wanted_shapes = [(n[-1], m), *(shape for name in shapes for shape in shapes[name])]
    for (name, array), shape in zip(quantities(result), wanted_shapes, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            got = getattr(array, "dtype", type(array).__name__)
            raise FoulError(f"{name}: expected a float64 NumPy array, got {got}")
        if array.shape != shape:
            raise FoulError(f"{name}: expected shape {shape}, got {array.shape}")
        _check_numbers(name, array, result, problem, dtype)
    if not np.isfinite(result.loss):
        raise _infinite("loss", f"expected a finite number, got {result.loss}", result, problem)


def _check_numbers(name: str, array: Reals, result: Result, problem: Problem, dtype: str) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        text = f"expected finite numbers, got {array[tuple(bad[0])]} at {place(bad[0])}"
        raise _infinite(name, text, result, problem)
    if dtype != "float64":
        with np.errstate(over="ignore"):
            wide = np.argwhere(array != array.astype(dtype))
        if len(wide):
            raise FoulError(
                f"{name}: expected numbers of {dtype}, got {array[tuple(wide[0])]!r} at {place(wide[0])}, "
                "which is none: was it computed in another dtype?"
            )


def _infinite(name: str, text: str, result: Result, problem: Problem) -> FoulError:
    """Unstable where an output has rounded to 0 or 1, whose logarithm or reciprocal is taken; else wrong."""
    saturated = np.argwhere((result.output == 0) | (result.output == 1))
    if LOSSES[problem.network.loss] is None or not len(saturated) or name == "output":
        return FoulError(f"{name}: {text}")
    where = f"output {place(saturated[0])} has rounded to {result.output[tuple(saturated[0])]:g}"
    return FoulError(
        f"unstable: {name}: {text}; no digits are left where an output saturates ({where}): "
        "take the logarithm from z, and dz = a - y",
        "unstable",
    )
