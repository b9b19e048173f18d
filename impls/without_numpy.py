"""The part of NumPy that `loops` and the contract use, for interpreters without NumPy: arrays as lists."""

from __future__ import annotations

import array as arrays
import platform
import sys
from types import ModuleType
from typing import Any


class ListArray:
    """A vector as a list of floats, or a matrix as a list of rows."""

    dtype = "float64"

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    @property
    def shape(self) -> tuple[int, ...]:
        is_matrix = self.values and isinstance(self.values[0], list)
        return (len(self.values), len(self.values[0])) if is_matrix else (len(self.values),)

    @property
    def T(self) -> ListArray:  # noqa: N802 - NumPy's name
        """The matrix transposed."""
        return ListArray(list(map(list, zip(*self.values))))  # noqa: B905 - Python 3.9 has no strict

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> ListArray:
        """`[:, 0]` of a matrix, `[:, None]` and slices of a vector."""
        if isinstance(index, slice):
            return ListArray(self.values[index])
        if index == (slice(None), None):
            return ListArray([[value] for value in self.values])
        if index == (slice(None), 0):
            return ListArray([row[0] for row in self.values])
        raise _missing(f"array[{index}]")

    def reshape(self, shape: tuple[int, int]) -> ListArray:
        """The matrix of a vector, row by row."""
        columns = shape[1]
        return ListArray([self.values[k : k + columns] for k in range(0, len(self.values), columns)])

    def tolist(self) -> list[Any]:
        """A copy, as lists."""
        return [list(row) if isinstance(row, list) else row for row in self.values]

    def tobytes(self) -> bytes:
        """The numbers, row by row."""
        flat = arrays.array("d")
        for row in self.values:
            flat.extend(row if isinstance(row, list) else [row])
        return flat.tobytes()


def array(values: list[Any], *dtype: Any, **options: Any) -> ListArray:
    """The array of a list of floats, or of a list of such lists."""
    if dtype or options:
        raise _missing("array with a dtype or an order")
    return ListArray(list(values))


def frombuffer(data: bytes) -> ListArray:
    """The vector of these bytes."""
    return ListArray(list(arrays.array("d", data)))


class _None:
    """A type of numbers that no object here has."""


def install() -> ModuleType:
    """Install this module in the place of NumPy; anything that it lacks is reported as missing NumPy."""
    module = sys.modules["numpy"] = sys.modules[__name__]
    sys.modules["numpy.typing"] = ModuleType("numpy.typing")
    vars(sys.modules["numpy.typing"]).update(ArrayLike=Any, NDArray=list)
    vars(module).update(float64=float, integer=_None, floating=_None, ndarray=ListArray)
    return module


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise _missing(name)


def _missing(name: str) -> ImportError:
    from impls.interface import Unavailable

    return Unavailable(
        f"NumPy's {name} is needed, and {platform.python_implementation()} {platform.python_version()} "
        f"has no NumPy; install it: {sys.executable} -m pip install numpy"
    )
