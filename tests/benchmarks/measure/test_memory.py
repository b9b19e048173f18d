"""Peak memory, against allocations of known size."""

from __future__ import annotations

import numpy as np

import impls
from benchmarks.measure import costs, memory

MIB = 1 << 20


def test_the_peak_is_what_was_there_at_once() -> None:
    def work() -> int:
        first = np.ones(16 * MIB // 8)
        del first
        second, third = np.ones(16 * MIB // 8), np.ones(8 * MIB // 8)
        return second.nbytes + third.nbytes

    held, most = memory.peak(work)
    assert held == 24 * MIB
    assert 24 * MIB <= most <= 25 * MIB


def test_what_stood_before_is_not_counted() -> None:
    before = np.ones(32 * MIB // 8)
    _, most = memory.peak(lambda: before[:10] + 1)
    assert most < MIB


def test_the_least_is_the_output_the_gradients_and_one_sample() -> None:
    network = impls.Network((3, 5, 2), ("relu", "identity"), "mean_squared_error")
    assert memory.least(network, 10, 4) == 4 * (10 * 2 + costs.parameters(network) + (5 + 2) + 5)
