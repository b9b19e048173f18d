"""`numba-blocked`: hand-blocked products and vectorized exponentials, over tiles that stay in cache.

**Layout.** Inside, samples stand in *rows*: x is (m, n_{l-1}), z and a are (m, n_l), so that the numbers
of one sample are contiguous and all products have the one form that `kernels.products.product` runs at the
speed of the machine: a broadcast number of the left matrix times a contiguous row of the right one.

    z       (m, n_l)       = b + x w^T         rows of w^T contiguous
    dw      (n_l, n_{l-1}) = dz^T x / m        rows of x contiguous
    dw^T    (n_0, n_1)     = x^T dz / m        rows of dz contiguous     (the first layer)
    db      (1, n_l)       = 1^T dz / m        rows of dz contiguous
    da_prev (m, n_{l-1})   = dz w              rows of w contiguous

Nothing is ever transposed to compute gradients. Only the weights are wanted both ways, as w^T on the way
forward and as w on the way back. They are kept as w, with w^T refreshed after each update; except in the
first layer, which hands no gradient on: there w^T is all there is. Rows are padded where they would collide
in a cache (`row_length`); results in the padding are never read.

**Tiles.** A batch is cut into tiles of up to `TILE_BYTES` of activations, or of `TALL` samples where the
weights outgrow the second-level cache. A tile goes all the way forward and all the way back before the next
begins: what a layer wrote is still in that cache when the next step reads it. The weights' gradients are
added up from tile to tile in place; the last tile divides by m. Where there is one tile only and the last
cache does not hold the weights and their gradients, dw is stored past the caches: they keep the weights.

**Memory.** Everything lies in one array, `memory`, cut up by the places in two kinds of records: PLAN, of the
problem, and LAYER. So a call passes one number, the address of the plan, which keeps Python's share of it to
a fraction of a microsecond, and nothing is allocated after construction.

**Training.** All parameters lie one after another, the weights first, and so do their gradients and what the
optimizer keeps: an update is one pass over them, and whether there is L2 is decided once. What does not
depend on the parameter is taken out of the loop, in float64, so that `adam` has one root and one quotient
left: lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2)). Where there is
dropout, one pass over a layer's activations draws the mask, applies it, and leaves what the way back is to be
multiplied by, the mask times g'(z); the inner hash of the masks is a table.

Elementwise loops are plain scalar code that LLVM vectorizes; see `kernels.exponentials` for the exponentials
and their errors. Fused multiply-adds are the only liberty taken with IEEE arithmetic: NaN and infinities
behave.
"""

from __future__ import annotations

import functools
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

from impls.interface import ACTIVATIONS, LOSSES, OPTIMIZERS, Problem, Result, Unsupported
from impls.kernels import masks
from impls.kernels.exponentials import exp, sigmoid, tanh
from impls.kernels.intrinsics import (
    Array,
    Int,
    compiled,
    fma,
    hashed,
    merged,
    pointer,
    vector_add,
    vector_length,
    vector_max,
    vector_multiply,
    vector_sum,
)
from impls.kernels.products import CACHES, DEEP, HIGH, SLACK, product, transpose

TILE_BYTES = 384 * 1024
"""Activations and derivatives of a tile: part of a second-level cache, which holds the weights as well."""

TALL = 256
"""Samples of a tile where that cache does not hold the weights: each tile reads them, and writes dw, once."""

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))
MEAN_SQUARED_ERROR, BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY = range(len(LOSSES))
GRADIENT_DESCENT, MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW = range(len(OPTIMIZERS))

