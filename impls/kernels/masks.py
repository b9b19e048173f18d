"""Dropout masks by integer arithmetic, the same to the bit for every implementation.

The activation of neuron i and sample s of a hidden layer (n_l, m) is kept in a step where

    lowbias32(lowbias32(i m + s) ^ key(seed, step, layer)) >= dropout 2^32

and then multiplied by 1 / (1 - dropout); the others are 0. `step` counts the steps made before, from 0;
`layer` counts the hidden layers from 0. The inner hash keeps the masks of different steps uncorrelated:
without it they are permutations of each other by XOR of an index.

Source: Chris Wellons, hash-prospector, github.com/skeeto/hash-prospector (lowbias32, bias 0.1736).
"""

from __future__ import annotations

import math
from typing import Any

MASK = 0xFFFFFFFF

START = 0x9E3779B9
"""2^32 over the golden ratio: lowbias32 maps 0 to 0, which a seed of 0 would start from."""


def lowbias32(x: Any) -> Any:
    """The hash of a 32-bit number: every input bit flips every output bit in half of all cases.

    x is an int, or an array of unsigned 32-bit integers of any library.
    """
    x = x ^ x >> 16
    x = x * 0x7FEB352D & MASK
    x = x ^ x >> 15
    x = x * 0x846CA68B & MASK
    return x ^ x >> 16


def key(seed: int, step: Any, layer: int) -> Any:
    """The key of a step's mask of a hidden layer: 32 bits."""
    return lowbias32(lowbias32(lowbias32(seed ^ START) ^ step & MASK) ^ layer)


def threshold(dropout: float) -> int:
    """The least hash that is kept, as 32 bits."""
    return min(math.ceil(dropout * 2**32), MASK)


def scale(dropout: float) -> float:
    """The factor of activations that are kept, 1 / (1 - dropout), which preserves their expectation."""
    return 1 / (1 - dropout)
