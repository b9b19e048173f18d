"""`step()`: gradients, then the update of every parameter."""

from benchmarks.conftest import Lane


def test_step(lane: Lane) -> None:
    lane.time()