PLAN = np.dtype(
    [
        (name, np.int64)
        for name in (
            "layers",  # L
            "samples",  # M
            "batch",  # m
            "averaged",  # samples that gradients are averages over: m, or those of several ranks
            "tile",  # samples of a tile, at most
            "streaming",  # whether dw is stored past the caches
            "loss",
            "threads",
            "start",  # the first sample of the current batch
            "pass_start",  # and of the batch of the last pass
            "optimizer",
            "t",  # steps made
            "seed",  # of dropout
            # Places in `memory`, in numbers.
            "X",  # (M, n_0)
            "Y",  # (M, n_L)
            "z",  # of the last layer, (m, n_L)
            "one",
            "zeros",  # a row of them
            "parameters",
            "gradients",
            "m",  # what the optimizer keeps
            "v",
            "weights",  # how many numbers the weights are, which come first
            "size",  # how many the parameters are, the gradients, m and v
            "scratch",  # and how many the scratch of a thread
            # Addresses.
            "memory",
            "length",  # numbers in memory
            "table",  # the records of the layers
            "hashes",  # the inner hashes of the masks
        )
    ]
    + [(name, np.float64) for name in ("l2", "mu", "rho", "b1", "b2", "eps", "weight_decay")]
)
"""A problem, as compiled code sees it."""

LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            "n_in",  # n_{l-1}
            "n",  # n_l
            # Numbers from one row to the next.
            "row_in",  # of x, w and dw
            "row",  # of z, a, dz, w^T and dw^T
            "g",
            # Places in `memory`, in numbers.
            "w",
            "wt",  # w^T
            "b",
            "dw",  # of w^T in the first layer
            "db",
            "a",  # (tile, n_l); in the last layer (m, n_L)
            "dz",  # (tile, n_l)
            "slope",  # (tile, n_l), where there is dropout: its mask times g'(z)
            # Dropout.
            "least",  # the least hash that is kept; 0 where nothing is dropped
            "hashes",  # the place of (m, n_l) inner hashes, in 32-bit numbers
        )
    ]
    + [("scale", np.float64)]
)
"""A layer, as compiled code sees it."""

Record = Any  # of PLAN or LAYER, whose fields are attributes in compiled code


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
def softmax(z: Array, e: Array, a: Array, n: Int, row: Int) -> None:
    """a = e^z / sum(e^z) over the n numbers of each row; shift-invariant: the largest exponent becomes 0.

    `e` is scratch. No loop reads what it writes: a load from beside a masked store would wait for it.
    """
    lanes, zero, one = vector_length(z), z.dtype.type(0), z.dtype.type(1)
    for s in range(0, z.size, row):
        top = z[s]
        for j in range(0, n, lanes):
            top = vector_max(z, s + j, n - j, top, z)
        for j in range(0, n, lanes):
            vector_add(z, s + j, n - j, -top, e)
    for i in range(e.size):
        e[i] = exp(e[i])
    for s in range(0, z.size, row):
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


# ---- dropout -----------------------------------------------------------------------------------------------

lowbias32: Any = compiled(masks.lowbias32)


@compiled
def key(seed: Int, step: Int, layer: Int) -> Int:
    """The function of `impls.kernels.masks`, compiled."""
    found: Int = lowbias32(lowbias32(lowbias32(seed ^ masks.START) ^ step & masks.MASK) ^ layer)
    return found


@compiled
def drop_out(g: Int, hashes: Array, key: Any, least: Any, scale: Any, a: Array, slope: Array) -> None:
    """a times the mask, in the place of a; slope = the mask times g'(z)."""
    zero, one = a.dtype.type(0), a.dtype.type(1)
    if g == SIGMOID:
        for i in range(a.size):
            factor = scale if hashed(hashes[i] ^ key) >= least else zero
            slope[i] = factor * (a[i] * (one - a[i]))
            a[i] *= factor
    elif g == TANH:
        for i in range(a.size):
            factor = scale if hashed(hashes[i] ^ key) >= least else zero
            slope[i] = factor * (one - a[i] * a[i])
            a[i] *= factor
    elif g == RELU:
        for i in range(a.size):
            factor = scale if hashed(hashes[i] ^ key) >= least else zero
            slope[i] = factor if a[i] > 0 else zero
            a[i] *= factor
    else:
        for i in range(a.size):
            factor = scale if hashed(hashes[i] ^ key) >= least else zero
            slope[i] = factor
            a[i] *= factor


@compiled
def multiply(da: Array, slope: Array) -> None:
    """dz = da slope, in the place of da."""
    for i in range(da.size):
        da[i] *= slope[i]


# ---- from an address to records and arrays -----------------------------------------------------------------

