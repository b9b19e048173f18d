"""`torch-compile`: the functions of `torch`, gradient and update included, compiled by TorchInductor.

The gradient is taken inside of what is compiled (`torch.func.grad`), so that forward, backward and update are
one graph and one call. Inductor writes C++, and needs a compiler for it wherever it runs.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from typing import Any, ClassVar

import torch

from impls.interface import Problem, Unsupported
from impls.torch_eager import ACTIVATIONS, Tensor, TorchEager, cost, forward


def compiled(function: Any) -> Any:
    """`function`, compiled for fixed shapes.

    Dynamo keeps what it compiled with the code object, and gives up after eight versions: so each
    implementation of a process gets a code object of its own.
    """
    function.__code__ = function.__code__.replace()
    return torch.compile(function, fullgraph=True, dynamic=False)


class TorchCompile(TorchEager):
    """The network of `torch` as compiled functions of tensors."""

    idea = "compiled: the operations fused, one call for forward, backward and update"
    differs_from: ClassVar[str | None] = "torch"
    fast_math = "no traps, no signed zeros"  # of Inductor's flags for its compiler

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if not shutil.which(compiler):
            raise Unsupported(
                f"torch-compile needs a C++ compiler when it runs, and there is no {compiler}: "
                "install one, or name yours in the variable CXX"
            )
        super().__init__(problem, dtype, threads)

    def warm_up(self) -> None:
        activations, loss = self.activations, self.loss
        g = activations[-1]

        def both(parameters: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
            z = forward(activations, parameters, x)
            return z, ACTIVATIONS[g](z)

        def gradients(parameters: list[Tensor], x: Tensor, y: Tensor) -> tuple[list[Tensor], Tensor]:
            def of_batch(parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
                z = forward(activations, parameters, x)
                return cost(loss, g, z, y), z

            d, z = torch.func.grad(of_batch, has_aux=True)(parameters)
            return d, z

        def step(parameters: list[Tensor], x: Tensor, y: Tensor, learning_rate: Tensor) -> Any:
            d, z = gradients(parameters, x, y)
            for parameter, dp in zip(parameters, d, strict=True):
                parameter.sub_(learning_rate * dp)
            return d, z

        self._forward, self._gradients, self._step = compiled(both), compiled(gradients), compiled(step)
        self.learning_rate = torch.zeros((), dtype=self.parameters[0].dtype)
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's, of its own modules
            try:
                self.forward()
                with torch.no_grad():  # a step of rate 0 that leaves the batch where it is
                    self._step(self.parameters, self.X[0], self.Y[0], self.learning_rate)
                self.gradients()
            except RuntimeError as error:  # the compiler's words are inside: headers may be missing, too
                raise Unsupported(f"torch-compile could not compile this network: {error}") from error
        self.compile_seconds = time.perf_counter() - begun

    def forward(self) -> Tensor:
        self.last_batch = self.batch
        with torch.no_grad():
            self.z, a = self._forward(self.parameters, self.X[self.batch])
        return a

    def gradients(self) -> None:
        self.last_batch = self.batch
        with torch.no_grad():
            self.d, self.z = self._gradients(self.parameters, self.X[self.batch], self.Y[self.batch])

    def step(self, learning_rate: float) -> None:
        self.last_batch = self.batch
        self.learning_rate.fill_(learning_rate)
        with torch.no_grad():
            self.d, self.z = self._step(
                self.parameters, self.X[self.batch], self.Y[self.batch], self.learning_rate
            )
        self.batch = (self.batch + 1) % len(self.X)
