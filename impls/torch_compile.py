"""`torch-compile`: the functions of `torch`, gradient and update included, compiled by TorchInductor.

The gradient is taken inside of what is compiled (`torch.func.grad`), so that forward, backward and update are
one graph and one call; the optimizers are written as operations of that graph. Inductor writes C++, and needs
a compiler for it wherever it runs.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from typing import Any, ClassVar

import numpy as np
import torch

from impls.interface import OPTIMIZERS, Problem, Training, Unsupported
from impls.kernels.masks import key
from impls.torch_eager import ACTIVATIONS, Tensor, TorchEager, cost, dropout_mask, forward


def compiled(function: Any) -> Any:
    """`function`, compiled for fixed shapes.

    Dynamo keeps what it compiled with the code object, and gives up after eight versions: so each
    implementation of a process gets a code object of its own.
    """
    function.__code__ = function.__code__.replace()
    return torch.compile(function, fullgraph=True, dynamic=False)


def descend(
    training: Training, parameters: list[Tensor], d: list[Tensor], state: list[list[Tensor]], numbers: Tensor
) -> None:
    """Update parameters and state in place; `numbers` are the learning rate, 1 - b1^t and 1 - b2^t."""
    learning_rate, c1, c2 = numbers
    for k, (parameter, g) in enumerate(zip(parameters, d, strict=True)):
        is_weight = k % 2 == 0
        if is_weight and training.l2:
            g = g + training.l2 * parameter
        kept = [arrays[k] for arrays in state]
        if training.optimizer == "gradient_descent":
            u = g
        elif training.optimizer in ("momentum", "nesterov"):
            (v,) = kept
            v.mul_(training.mu).add_(g)
            u = v if training.optimizer == "momentum" else g + training.mu * v
        elif training.optimizer == "rmsprop":
            (v,) = kept
            v.mul_(training.rho).add_((1 - training.rho) * g**2)
            u = g / (v.sqrt() + training.eps)
        else:
            m, v = kept
            m.mul_(training.b1).add_((1 - training.b1) * g)
            v.mul_(training.b2).add_((1 - training.b2) * g**2)
            u = (m / c1) / ((v / c2).sqrt() + training.eps)
            if is_weight and training.optimizer == "adamw":
                u = u + training.weight_decay * parameter
        parameter.sub_(learning_rate * u)


class TorchCompile(TorchEager):
    """The network of `torch` as compiled functions of tensors."""

    idea = "compiled: the operations fused, one call for forward, backward and update"
    differs_from: ClassVar[str | None] = "torch"
    fast_math = "no traps, no signed zeros"  # effects of Inductor's compiler flags

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if not shutil.which(compiler):
            raise Unsupported(
                f"torch-compile needs a C++ compiler when it runs, and there is no {compiler}: "
                "install one, or name yours in the variable CXX"
            )
        super().__init__(problem, dtype, threads)

    def warm_up(self) -> None:
        activations, loss, training = self.activations, self.loss, self.training
        g, dropout, hashes, m = activations[-1], self.dropout, self.hashes, self.m
        dtype = self.parameters[0].dtype

        def both(parameters: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
            z = forward(activations, parameters, x)
            return z, ACTIVATIONS[g](z)

        def gradients(
            parameters: list[Tensor], x: Tensor, y: Tensor, keys: Tensor | None
        ) -> tuple[list[Tensor], Tensor]:
            masks: list[Tensor | None] = []
            if keys is not None:
                masks = [
                    dropout_mask(hashes[layer], keys[layer], p, dtype) if p else None
                    for layer, p in enumerate(dropout)
                ]

            def of_batch(parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
                z = forward(activations, parameters, x, masks)
                return cost(loss, g, z, y, m), z

            d, z = torch.func.grad(of_batch, has_aux=True)(parameters)
            return d, z

        def step(
            parameters: list[Tensor],
            state: list[list[Tensor]],
            x: Tensor,
            y: Tensor,
            keys: Tensor | None,
            numbers: Tensor,
        ) -> Any:
            d, z = gradients(parameters, x, y, keys)
            descend(training, parameters, d, state, numbers)
            return d, z

        self._forward, self._gradients, self._step = compiled(both), compiled(gradients), compiled(step)
        kinds = range(OPTIMIZERS[training.optimizer])
        self.kept = [[torch.zeros_like(parameter) for parameter in self.parameters] for _ in kinds]
        # What changes from step to step is written to arrays whose memory the tensors share: numbers as
        # arguments would have everything compiled anew.
        self.keys_in = np.zeros(len(dropout), np.uint32)
        self.keys = torch.from_numpy(self.keys_in.view(np.int32)) if any(dropout) else None
        self.numbers = torch.ones(3, dtype=dtype)
        self.numbers_in = self.numbers.numpy()
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's, of its own modules
            try:
                self.forward()
                with torch.no_grad():
                    parameters = [parameter.clone() for parameter in self.parameters]
                    state = [[array.clone() for array in arrays] for arrays in self.kept]
                    self._step(parameters, state, self.X[0], self.Y[0], self.keys, self.numbers)
                self.gradients()
            except RuntimeError as error:  # the compiler's words are inside: headers may be missing, too
                raise Unsupported(f"torch-compile could not compile this network: {error}") from error
        self.compile_seconds = time.perf_counter() - begun

    def draw_keys(self) -> None:
        for layer, dropout in enumerate(self.dropout):
            if dropout:
                self.keys_in[layer] = key(self.training.seed, self.steps, layer)

    def forward(self) -> Tensor:
        self.last_batch = self.batch
        with torch.no_grad():
            self.z, a = self._forward(self.parameters, self.X[self.batch])
        return a

    def gradients(self) -> None:
        self.last_batch = self.batch
        if self.keys is not None:
            self.draw_keys()
        with torch.no_grad():
            self.d, self.z = self._gradients(
                self.parameters, self.X[self.batch], self.Y[self.batch], self.keys
            )

    def step(self, learning_rate: float) -> None:
        self.last_batch = self.batch
        if self.keys is not None:
            self.draw_keys()
        t = self.steps + 1
        self.numbers_in[0] = learning_rate
        self.numbers_in[1] = 1 - self.training.b1**t
        self.numbers_in[2] = 1 - self.training.b2**t
        with torch.no_grad():
            self.d, self.z = self._step(
                self.parameters, self.kept, self.X[self.batch], self.Y[self.batch], self.keys, self.numbers
            )
        self.steps = t
        self.batch = (self.batch + 1) % len(self.X)

    def kept_arrays(self) -> list[list[Tensor]]:
        return self.kept
