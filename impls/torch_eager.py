"""`torch`: PyTorch's operations one by one, with its autograd for the backward pass.

As PyTorch's documentation advises: `torch.autograd.grad` of a cost in functions of `torch.nn.functional` that
take pre-activations where there is one, parameters updated in place outside of the graph. With samples in
columns `addmm` does a layer in one call, nearly everywhere faster than `linear` on samples in rows. The
optimizers are those of `torch.optim`, fused where there is such a form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from impls.interface import Problem, Result, Training, Unsupported
from impls.kernels.masks import key, lowbias32, scale, threshold

Tensor: TypeAlias = Any  # torch.Tensor

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softmax": lambda z: torch.softmax(z, dim=0),
}


STATE = {
    "gradient_descent": (),
    "momentum": ("momentum_buffer",),
    "nesterov": ("momentum_buffer",),
    "rmsprop": ("square_avg",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
"""The names in torch.optim of the arrays that an optimizer keeps, in the order of `Result.state`."""


def forward(
    activations: tuple[str, ...], parameters: list[Tensor], x: Tensor, masks: Sequence[Tensor | None] = ()
) -> Tensor:
    """x (n_0, m) -> z (n_L, m) of the last layer; `parameters` are w (n_l, n_{l-1}), b (n_l, 1) by turns.

    `masks` (n_l, m) are those of the hidden layers.
    """
    z = x
    for k, (w, b) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        a = ACTIVATIONS[activations[k - 1]](z) if k else x  # (n_{l-1}, m)
        if k and masks and masks[k - 1] is not None:
            a = a * masks[k - 1]  # (n_{l-1}, m)
        z = torch.addmm(b, w, a)  # (n_l, m)
    return z


def cost(loss: str, g: str, z: Tensor, y: Tensor, m: int) -> Tensor:
    """J from z (n_L, m) of the last layer, whose activation is g; of fewer samples than m, their share."""
    if loss == "mean_squared_error":
        return functional.mse_loss(ACTIVATIONS[g](z), y, reduction="sum") / (2 * m)
    if loss == "binary_cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / m
    return -(y * functional.log_softmax(z, dim=0)).sum() / m


def signed(x: int) -> int:
    """The signed integer with the 32 bits of x: unsigned tensors have no >> on the CPU."""
    return x - 2**32 if x >= 2**31 else x


def lowbias32_signed(x: Tensor) -> Tensor:
    """`lowbias32` of 32-bit integers with a sign, which >> would copy into the bits that it frees."""
    x = x ^ (x >> 16).bitwise_and_(0xFFFF)
    x *= 0x7FEB352D
    x ^= (x >> 15).bitwise_and_(0x1FFFF)
    x *= signed(0x846CA68B)
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    return x


def dropout_mask(hashes: Tensor, key: Any, dropout: float, dtype: Any) -> Tensor:
    """Of hashes (n_l, m), int32: the scale where an activation is kept, else 0."""
    x = lowbias32_signed(hashes ^ key)
    x ^= -(2**31)  # so signed integers have the order of the unsigned ones
    return (x >= signed(threshold(dropout) ^ 2**31)).to(dtype).mul_(scale(dropout))


def optimizer(training: Training, parameters: list[Tensor]) -> Any:
    """The optimizer of torch.optim, without l2; None for gradient descent."""
    name = training.optimizer
    if name in ("momentum", "nesterov"):
        # with momentum 0 it keeps no v and refuses nesterov: the smallest number acts like 0
        mu = max(training.mu, math.ulp(0.0))
        return torch.optim.SGD(parameters, momentum=mu, nesterov=name == "nesterov", fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, alpha=training.rho, eps=training.eps)
    betas = training.b1, training.b2
    if name == "adam":
        return torch.optim.Adam(parameters, betas=betas, eps=training.eps, fused=True)
    if name == "adamw":
        groups = [
            {"params": parameters[::2], "weight_decay": training.weight_decay},
            {"params": parameters[1::2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, betas=betas, eps=training.eps, fused=True)
    return None


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

        self.m = m = problem.batch_size  # what gradients are divided by
        starts = range(0, problem.samples, m)
        self.X = [tensor(problem.X[:, k : k + m]) for k in starts]  # each (n_0, m)
        self.Y = [tensor(problem.Y[:, k : k + m]) for k in starts]  # each (n_L, m)
        self.parameters = [
            tensor(array) for w, b in zip(problem.weights, problem.biases, strict=True) for array in (w, b)
        ]
        self.training, self.dropout = problem.training, problem.dropout
        self.hashes = [
            torch.from_numpy(lowbias32(np.arange(n * m, dtype=np.uint32)).view(np.int32).reshape(n, m))
            for n in problem.network.widths[1:-1]
        ]
        self.steps = 0
        self.batch = self.last_batch = 0  # of the next pass, of the last one
        self.compile_seconds = 0.0
        self.warm_up()

    def warm_up(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.optimizer = optimizer(self.training, self.parameters)
        self.gradients()
        if self.optimizer:  # it makes its state in its first step
            begun = [parameter.detach().clone() for parameter in self.parameters]
            self.descend(0.0)
            with torch.no_grad():
                for parameter, at_first in zip(self.parameters, begun, strict=True):
                    parameter.copy_(at_first)
                    for kept in self.optimizer.state[parameter].values():
                        kept.zero_()

    def masks(self) -> list[Tensor | None]:
        """The masks of the current step, each (n_l, m)."""
        dtype = self.parameters[0].dtype
        return [
            dropout_mask(hashes, signed(key(self.training.seed, self.steps, layer)), dropout, dtype)
            if dropout
            else None
            for layer, (dropout, hashes) in enumerate(zip(self.dropout, self.hashes, strict=True))
        ]

    def forward(self) -> Tensor:
        self.last_batch = self.batch
        with torch.inference_mode():
            self.z = forward(self.activations, self.parameters, self.X[self.batch])
            return ACTIVATIONS[self.activations[-1]](self.z)

    def gradients(self) -> None:
        self.last_batch = self.batch
        self.z = forward(self.activations, self.parameters, self.X[self.batch], self.masks())
        J = cost(self.loss, self.activations[-1], self.z, self.Y[self.batch], self.m)
        self.d = torch.autograd.grad(J, self.parameters)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.descend(learning_rate)
        self.steps += 1
        self.batch = (self.batch + 1) % len(self.X)

    def descend(self, learning_rate: float) -> None:
        """The update of the parameters from the gradients."""
        with torch.no_grad():
            d = list(self.d)
            if self.training.l2:  # torch.optim's weight_decay would take the biases, too
                d[::2] = [
                    dw.add(w, alpha=self.training.l2)
                    for dw, w in zip(d[::2], self.parameters[::2], strict=True)
                ]
            if self.optimizer:
                for parameter, g in zip(self.parameters, d, strict=True):
                    parameter.grad = g
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate
                self.optimizer.step()
            else:
                for parameter, g in zip(self.parameters, d, strict=True):
                    parameter.add_(g, alpha=-learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        def wide(tensor: Tensor) -> Any:
            return tensor.detach().numpy().astype(np.float64)

        g = self.activations[-1]
        with torch.no_grad():
            J = cost(self.loss, g, self.z, self.Y[self.last_batch], self.z.shape[1])
            a = ACTIVATIONS[g](self.z)
        return Result(
            loss=float(J),
            output=wide(a),
            dw=tuple(wide(dw) for dw in self.d[::2]),
            db=tuple(wide(db) for db in self.d[1::2]),
            weights=tuple(wide(w) for w in self.parameters[::2]),
            biases=tuple(wide(b) for b in self.parameters[1::2]),
            state=self._state(),
        )

    def _state(self) -> tuple[Any, ...]:
        kept = self.kept_arrays()
        if not kept and not any(self.dropout):
            return ()
        arrays = (array for of_kind in kept for array in (*of_kind[::2], *of_kind[1::2]))
        return (*(array.numpy().astype(np.float64) for array in arrays), self.steps)

    def kept_arrays(self) -> list[list[Tensor]]:
        """The optimizer's arrays of each kind, in the order of the parameters."""
        names = STATE[self.training.optimizer]
        return [[self.optimizer.state[parameter][name] for parameter in self.parameters] for name in names]
