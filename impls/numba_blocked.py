"""`numba-blocked`: the whole pass compiled, fused over tiles of the batch that stay in cache, on hand-blocked
products.

**Layout.** Inside, samples stand in *rows*: x is (m, n_{l-1}), z and a are (m, n_l), so that the numbers
of one sample are contiguous and all products have the one form that `numba_simd.product` runs at the speed
of the machine: a broadcast number of the left matrix times a contiguous row of the right one.

    z       (m, n_l)       = b + x w^T         rows of w^T contiguous
    dw      (n_l, n_{l-1}) = dz^T x / m        rows of x contiguous
    dw^T    (n_0, n_1)     = x^T dz / m        rows of dz contiguous     (the first layer)
    db      (1, n_l)       = 1^T dz / m        rows of dz contiguous
    da_prev (m, n_{l-1})   = dz w              rows of w contiguous

Nothing is ever transposed to compute gradients, and no row is padded. Only the weights are wanted both
ways, as w^T on the way forward and as w on the way back. They are kept as w, with w^T refreshed after each
update; except in the first layer, which hands no gradient on: there w^T is all there is.

**Tiles.** A batch is cut into tiles of up to `TILE_BYTES` of activations. A tile goes all the way forward
and all the way back before the next begins: what a layer wrote is still in the second-level cache when the
next step reads it. The weights' gradients are added up from tile to tile in place; the last tile divides
by m.

**Memory.** Everything lies in one array, `memory`, cut up by the integers of `plan`. So a call passes one
number, the address of the plan, which keeps Python's share of it to a fraction of a microsecond, and nothing
is allocated after construction.

Elementwise loops are plain scalar code that LLVM vectorizes; see `numba_simd` for the exponentials and
their errors. Fused multiply-adds are the only liberty taken with IEEE arithmetic: NaN and infinities
behave.
"""

from __future__ import annotations

import functools
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

from impls.interface import ACTIVATIONS, LOSSES, Problem, Result, Unsupported
from impls.kernels import simd
from impls.kernels.simd import (
    SLACK,
    Array,
    Int,
    compiled,
    exp,
    pointer,
    product,
    sigmoid,
    tanh,
    transpose,
    vector_add,
    vector_length,
    vector_max,
    vector_multiply,
    vector_sum,
)

Plan = NDArray[np.int64]

TILE_BYTES = 384 * 1024
"""Activations and derivatives of a tile: part of a second-level cache, which holds the weights as well."""

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))
MEAN_SQUARED_ERROR, BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY = range(len(LOSSES))

# plan[0]: the problem. Places are offsets into `memory`, in numbers.
LAYERS, M, BATCH, TILE, LOSS = 0, 1, 2, 3, 4  # L, samples, samples in a batch and in a tile, cost
X, Y, Z, ONE, ZEROS = 5, 6, 7, 8, 9  # (M, n_0), (M, n_L), z of the last layer (m, n_L), a one, a row of zeros
PARAMETERS, GRADIENTS, SIZE = 10, 11, 12  # first of the parameters, of the gradients, and how many of each
THREADS, SCRATCH = 13, 14  # how many, and the numbers from one's scratch to the next one's
FIRST, PASS = 15, 16  # first sample of the current batch, of that of the last pass
ADDRESS, LENGTH = 17, 18  # of `memory`
# plan[k], k = 1 ... L: a layer.
N_IN, N_OUT, G = 0, 1, 2  # n_{k-1}, n_k, activation
W, WT, B, DW, DB = 3, 4, 5, 6, 7  # w and w^T, b, dw (the first layer: of w^T) and db
A, DZ = 8, 9  # a (tile, n_k; the last layer: m, n_k), dz (tile, n_k)
COLUMNS = 19


# ---- elementwise, over the contiguous numbers of a tile ----------------------------------------------------


@compiled
def activate(g: Int, a: Array) -> None:
    """a = g(z) in the place of z; softmax is a function of its own."""
    one, two = a.dtype.type(1), a.dtype.type(2)
    if g == SIGMOID:
        for i in range(a.size):
            a[i] = sigmoid(a[i], one)
    elif g == TANH:
        for i in range(a.size):
            a[i] = tanh(a[i], two)
    elif g == RELU:
        for i in range(a.size):
            a[i] = max(a[i], 0)


