"""`forward()`: a batch through the network."""

from benchmarks.conftest import Lane


def test_forward(lane: Lane) -> None:
    lane.time()
