"""The peers: one thread really in force, the dtype asked for, reasons for what they cannot run."""

from __future__ import annotations

import dataclasses
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import impls
from impls import Network, Problem, Result, Training, referee
from impls.interface import OPTIMIZERS
from impls.kernels.masks import key, lowbias32, scale, threshold

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


DROPS = tuple(name for name in PEERS if name != "sklearn")
"""The peers that have dropout."""

RATE = 0.01


def supported(name: str, problem: Problem, dtype: str = "float64") -> impls.Implementation:
    try:
        return peer(name)(problem, dtype)
    except impls.Unsupported as reason:
        pytest.skip(str(reason))


def update(training: Training, t: int, g: Any, state: list[Any]) -> tuple[Any, list[Any]]:
    """By what a parameter descends and its new state, as Training defines them, in float64."""
    mu, rho, b1, b2, eps = training.mu, training.rho, training.b1, training.b2, training.eps
    match training.optimizer:
        case "gradient_descent":
            return g, []
        case "momentum":
            v = mu * state[0] + g
            return v, [v]
        case "nesterov":
            v = mu * state[0] + g
            return g + mu * v, [v]
        case "rmsprop":
            v = rho * state[0] + (1 - rho) * g**2
            return g / (np.sqrt(v) + eps), [v]
        case _:
            m, v = b1 * state[0] + (1 - b1) * g, b2 * state[1] + (1 - b2) * g**2
            return m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps), [m, v]


def arrays_of(result: Result, training: Training, k: int) -> list[Any]:
    """The optimizer's arrays of parameter array k, weights first."""
    number = len(result.weights) + len(result.biases)
    return [result.state[kind * number + k] for kind in range(OPTIMIZERS[training.optimizer])]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PEERS)
def test_a_step_of_a_peer_is_the_one_that_training_defines(name: str, optimizer: str) -> None:
    dropout = 0.25 if name in DROPS else 0.0
    training = Training(optimizer, l2=0.1, dropout=dropout, seed=3)
    problem = Problem.random(SOFTMAX, 15, 5, seed=4, training=training)
    # single precision shows what double hides: constants that were rounded on the way
    for dtype in impls.interface.DTYPES if optimizer == "adamw" else ("float32",):
        race = supported(name, problem, dtype)
        u = np.finfo(dtype).eps / 2
        before = race.export()
        for t in range(1, 5):
            race.step(RATE)
            after = race.export()
            assert after.state[-1:] == ((t,) if OPTIMIZERS[optimizer] or dropout else ())
            parameters = (*before.weights, *before.biases)
            found = (*after.weights, *after.biases)
            for k, (p, dp, q) in enumerate(zip(parameters, (*after.dw, *after.db), found, strict=True)):
                l2, decay = training.l2, training.weight_decay if optimizer == "adamw" else 0
                if k >= len(before.weights):
                    l2 = decay = 0
                kept = arrays_of(before, training, k)
                by, state = update(training, t, dp + l2 * p, kept)
                size = np.abs(dp) + l2 * np.abs(p)
                for array, now, expected in zip(kept, arrays_of(after, training, k), state, strict=True):
                    power = 2 if optimizer == "rmsprop" or expected is state[-1] is not state[0] else 1
                    assert (np.abs(now - expected) <= 8 * u * (size**power + np.abs(array))).all()
                # most of g may cancel, and rmsprop and adam divide by its size
                allowed = np.abs(p) + RATE * (np.abs(by) + np.maximum(size, 1) + sum(map(np.abs, kept)))
                assert (np.abs(q - (p - RATE * (by + decay * p))) <= 8 * u * allowed).all()
            before = after


