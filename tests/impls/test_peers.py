"""The peers: one thread really in force, the dtype asked for, reasons for what they cannot run."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import impls
from impls import Network, Problem, referee

SIGMOID = Network((5, 7, 3), ("sigmoid", "sigmoid"), "mean_squared_error")
SOFTMAX = Network((5, 7, 3), ("relu", "softmax"), "softmax_cross_entropy")

PEERS = ("jax", "torch", "torch-compile", "sklearn", "autograd")


def peer(name: str) -> type[impls.Implementation]:
    """The class, or a skip where what it needs is not there."""
    if name == "torch-compile" and not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("there is no C++ compiler")
    try:
        return impls.load(name)
    except impls.Unavailable as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_passes_the_referee_in_each_dtype(name: str) -> None:
    implementation = peer(name)
    for dtype in implementation.dtypes:
        problem = Problem.random(SOFTMAX, 15, 5, seed=1)
        assert referee.check(implementation(problem, dtype), problem, dtype).message == ""


@pytest.mark.parametrize("name", PEERS)
def test_a_second_round_of_batches_is_the_first_again(name: str) -> None:
    problem = Problem.random(SOFTMAX, 15, 5, seed=2)
    race = peer(name)(problem)
    first = race.export()
    race.train(problem.batches, 0.0)
    race.gradients()
    again = race.export()
    assert first.loss == again.loss
    for a, b in zip(first.dw, again.dw, strict=True):
        assert np.array_equal(a, b)


def test_jax_leaves_its_default_of_32_bits_to_others() -> None:
    implementation = peer("jax")
    import jax.numpy as jnp

    problem = Problem.random(SIGMOID, 6, 3)
    wide: Any = implementation(problem, "float64")
    assert {array.dtype for pair in wide.d for array in pair} == {np.dtype("f8")}
    wide.step(0.1)
    assert jnp.ones(3).dtype == jnp.float32
    narrow: Any = implementation(problem, "float32")
    wide.step(0.2)
    narrow.step(0.2)
    assert {array.dtype for pair in narrow.parameters for array in pair} == {np.dtype("f4")}
    assert {array.dtype for pair in wide.parameters for array in pair} == {np.dtype("f8")}


def test_jax_records_how_long_it_compiled() -> None:
    assert peer("jax")(Problem.random(SIGMOID, 3, 3)).compile_seconds > 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not name threads")
def test_jax_keeps_to_the_threads_that_its_process_began_with() -> None:
    implementation = peer("jax")
    problem = Problem.random(SIGMOID, 3, 3)
    implementation(problem, threads=1)
    with pytest.raises(impls.Unsupported, match=r"already runs with 1 threads .* cannot change to 2"):
        implementation(problem, threads=2)


def test_torch_runs_with_the_threads_asked_for() -> None:
    implementation = peer("torch")
    import torch

    problem = Problem.random(SIGMOID, 3, 3)
    try:
        implementation(problem, threads=2)
        assert torch.get_num_threads() == 2
    finally:
        implementation(problem, threads=1)
    assert torch.get_num_threads() == 1


def test_torch_compile_says_what_is_missing_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    implementation = peer("torch-compile")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(impls.Unsupported, match=r"needs a C\+\+ compiler .* there is no no-such-compiler"):
        implementation(Problem.random(SIGMOID, 3, 3))


def test_torch_compile_races_of_one_process_do_not_recompile_each_other() -> None:
    implementation = peer("torch-compile")
    one: Any = implementation(Problem.random(SIGMOID, 6, 3, seed=1))
    implementation(Problem.random(SIGMOID, 10, 5, seed=2))
    import torch

    with torch.compiler.set_stance("fail_on_recompile"):
        one.forward()
        one.gradients()
        one.train(2, 0.1)
    assert one.compile_seconds > 0


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (SIGMOID, "mean_squared_error behind an output layer of identity only, got sigmoid"),
        (
            Network((5, 4, 4, 3), ("relu", "tanh", "softmax"), "softmax_cross_entropy"),
            "one activation for all hidden layers, got relu, tanh",
        ),
    ],
)
def test_sklearn_says_which_networks_it_cannot_run(network: Network, reason: str) -> None:
    with pytest.raises(impls.Unsupported, match=reason):
        peer("sklearn")(Problem.random(network, 3, 3))


@pytest.mark.parametrize("name", PEERS)
def test_large_pre_activations_warn_of_nothing(name: str) -> None:
    implementation = peer(name)
    last, loss = ("identity", "mean_squared_error") if name == "sklearn" else ("tanh", "mean_squared_error")
    problem = Problem.random(Network((5, 7, 3), ("tanh", last), loss), 5, 5, scale=1000.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        race = implementation(problem, "float32")
        race.forward()
        race.step(1e-9)
    assert np.isfinite(race.export().loss)