array_at: Any = numba.carray  # type: ignore[attr-defined]


@compiled
def plan_at(address: int) -> Record:
    """The plan at an address."""
    return array_at(pointer(address), (1,), PLAN)[0]


@compiled
def layers_of(plan: Record) -> Record:
    """The records of the layers, an array of L."""
    return array_at(pointer(plan.table), (plan.layers,), LAYER)


@compiled
def memory_of(plan: Record, real: Any) -> Array:
    """The memory that a plan cuts up, of numbers of the type `real`."""
    memory: Array = array_at(pointer(plan.memory), (plan.length,), real)
    return memory


@compiled
def hashes_of(plan: Record, place: Int, size: Int) -> Array:
    """So many inner hashes from a place."""
    hashes: Array = array_at(pointer(plan.hashes + place * 4), (size,), np.uint32)
    return hashes


# ---- a tile forward, a tile back ---------------------------------------------------------------------------


@compiled
def forward_tile(memory: Array, plan: Record, scratch: Int, s: Int, t: Int, dropping: np.bool_) -> None:
    """Samples s ... s + t of the batch through the layers, with dropout or without.

    `scratch` is added to the places of hidden a, dz and slope: room for one thread among several.
    """
    zero, one = np.int64(0), np.int64(1)  # numba compiles a product of its own for every literal argument
    layers, last = layers_of(plan), plan.layers - 1
    x = plan.X + (plan.pass_start + s) * layers[0].row_in
    for k in range(plan.layers):
        layer = layers[k]
        n_in, n, row_in, row = layer.n_in, layer.n, layer.row_in, layer.row
        size = t * row
        if k < last:
            a = layer.a + scratch
            z = a
        else:
            a = layer.a + s * row
            z = plan.z + s * row
        # z (t, n) = b + x (t, n_in) w^T
        product(memory, z, row, layer.b, zero, x, row_in, one, layer.wt, row, t, n, n_in, 1.0, zero)
        if layer.g == SOFTMAX:
            e = layer.dz + scratch
            softmax(memory[z : z + size], memory[e : e + size], memory[a : a + size], n, row)
        else:
            if k == last:
                copy(memory[z : z + size], memory[a : a + size])
            activate(layer.g, memory[a : a + size])
        if dropping and layer.least != 0:  # of a bool `and` an integer, numba keeps the last bit
            slope = layer.slope + scratch
            drop_out(
                layer.g,
                hashes_of(plan, layer.hashes + s * row, size),
                np.uint32(key(plan.seed, plan.t, k)),
                np.uint32(layer.least),
                memory.dtype.type(layer.scale),
                memory[a : a + size],
                memory[slope : slope + size],
            )
        x = a


@compiled
def backward_tile(
    memory: Array, plan: Record, scratch: Int, gradients: Int, s: Int, t: Int, begin: bool, scale: float
) -> None:
    """The gradients of samples s ... s + t, after `forward_tile`: scale (what is there + theirs).

    With `begin`, nothing is there yet. `gradients` is added to the places of dw and db.
    """
    zero, one = np.int64(0), np.int64(1)
    layers, last = layers_of(plan), plan.layers - 1
    layer = layers[last]
    size = t * layer.row
    a, dz = layer.a + s * layer.row, layer.dz + scratch
    y = plan.Y + (plan.pass_start + s) * layer.row
    loss_derivative(memory[a : a + size], memory[y : y + size], memory[dz : dz + size])
    if plan.loss == MEAN_SQUARED_ERROR:
        activate_backward(layer.g, memory[dz : dz + size], memory[a : a + size])
    zeros, keep = plan.zeros, np.int64(0 if begin else 1)
    for k in range(last, -1, -1):
        layer = layers[k]
        n_in, n, row_in, row = layer.n_in, layer.n, layer.row_in, layer.row
        dw, db = layer.dw + gradients, layer.db + gradients
        # db (1, n) = 1^T dz
        product(
            memory,
            db,
            row,
            zeros if begin else db,
            row,
            plan.one,
            zero,
            zero,
            dz,
            row,
            one,
            n,
            t,
            scale,
            zero,
        )
        if k == 0:
            # dw^T (n_in, n) = x^T dz
            x = plan.X + (plan.pass_start + s) * row_in
            init, init_row = zeros if begin else dw, keep * row
            product(
                memory, dw, row, init, init_row, x, one, row_in, dz, row, n_in, n, t, scale, plan.streaming
            )
        else:
            below = layers[k - 1]
            x, dx = below.a + scratch, below.dz + scratch
            # dw (n, n_in) = dz^T x
            product(
                memory,
                dw,
                row_in,
                zeros if begin else dw,
                keep * row_in,
                dz,
                one,
                row,
                x,
                row_in,
                n,
                n_in,
                t,
                scale,
                plan.streaming,
            )
            # da_prev (t, n_in) = dz w
            product(memory, dx, row_in, zeros, zero, dz, row, one, layer.w, row_in, t, n_in, n, 1.0, zero)
            if below.least:
                slope = below.slope + scratch
                multiply(memory[dx : dx + t * row_in], memory[slope : slope + t * row_in])
            else:
                activate_backward(below.g, memory[dx : dx + t * row_in], memory[x : x + t * row_in])
            dz = dx


