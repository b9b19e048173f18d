"""`gradients()`: forward, then backward: dw and db of a batch."""

from benchmarks.conftest import Lane


def test_gradients(lane: Lane) -> None:
    lane.time()
