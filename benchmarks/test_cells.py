"""One test for each cell: `forward()`, `gradients()` or `step()` of one implementation."""

from collections.abc import Callable


def test_cell(measure: Callable[[], None]) -> None:
    measure()
