"""The workloads: what they are made of, and how a wrong one is refused."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import impls
from benchmarks import workloads
from benchmarks.record import race_file


def test_the_digits_are_those_of_the_collection() -> None:
    train, held_out = workloads.digits(), workloads.digits(held_out=True)
    assert train.X.shape[1] + held_out.X.shape[1] == 1797
    for part in (train, held_out):
        assert part.X.shape[0] == 64
        assert part.X.min() == 0
        assert part.X.max() == 1
        assert np.array_equal(part.Y.sum(axis=0), np.ones(part.X.shape[1]))
        assert set(np.unique(part.Y)) == {0.0, 1.0}


def test_a_fifth_of_every_digit_is_held_out() -> None:
    train, held_out = workloads.digits(), workloads.digits(held_out=True)
    share = held_out.Y.sum(axis=1) / (train.Y.sum(axis=1) + held_out.Y.sum(axis=1))
    assert np.all(share > 0.19)
    assert np.all(share <= 0.2)


def test_no_held_out_image_is_trained_on() -> None:
    train, held_out = workloads.digits(), workloads.digits(held_out=True)
    seen = {column.tobytes() for column in train.X.T}
    assert not any(column.tobytes() in seen for column in held_out.X.T)


@pytest.mark.parametrize("name", workloads.WORKLOADS)
@pytest.mark.parametrize("batch_size", [1, 3, 2048])
def test_every_workload_fills_whole_batches_with_all_its_data(name: str, batch_size: int) -> None:
    problem = workloads.problem(workloads.named(name), batch_size)
    assert problem.samples % batch_size == 0
    assert problem.samples >= batch_size
    assert problem.network is workloads.named(name).network


def test_batches_larger_than_the_data_repeat_it() -> None:
    samples = workloads.digits().X.shape[1]
    problem = workloads.problem(workloads.named("digits"), 4096)
    assert np.array_equal(problem.X[:, :samples], problem.X[:, samples : 2 * samples])
    assert np.array_equal(problem.Y[:, :samples], workloads.digits().Y)


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_equal_seeds_give_equal_problems_and_others_do_not(name: str) -> None:
    one, same, other = (workloads.problem(workloads.named(name), 4, seed) for seed in (1, 1, 2))
    for a, b, c in zip(one.weights, same.weights, other.weights, strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)
    assert all(np.all(b != 0) for b in one.biases)


def test_a_network_of_ones_own_ends_as_its_loss_needs() -> None:
    workload = workloads.ad_hoc("784-128-10", "relu", "softmax_cross_entropy")
    assert workload.network.widths == (784, 128, 10)
    assert workload.network.activations == ("relu", "softmax")
    assert workloads.ad_hoc("3-2").network.activations == ("sigmoid",)
    assert workloads.ad_hoc("3-2-1", "tanh,identity").network.activations == ("tanh", "identity")
    assert workloads.problem(workload, 2).network is workload.network


@pytest.mark.parametrize(
    ("network", "activation", "loss", "message"),
    [
        ("64", "relu", "mean_squared_error", "at least one layer"),
        ("", "relu", "mean_squared_error", "widths like 784-128-10"),
        ("64-x", "relu", "mean_squared_error", "widths like 784-128-10"),
        ("64-0-10", "relu", "mean_squared_error", "1 and up"),
        ("64-8-10", "softmax", "softmax_cross_entropy", "last layer only"),
        ("64-8-10", "relu,relu,relu", "mean_squared_error", "one for each layer"),
        ("64-8-10", "swish", "mean_squared_error", "expected one of identity"),
        ("64-8-10", "relu", "hinge", "expected one of mean_squared_error"),
    ],
)
def test_a_wrong_network_is_refused_with_what_was_expected(
    network: Any, activation: str, loss: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        workloads.ad_hoc(network, activation, loss)


def test_an_unknown_workload_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected one of digits, .*, got 'mnist'"):
        workloads.named("mnist")


@pytest.mark.parametrize(
    ("base", "asked", "name"),
    [
        ("digits", {}, "digits"),
        ("digits", {"optimizer": "gradient_descent", "l2": 0.0, "dropout": 0.0}, "digits"),
        ("digits", {"optimizer": "adam"}, "digits+adam"),
        ("digits", {"dropout": 0.5, "l2": 1e-5, "optimizer": "adamw"}, "digits+adamw+l2=1e-05+dropout=0.5"),
        ("digits-adam", {"optimizer": "adam"}, "digits-adam"),
        ("digits-adam", {"optimizer": "gradient_descent"}, "digits-adam+gradient_descent"),
        ("digits-dropout", {"dropout": 0.0}, "digits-dropout+dropout=0.0"),
    ],
)
def test_a_training_is_found_again_by_the_name_that_it_gives(
    base: str, asked: dict[str, Any], name: str
) -> None:
    found, workload = workloads.trained(base, workloads.named(base), **asked)
    assert found == name
    assert workloads.named(name) == workload
    for key, value in asked.items():
        assert getattr(workload.training, key) == value
    assert workloads.problem(workload, 4).training == workload.training


def test_workloads_with_a_training_differ_from_the_digits_in_nothing_else() -> None:
    digits = workloads.named("digits")
    for name, training in (
        ("digits-adam", impls.Training("adam")),
        ("digits-dropout", workloads.named("digits-dropout").training),
    ):
        assert workloads.named(name) == dataclasses.replace(digits, training=training)
    (rate,) = workloads.problem(workloads.named("digits-dropout"), 1).dropout
    assert rate > 0


def test_a_record_describes_the_training() -> None:
    training = impls.Training("adamw", l2=0.1, dropout=(0.25,), seed=3, b1=0.8, eps=1e-6, weight_decay=0.2)
    workload = dataclasses.replace(workloads.named("digits"), training=training)
    found = workloads.measured_on(workload.described())
    assert (found.network, found.data, found.training) == (workload.network, "digits", training)
    assert dataclasses.asdict(race_file.RecordedTraining()) == dataclasses.asdict(impls.Training())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits+sgd", "expected one of gradient_descent, momentum.*, got 'sgd'"),
        ("digits+dropout=1.0", "a rate from 0 up to, but not, 1, got 1.0"),
        ("digits+l2=-1.0", "a finite number of 0 or more, got -1.0"),
        ("digit+adam", "expected one of digits, .*, got 'digit'"),
    ],
)
def test_a_training_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workloads.named(name)


def test_dropout_takes_a_hidden_layer() -> None:
    with pytest.raises(ValueError, match="expected a network with a hidden layer, got 64-10"):
        workloads.trained("64-10", workloads.ad_hoc("64-10"), dropout=0.5)


@pytest.mark.parametrize("optimizer", impls.OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_at_the_rate_of_its_workload(optimizer: str) -> None:
    _, workload = workloads.trained("digits", workloads.named("digits"), optimizer)
    implementation = impls.load("numpy")(workloads.problem(workload, 64))
    before = implementation.export().loss
    implementation.train(100, workload.rate)
    assert implementation.export().loss < 0.5 * before
