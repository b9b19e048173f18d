"""`numpy-sample`, `numpy`, `numpy-inplace`: what each adds to the rung below, and nothing else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import impls
from impls import OPTIMIZERS, Network, Problem, Training

NAMES = ("numpy-sample", "numpy", "numpy-inplace")

NETWORKS = (
    Network((64, 32, 10), ("sigmoid", "sigmoid"), "mean_squared_error"),
    Network((64, 64, 10), ("relu", "softmax"), "softmax_cross_entropy"),
    Network((64, 32, 10), ("tanh", "sigmoid"), "binary_cross_entropy"),
    Network((64, 32, 10), ("identity", "identity"), "mean_squared_error"),
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_array_is_of_the_dtype_asked_for(name: str, dtype: str) -> None:
    for network in NETWORKS:
        race: Any = impls.load(name)(Problem.random(network, 6, 3), dtype)
        race.step(0.1)
        race.train(2, 0.1)
        for layer in race.layers:
            for array in (layer.w, layer.b, layer.dw, layer.db, layer.z, layer.a):
                assert array.dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.activations[-1])
@pytest.mark.parametrize(
    "training",
    [Training(), *(Training(optimizer, l2=1e-3, dropout=0.5) for optimizer in OPTIMIZERS)],
    ids=lambda training: training.optimizer,
)
def test_numpy_inplace_allocates_no_array_after_construction(
    network: Network, training: Training, dtype: str
) -> None:
    m = 1024
    race = impls.load("numpy-inplace")(Problem.random(network, 2 * m, m, training=training), dtype)
    smallest = 10 * m * np.dtype(dtype).itemsize
    calls: tuple[Callable[[], Any], ...] = (
        race.forward,
        race.gradients,
        lambda: race.step(0.1),
        lambda: race.train(3, 0.1),
    )
    usual = np.setbufsize(16)  # NumPy's own buffers, which its older versions allocate whole
    tracemalloc.start()
    try:
        for call in calls:
            call()  # fills Python's own free lists
            before = tracemalloc.take_snapshot()
            tracemalloc.reset_peak()
            start, _ = tracemalloc.get_traced_memory()
            call()
            _, peak = tracemalloc.get_traced_memory()
            after = tracemalloc.take_snapshot()
            # what came and went within the call: Python's own small objects, and no array
            assert peak - start < smallest / 10
            assert numpy_blocks(after) == numpy_blocks(before)
    finally:
        tracemalloc.stop()
        np.setbufsize(usual)


def numpy_blocks(snapshot: tracemalloc.Snapshot) -> int:
    """The number of blocks of array data."""
    kept = snapshot.filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
    return len(kept.traces)


def test_numpy_inplace_computes_where_numpy_does() -> None:
    for network in NETWORKS:
        problem = Problem.random(network, 10, 5, seed=2)
        one, other = impls.load("numpy")(problem), impls.load("numpy-inplace")(problem)
        one.train(4, 0.1)
        other.train(4, 0.1)
        for a, b in zip(one.export().dw, other.export().dw, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_numpy_inplace_stays_in_its_arrays() -> None:
    race: Any = impls.load("numpy-inplace")(Problem.random(NETWORKS[1], 12, 6))
    before = [id(array) for layer in race.layers for array in vars(layer).values() if array is not layer.x]
    race.train(5, 0.1)
    after = [id(array) for layer in race.layers for array in vars(layer).values() if array is not layer.x]
    assert [i for i in before if i in after] == before


@pytest.mark.parametrize("name", NAMES)
def test_relu_has_no_slope_at_zero(name: str) -> None:
    network = Network((1, 1), ("relu",), "mean_squared_error")
    problem = Problem(network, (np.ones((1, 1)),), (np.zeros((1, 1)),), np.zeros((1, 2)), np.ones((1, 2)), 2)
    result = impls.load(name)(problem).export()
    assert result.db[0][0, 0] == 0.0
    assert result.loss == 0.5
