"""`loops` against arithmetic done by hand, and `loops-ndarray` against `loops`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import impls
from impls import Network, Problem, referee
from impls.loops import sigmoid


def by_hand(activation: str, loss: str, y: float) -> Problem:
    """One neuron: x = 3, w = 0.5, b = -1, so that z = 0.5."""
    network = Network((1, 1), (activation,), loss)
    return Problem(
        network, (np.array([[0.5]]),), (np.array([[-1.0]]),), np.array([[3.0]]), np.array([[y]]), 1
    )


@pytest.mark.parametrize(
    ("g", "loss", "a", "J", "dz"),
    [
        ("identity", "mean_squared_error", 0.5, 0.045, 0.3),
        ("relu", "mean_squared_error", 0.5, 0.045, 0.3),
        (
            "tanh",
            "mean_squared_error",
            0.46211715726000973,
            (0.46211715726000973 - 0.2) ** 2 / 2,
            (0.46211715726000973 - 0.2) * (1 - 0.46211715726000973**2),
        ),
        (
            "sigmoid",
            "mean_squared_error",
            0.6224593312018546,
            (0.6224593312018546 - 0.2) ** 2 / 2,
            (0.6224593312018546 - 0.2) * 0.6224593312018546 * (1 - 0.6224593312018546),
        ),
        (
            "sigmoid",
            "binary_cross_entropy",
            0.6224593312018546,
            -(0.2 * math.log(0.6224593312018546) + 0.8 * math.log(1 - 0.6224593312018546)),
            0.6224593312018546 - 0.2,
        ),
    ],
)
def test_one_neuron_is_what_it_is_by_hand(g: str, loss: str, a: float, J: float, dz: float) -> None:
    race = impls.load("loops")(by_hand(g, loss, 0.2))
    result = race.export()
    assert result.output[0, 0] == pytest.approx(a, rel=1e-15)
    assert result.loss == pytest.approx(J, rel=1e-14)
    assert result.dw[0][0, 0] == pytest.approx(3 * dz, rel=1e-14)
    assert result.db[0][0, 0] == pytest.approx(dz, rel=1e-14)
    race.step(0.1)
    assert race.export().weights[0][0, 0] == pytest.approx(0.5 - 0.3 * dz, rel=1e-15)
    assert race.export().biases[0][0, 0] == pytest.approx(-1 - 0.1 * dz, rel=1e-15)


def test_two_samples_are_averaged_and_two_layers_are_chained() -> None:
    network = Network((1, 1, 1), ("identity", "identity"), "mean_squared_error")
    weights, biases = (np.array([[2.0]]), np.array([[3.0]])), (np.array([[0.0]]), np.array([[1.0]]))
    problem = Problem(network, weights, biases, np.array([[1.0, -1.0]]), np.array([[6.0, -6.0]]), 2)
    result = impls.load("loops")(problem).export()
    # outputs 7 and -5, errors 1 and 1
    assert np.array_equal(result.output, [[7.0, -5.0]])
    assert result.loss == 0.5
    assert np.array_equal(result.dw[1], [[0.0]])  # (1 * 2 + 1 * -2) / 2
    assert np.array_equal(result.db[1], [[1.0]])
    assert np.array_equal(result.dw[0], [[0.0]])  # (3 * 1 + 3 * -1) / 2
    assert np.array_equal(result.db[0], [[3.0]])


def test_softmax_shares_out_1_and_its_derivative_is_a_minus_y() -> None:
    network = Network((1, 2), ("softmax",), "softmax_cross_entropy")
    problem = Problem(
        network,
        (np.array([[0.0], [0.0]]),),
        (np.zeros((2, 1)),),
        np.ones((1, 1)),
        np.array([[1.0], [0.0]]),
        1,
    )
    result = impls.load("loops")(problem).export()
    assert np.array_equal(result.output, [[0.5], [0.5]])
    assert result.loss == pytest.approx(math.log(2), rel=1e-15)
    assert np.array_equal(result.db[0], [[-0.5], [0.5]])


def test_sigmoid_neither_overflows_nor_loses_small_values() -> None:
    assert sigmoid(1000.0) == 1.0
    assert sigmoid(-1000.0) == 0.0
    assert sigmoid(-700.0) == pytest.approx(math.exp(-700.0), rel=1e-15)
    assert sigmoid(0.0) == 0.5


@pytest.mark.parametrize("name", ["loops", "loops-ndarray"])
def test_the_loops_run_in_one_thread(name: str) -> None:
    with pytest.raises(impls.Unsupported, match=f"{name} runs in one thread, got threads=2"):
        impls.load(name)(by_hand("tanh", "mean_squared_error", 0.0), threads=2)


def test_loops_computes_in_float64() -> None:
    with pytest.raises(impls.Unsupported, match=r"loops computes in float64 .*, got float32"):
        impls.load("loops")(by_hand("tanh", "mean_squared_error", 0.0), "float32")


@pytest.mark.parametrize("loss", ["mean_squared_error", "binary_cross_entropy", "softmax_cross_entropy"])
@pytest.mark.parametrize("hidden", ["identity", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_indexing_arrays_changes_no_bit(loss: str, hidden: str, scale: float) -> None:
    last = {"binary_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}.get(loss, hidden)
    problem = Problem.random(Network((4, 6, 3), (hidden, last), loss), 9, 3, seed=1, scale=scale)
    lists, arrays = (impls.load(name)(problem) for name in ("loops", "loops-ndarray"))
    for _ in range(2):
        lists.step(1e-3)
        arrays.step(1e-3)
        one, other = lists.export(), arrays.export()
        assert one.loss == other.loss
        for (name, a), (_, b) in zip(referee.quantities(one), referee.quantities(other), strict=True):
            assert a.tobytes() == b.tobytes(), name


def test_loops_ndarray_holds_arrays_of_the_dtype() -> None:
    race: Any = impls.load("loops-ndarray")(by_hand("tanh", "mean_squared_error", 0.5), "float32")
    assert {array.dtype for array in (race.X[0], race.layers[0].w, race.layers[0].dw)} == {np.dtype("f4")}
