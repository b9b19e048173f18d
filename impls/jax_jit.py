"""`jax`: the cost as a pure function, differentiated and compiled by JAX.

As JAX's documentation advises: `jax.grad` of the cost inside `jax.jit`, the safe forms of the losses that
`jax.nn` has, the training loop as one compiled `lax.fori_loop` whose state is donated, so that XLA updates it
in place, with the optimizers of optax inside. Everything is compiled ahead of time for the shapes at hand.

`step` is the loop of one iteration: the same executable, hence the same bits as `train`.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import PartitionSpec

from impls.interface import Problem, Result, Training, Unsupported
from impls.kernels.masks import key, lowbias32, scale, threshold

Array: TypeAlias = Any  # jax.Array
Parameters = list[tuple[Array, Array]]  # w (n_l, n_{l-1}) and b (n_l, 1) of every layer

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "softmax": lambda z: jax.nn.softmax(z, axis=0),
}


WHOLE, COLUMNS = PartitionSpec(), PartitionSpec(None, "ranks")
BATCHES = PartitionSpec(None, None, "ranks")
"""The axis of an array that is divided among several devices: none, or that of the samples."""

STATE = {
    "gradient_descent": (),
    "momentum": ("trace",),
    "nesterov": ("trace",),
    "rmsprop": ("nu",),
    "adam": ("mu", "nu"),
    "adamw": ("mu", "nu"),
}
"""The names in optax of the arrays that an optimizer keeps, in the order of `Result.state`."""


def forward(
    activations: tuple[str, ...], parameters: Parameters, x: Array, masks: Sequence[Array | None] = ()
) -> tuple[Array, Array]:
    """x (n_0, m) -> z and a (n_L, m) of the last layer; `masks` (n_l, m) are those of the hidden layers."""
    a = z = x
    for g, (w, b), mask in zip_longest(activations, parameters, masks):
        z = w @ a + b  # (n_l, m)
        a = ACTIVATIONS[g](z)  # (n_l, m)
        if mask is not None:
            a = a * mask  # (n_l, m)
    return z, a


def cost(loss: str, z: Array, a: Array, y: Array, m: int) -> Array:
    """J; of fewer samples than m, their share. Cross-entropies from z, where no logarithm meets a zero."""
    if loss == "mean_squared_error":
        return jnp.sum((a - y) ** 2) / (2 * m)
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = ln(1 + e^z) - z y
        return jnp.sum(jax.nn.softplus(z) - z * y) / m
    return -jnp.sum(y * jax.nn.log_softmax(z, axis=0)) / m


def dropout_mask(hashes: Array, key: Array, dropout: float, dtype: str) -> Array:
    """Of hashes (n_l, m), uint32: the scale where an activation is kept, else 0."""
    kept = lowbias32(hashes ^ key) >= threshold(dropout)
    return jnp.where(kept, jnp.asarray(scale(dropout), dtype), 0)


def transformation(training: Training, layers: int) -> optax.GradientTransformation:
    """From gradients to the descent of the parameters at a rate of 1."""
    adam = optax.scale_by_adam(training.b1, training.b2, training.eps)
    chain = {
        "gradient_descent": [],
        "momentum": [optax.trace(training.mu)],
        "nesterov": [optax.trace(training.mu, nesterov=True)],
        "rmsprop": [optax.scale_by_rms(training.rho, training.eps, eps_in_sqrt=False)],
        "adam": [adam],
        "adamw": [adam],
    }[training.optimizer]
    chain = [optax.flatten(part) for part in chain]  # one loop over all parameters
    weights = [(True, False)] * layers
    if training.l2:
        chain = [optax.add_decayed_weights(training.l2, weights), *chain]
    if training.optimizer == "adamw":
        chain = [*chain, optax.add_decayed_weights(training.weight_decay, weights)]
    return optax.chain(optax.identity(), *chain)


def start_with(threads: int) -> Any:
    """The processor as a device whose pool has that many threads, and which computes in the calling thread.

    XLA sizes its pool once in a process, when its client is made, by the CPUs that the process may use or by
    the variable NPROC. Raises Unsupported if the pool was made earlier, with another size.
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
    tasks = []
    for path in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # the thread has ended since
            tasks.append(path.read_text().strip())
    pool = tasks.count("tf_XLAEigen")
    if tasks and pool != threads:
        raise Unsupported(
            f"jax already runs with {pool} threads in this process, and cannot change to {threads}: "
            "race each number of threads in a separate process"
        )
    return device


