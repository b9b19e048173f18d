"""`jax`: the cost as a pure function, differentiated and compiled by JAX.

As JAX's documentation has it: `jax.grad` of the cost inside `jax.jit`, the safe forms of the losses that
`jax.nn` has, the training loop as one compiled `lax.fori_loop` whose state is donated, so that XLA updates it
in place. Everything is compiled ahead of time for the shapes at hand.

`step` is the loop of one iteration: the same executable, hence the same bits as `train`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from impls.interface import Problem, Result, Unsupported

Array: TypeAlias = Any  # jax.Array
Parameters = list[tuple[Array, Array]]  # w (n_l, n_{l-1}) and b (n_l, 1) of every layer

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "softmax": lambda z: jax.nn.softmax(z, axis=0),
}


def forward(activations: tuple[str, ...], parameters: Parameters, x: Array) -> tuple[Array, Array]:
    """x (n_0, m) -> z and a (n_L, m) of the last layer."""
    a = z = x
    for g, (w, b) in zip(activations, parameters, strict=True):
        z = w @ a + b  # (n_l, m)
        a = ACTIVATIONS[g](z)  # (n_l, m)
    return z, a


def cost(loss: str, z: Array, a: Array, y: Array) -> Array:
    """J; the cross-entropies from z, where no logarithm meets a zero."""
    m = a.shape[1]
    if loss == "mean_squared_error":
        return jnp.sum((a - y) ** 2) / (2 * m)
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = ln(1 + e^z) - z y
        return jnp.sum(jax.nn.softplus(z) - z * y) / m
    return -jnp.sum(y * jax.nn.log_softmax(z, axis=0)) / m


def start_with(threads: int) -> Any:
    """The processor as a device whose pool has that many threads, and which computes in the calling thread.

    XLA sizes its pool once in a process, when its client is made, by the CPUs that the process may use or by
    the variable NPROC. Raises Unsupported where the pool was made earlier, with another size.
    """
    # Every call waits for its numbers: a dispatch to another thread would cost some 10 us, and hide nothing.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    before = os.environ.get("NPROC")
    os.environ["NPROC"] = str(threads)
    try:
        device = jax.devices("cpu")[0]
    finally:
        if before is None:
            del os.environ["NPROC"]
        else:
            os.environ["NPROC"] = before
    # what is in force, where the system shows it: Linux names every thread of a process
    tasks = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    pool = tasks.count("tf_XLAEigen")
    if tasks and pool != threads:
        raise Unsupported(
            f"jax already runs with {pool} threads in this process, and cannot change to {threads}: "
            "race each number of threads in a process of its own"
        )
    return device


class JaxJit:
    """The cost as a pure function, its gradient and its training loop compiled by XLA."""

    idea = "automatic differentiation, compiled and fused by XLA"
    differs_from = None
    dtypes = ("float64", "float32")
    same_order = False
    # XLA contracts products and sums, and has its threads flush denormals (https://github.com/jax-ml/jax/issues/16200);
    # its fast-math flag is off unless XLA_FLAGS sets it.
    fast_math = "fma, denormals flushed to zero"
    layout = "matrices, samples in columns; the compiler chooses strides"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"jax computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        self.device = start_with(threads)
        self.loss = problem.network.loss
        # Only what is traced and placed here is 64 bits wide: elsewhere in the process JAX's default stays.
        with jax.enable_x64(dtype == "float64"):
            self._build(problem, dtype)
        self.gradients()

    def _build(self, problem: Problem, dtype: str) -> None:
        activations, loss, m = problem.network.activations, self.loss, problem.batch_size

        def place(array: Any) -> Array:
            return jax.device_put(np.array(array, dtype, order="C"), self.device)

        def in_batches(data: Any) -> Array:
            return place(data.reshape(len(data), -1, m).swapaxes(0, 1))  # (batches, n, m)

        def gradients(parameters: Parameters, x: Array, y: Array) -> tuple[Parameters, tuple[Array, Array]]:
            def of_batch(parameters: Parameters) -> tuple[Array, tuple[Array, Array]]:
                z, a = forward(activations, parameters, x)
                return cost(loss, z, a, y), (z, a)

            d, last = jax.grad(of_batch, has_aux=True)(parameters)
            return d, last

        def train(state: Any, X: Array, Y: Array, steps: Array, learning_rate: Array) -> Any:
            def step(_: Array, state: Any) -> Any:
                k, parameters, _, _ = state
                d, last = gradients(parameters, X[k], Y[k])
                parameters = jax.tree.map(lambda p, dp: p - learning_rate * dp, parameters, d)
                return (k + 1) % len(X), parameters, d, last

            return lax.fori_loop(0, steps, step, state)

        self.X, self.Y = in_batches(problem.X), in_batches(problem.Y)  # (batches, n, m)
        self.each = list(zip(self.X, self.Y, strict=True))
        self.parameters = [(place(w), place(b)) for w, b in zip(problem.weights, problem.biases, strict=True)]
        self.k = jax.device_put(np.int32(0), self.device)  # the batch of the next pass, as the loop counts it
        self.batch = self.last_batch = 0  # of the next pass, of the last one
        self.numbers: dict[Any, Array] = {}
        self.dtype = dtype

        begun = time.perf_counter()
        p, (x, y) = self.parameters, self.each[0]
        self._forward = jax.jit(lambda p, x: forward(activations, p, x)).lower(p, x).compile()
        self._gradients = jax.jit(gradients).lower(p, x, y).compile()
        state = (self.k, p, *jax.eval_shape(gradients, p, x, y))
        numbers = self.on_device(1, "int32"), self.on_device(0.0, dtype)
        self._train = jax.jit(train, donate_argnums=0).lower(state, self.X, self.Y, *numbers).compile()
        self.compile_seconds = time.perf_counter() - begun

    def on_device(self, number: float, dtype: str) -> Array:
        """A number as an array on the device, kept: a fast user would not send it again at every step."""
        if (number, dtype) not in self.numbers:
            if len(self.numbers) > 9:  # a rate that changes at every step must not fill the memory
                self.numbers.clear()
            with jax.enable_x64(True):  # so that a float64 stays one
                self.numbers[number, dtype] = jax.device_put(np.array(number, dtype), self.device)
        return self.numbers[number, dtype]

    def forward(self) -> Any:
        self.last_batch = self.batch
        self.last = jax.block_until_ready(self._forward(self.parameters, self.each[self.batch][0]))
        return self.last[1]

    def gradients(self) -> Any:
        self.last_batch = self.batch
        self.d, self.last = jax.block_until_ready(self._gradients(self.parameters, *self.each[self.batch]))
        return self.d

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        if steps == 0:
            return
        numbers = self.on_device(steps, "int32"), self.on_device(learning_rate, self.dtype)
        state = self.k, self.parameters, self.d, self.last
        self.k, self.parameters, self.d, self.last = jax.block_until_ready(
            self._train(state, self.X, self.Y, *numbers)
        )
        self.last_batch = (self.batch + steps - 1) % len(self.each)
        self.batch = (self.batch + steps) % len(self.each)

    def export(self) -> Result:
        z, a = self.last
        with jax.enable_x64(True):
            J = float(cost(self.loss, z, a, self.each[self.last_batch][1]))
        wide = np.float64
        return Result(
            loss=J,
            output=np.array(a, wide),
            dw=tuple(np.array(dw, wide) for dw, _ in self.d),
            db=tuple(np.array(db, wide) for _, db in self.d),
            weights=tuple(np.array(w, wide) for w, _ in self.parameters),
            biases=tuple(np.array(b, wide) for _, b in self.parameters),
        )
