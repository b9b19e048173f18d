"""The process of a race that waits for no undisturbed moment, as no test asserts a time."""

from __future__ import annotations

from benchmarks.measure import calibration, noise
from benchmarks.measure.process import Parent
from benchmarks.race import worker


def serve(parent: Parent) -> None:
    """The process of a race, without waits and with the fewest repeats in the calibration."""
    noise.WAIT_SECONDS = (0.0, 0.0)
    noise.LISTEN_SECONDS = 0.0
    calibration.MOST = calibration.REPEATS
    worker.serve(parent)