@compiled
def softmax(z: Array, e: Array, a: Array, n: Int) -> None:
    """a = e^z / sum(e^z) over the n numbers of each sample; shift-invariant: the largest exponent becomes 0.

    `e` is scratch. No loop reads what it writes: a load from beside a masked store would wait for it.
    """
    lanes, zero, one = vector_length(z), z.dtype.type(0), z.dtype.type(1)
    for s in range(0, z.size, n):
        top = z[s]
        for j in range(0, n, lanes):
            top = vector_max(z, s + j, n - j, top, z)
        for j in range(0, n, lanes):
            vector_add(z, s + j, n - j, -top, e)
    for i in range(e.size):
        e[i] = exp(e[i])
    for s in range(0, z.size, n):
        total = zero
        for j in range(0, n, lanes):
            total = vector_sum(e, s + j, n - j, total, e)
        for j in range(0, n, lanes):
            vector_multiply(e, s + j, n - j, one / total, a)


@compiled
def copy(z: Array, a: Array) -> None:
    """a = z; the slice assignment would look out for overlaps, and make temporary copies of them."""
    for i in range(z.size):
        a[i] = z[i]


@compiled
def loss_derivative(a: Array, y: Array, dz: Array) -> None:
    """a - y: the derivative of m J by a (mean squared error) or by z (the cross-entropies)."""
    for i in range(a.size):
        dz[i] = a[i] - y[i]


@compiled
def activate_backward(g: Int, da: Array, a: Array) -> None:
    """dz = da g'(z) in the place of da, with g' written in terms of a."""
    one = a.dtype.type(1)
    if g == SIGMOID:
        for i in range(a.size):
            da[i] *= a[i] * (one - a[i])
    elif g == TANH:
        for i in range(a.size):
            da[i] *= one - a[i] * a[i]
    elif g == RELU:
        for i in range(a.size):
            da[i] = da[i] if a[i] > 0 else 0


# ---- a tile forward, a tile back ---------------------------------------------------------------------------


@compiled
def forward_tile(memory: Array, plan: Plan, scratch: Int, first: Int, s: Int, t: Int) -> None:
    """Samples s ... s + t of the batch that begins at sample `first`, through the layers.

    `scratch` is added to the places of hidden a and of dz: room for one thread among several.
    """
    zero, one = np.int64(0), np.int64(1)  # numba compiles a product of its own for every literal argument
    L = plan[0, LAYERS]
    x = plan[0, X] + (first + s) * plan[1, N_IN]
    for k in range(1, L + 1):
        n_in, n, g = plan[k, N_IN], plan[k, N_OUT], plan[k, G]
        if k < L:
            a = plan[k, A] + scratch
            z = a
        else:
            a = plan[k, A] + s * n
            z = plan[0, Z] + s * n
        # z (t, n) = b + x (t, n_in) w^T
        product(memory, z, n, plan[k, B], zero, x, n_in, one, plan[k, WT], n, t, n, n_in, 1.0)
        if g == SOFTMAX:
            e = plan[k, DZ] + scratch
            softmax(memory[z : z + t * n], memory[e : e + t * n], memory[a : a + t * n], n)
        else:
            if k == L:
                copy(memory[z : z + t * n], memory[a : a + t * n])
            activate(g, memory[a : a + t * n])
        x = a


