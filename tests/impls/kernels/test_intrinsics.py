"""The operations that numba's own language lacks."""

from __future__ import annotations

import numpy as np
import pytest

from impls.kernels import masks

numba = pytest.importorskip("numba")

from impls.kernels import intrinsics  # noqa: E402 - only where numba is


def test_hashes_are_those_of_the_masks():
    @numba.njit
    def hash_all(numbers, found):
        for i in range(numbers.size):
            found[i] = intrinsics.hashed(numbers[i])

    numbers = np.random.default_rng(0).integers(0, 2**32, 10_000).astype(np.uint32)
    numbers[:3] = 0, 1, 2**32 - 1
    found = np.empty_like(numbers)
    hash_all(numbers, found)
    assert found.tolist() == [masks.lowbias32(x) for x in numbers.tolist()]