@merged
def forward_of(memory: Array, plan: Record, scratch: Int, start: Int, stop: Int) -> None:
    """Forward for samples start ... stop of the batch."""
    tile = plan.tile
    for s in range(start, stop, tile):
        # numba would compile a tile for each of False and True, which are literals
        forward_tile(memory, plan, scratch, s, min(tile, stop - s), np.bool_(False))


@merged
def gradients_of(memory: Array, plan: Record, scratch: Int, gradients: Int, start: Int, stop: Int) -> None:
    """Forward and backward for samples start ... stop of the batch."""
    tile, m = plan.tile, plan.averaged
    for s in range(start, stop, tile):
        t = min(tile, stop - s)
        forward_tile(memory, plan, scratch, s, t, np.bool_(True))
        backward_tile(memory, plan, scratch, gradients, s, t, s == start, 1.0 / m if s + t == stop else 1.0)


# ---- the update --------------------------------------------------------------------------------------------


@compiled
def descend(p: Array, dp: Array, rate: Any, l2: Any) -> None:
    """p -= rate (dp + l2 p)."""
    if l2 == 0:
        for i in range(p.size):
            p[i] -= rate * dp[i]
    else:
        for i in range(p.size):
            p[i] -= rate * fma(l2, p[i], dp[i])


@compiled
def momentum(p: Array, dp: Array, v: Array, rate: Any, l2: Any, mu: Any) -> None:
    """v = mu v + g; p -= rate v."""
    for i in range(p.size):
        v_i = v[i] = fma(mu, v[i], fma(l2, p[i], dp[i]))
        p[i] -= rate * v_i


@compiled
def nesterov(p: Array, dp: Array, v: Array, rate: Any, l2: Any, mu: Any) -> None:
    """v = mu v + g; p -= rate (g + mu v)."""
    for i in range(p.size):
        g = fma(l2, p[i], dp[i])
        v_i = v[i] = fma(mu, v[i], g)
        p[i] -= rate * fma(mu, v_i, g)


@compiled
def rmsprop(p: Array, dp: Array, v: Array, rate: Any, l2: Any, rho: Any, rest: Any, eps: Any) -> None:
    """v = rho v + rest g^2; p -= rate g / (sqrt(v) + eps)."""
    for i in range(p.size):
        g = fma(l2, p[i], dp[i])
        v_i = v[i] = fma(rho, v[i], rest * (g * g))
        p[i] -= rate * (g / (math.sqrt(v_i) + eps))


@compiled
def adam(
    p: Array,
    dp: Array,
    m: Array,
    v: Array,
    rate: Any,
    l2: Any,
    b1: Any,
    rest1: Any,
    b2: Any,
    rest2: Any,
    eps: Any,
    decay: Any,
) -> None:
    """m = b1 m + rest1 g; v = b2 v + rest2 g^2; p -= rate m / (sqrt(v) + eps) + decay p."""
    for i in range(p.size):
        p_i = p[i]
        g = fma(l2, p_i, dp[i])
        m_i = m[i] = fma(b1, m[i], rest1 * g)
        v_i = v[i] = fma(b2, v[i], rest2 * (g * g))
        p[i] = p_i - fma(decay, p_i, rate * m_i / (math.sqrt(v_i) + eps))


