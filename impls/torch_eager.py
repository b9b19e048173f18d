"""`torch`: PyTorch's operations one by one, its autograd on the way back.

As PyTorch's documentation has it: `torch.autograd.grad` of a cost in functions of `torch.nn.functional` that
take pre-activations where there is one, parameters updated in place outside of the graph. With samples in
columns `addmm` does a layer in one call, nearly everywhere faster than `linear` on samples in rows.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from impls.interface import Problem, Result, Unsupported

Tensor: TypeAlias = Any  # torch.Tensor

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softmax": lambda z: torch.softmax(z, dim=0),
}


def forward(activations: tuple[str, ...], parameters: list[Tensor], x: Tensor) -> Tensor:
    """x (n_0, m) -> z (n_L, m) of the last layer; `parameters` are w (n_l, n_{l-1}), b (n_l, 1) by turns."""
    z = x
    for k, (w, b) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        a = ACTIVATIONS[activations[k - 1]](z) if k else x  # (n_{l-1}, m)
        z = torch.addmm(b, w, a)  # (n_l, m)
    return z


def cost(loss: str, g: str, z: Tensor, y: Tensor) -> Tensor:
    """J from z (n_L, m) of the last layer, whose activation is g."""
    m = z.shape[1]
    if loss == "mean_squared_error":
        return functional.mse_loss(ACTIVATIONS[g](z), y, reduction="sum") / (2 * m)
    if loss == "binary_cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / m
    return -(y * functional.log_softmax(z, dim=0)).sum() / m


class TorchEager:
    """The network in tensors that require gradients."""

    idea = "automatic differentiation of vectorized operations, one call each"
    differs_from: ClassVar[str | None] = None
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "none"
    layout = "C-contiguous matrices, samples in columns"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"torch computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        torch.set_num_threads(threads)
        self.activations = problem.network.activations
        self.loss = problem.network.loss

        def tensor(array: Any) -> Tensor:
            return torch.from_numpy(np.array(array, dtype, order="C"))

        m = problem.batch_size
        starts = range(0, problem.samples, m)
        self.X = [tensor(problem.X[:, k : k + m]) for k in starts]  # each (n_0, m)
        self.Y = [tensor(problem.Y[:, k : k + m]) for k in starts]  # each (n_L, m)
        self.parameters = [
            tensor(array) for w, b in zip(problem.weights, problem.biases, strict=True) for array in (w, b)
        ]
        self.batch = self.last_batch = 0  # of the next pass, of the last one
        self.compile_seconds = 0.0
        self.warm_up()

    def warm_up(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.gradients()

    def forward(self) -> Tensor:
        self.last_batch = self.batch
        with torch.inference_mode():
            self.z = forward(self.activations, self.parameters, self.X[self.batch])
            return ACTIVATIONS[self.activations[-1]](self.z)

    def gradients(self) -> None:
        self.last_batch = self.batch
        self.z = forward(self.activations, self.parameters, self.X[self.batch])
        J = cost(self.loss, self.activations[-1], self.z, self.Y[self.batch])
        self.d = torch.autograd.grad(J, self.parameters)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        with torch.no_grad():
            for parameter, d in zip(self.parameters, self.d, strict=True):
                parameter.add_(d, alpha=-learning_rate)
        self.batch = (self.batch + 1) % len(self.X)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        def wide(tensor: Tensor) -> Any:
            return tensor.detach().numpy().astype(np.float64)

        g = self.activations[-1]
        with torch.no_grad():
            J = cost(self.loss, g, self.z, self.Y[self.last_batch])
            a = ACTIVATIONS[g](self.z)
        return Result(
            loss=float(J),
            output=wide(a),
            dw=tuple(wide(dw) for dw in self.d[::2]),
            db=tuple(wide(db) for db in self.d[1::2]),
            weights=tuple(wide(w) for w in self.parameters[::2]),
            biases=tuple(wide(b) for b in self.parameters[1::2]),
        )
