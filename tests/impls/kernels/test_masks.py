"""Dropout masks: a share that is p, steps that have nothing to do with each other, and known hashes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from impls.kernels.masks import MASK, key, lowbias32, scale, threshold

NUMBERS = 20_000


def kept(dropout: float, seed: int, step: int, layer: int, numbers: int = NUMBERS) -> NDArray[np.bool_]:
    k = key(seed, step, layer)
    least = threshold(dropout)
    return np.array([lowbias32(lowbias32(i) ^ k) >= least for i in range(numbers)])


def test_the_hash_is_the_published_one() -> None:
    # values of the C function lowbias32 of hash-prospector, computed with 64-bit integers and a modulus
    def published(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ (x >> 16)

    assert [lowbias32(x) for x in (0, 1, 2, MASK)] == [published(x) for x in (0, 1, 2, MASK)]


def test_the_hash_is_a_permutation() -> None:
    assert len({lowbias32(x) for x in range(100_000)}) == 100_000


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_the_share_of_what_is_dropped_is_p(dropout: float) -> None:
    dropped = NUMBERS - kept(dropout, 0, 0, 0).sum()
    assert abs(dropped - NUMBERS * dropout) < 5 * math.sqrt(NUMBERS * dropout * (1 - dropout))


@pytest.mark.parametrize(
    "other", [(0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 0, 1), (1, 0, 0), (0, 65536, 0), (0, 2**32 - 1, 0)]
)
def test_masks_of_other_steps_layers_and_seeds_are_not_correlated(other: tuple[int, int, int]) -> None:
    one, two = kept(0.5, 0, 0, 0), kept(0.5, *other)
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / math.sqrt(NUMBERS)


def test_neighbours_in_a_mask_are_not_correlated() -> None:
    mask = kept(0.5, 7, 3, 0)
    for distance in (1, 2, 8, 64, 1024):
        assert abs(np.corrcoef(mask[:-distance], mask[distance:])[0, 1]) < 5 / math.sqrt(NUMBERS - distance)


def test_nothing_is_dropped_at_0_and_the_scale_keeps_the_expectation() -> None:
    assert threshold(0.0) == 0
    assert scale(0.0) == 1.0
    assert scale(0.75) == 4.0
    assert threshold(math.nextafter(1, 0)) == MASK
