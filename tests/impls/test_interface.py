"""The contract refuses what no implementation could run: with what was expected, what was got, and where."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import impls
from impls import Network, Problem, Training
from impls.interface import ACTIVATIONS, LOSSES, OPTIMIZERS

NETWORK = Network((3, 4, 2), ("tanh", "identity"), "mean_squared_error")
PROBLEM = Problem.random(NETWORK, 6, 3)


@pytest.mark.parametrize(
    ("widths", "activations", "loss", "error", "message"),
    [
        ((3,), (), "mean_squared_error", ValueError, r"the inputs and at least one layer, got \(3,\)"),
        ((), (), "mean_squared_error", ValueError, r"the inputs and at least one layer, got \(\)"),
        ((3, 0), ("tanh",), "mean_squared_error", ValueError, r"numbers of 1 and up, got 0 in \(3, 0\)"),
        ((3, -2), ("tanh",), "mean_squared_error", ValueError, "numbers of 1 and up, got -2"),
        ((3, "4"), ("tanh",), "mean_squared_error", TypeError, "whole numbers, got '4'"),
        ((3, 4.0), ("tanh",), "mean_squared_error", TypeError, "whole numbers, got 4.0"),
        ((3, True), ("tanh",), "mean_squared_error", TypeError, "whole numbers, got True"),
        ((3, 4), (), "mean_squared_error", ValueError, r"expected 1, one for each layer of \(3, 4\)"),
        ((3, 4), ("tanh", "tanh"), "mean_squared_error", ValueError, "expected 1, one for each layer"),
        ((3, 4), ("gelu",), "mean_squared_error", ValueError, "one of identity, .*, softmax, got 'gelu'"),
        ((3, 4), ("tanh",), "hinge", ValueError, "one of mean_squared_error, .*, got 'hinge'"),
        (
            (3, 4, 2),
            ("softmax", "softmax"),
            "softmax_cross_entropy",
            ValueError,
            r"last layer only, got \('softmax', 'softmax'\)",
        ),
        ((3, 4), ("softmax",), "mean_squared_error", ValueError, "softmax goes with softmax_cross_entropy"),
        ((3, 4), ("tanh",), "softmax_cross_entropy", ValueError, "needs a last layer of softmax, got tanh"),
        ((3, 4), ("tanh",), "binary_cross_entropy", ValueError, "needs a last layer of sigmoid, got tanh"),
    ],
)
def test_a_network_that_is_none_is_refused(
    widths: Any, activations: Any, loss: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Network(widths, activations, loss)


def test_every_activation_goes_with_some_loss() -> None:
    for g in ACTIVATIONS:
        fitting = [loss for loss, last in LOSSES.items() if last == g or (last is None and g != "softmax")]
        assert [Network((2, 2), (g,), loss).layers for loss in fitting] == [1] * len(fitting)
        assert fitting


def test_widths_may_be_numpy_integers_and_lists() -> None:
    given: Any = [np.int64(3), 4]
    network = Network(given, ("tanh",), "mean_squared_error")
    assert network.widths == (3, 4)
    assert all(type(width) is int for width in network.widths)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size: expected 1 or more, got 0"),
        ({"batch_size": -1}, ValueError, "batch_size: expected 1 or more, got -1"),
        ({"batch_size": 2.0}, TypeError, "batch_size: expected a whole number, got 2.0"),
        ({"batch_size": "3"}, TypeError, "batch_size: expected a whole number, got '3'"),
        ({"batch_size": True}, TypeError, "batch_size: expected a whole number, got True"),
        ({"batch_size": 4}, ValueError, "X: expected a multiple of batch_size 4 columns, got 6"),
        ({"X": np.ones((3, 0))}, ValueError, "X: expected a multiple of batch_size 3 columns, got 0"),
        ({"X": np.ones((2, 6))}, ValueError, r"X: expected shape \(3, any\), got \(2, 6\)"),
        ({"X": np.ones(6)}, ValueError, r"X: expected shape \(3, any\), got \(6,\)"),
        ({"Y": np.ones((6, 2))}, ValueError, r"Y: expected shape \(2, 6\), got \(6, 2\)"),
        ({"Y": np.ones((2, 5))}, ValueError, r"Y: expected shape \(2, 6\), got \(2, 5\)"),
        ({"weights": PROBLEM.weights[:1]}, ValueError, "weights: expected 2 arrays, one a layer, got 1"),
        ({"biases": ()}, ValueError, "biases: expected 2 arrays, one a layer, got 0"),
        (
            {"weights": (PROBLEM.weights[0].T, PROBLEM.weights[1])},
            ValueError,
            r"weights\[0\]: expected shape \(4, 3\), got \(3, 4\)",
        ),
        (
            {"biases": (PROBLEM.biases[0], PROBLEM.biases[1][:, 0])},
            ValueError,
            r"biases\[1\]: expected shape \(2, 1\), got \(2,\)",
        ),
        ({"X": np.full((3, 6), "a")}, TypeError, "X: expected real numbers, got dtype <U1"),
        ({"X": np.full((3, 6), 1j)}, TypeError, "X: expected real numbers, got dtype complex128"),
    ],
)
def test_a_problem_that_is_none_is_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(PROBLEM, **change)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["X", "Y", "weights[1]", "biases[0]"])
def test_what_is_not_finite_is_refused_by_name_and_index(name: str, value: float) -> None:
    field, _, layer = name.rstrip("]").partition("[")
    arrays = [np.array(a) for a in (getattr(PROBLEM, field) if layer else (getattr(PROBLEM, field),))]
    arrays[int(layer or 0)][1, 0] = value
    change: dict[str, Any] = {field: tuple(arrays) if layer else arrays[0]}
    with pytest.raises(ValueError, match=r"expected finite numbers, got -?(nan|inf) at \[1, 0\]") as refusal:
        dataclasses.replace(PROBLEM, **change)
    assert str(refusal.value).startswith(f"{name}:")


@pytest.mark.parametrize(
    ("loss", "last", "Y", "message"),
    [
        ("binary_cross_entropy", "sigmoid", [[0.5, 1.5]], r"between 0 and 1, got 1.5 at \[0, 1\]"),
        ("binary_cross_entropy", "sigmoid", [[-0.1, 1.0]], r"between 0 and 1, got -0.1 at \[0, 0\]"),
        ("softmax_cross_entropy", "softmax", [[0.5, 0.5], [0.5, 0.4]], "sum to 1, got 0.9 at column 1"),
        ("softmax_cross_entropy", "softmax", [[2.0, 1.0], [-1.0, 0.0]], r"got 2.0 at \[0, 0\]"),
    ],
)
def test_targets_outside_of_the_domain_of_the_loss_are_refused(
    loss: str, last: str, Y: Any, message: str
) -> None:
    network = Network((1, len(Y)), (last,), loss)
    with pytest.raises(ValueError, match=message):
        Problem(network, (np.ones((len(Y), 1)),), (np.ones((len(Y), 1)),), np.ones((1, 2)), np.array(Y), 2)


def test_a_problem_keeps_read_only_views_of_any_layout() -> None:
    X = np.asfortranarray(PROBLEM.X)
    problem = dataclasses.replace(PROBLEM, X=X)
    assert np.shares_memory(problem.X, X)
    assert X.flags.writeable
    for array in (*problem.weights, *problem.biases, problem.X, problem.Y):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0


def test_integers_are_taken_as_float64() -> None:
    problem = dataclasses.replace(PROBLEM, X=np.ones((3, 6), int))
    assert problem.X.dtype == np.float64
    assert (problem.samples, problem.batches) == (6, 2)


def test_random_problems_have_curved_activations_and_no_zero_bias() -> None:
    problem = Problem.random(Network((64, 32, 10), ("sigmoid",) * 2, "mean_squared_error"), 512, 512)
    z = problem.weights[0] @ problem.X + problem.biases[0]
    assert 0.5 < z.std() < 2.0
    assert all((b != 0).all() for b in problem.biases)
    assert np.array_equal(problem.X, Problem.random(problem.network, 512, 512).X)


def test_every_implementation_refuses_wrong_arguments_before_any_work(
    implementation: type[impls.Implementation],
) -> None:
    with pytest.raises(ValueError, match="float16"):
        implementation(PROBLEM, "float16")
    with pytest.raises(ValueError, match="threads"):
        implementation(PROBLEM, implementation.dtypes[0], threads=0)


@pytest.mark.parametrize(
    ("constants", "error", "message"),
    [
        (
            {"optimizer": "lion"},
            ValueError,
            "expected one of gradient_descent, .*, adamw, got 'lion'",
        ),
        ({"optimizer": None}, ValueError, "optimizer: expected one of .*, got None"),
        ({"mu": 1.0}, ValueError, "mu: expected a rate from 0 up to, but not, 1, got 1.0"),
        ({"b1": -0.1}, ValueError, "b1: expected a rate .*, got -0.1"),
        ({"b2": math.nan}, ValueError, "b2: expected a rate .*, got nan"),
        ({"rho": "0.9"}, TypeError, "rho: expected a rate .*, got '0.9'"),
        ({"l2": -1e-4}, ValueError, "l2: expected a finite number of 0 or more, got -0.0001"),
        ({"l2": math.inf}, ValueError, "l2: expected a finite number of 0 or more, got inf"),
        ({"l2": True}, TypeError, "l2: expected a finite number of 0 or more, got True"),
        ({"eps": 0.0}, ValueError, "eps: expected a finite number above 0, got 0.0"),
        ({"eps": math.nan}, ValueError, "eps: expected a finite number above 0, got nan"),
        ({"dropout": 1.0}, ValueError, "dropout: expected a rate .*, got 1.0"),
        ({"dropout": (0.5, math.nan)}, ValueError, "dropout: expected a rate .*, got nan"),
        ({"dropout": "0.5"}, TypeError, "dropout: expected a rate .*, got '0.5'"),
        ({"seed": -1}, ValueError, r"seed: expected 0 up to 2\^32 - 1, got -1"),
        ({"seed": 0.5}, TypeError, "seed: expected a whole number, got 0.5"),
        (
            {"weight_decay": 0.1},
            ValueError,
            "expected optimizer adamw .*, got gradient_descent; l2 goes",
        ),
        ({"optimizer": "adamw", "weight_decay": -1}, ValueError, "weight_decay: expected a finite number"),
    ],
)
def test_a_training_that_is_none_is_refused(
    constants: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Training(**constants)


def test_every_optimizer_has_its_usual_constants() -> None:
    for optimizer in OPTIMIZERS:
        training = Training(optimizer)
        assert (training.mu, training.rho, training.b1, training.b2) == (0.9, 0.9, 0.9, 0.999)
        assert (training.eps, training.weight_decay, training.l2) == (1e-8, 0.01, 0.0)


def test_dropout_is_one_rate_for_all_hidden_layers_or_one_each() -> None:
    network = Network((3, 4, 5, 2), ("tanh", "tanh", "identity"), "mean_squared_error")
    assert Problem.random(network, 6, 3, training=Training(dropout=0.5)).dropout == (0.5, 0.5)
    assert Problem.random(network, 6, 3, training=Training(dropout=(0.5, 0.0))).dropout == (0.5, 0.0)
    assert Problem.random(network, 6, 3).training == Training()


def test_the_last_layer_has_no_dropout() -> None:
    with pytest.raises(ValueError, match=r"expected 1 rates, one for each hidden layer .* none for the last"):
        Problem.random(NETWORK, 6, 3, training=Training(dropout=(0.5, 0.5)))
    training: Any = "adam"
    with pytest.raises(TypeError, match=r"training: expected an impls\.Training, got 'adam'"):
        Problem.random(NETWORK, 6, 3, training=training)