@compiled
def update_some(
    memory: Array, plan: Record, learning_rate: float, start: Int, stop: Int, l2: float, weight_decay: float
) -> None:
    """Step t of the optimizer for parameters start ... stop."""
    real = memory.dtype.type
    optimizer = plan.optimizer
    p = memory[plan.parameters + start : plan.parameters + stop]
    dp = memory[plan.gradients + start : plan.gradients + stop]
    rate = real(learning_rate)
    if optimizer == GRADIENT_DESCENT:
        descend(p, dp, rate, real(l2))
        return
    v = memory[plan.v + start : plan.v + stop]
    if optimizer == MOMENTUM:
        momentum(p, dp, v, rate, real(l2), real(plan.mu))
    elif optimizer == NESTEROV:
        nesterov(p, dp, v, rate, real(l2), real(plan.mu))
    elif optimizer == RMSPROP:
        rmsprop(p, dp, v, rate, real(l2), real(plan.rho), real(1 - plan.rho), real(plan.eps))
    else:
        t = float(plan.t)
        c1, root = 1 - plan.b1**t, math.sqrt(1 - plan.b2**t)
        adam(
            p,
            dp,
            memory[plan.m + start : plan.m + stop],
            v,
            real(learning_rate * root / c1),
            real(l2),
            real(plan.b1),
            real(1 - plan.b1),
            real(plan.b2),
            real(1 - plan.b2),
            real(plan.eps * root),
            real(learning_rate * weight_decay),
        )


@merged
def update(memory: Array, plan: Record, learning_rate: float) -> None:
    """All parameters, and w^T afresh; on to the next batch (cyclic)."""
    plan.t += 1
    weight_decay = plan.weight_decay if plan.optimizer == ADAMW else 0.0
    if plan.l2 == 0 and weight_decay == 0:
        update_some(memory, plan, learning_rate, np.int64(0), plan.size, 0.0, 0.0)
    else:
        update_some(memory, plan, learning_rate, np.int64(0), plan.weights, plan.l2, weight_decay)
        update_some(memory, plan, learning_rate, plan.weights, plan.size, 0.0, 0.0)
    layers = layers_of(plan)
    for k in range(1, plan.layers):
        layer = layers[k]
        transpose(memory, layer.w, layer.row_in, layer.wt, layer.row, layer.n, layer.n_in)
    plan.start = (plan.start + plan.batch) % plan.samples


# ---- what Python calls -------------------------------------------------------------------------------------


def source_stamp(*files: str) -> int:
    """A number that changes with the text of these files, of the kernels and of this one; not 0.

    numba keeps compiled code on disk, and compiles anew when the file of the function that Python calls has
    changed, but not for a change in the files of what that function calls. It does look at its closure.
    To be taken at import: a file that is edited later must not stamp the code that was read before.
    """
    kernels = sorted(Path(__file__).parent.glob("kernels/*.py"))
    texts = [file.read_bytes() for file in (*kernels, Path(__file__), *map(Path, files))]
    texts.append(repr(CACHES).encode())  # blocks are cut by them
    return zlib.crc32(b"".join(texts)) or 1


STAMP = source_stamp()


class EntryPoints(NamedTuple):
    """Compiled functions of the address of a plan: a number costs less to pass than an array."""

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
        plan.pass_start = plan.start
        forward_of(memory_of(plan, real), plan, np.int64(0), np.int64(0), plan.batch)

    @njit(cache=True)
    def gradients(address: int) -> None:
        assert stamp
        plan = plan_at(address)
        plan.pass_start = plan.start
        gradients_of(memory_of(plan, real), plan, np.int64(0), np.int64(0), np.int64(0), plan.batch)

    @njit(cache=True)
    def train(address: int, steps: int, learning_rate: float) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real)
        for _ in range(steps):
            plan.pass_start = plan.start
            gradients_of(memory, plan, np.int64(0), np.int64(0), np.int64(0), plan.batch)
            update(memory, plan, learning_rate)

    return EntryPoints(forward, gradients, train)


