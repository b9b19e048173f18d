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


@pytest.mark.parametrize(
    ("name", "asked", "avx512f"),
    [
        (None, None, True),
        (None, "-avx512f", False),
        ("haswell", "+avx,+avx2,+fma", False),
        ("generic", "", False),
    ],
)
def test_vectors_are_of_the_instructions_that_numba_compiles_for(name, asked, avx512f, monkeypatch):
    monkeypatch.setattr(intrinsics, "host_features", lambda: "+avx,+avx2,+avx512f,-sse4a")
    monkeypatch.setattr(intrinsics.config, "CPU_NAME", name)
    monkeypatch.setattr(intrinsics.config, "CPU_FEATURES", asked)
    features = intrinsics.target_features()
    assert features.get("avx512f", False) is avx512f
    assert features.get("avx2", False) is (name != "generic")