@compiled
def backward_tile(
    memory: Array,
    plan: Plan,
    scratch: Int,
    gradients: Int,
    first: Int,
    s: Int,
    t: Int,
    begin: bool,
    scale: float,
) -> None:
    """The gradients of samples s ... s + t, after `forward_tile`: scale (what is there + theirs).

    With `begin`, nothing is there yet. `gradients` is added to the places of dw and db.
    """
    zero, one = np.int64(0), np.int64(1)
    L, loss = plan[0, LAYERS], plan[0, LOSS]
    n = plan[L, N_OUT]
    a, dz = plan[L, A] + s * n, plan[L, DZ] + scratch
    y = plan[0, Y] + (first + s) * n
    loss_derivative(memory[a : a + t * n], memory[y : y + t * n], memory[dz : dz + t * n])
    if loss == MEAN_SQUARED_ERROR:
        activate_backward(plan[L, G], memory[dz : dz + t * n], memory[a : a + t * n])
    zeros, keep = plan[0, ZEROS], np.int64(0 if begin else 1)
    for k in range(L, 0, -1):
        n_in, n = plan[k, N_IN], plan[k, N_OUT]
        dw, db = plan[k, DW] + gradients, plan[k, DB] + gradients
        # db (1, n) = 1^T dz
        product(memory, db, n, zeros if begin else db, n, plan[0, ONE], zero, zero, dz, n, one, n, t, scale)
        if k == 1:
            # dw^T (n_in, n) = x^T dz
            x = plan[0, X] + (first + s) * n_in
            product(memory, dw, n, zeros if begin else dw, keep * n, x, one, n_in, dz, n, n_in, n, t, scale)
        else:
            # dw (n, n_in) = dz^T x
            x, dx = plan[k - 1, A] + scratch, plan[k - 1, DZ] + scratch
            product(
                memory, dw, n_in, zeros if begin else dw, keep * n_in, dz, one, n, x, n_in, n, n_in, t, scale
            )
            # da_prev (t, n_in) = dz w
            product(memory, dx, n_in, zeros, zero, dz, n, one, plan[k, W], n_in, t, n_in, n, 1.0)
            activate_backward(plan[k - 1, G], memory[dx : dx + t * n_in], memory[x : x + t * n_in])
            dz = dx


@compiled
def forward_of(memory: Array, plan: Plan, scratch: Int, first: Int, start: Int, stop: Int) -> None:
    """Forward for samples start ... stop of the batch that begins at sample `first`."""
    tile = plan[0, TILE]
    for s in range(start, stop, tile):
        forward_tile(memory, plan, scratch, first, s, min(tile, stop - s))


@compiled
def gradients_of(
    memory: Array, plan: Plan, scratch: Int, gradients: Int, first: Int, start: Int, stop: Int
) -> None:
    """Forward and backward for samples start ... stop of the batch that begins at sample `first`."""
    tile, m = plan[0, TILE], plan[0, BATCH]
    for s in range(start, stop, tile):
        t = min(tile, stop - s)
        forward_tile(memory, plan, scratch, first, s, t)
        backward_tile(
            memory, plan, scratch, gradients, first, s, t, s == start, 1.0 / m if s + t == stop else 1.0
        )


@compiled
def update(memory: Array, plan: Plan, learning_rate: float) -> None:
    """w -= learning_rate dw, b -= learning_rate db, and w^T afresh."""
    rate = memory.dtype.type(learning_rate)
    size = plan[0, SIZE]
    parameters = memory[plan[0, PARAMETERS] : plan[0, PARAMETERS] + size]
    gradients = memory[plan[0, GRADIENTS] : plan[0, GRADIENTS] + size]
    for i in range(size):
        parameters[i] -= rate * gradients[i]
    for k in range(2, plan[0, LAYERS] + 1):
        transpose(memory, plan[k, W], plan[k, WT], plan[k, N_OUT], plan[k, N_IN])


# ---- what Python calls -------------------------------------------------------------------------------------


def source_stamp(*files: str) -> int:
    """A number that changes with the text of these files, of `numba_simd` and of this one; not 0.

    numba keeps compiled code on disk, and compiles anew when the file of the function that Python calls has
    changed, but not for a change in the files of what that function calls. It does look at its closure.
    To be taken at import: a file that is edited later must not stamp the code that was read before.
    """
    texts = [Path(file).read_bytes() for file in (simd.__file__, __file__, *files)]
    return zlib.crc32(b"".join(texts)) or 1


STAMP = source_stamp()


array_at: Any = numba.carray  # type: ignore[attr-defined]


@compiled
def plan_at(address: int) -> Plan:
    """The plan that begins at an address."""
    layers = array_at(pointer(address, np.int64(0)), (COLUMNS,))[LAYERS]
    plan: Plan = array_at(pointer(address, np.int64(0)), (layers + 1, COLUMNS))
    return plan


