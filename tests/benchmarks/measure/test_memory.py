"""Peak memory, against allocations of known size."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

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


ALLOCATE = """
import sys
print(flush=True)
for line in sys.stdin:
    most = bytearray(int(line))
    most[::4096] = most[::4096]
    del most
    print(flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the memory of other processes")
def test_the_memory_of_a_process_that_it_started_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALLOCATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = process.stdout
        answers.readline()

        def work() -> None:
            print(32 * MIB, file=process.stdin, flush=True)
            answers.readline()

        _, most = memory.peak(work)
    assert 31 * MIB <= most <= 36 * MIB


def test_the_least_is_the_output_the_gradients_and_one_sample() -> None:
    network = impls.Network((3, 5, 2), ("relu", "identity"), "mean_squared_error")
    assert memory.least(network, 10, 4) == 4 * (10 * 2 + costs.parameters(network) + (5 + 2) + 5)
