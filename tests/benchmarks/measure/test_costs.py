"""The counts of operations and bytes, against what `loops` does and what the arrays weigh."""

import dataclasses
import math
from typing import Any, ClassVar

import pytest

import impls
from benchmarks.measure import costs
from impls import loops

NETWORKS = [
    impls.Network((5, 4, 3), ("sigmoid", "tanh"), "mean_squared_error"),
    impls.Network((3, 4, 4, 2), ("tanh", "relu", "sigmoid"), "binary_cross_entropy"),
    impls.Network((4, 3, 3), ("relu", "softmax"), "softmax_cross_entropy"),
    impls.Network((2, 3), ("identity",), "mean_squared_error"),
]


# Operations for each value of z or dz; an exponential or a hyperbolic tangent counts as one.
_FORWARD = {"identity": 0, "sigmoid": 3, "tanh": 1, "relu": 0}
_BACKWARD = {"identity": 0, "sigmoid": 3, "tanh": 3, "relu": 0}


def elementwise(network: impls.Network, phase: str, m: int) -> int:
    """Every other arithmetic operation of one call: activations, averages, the update of the parameters.

    Comparisons, negations and absolute values are not counted.
    """
    n = network.widths
    last = len(network.activations) - 1
    total = 0
    for k, g in enumerate(network.activations):
        width = n[k + 1]
        # softmax: width shifts, exponentials, additions and divisions
        total += m * (4 * width if g == "softmax" else _FORWARD[g] * width)
        if phase != "forward":
            fused = k == last and network.loss != "mean_squared_error"
            total += m * (0 if fused else _BACKWARD[g] * width)
            total += m * width  # db += dz
    if phase != "forward":
        total += m * n[-1]  # a - y
        total += costs.parameters(network)  # sums to averages
    if phase == "step":
        total += 2 * costs.parameters(network)  # w -= learning_rate dw
    return total


class Counted(float):
    """A float that counts the arithmetic done with it."""

    count: ClassVar[int] = 0


def _counting(name: str) -> Any:
    plain = getattr(float, name)

    def operation(self: float, other: float) -> Any:
        Counted.count += 1
        return Counted(plain(self, other))

    return operation


for _name in ("add", "sub", "mul", "truediv"):
    for _side in ("__", "__r"):
        setattr(Counted, f"{_side}{_name}__", _counting(f"{_side}{_name}__"))
setattr(Counted, "__neg__", lambda self: Counted(float.__neg__(self)))  # noqa: B010


class CountedMath:
    """The functions that `loops` takes from `math`, each one operation."""

    @staticmethod
    def exp(z: float) -> Any:
        Counted.count += 1
        return Counted(math.exp(z))

    @staticmethod
    def tanh(z: float) -> Any:
        Counted.count += 1
        return Counted(math.tanh(z))


def counted(lists: list[Any]) -> Any:
    return [counted(item) if isinstance(item, list) else Counted(item) for item in lists]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(map(str, network.widths)))
@pytest.mark.parametrize("phase", ["forward", "gradients", "step"])
@pytest.mark.parametrize("m", [1, 3])
def test_the_counts_are_those_of_loops(
    network: Any, phase: str, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = impls.Problem.random(network, samples=m, batch_size=m)
    # Large biases: every relu is on. One that is off hands on a plain 0.0, whose sums would not count.
    problem = dataclasses.replace(problem, biases=tuple(b + 20 for b in problem.biases))
    race = loops.Loops(problem)
    race.X, race.Y = counted(race.X), counted(race.Y)
    for layer in race.layers:
        layer.w, layer.b = counted(layer.w), counted(layer.b)
    monkeypatch.setattr(loops, "math", CountedMath)
    # A sum that starts from a plain 0.0 is plain until the first addition, whose other side counts.
    Counted.count = 0
    if phase == "step":
        race.step(Counted(0.1))
    else:
        getattr(race, phase)()
    assert Counted.count == costs.flops(network, phase, m) + elementwise(network, phase, m)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(map(str, network.widths)))
def test_the_bytes_are_those_of_what_is_given_and_what_comes_back(network: Any) -> None:
    m = 6
    problem = impls.Problem.random(network, samples=m, batch_size=m)
    result = impls.load("numpy")(problem).export()
    given = problem.X.nbytes + sum(w.nbytes for w in problem.weights) + sum(b.nbytes for b in problem.biases)
    gradients = sum(dw.nbytes for dw in result.dw) + sum(db.nbytes for db in result.db)
    assert costs.traffic(network, "forward", m, 8) == given + result.output.nbytes
    assert costs.traffic(network, "gradients", m, 8) == given + problem.Y.nbytes + gradients
    assert costs.traffic(network, "step", m, 8) == given + problem.Y.nbytes + 2 * gradients
    assert 2 * costs.traffic(network, "step", m, 4) == costs.traffic(network, "step", m, 8)


@pytest.mark.parametrize("optimizer", impls.OPTIMIZERS)
def test_a_step_reads_and_writes_what_its_optimizer_keeps(optimizer: str) -> None:
    network, training = NETWORKS[0], impls.Training(optimizer)
    result = impls.load("numpy")(impls.Problem.random(network, 6, 6, training=training)).export()
    kept = sum(array.nbytes for array in result.state if not isinstance(array, int))
    plain = costs.traffic(network, "step", 6, 8)
    assert costs.traffic(network, "step", 6, 8, training) == plain + 2 * kept
    assert costs.traffic(network, "gradients", 6, 8, training) == costs.traffic(network, "gradients", 6, 8)


def test_the_digits_cost_what_is_derived() -> None:
    network = impls.Network((64, 32, 10), ("sigmoid", "sigmoid"), "mean_squared_error")
    assert costs.parameters(network) == 65 * 32 + 33 * 10
    assert costs.flops(network, "forward", 1) == 2 * (64 * 32 + 32 * 10)
    assert costs.flops(network, "gradients", 1024) == 1024 * (4 * (64 * 32 + 32 * 10) + 2 * 32 * 10)
