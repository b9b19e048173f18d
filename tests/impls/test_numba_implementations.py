"""The laws of the implementations that numba compiles, beyond those that hold for every implementation."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import impls
from impls import OPTIMIZERS, Network, Problem, Training

numba = pytest.importorskip("numba")

NETWORKS = {
    "digits": Network((64, 32, 10), ("sigmoid", "sigmoid"), "mean_squared_error"),
    "softmax": Network((20, 17, 5), ("relu", "softmax"), "softmax_cross_entropy"),
    "narrow": Network((3, 1, 2, 1), ("tanh", "identity", "sigmoid"), "binary_cross_entropy"),
    # rows of 1 KiB, which are padded, in both dtypes
    "padded": Network((128, 2, 256, 2, 256), (*["tanh"] * 3, "softmax"), "softmax_cross_entropy"),
    "deep": Network((9, *[16] * 6, 3), (*["tanh"] * 6, "identity"), "mean_squared_error"),
}


NAMES = ("numba-loops", "numba", "numba-blocked", "numba-parallel")

SHALLOW = {name for name, network in NETWORKS.items() if network.layers <= 3}
"""The networks for numba-loops, which compiles for seconds at every depth, and has one loop over layers."""


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


def parts(result):
    return (np.array(result.loss), result.output, *result.dw, *result.db, *result.weights, *result.biases)


def same_bits(one, other):
    pairs = list(zip(parts(one), parts(other), strict=True))
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("m", [1, 7, 32])
@pytest.mark.parametrize("network", sorted(SHALLOW), indirect=True)
def test_numba_loops_is_equal_to_loops_bit_for_bit(network, m, scale):
    problem = Problem.random(network, 2 * m, m, seed=m, scale=scale)
    loops, implementation = (impls.load(name)(problem) for name in ("loops", "numba-loops"))
    assert same_bits(implementation.export(), loops.export())
    for race in (loops, implementation):
        race.train(3, 0.1)
        race.gradients()
    assert same_bits(implementation.export(), loops.export())


def test_the_compiled_exponentials_are_those_of_python():
    rng = np.random.default_rng(0)
    exp, tanh = numba.njit(lambda x: math.exp(x)), numba.njit(lambda x: math.tanh(x))
    for x in [*rng.uniform(-745, 0, 3000).tolist(), *(-np.exp(rng.uniform(-700, 6, 3000))).tolist()]:
        assert exp(x) == math.exp(x)
        assert tanh(x) == math.tanh(x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("network", "name"),
    [(of, name) for of in NETWORKS for name in NAMES if name != "numba-loops" or of in SHALLOW],
    indirect=["network"],
)
def test_train_is_as_many_steps_bit_for_bit(network, name, dtype):
    problem = Problem.random(network, 3 * 11, 11, seed=1)
    one, other = (impls.load(name)(problem, dtype=dtype) for _ in range(2))
    one.train(7, 0.05)
    for _ in range(7):
        other.step(0.05)
    assert same_bits(one.export(), other.export())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_numba_blocked_allocates_no_memory_after_construction(network, dtype, optimizer, dropout):
    training = Training(optimizer, l2=1e-3, dropout=dropout)
    race = impls.load("numba-blocked")(Problem.random(network, 600, 300, training=training), dtype=dtype)
    race.gradients()
    race.step(0.1)
    runtime = numba.core.runtime._nrt_python
    runtime.memsys_enable_stats()
    before = numba.core.runtime.rtsys.get_allocation_stats()
    tracemalloc.start()
    try:
        for _ in range(20):
            race.forward()
            race.gradients()
            race.step(0.1)
        blocks = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(inclusive=True, filename_pattern="*numba*")]
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    after = numba.core.runtime.rtsys.get_allocation_stats()
    runtime.memsys_disable_stats()
    assert after.alloc == before.alloc  # numba's own
    assert sum(s.size for s in blocks.statistics("filename")) < 1024  # Python's: a number or two
    assert peak < 16_384


@pytest.mark.parametrize("m", [1, 5, 8, 63, 200, 1000])
@pytest.mark.parametrize("name", ["numba-blocked", "numba-parallel"])
def test_tiles_change_rounding_only(network, name, m):
    problem = Problem.random(network, m, m, seed=2)
    expected, got = (impls.load(n)(problem).export() for n in ("numpy", name))
    for a, b in zip(parts(got), parts(expected), strict=True):
        assert np.all(abs(a - b) <= 1e-12 * np.maximum(1, abs(b)))


def test_numba_blocked_computes_the_same_bits_on_every_run(network):
    problem = Problem.random(network, 900, 300, seed=3)
    one, other = (impls.load("numba-blocked")(problem, dtype="float32") for _ in range(2))
    for race in (one, other):
        race.train(5, 0.1)
    assert same_bits(one.export(), other.export())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("m", [1, 8, 40])
def test_stores_past_the_caches_change_no_bit(m, dtype, monkeypatch):
    from impls.kernels.products import CACHES
    from impls.numba_blocked import NumbaBlocked

    network = Network((700, 512, 512, 4), ("relu", "tanh", "softmax"), "softmax_cross_entropy")
    problem = Problem.random(network, m, m, seed=6)
    results = []
    for last_cache in (1, 1 << 40):
        monkeypatch.setitem(CACHES, "L3", last_cache)
        race = NumbaBlocked(problem, dtype)
        assert race.laid_out.plan["streaming"] == (last_cache == 1)
        results.append(race.export())
    assert same_bits(*results)
    expected = impls.load("numpy")(problem).export()
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    for a, b in zip(parts(results[0]), parts(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def threads_here():
    return min(numba.config.NUMBA_NUM_THREADS, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numba_parallel_computes_the_same_bits_on_every_run(dtype):
    threads = min(4, threads_here())
    problem = Problem.random(NETWORKS["digits"], 3000, 1500, seed=4)
    results = []
    for _ in range(3):
        race = impls.load("numba-parallel")(problem, dtype=dtype, threads=threads)
        for _ in range(10):
            race.gradients()
        race.train(4, 0.1)
        results.append(race.export())
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


def test_numba_parallel_in_one_thread_is_numba_blocked(network):
    problem = Problem.random(network, 800, 400, seed=5)
    one, other = (impls.load(name)(problem) for name in ("numba-blocked", "numba-parallel"))
    for race in (one, other):
        race.train(3, 0.1)
    assert same_bits(one.export(), other.export())


def test_numba_parallel_shares_a_batch_among_its_threads():
    from impls.numba_blocked import PLAN, plan_at
    from impls.numba_parallel import share_of

    plan = np.zeros((), PLAN)
    plan["batch"], plan["size"] = 4096, 2410
    share_at = numba.njit(lambda address: share_of(plan_at(address)))
    for threads in (1, 2, 3, 7):
        plan["threads"] = threads
        share = share_at(plan.ctypes.data)
        assert share % 8 == 0
        assert (threads - 1) * share < 4096 <= threads * share


def test_too_many_threads_are_refused_with_the_number_there_is():
    problem = Problem.random(NETWORKS["digits"], 4, 4)
    with pytest.raises(impls.Unsupported, match=f"1 to {threads_here()} threads"):
        impls.load("numba-parallel")(problem, threads=threads_here() + 1)
    with pytest.raises(impls.Unsupported, match="one thread"):
        impls.load("numba-blocked")(problem, threads=2)


def test_a_change_in_any_file_of_compiled_code_compiles_anew(tmp_path):
    from impls import numba_blocked

    file = tmp_path / "kernels.py"
    file.write_text("one")
    before = numba_blocked.source_stamp(str(file))
    file.write_text("two")
    assert numba_blocked.source_stamp(str(file)) != before != 0


@pytest.mark.parametrize("name", NAMES)
def test_a_second_construction_compiles_nothing(name):
    problem = Problem.random(NETWORKS["digits"], 4, 4)
    impls.load(name)(problem)
    with numba.core.event.install_recorder("numba:compile") as recorded:
        assert impls.load(name)(problem).compile_seconds >= 0
    assert not recorded.buffer


def test_the_module_of_numba_parallel_needs_no_parallel_run_to_import():
    code = "import impls; impls.load('numba-parallel'); import numba; numba.threading_layer()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Threading layer is not initialized" in run.stderr


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 2, 8, 9, 16, 17, 32, 33, 64, 65])
def test_softmax_is_shifted_by_the_largest_wherever_it_stands(n, dtype):
    # pre-activations of +-1000: an exponential of any other shift would overflow
    network = impls.Network((n, n), ("softmax",), "softmax_cross_entropy")
    z = np.full((n, n), -1000.0) + 2000.0 * np.eye(n)  # of sample s the s-th is the largest
    Y = np.eye(n)
    problem = Problem(network, (np.eye(n),), (np.zeros((n, 1)),), z, Y, n)
    output = impls.load("numba-blocked")(problem, dtype).export().output
    # exponentials stop at the smallest normal number
    np.testing.assert_allclose(output, Y, rtol=0, atol=1.01 * np.finfo(dtype).smallest_normal)


@pytest.mark.parametrize("module", ["impls.numba_blocked", "impls.numba_parallel"])
def test_code_is_stamped_as_it_was_imported(module, monkeypatch):
    # a file that is edited after the import would stamp the old code, kept on disk, as the new one
    entry_points = importlib.import_module(module).entry_points.__wrapped__

    def edited(path):
        raise AssertionError(f"{path} is read after the import")

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert entry_points("float32").gradients


@pytest.mark.parametrize("threads", [1, 2])
def test_the_blas_of_compiled_code_has_the_threads_asked_for(threads):
    implementation = impls.load("numba")
    problem = Problem.random(NETWORKS["digits"], 4, 4)
    try:
        implementation(problem, threads=threads)
        pools = threadpoolctl.threadpool_info()
        of_scipy = [pool["num_threads"] for pool in pools if "scipy" in pool["filepath"]]
        assert of_scipy
        assert set(of_scipy) == {threads}
    finally:
        implementation(problem, threads=1)