@compiled
def memory_of(plan: Plan, zero: Any) -> Array:
    """The memory that a plan cuts up, of the dtype of `zero`."""
    memory: Array = array_at(pointer(plan[0, ADDRESS], zero), (plan[0, LENGTH],))
    return memory


@compiled
def next_batch(plan: Plan) -> None:
    """On to the next batch, and after the last one to the first."""
    plan[0, FIRST] = (plan[0, FIRST] + plan[0, BATCH]) % plan[0, M]


class EntryPoints(NamedTuple):
    """Compiled functions of the address of a plan. As numbers, arguments cost Python nothing to hand over."""

    forward: Callable[[int], None]
    gradients: Callable[[int], None]
    train: Callable[[int, int, float], None]


@functools.cache
def entry_points(dtype: str) -> EntryPoints:
    """Those of `numba-blocked`."""
    real, stamp = np.dtype(dtype).type, STAMP

    @njit(cache=True)
    def forward(address: int) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real(0))
        first = plan[0, PASS] = plan[0, FIRST]
        forward_of(memory, plan, np.int64(0), first, np.int64(0), plan[0, BATCH])

    @njit(cache=True)
    def gradients(address: int) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real(0))
        first = plan[0, PASS] = plan[0, FIRST]
        gradients_of(memory, plan, np.int64(0), np.int64(0), first, np.int64(0), plan[0, BATCH])

    @njit(cache=True)
    def train(address: int, steps: int, learning_rate: float) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real(0))
        for _ in range(steps):
            first = plan[0, PASS] = plan[0, FIRST]
            gradients_of(memory, plan, np.int64(0), np.int64(0), first, np.int64(0), plan[0, BATCH])
            update(memory, plan, learning_rate)
            next_batch(plan)

    return EntryPoints(forward, gradients, train)


