"""`python -m tests.studies.masks`: what a dropout mask costs, by the hash or by each library's own generator.

Prints the least time of many calls, taken by turns, on one thread.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

import jax
import numba
import numpy as np
import torch

from impls import jax_jit, numba_arrays, torch_eager
from impls.kernels.masks import key, lowbias32, scale, threshold
from impls.numpy_batch import Dropout

N = 32
SIZES = (1, 4096)
DROPOUT = 0.5
DTYPE = "float32"
PLAIN = 16
"""Of how many samples Python's loops draw at most."""

SECONDS = 3.0
"""For all calls of a size, together."""

MaskPair = tuple[Callable[[], Any], Callable[[], Any]]
"""Draw what activations are multiplied by: with the hash, with a library's own generator."""


def ways(m: int) -> dict[str, MaskPair]:
    """Library -> its two ways to a mask (N, m)."""
    hashes = lowbias32(np.arange(N * m, dtype=np.uint32)).reshape(N, m)
    least, here = threshold(DROPOUT), key(0, 0, 0)
    return {
        "Python": python(hashes.ravel()[: N * PLAIN].tolist(), here, least),
        "NumPy": numpy(m),
        "Numba": compiled(hashes.ravel(), here, least),
        "JAX": in_jax(hashes, here),
        "PyTorch": in_torch(hashes, here),
    }


def python(hashes: list[int], here: int, least: int) -> MaskPair:
    factor = scale(DROPOUT)
    return (
        lambda: [factor if lowbias32(i ^ here) >= least else 0.0 for i in hashes],
        lambda: [factor if random.random() >= DROPOUT else 0.0 for _ in hashes],
    )


def numpy(m: int) -> MaskPair:
    factor = np.float32(scale(DROPOUT))
    dropout = Dropout(DROPOUT, N, m, 0, 0, DTYPE)
    generator = np.random.default_rng(0)
    return (
        lambda: dropout.mask(0),
        lambda: (generator.random((N, m), np.float32) >= DROPOUT) * factor,
    )


def compiled(hashes: Any, here: int, least: int) -> MaskPair:
    factor = scale(DROPOUT)
    mask = np.zeros(hashes.size, DTYPE)

    @numba.njit
    def draw(dropout: float, factor: Any, mask: Any) -> None:
        for i in range(mask.size):
            mask[i] = factor if np.random.random() >= dropout else 0  # noqa: NPY002 - numba's own

    return (
        lambda: numba_arrays.draw(hashes, here, least, factor, mask),
        lambda: draw(DROPOUT, factor, mask),
    )


def in_jax(hashes: Any, here: int) -> MaskPair:
    factor = np.float32(scale(DROPOUT))
    device = jax_jit.start_with(1)
    with jax.enable_x64(True), jax.default_device(device):
        step, seed = jax.device_put(np.uint32(here)), jax.random.key(0)
        by_hash = jax.jit(lambda key: jax_jit.dropout_mask(hashes, key, DROPOUT, DTYPE))
        own = jax.jit(lambda key: jax.random.bernoulli(key, np.float32(1 - DROPOUT), hashes.shape) * factor)
        hashed, drawn = by_hash.lower(step).compile(), own.lower(seed).compile()
    return lambda: hashed(step).block_until_ready(), lambda: drawn(seed).block_until_ready()


def in_torch(hashes: Any, here: int) -> MaskPair:
    torch.set_num_threads(1)
    table = torch.from_numpy(hashes.view(np.int32))
    step, mask = torch_eager.signed(here), torch.empty(hashes.shape, dtype=torch.float32)
    return (
        lambda: torch_eager.dropout_mask(table, step, DROPOUT, torch.float32),
        lambda: mask.bernoulli_(1 - DROPOUT).mul_(scale(DROPOUT)),
    )


def cheapest(calls: list[Callable[[], Any]]) -> list[float]:
    """The least seconds of each call, all taken by turns, each after one that is not timed."""
    least = [math.inf] * len(calls)
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for k, call in enumerate(calls):
            call()
            begun = time.perf_counter()
            call()
            least[k] = min(least[k], time.perf_counter() - begun)
    return least


def main() -> None:
    rows: dict[str, list[str]] = {}
    for m in SIZES:
        found = ways(m)
        seconds = cheapest([call for pair in found.values() for call in pair])
        for name, of_hash, own in zip(found, seconds[::2], seconds[1::2], strict=True):
            numbers = N * (min(m, PLAIN) if name == "Python" else m)
            rows.setdefault(name, []).extend(
                f"{s * 1e6:.1f} us" if m == 1 else f"{s / numbers * 1e9:.2f} ns" for s in (of_hash, own)
            )
    print(f"A mask ({N}, 1), and a number of a mask ({N}, {SIZES[-1]}); {DTYPE}, dropout {DROPOUT}.\n")
    print("| | the hash | own generator | a number: the hash | own generator |\n|---|---|---|---|---|")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