@pytest.mark.parametrize("optimizer", ["gradient_descent", "adam"])
@pytest.mark.parametrize("name", PEERS)
def test_the_training_of_a_peer_is_as_many_steps_bit_for_bit(name: str, optimizer: str) -> None:
    training = Training(optimizer, l2=0.1, dropout=0.5 if name in DROPS else 0.0)
    problem = Problem.random(SOFTMAX, 15, 5, seed=5, training=training)
    trained, stepped = peer(name)(problem), peer(name)(problem)
    trained.train(4, RATE)
    for _ in range(4):
        stepped.gradients()  # which draws the mask of the step, and makes none
        stepped.forward()
        stepped.step(RATE)
    one, other = trained.export(), stepped.export()
    assert one.loss == other.loss
    assert one.state[-1:] == other.state[-1:] == ((4,) if one.state else ())
    for p, q in zip(
        (*one.dw, *one.db, *one.weights, *one.biases, *one.state[:-1]),
        (*other.dw, *other.db, *other.weights, *other.biases, *other.state[:-1]),
        strict=True,
    ):
        assert p.tobytes() == q.tobytes()


@pytest.mark.parametrize("name", PEERS)
def test_the_state_of_a_peer_begins_at_zero(name: str) -> None:
    problem = Problem.random(SOFTMAX, 15, 5, seed=6)
    plain = peer(name)(problem).export()
    result = peer(name)(dataclasses.replace(problem, training=Training("adam"))).export()
    assert plain.state == ()
    assert result.state[-1] == 0
    shapes = [array.shape for array in (*result.weights, *result.biases)]
    assert [array.shape for array in result.state[:-1]] == 2 * shapes
    assert not any(array.any() for array in result.state[:-1])
    for p, q in zip((*plain.weights, *plain.dw), (*result.weights, *result.dw), strict=True):
        assert p.tobytes() == q.tobytes()


@pytest.mark.parametrize("name", DROPS)
def test_a_peer_draws_the_mask_of_the_step_and_none_in_use(name: str) -> None:
    n, m, dropout = 31, 7, 0.3
    training = Training(dropout=(0.0, dropout), seed=2**32 - 1)
    network = Network((3, 4, n, n), ("tanh", "identity", "identity"), "mean_squared_error")
    given = Problem.random(network, m, m, training=training)
    problem = dataclasses.replace(
        given, weights=(*given.weights[:2], np.eye(n)), biases=(*given.biases[:2], np.zeros((n, 1)))
    )
    for dtype in impls.interface.DTYPES:
        race = peer(name)(problem, dtype)
        for t in range(3):
            race.gradients()
            with_mask = race.export().output
            race.forward()
            in_use = race.export().output
            assert (in_use != 0).all()
            kept = lowbias32(lowbias32(np.arange(n * m, dtype=np.uint32)) ^ key(2**32 - 1, t, 1))
            mask = (kept >= threshold(dropout)).reshape(n, m)
            assert np.array_equal(with_mask != 0, mask)
            assert np.allclose(with_mask, in_use * mask * scale(dropout), rtol=16 * np.finfo(dtype).eps)
            race.step(0.0)


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
@pytest.mark.parametrize("name", ["jax", "torch", "sklearn", "autograd"])
def test_momentum_of_0_is_gradient_descent(name: str, optimizer: str) -> None:
    problem = Problem.random(SOFTMAX, 15, 5, seed=7)
    one = peer(name)(dataclasses.replace(problem, training=Training(optimizer, mu=0.0)))
    other = peer(name)(problem)
    one.train(4, RATE)
    other.train(4, RATE)
    result, plain = one.export(), other.export()
    for p, q in zip((*result.weights, *result.biases), (*plain.weights, *plain.biases), strict=True):
        assert np.allclose(p, q, rtol=1e-14, atol=1e-15)
    for v, d in zip(result.state[:-1], (*result.dw, *result.db), strict=True):
        assert np.array_equal(v, d)


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        (Training(dropout=0.5), "sklearn has no dropout, got 0.5"),
        (Training("rmsprop"), "sklearn has gradient_descent, momentum, nesterov and adam, got rmsprop"),
        (Training("adamw"), "sklearn has gradient_descent, momentum, nesterov and adam, got adamw"),
    ],
)
def test_sklearn_says_which_trainings_it_does_not_have(training: Training, reason: str) -> None:
    with pytest.raises(impls.Unsupported, match=reason):
        peer("sklearn")(Problem.random(SOFTMAX, 3, 3, training=training))