def row_length(n: int, item: int) -> int:
    """Numbers from one row of n numbers to the next, `item` bytes each.

    Rows that are a multiple of 1 KiB apart would share few sets of a cache: those get a cache line more.
    """
    return n + (64 // item if n * item % 1024 == 0 else 0)


class Layout:
    """A problem laid out in one array, `memory`, and the records by which it is cut up.

    Gradients and scratch are there once for each thread.
    """

    def __init__(self, problem: Problem, dtype: str, threads: int) -> None:
        network, m, M = problem.network, problem.batch_size, problem.samples
        n, L = network.widths, network.layers
        item = np.dtype(dtype).itemsize
        rows = [row_length(width, item) for width in n]
        end = 0

        def take(*shape: int) -> int:
            nonlocal end
            place = end
            end += -(-int(np.prod(shape)) * item // 64) * 64 // item  # whole cache lines
            return place

        self.plan, self.layers = plan, layers = np.zeros((), PLAN), np.zeros(L, LAYER)
        for name, value in (
            ("layers", L),
            ("samples", M),
            ("batch", m),
            ("averaged", m),
            ("threads", threads),
        ):
            plan[name] = value
        rates = (*problem.dropout, 0.0)
        dropped = sum(row for row, rate in zip(rows[1:], rates, strict=True) if rate)
        # Rows of a tile: a multiple of 8, so that only a batch's last tile has rows left over.
        row_bytes = (rows[0] + 2 * sum(rows[1:]) + dropped) * item + 4 * dropped
        outgrown = sum(w.size for w in problem.weights) * item > CACHES["L2"]
        plan["tile"] = tile = min(m, max(TALL if outgrown else 16, TILE_BYTES // row_bytes // 8 * 8))
        plan["loss"] = list(LOSSES).index(network.loss)
        layers["n_in"], layers["n"] = n[:-1], n[1:]
        layers["row_in"], layers["row"] = rows[:-1], rows[1:]
        layers["g"] = [ACTIVATIONS.index(g) for g in network.activations]

        training = problem.training
        plan["optimizer"] = list(OPTIMIZERS).index(training.optimizer)
        plan["seed"] = training.seed
        for name in ("l2", "mu", "rho", "b1", "b2", "eps", "weight_decay"):
            plan[name] = getattr(training, name)

        plan["parameters"] = end
        layers["w"][0] = layers["wt"][0] = take(n[0], rows[1])
        for layer in layers[1:]:
            layer["w"] = take(layer["n"], layer["row_in"])
        plan["weights"] = end
        for layer in layers:
            layer["b"] = take(layer["n"])
        plan["size"] = plan["gradients"] = size = end
        layers["dw"], layers["db"] = layers["w"] + size, layers["b"] + size
        end += threads * size
        # A dw that the last cache does not hold beside w, and that no other tile adds to.
        plan["streaming"] = m <= tile and 2 * size * item > CACHES["L3"]
        plan["m"], plan["v"] = end, end + (OPTIMIZERS[training.optimizer] - 1) * size
        end += OPTIMIZERS[training.optimizer] * size
        plan["one"], plan["zeros"] = take(1), take(max(rows))
        for layer in layers[1:]:
            layer["wt"] = take(layer["n_in"], layer["row"])
        scratch = end
        for layer, rate in zip(layers, rates, strict=True):
            if rate:
                layer["least"], layer["scale"] = masks.threshold(rate), masks.scale(rate)
                layer["slope"] = take(tile, layer["row"])
        for layer in layers[:-1]:
            layer["a"], layer["dz"] = take(tile, layer["row"]), take(tile, layer["row"])
        layers["dz"][-1] = take(tile, rows[L])
        plan["scratch"] = end - scratch
        end += (threads - 1) * (end - scratch)
        layers["a"][-1], plan["z"] = take(m, rows[L]), take(m, rows[L])
        plan["X"], plan["Y"] = take(M, rows[0]), take(M, rows[L])

        raw = np.zeros((end + SLACK) * item + 64, dtype=np.uint8)
        self.memory = raw[-raw.ctypes.data % 64 :][: (end + SLACK) * item].view(dtype)
        plan["memory"], plan["length"] = self.memory.ctypes.data, self.memory.size
        plan["table"] = layers.ctypes.data
        # index i m + s of neuron i and sample s, samples in rows
        tables = [
            masks.lowbias32(np.arange(m * row, dtype=np.uint32)).reshape(row, m).T.ravel() if rate else []
            for row, rate in zip(rows[1:], rates, strict=True)
        ]
        layers["hashes"] = np.cumsum([0, *map(len, tables)])[:-1]
        self.hashes = np.concatenate(tables).astype(np.uint32)
        plan["hashes"] = self.hashes.ctypes.data
        self.address: int = plan.ctypes.data

        self.at(plan["one"], 1)[...] = 1
        for layer, w, b in zip(layers, problem.weights, problem.biases, strict=True):
            self.matrix(layer["wt"], layer["row"], *w.T.shape)[...] = w.T
            self.at(layer["b"], *b.shape)[...] = b
        for layer, w in zip(layers[1:], problem.weights[1:], strict=True):
            self.matrix(layer["w"], layer["row_in"], *w.shape)[...] = w
        self.matrix(plan["X"], rows[0], M, n[0])[...] = problem.X.T
        self.matrix(plan["Y"], rows[L], M, n[L])[...] = problem.Y.T

    def at(self, place: Any, *shape: Any) -> Array:
        """The numbers from a place in memory, as an array of this shape."""
        return self.memory[place : place + np.prod(shape)].reshape(shape)

    def matrix(self, place: Any, row: Any, *shape: Any) -> Array:
        """The matrix of this shape at a place in memory, with `row` numbers from one row to the next."""
        rows, columns = shape
        return self.at(place, rows, row)[:, :columns]


class NumbaBlocked:
    """The network in one block of memory."""

    idea = "hand-blocked products in cache-sized tiles, vectorized exponentials"
    differs_from: str | None = "numba"
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "fma"
    layout = (
        "samples in rows, (m, n), all in one block of memory; weights as w and as w^T; "
        f"products in blocks of {HIGH} x {DEEP}, by caches of {CACHES['L1'] >> 10}K and {CACHES['L2'] >> 10}K"
    )

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
        self.laid_out = Layout(problem, dtype, threads)
        self.address = self.laid_out.address
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
        plan, layers = self.laid_out.plan, self.laid_out.layers

        def matrix(*place: Any) -> NDArray[np.float64]:
            return self.laid_out.matrix(*place).astype(np.float64)

        def matrices(field: str, away: int = 0) -> tuple[NDArray[np.float64], ...]:
            first, *others = layers  # the first layer's lie transposed
            return (
                matrix(first[field] + away, first["row"], first["n_in"], first["n"]).T.copy(),
                *(
                    matrix(layer[field] + away, layer["row_in"], layer["n"], layer["n_in"])
                    for layer in others
                ),
            )

        def columns(field: str, away: int = 0) -> tuple[NDArray[np.float64], ...]:
            return tuple(matrix(layer[field] + away, 1, layer["n"], 1) for layer in layers)

        state: tuple[Any, ...] = ()
        kinds = OPTIMIZERS[self.problem.training.optimizer]
        if kinds or layers["least"].any():
            for kept in ("m", "v")[2 - kinds :]:
                away = plan[kept] - plan["parameters"]
                state += (*matrices("w", away), *columns("b", away))
            state += (int(plan["t"]),)

        n_L, row = layers["n"][-1], layers["row"][-1]
        a, z = (matrix(place, row, m, n_L).T for place in (layers["a"][-1], plan["z"]))
        y = matrix(plan["Y"] + plan["pass_start"] * row, row, m, n_L).T
        return Result(
            loss=cost(network.loss, z, a, y),
            output=a.copy(),
            dw=matrices("dw"),
            db=columns("db"),
            weights=matrices("w"),
            biases=columns("b"),
            state=state,
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