def lay_out(problem: Problem, dtype: str, threads: int) -> tuple[Array, Plan]:
    """`memory` with the problem in it, gradients and scratch there `threads` times over; the plan."""
    network, m = problem.network, problem.batch_size
    n, L = network.widths, network.layers
    item = np.dtype(dtype).itemsize
    end = 0

    def take(*shape: int) -> int:
        nonlocal end
        place = end
        end += -(-int(np.prod(shape)) * item // 64) * 64 // item  # whole cache lines
        return place

    # Rows of a tile: a multiple of 8, so that only a batch's last tile has rows left over.
    row_bytes = (n[0] + 2 * sum(n[1:])) * item
    tile = min(m, max(16, TILE_BYTES // row_bytes // 8 * 8))
    plan = np.zeros((L + 1, COLUMNS), dtype=np.int64)
    head = plan[0]
    head[[LAYERS, M, BATCH, TILE, THREADS]] = L, problem.samples, m, tile, threads
    head[LOSS] = list(LOSSES).index(network.loss)
    head[PARAMETERS] = end
    for k in range(1, L + 1):
        row = plan[k]
        row[[N_IN, N_OUT, G]] = n[k - 1], n[k], ACTIVATIONS.index(network.activations[k - 1])
        row[W], row[B] = take(n[k], n[k - 1]), take(n[k])
    head[SIZE] = end
    head[GRADIENTS] = end
    plan[1:, DW], plan[1:, DB] = plan[1:, W] + end, plan[1:, B] + end
    end += threads * end
    head[ONE], head[ZEROS] = take(1), take(max(n))
    plan[1, WT] = plan[1, W]
    for k in range(2, L + 1):
        plan[k, WT] = take(n[k - 1], n[k])
    scratch = end
    for k in range(1, L + 1):
        if k < L:
            plan[k, A] = take(tile, n[k])
        plan[k, DZ] = take(tile, n[k])
    head[SCRATCH] = end - scratch
    end += (threads - 1) * (end - scratch)
    plan[L, A], head[Z] = take(m, n[L]), take(m, n[L])
    head[X], head[Y] = take(problem.samples, n[0]), take(problem.samples, n[L])
    raw = np.zeros((end + SLACK) * item + 64, dtype=np.uint8)
    memory = raw[-raw.ctypes.data % 64 :][: (end + SLACK) * item].view(dtype)
    head[ADDRESS], head[LENGTH] = memory.ctypes.data, memory.size

    memory[head[ONE]] = 1
    for k in range(1, L + 1):
        w = memory[plan[k, WT] : plan[k, WT] + n[k] * n[k - 1]].reshape(n[k - 1], n[k])
        w[...] = problem.weights[k - 1].T
        if k > 1:
            w = memory[plan[k, W] : plan[k, W] + n[k] * n[k - 1]].reshape(n[k], n[k - 1])
            w[...] = problem.weights[k - 1]
        memory[plan[k, B] : plan[k, B] + n[k]] = problem.biases[k - 1][:, 0]
    memory[head[X] : head[X] + problem.X.size].reshape(problem.samples, n[0])[...] = problem.X.T
    memory[head[Y] : head[Y] + problem.Y.size].reshape(problem.samples, n[L])[...] = problem.Y.T
    return memory, plan


class NumbaBlocked:
    """The network in one block of memory."""

    idea = "fused over tiles that stay in cache, hand-blocked products, vectorized exponentials"
    differs_from: str | None = "numba"
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "fma"
    layout = "samples in rows, (m, n), all in one block of memory; weights as w and as w^T"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numba-blocked computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads != 1:
            raise Unsupported(
                f"numba-blocked runs in one thread (numba-parallel in several), got threads={threads}"
            )
        self.prepare(problem, dtype, threads, entry_points(dtype))

    def prepare(self, problem: Problem, dtype: str, threads: int, compiled: EntryPoints) -> None:
        """Lay out the problem and compile; `numba-parallel` differs in the entry points."""
        self.problem = problem
        self.memory, self.plan = lay_out(problem, dtype, threads)
        self.address = self.plan.ctypes.data
        self.compiled = compiled
        begin = time.perf_counter()
        self.forward()
        self.train(0, 0.0)
        self.gradients()
        self.compile_seconds = time.perf_counter() - begin

    def forward(self) -> None:
        self.compiled.forward(self.address)

    def gradients(self) -> None:
        self.compiled.gradients(self.address)

    def step(self, learning_rate: float) -> None:
        self.compiled.train(self.address, 1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        self.compiled.train(self.address, steps, learning_rate)

    def export(self) -> Result:
        network, m = self.problem.network, self.problem.batch_size
        n, L = network.widths, network.layers
        plan = self.plan

        def at(place: Any, *shape: int) -> NDArray[np.float64]:
            return self.memory[place : place + np.prod(shape)].reshape(shape).astype(np.float64)

        a, z = at(plan[L, A], m, n[L]).T, at(plan[0, Z], m, n[L]).T
        y = at(plan[0, Y] + plan[0, PASS] * n[L], m, n[L]).T
        first = range(1, 2)
        return Result(
            loss=cost(network.loss, z, a, y),
            output=a.copy(),
            dw=tuple(
                at(plan[k, DW], n[k - 1], n[k]).T.copy() if k in first else at(plan[k, DW], n[k], n[k - 1])
                for k in range(1, L + 1)
            ),
            db=tuple(at(plan[k, DB], n[k], 1) for k in range(1, L + 1)),
            weights=tuple(
                at(plan[k, W], n[k - 1], n[k]).T.copy() if k in first else at(plan[k, W], n[k], n[k - 1])
                for k in range(1, L + 1)
            ),
            biases=tuple(at(plan[k, B], n[k], 1) for k in range(1, L + 1)),
        )


def cost(loss: str, z: NDArray[np.float64], a: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """J of a batch; the cross-entropies from z, where no logarithm meets a zero."""
    m = y.shape[1]
    if loss == "mean_squared_error":
        return float(np.sum((a - y) ** 2) / (2 * m))
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = max(z, 0) - z y + ln(1 + e^-|z|)
        return float(np.sum(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))) / m)
    shifted = z - z.max(axis=0)  # (n_L, m)
    return float(np.sum(y * (np.log(np.sum(np.exp(shifted), axis=0)) - shifted)) / m)