class JaxJit:
    """The cost as a pure function, its gradient and its training loop compiled by XLA."""

    idea = "automatic differentiation, compiled and fused by XLA"
    differs_from: ClassVar[str | None] = None
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
        # Only what is traced and placed here may be 64 bits wide: elsewhere in the process JAX's default
        # stays. Arrays are of `dtype`, but 1 - b^t, which optax computes, is rounded to it only then.
        with jax.enable_x64(True):
            self._build(problem, dtype)
        self.gradients()

    def put(self, tree: Any, spec: PartitionSpec) -> Any:  # noqa: ARG002 - there is one device
        """Arrays on the device; on several it is `spec` that divides them."""
        return jax.device_put(tree, self.device)

    def spread(self, function: Any, arguments: Any, results: Any) -> Any:  # noqa: ARG002 - likewise
        """The function on every device; these specs divide its arguments and results."""
        return function

    def averaged(self, d: Parameters) -> Parameters:
        """The gradients of all columns, from those of the columns of each device."""
        return d

    def columns(self, table: Any) -> Array:
        """The columns of a table (n, m) on the device."""
        return table

    def _build(self, problem: Problem, dtype: str) -> None:
        activations, loss, m = problem.network.activations, self.loss, problem.batch_size
        training, L = problem.training, problem.network.layers
        optimizer = transformation(training, L)

        def in_dtype(array: Any) -> Any:
            return np.array(array, dtype, order="C")

        def in_batches(data: Any) -> Any:
            return in_dtype(data.reshape(len(data), -1, m).swapaxes(0, 1))  # (batches, n, m)

        def mask(t: Array, layer: int, dropout: float) -> Array:
            n = problem.network.widths[layer + 1]
            hashes = self.columns(lowbias32(np.arange(n * m, dtype=np.uint32)).reshape(n, m))
            return dropout_mask(hashes, key(training.seed, t, layer), dropout, dtype)

        def own_gradients(
            parameters: Parameters, x: Array, y: Array, t: Array | None
        ) -> tuple[Parameters, tuple[Array, Array]]:
            masks = [mask(t, layer, p) if p else None for layer, p in enumerate(problem.dropout)]

            def of_batch(parameters: Parameters) -> tuple[Array, tuple[Array, Array]]:
                z, a = forward(activations, parameters, x, masks)
                return cost(loss, z, a, y, m), (z, a)

            d, last = jax.grad(of_batch, has_aux=True)(parameters)
            return d, last

        def gradients(
            parameters: Parameters, x: Array, y: Array, t: Array | None
        ) -> tuple[Parameters, tuple[Array, Array]]:
            d, last = own_gradients(parameters, x, y, t)
            return self.averaged(d), last

        def train(state: Any, X: Array, Y: Array, steps: Array, learning_rate: Array) -> Any:
            def step(_: Array, state: Any) -> Any:
                k, t, parameters, moments, _, _ = state
                d, last = gradients(parameters, X[k], Y[k], t)
                descent, moments = optimizer.update(d, moments, parameters)
                parameters = jax.tree.map(lambda p, u: p - learning_rate * u, parameters, descent)
                return (k + 1) % len(X), None if t is None else t + 1, parameters, moments, d, last

            return lax.fori_loop(0, steps, step, state)

        X, Y = in_batches(problem.X), in_batches(problem.Y)  # (batches, n, m)
        self.X, self.Y = self.put((X, Y), BATCHES)
        self.each = self.put(list(zip(X, Y, strict=True)), COLUMNS)
        parameters = [
            (in_dtype(w), in_dtype(b)) for w, b in zip(problem.weights, problem.biases, strict=True)
        ]
        self.parameters, self.moments = self.put((parameters, optimizer.init(parameters)), WHOLE)
        self.k = self.put(np.int32(0), WHOLE)  # the batch of the next pass, as the loop counts it
        # the steps made, as the masks count them
        self.t = self.put(np.uint32(0), WHOLE) if any(problem.dropout) else None
        self.own_gradients = own_gradients
        self.training, self.steps = training, 0
        self.batch = self.last_batch = 0  # of the next pass, of the last one
        self.numbers: dict[Any, Array] = {}
        self.dtype = dtype

        begun = time.perf_counter()
        p, of_batch = self.parameters, (*self.each[0], self.t)
        batch, last = (COLUMNS, COLUMNS, WHOLE), (COLUMNS, COLUMNS)
        both = self.spread(lambda p, x: forward(activations, p, x), (WHOLE, COLUMNS), last)
        self._forward = jax.jit(both).lower(p, of_batch[0]).compile()
        averages = self.spread(gradients, (WHOLE, *batch), (WHOLE, last))
        self._gradients = jax.jit(averages).lower(p, *of_batch).compile()
        found = jax.tree.map(
            lambda of, where: jax.ShapeDtypeStruct(of.shape, of.dtype, sharding=where),
            jax.eval_shape(averages, p, *of_batch),
            self._gradients.output_shardings,
        )
        begin, state = (self.k, self.t, p, self.moments, *found), (*[WHOLE] * 5, last)
        numbers = self.on_device(1, "int32"), self.on_device(0.0, dtype)
        loop = self.spread(train, (state, BATCHES, BATCHES, WHOLE, WHOLE), state)
        self._train = jax.jit(loop, donate_argnums=0).lower(begin, self.X, self.Y, *numbers).compile()
        self.compile_seconds = time.perf_counter() - begun

    def on_device(self, number: float, dtype: str) -> Array:
        """A number as an array on the device, kept: a fast user would not send it again at every step."""
        if (number, dtype) not in self.numbers:
            if len(self.numbers) > 9:  # a rate that changes at every step must not fill the memory
                self.numbers.clear()
            with jax.enable_x64(True):  # so that a float64 stays one
                self.numbers[number, dtype] = self.put(np.array(number, dtype), WHOLE)
        return self.numbers[number, dtype]

    def forward(self) -> Any:
        self.last_batch = self.batch
        self.last = jax.block_until_ready(self._forward(self.parameters, self.each[self.batch][0]))
        return self.last[1]

    def gradients(self) -> Any:
        self.last_batch = self.batch
        self.d, self.last = jax.block_until_ready(
            self._gradients(self.parameters, *self.each[self.batch], self.t)
        )
        return self.d

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        if steps == 0:
            return
        numbers = self.on_device(steps, "int32"), self.on_device(learning_rate, self.dtype)
        state = self.k, self.t, self.parameters, self.moments, self.d, self.last
        self.k, self.t, self.parameters, self.moments, self.d, self.last = jax.block_until_ready(
            self._train(state, self.X, self.Y, *numbers)
        )
        self.steps += steps
        self.last_batch = (self.batch + steps - 1) % len(self.each)
        self.batch = (self.batch + steps) % len(self.each)

    def export(self) -> Result:
        z, a = self.last
        return self.result(z, a, self.each[self.last_batch][1])

    def result(self, z: Array, a: Array, y: Array) -> Result:
        """The loss and output of an export, from z, a and y of the last pass."""
        with jax.enable_x64(True):
            J = float(cost(self.loss, z, a, y, a.shape[1]))
        wide = np.float64
        return Result(
            loss=J,
            output=np.array(a, wide),
            dw=tuple(np.array(dw, wide) for dw, _ in self.d),
            db=tuple(np.array(db, wide) for _, db in self.d),
            weights=tuple(np.array(w, wide) for w, _ in self.parameters),
            biases=tuple(np.array(b, wide) for _, b in self.parameters),
            state=self._state(),
        )

    def _state(self) -> tuple[Any, ...]:
        names = STATE[self.training.optimizer]
        if not names and self.t is None:
            return ()
        shapes = [array.shape for pair in self.parameters for array in pair]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        arrays = []
        for name in names:
            flat = np.array(optax.tree_utils.tree_get(self.moments, name), np.float64)
            split = [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]
            arrays += [*split[::2], *split[1::2]]  # weights, then biases
        return (*arrays, self.steps)
