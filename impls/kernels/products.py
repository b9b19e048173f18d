# ruff: noqa: ARG001 - numba passes to a writer of LLVM code what it passes
"""One blocked matrix product, and a transposition.

`product` is C = scale (init + A B) with A and B read in place, in the manner of BLIS and of Goto [1].
`tile_product` holds ROWS x 2 vectors of C in registers and, for each k, loads two vectors of a row of B,
broadcasts ROWS numbers of A, and issues one fused multiply-add for each pair. Around it, DEEP rows of two
vectors of B stay in the first-level cache while HIGH rows of A pass, which stay in the second-level cache
while the rest of B does. B and C need contiguous rows; A may have any strides, so a transposed A costs
nothing. Nothing is packed: the caller has to lay out the matrices so that rows are not a multiple of 1 KiB
apart, where they would share few sets of a cache.

A product within these limits that is also small is one `block`, which `product` inlines: a call with this
number of arguments takes as long as the product of a sample. `blocks` are for all others.

In blocks that are not small, each tile prefetches what is read for the first time soon after it: the next
tile of C, and a share of the next panel of B.

With one row, or a depth of one, there is nothing to keep in a cache, and a large matrix is read or written
row by row, at the speed of memory. With few rows or little depth it is read or written in runs along its
rows, few at once. A matrix that exceeds the last cache and is not read soon can be stored past the caches
(`streaming`): an ordinary store reads the line first, and evicts another one.

Vectors are as wide as the registers that numba compiles for; the last, partial vector of a row of C is stored
under a mask. It loads whole vectors of B and init, so each must lie at least one block of vectors (`SLACK`
numbers) before the end of its array; the surplus lanes are dropped.

[1] Van Zee, van de Geijn: BLIS: A Framework for Rapidly Instantiating BLAS Functionality, ACM TOMS 41(3),
    2015;
    Goto, van de Geijn: Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from impls.kernels.caches import caches
from impls.kernels.intrinsics import (
    FEATURES,
    VECTOR_BYTES,
    Array,
    Int,
    below,
    compiled,
    declare,
    fence,
    fma,
    inlined,
    intrinsic,
    order,
    prefetch,
    repeated,
    store_masked,
    store_streaming,
    vector_length,
)

# Rows of the register tile: ROWS x 2 accumulators, two vectors of B and a broadcast must fit in the 32
# (AVX-512, NEON) or 16 (AVX2, SSE) registers. ROWS is 6 or 8, see `_panel`.
ROWS = 8 if FEATURES.get("avx512f") or FEATURES.get("neon") else 6

SLACK = 4 * 64  # numbers that must follow the last one that a product reads

LINE = 64  # bytes of a line of a cache

CACHES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20, **caches()}
"""The bytes of the caches: those of this machine, or else those of most processors."""

# Blocks, in numbers: as deep as two vectors of each row of B fill the first-level cache (with AVX2 a third of
# it, which was faster), and so high that A, in float64, takes a quarter of the second-level cache.
DEEP = CACHES["L1"] // (6 if VECTOR_BYTES == 32 else 2) // VECTOR_BYTES
HIGH = max(ROWS, CACHES["L2"] // 4 // (8 * DEEP) // ROWS * ROWS)
LARGE = CACHES["L2"] // 2  # bytes of a matrix that is read or written at the speed of memory
FEW = 16  # rows that are read side by side


@intrinsic
def tile_product(
    typing_context: Any,
    rows: Any,
    vectors: Any,
    streaming: Any,
    memory: Any,
    c: Any,
    c_row: Any,
    init: Any,
    init_row: Any,
    a: Any,
    a_row: Any,
    a_k: Any,
    b: Any,
    b_k: Any,
    columns: Any,
    depth: Any,
    scale: Any,
) -> Any:
    """The register tile of `product`: `rows` rows of `vectors` vectors, the surplus over `columns` masked.

    `rows`, `vectors` and `streaming` are literals, the other names are those of `product`; `streaming` whole
    tiles are stored past the caches. As NumPy, on `memory`:

        for r in range(rows):
            C[r, :columns] = scale * (init[r, :columns] + sum(A[r, k] * B[k, :columns] for k in range(depth)))
    """
    R, V = rows.literal_value, vectors.literal_value
    bits = memory.dtype.bitwidth
    lanes = VECTOR_BYTES * 8 // bits

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, c_row, init, init_row, a, a_row, a_k, b, b_k, columns, depth, scale = args[4:]
        base = context.make_array(signature.args[3])(context, builder, args[3]).data
        intp = ir.IntType(64)
        real = context.get_value_type(memory.dtype)
        vector = ir.VectorType(real, lanes)
        suffix = f"v{lanes}f{bits}"
        fused = declare(builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.{suffix}")

        def address(offset: Any, *steps: Any) -> Any:  # base + offset + sum(step * count), in numbers
            for step, count in steps:
                offset = builder.add(
                    offset, builder.mul(step, intp(count) if isinstance(count, int) else count)
                )
            return builder.gep(base, [offset])

        def load(place: Any) -> Any:
            return builder.load(builder.bitcast(place, vector.as_pointer()), align=bits // 8)

        def broadcast(x: Any) -> Any:
            return repeated(builder, x, lanes)

        one = intp(1)
        total = [load(address(init, (init_row, r), (one, v * lanes))) for r in range(R) for v in range(V)]
        # A multiply-add may start before the last one has ended, but not on the same accumulator: where a
        # tile has few, several values of k go side by side, each with accumulators of its own.
        beside = max(1, 8 // (R * V))
        zero = ir.Constant(vector, [0.0] * lanes)
        total += [zero] * (len(total) * (beside - 1))

        def accumulate(k: Any, accumulators: list[Any]) -> list[Any]:
            b_k_v = [load(address(b, (b_k, k), (one, v * lanes))) for v in range(V)]
            a_r_k = [broadcast(builder.load(address(a, (a_row, r), (a_k, k)))) for r in range(R)]
            return [builder.call(fused, [a_r_k[i // V], b_k_v[i % V], x]) for i, x in enumerate(accumulators)]

        def over_depth(k_begin: Any, at_once: int, totals: list[Any]) -> tuple[Any, list[Any]]:
            """While there are `at_once` more: the next k, the totals."""
            before = builder.block
            head, body, end = (builder.append_basic_block(name) for name in ("k", "k.body", "k.end"))
            builder.branch(head)
            builder.position_at_end(head)
            k = builder.phi(intp)
            phis = [builder.phi(vector) for _ in totals]
            k_next = builder.add(k, intp(at_once))
            builder.cbranch(builder.icmp_signed("<=", k_next, depth), body, end)
            builder.position_at_end(body)
            new: list[Any] = []
            for i in range(at_once):
                new += accumulate(builder.add(k, intp(i)), phis[i * R * V : (i + 1) * R * V])
            new += phis[at_once * R * V :]
            builder.branch(head)
            for phi, first, later in zip([k, *phis], [k_begin, *totals], [k_next, *new], strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(later, body)
            builder.position_at_end(end)
            return k, phis

        k_done, total = over_depth(intp(0), beside, total)
        if beside > 1:
            while len(total) > R * V:  # pairwise
                half = len(total) // 2
                total = [builder.fadd(x, y) for x, y in zip(total[:half], total[half:], strict=True)]
            _, total = over_depth(k_done, 1, total)
        numbers = [builder.fmul(x, broadcast(scale)) for x in total]
        places = [address(c, (c_row, r), (one, v * lanes)) for r in range(R) for v in range(V)]
        places = [builder.bitcast(place, vector.as_pointer()) for place in places]
        whole = builder.icmp_signed(">=", columns, intp(V * lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                for x, place in zip(numbers, places, strict=True):
                    if streaming.literal_value:
                        store_streaming(builder, x, place)
                    else:
                        builder.store(x, place, align=bits // 8)
            with otherwise:
                masks = [below(builder, columns, lanes, first=v * lanes) for v in range(V)]
                for x, place, mask in zip(numbers, places, masks * R, strict=True):
                    store_masked(builder, x, place, mask, bits)
        return context.get_dummy_value()

    offsets = (types.intp,) * 11
    return types.void(rows, vectors, streaming, memory, *offsets, memory.dtype), generate


@intrinsic
def transpose_block(
    typing_context: Any, memory: Any, a: Any, a_row: Any, t: Any, t_row: Any, rows: Any, columns: Any
) -> Any:
    """T = A^T for the first `rows` rows and `columns` columns, at most a vector of each; A at a, T at t.

    Whole vectors are read, beyond the columns too. Pairs of rows 1, 2, 4 ... apart exchange every other 1, 2,
    4 ... numbers.
    """
    bits = memory.dtype.bitwidth
    lanes = VECTOR_BYTES * 8 // bits

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a_row, t, t_row, rows, columns = args[1:]
        base = context.make_array(signature.args[0])(context, builder, args[0]).data
        intp = ir.IntType(64)
        vector = ir.VectorType(context.get_value_type(memory.dtype), lanes)

        def address(place: Any, row: Any, i: int) -> Any:
            place = builder.gep(base, [builder.add(place, builder.mul(row, intp(i)))])
            return builder.bitcast(place, vector.as_pointer())

        # Rows beyond those of A repeat its last one: they are within memory, and are not stored.
        last = builder.sub(rows, intp(1))
        block = []
        for i in range(lanes):
            row = builder.select(builder.icmp_signed("<", intp(i), last), intp(i), last)
            place = builder.gep(base, [builder.add(a, builder.mul(a_row, row))])
            block.append(builder.load(builder.bitcast(place, vector.as_pointer()), align=bits // 8))
        apart = 1
        while apart < lanes:
            lower = order([i if not i & apart else lanes + i - apart for i in range(lanes)])
            upper = order([i + apart if not i & apart else lanes + i for i in range(lanes)])
            for i in range(lanes):
                if not i & apart:
                    one, two = block[i], block[i + apart]
                    block[i] = builder.shuffle_vector(one, two, lower)
                    block[i + apart] = builder.shuffle_vector(one, two, upper)
            apart *= 2
        for i in range(lanes):
            wanted = builder.select(builder.icmp_signed("<", intp(i), columns), rows, intp(0))
            store_masked(builder, block[i], address(t, t_row, i), below(builder, wanted, lanes), bits)
        return context.get_dummy_value()

    return types.void(memory, *(types.intp,) * 6), generate


@inlined
def fetch(memory: Array, place: Int, row: Int, rows: Int) -> None:
    """Prefetch two vectors of each of `rows` rows, from `place` on, into the second-level cache."""
    lanes = vector_length(memory)
    for r in range(rows):
        prefetch(memory, place + r * row)
        prefetch(memory, place + r * row + lanes)


def _panel(vectors: int, large: bool = False, streaming: bool = False) -> Any:
    """A panel of C, `vectors` vectors wide: the rows in tiles of ROWS, then the rest by powers of two.

    In a `large` product each tile fetches what is soon read for the first time: the place of the next tile,
    and a share of the next panel of B.
    """
    V, S = vectors, streaming

    @compiled
    def panel(
        memory: Array,
        c: Int,
        c_row: Int,
        init: Int,
        init_row: Int,
        a: Int,
        a_row: Int,
        a_k: Int,
        b: Int,
        b_k: Int,
        rows: Int,
        columns: Int,
        depth: Int,
        scale: Any,
    ) -> None:
        r = 0
        if large:
            next_b = b + V * vector_length(memory)
            each = (depth * ROWS + rows - 1) // rows
        while r + ROWS <= rows:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            if large:
                fetch(memory, I + ROWS * init_row, init_row, ROWS)
                fetch(memory, next_b, b_k, each)
                next_b += each * b_k
            tile_product(
                ROWS, V, S, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale
            )
            r += ROWS
        rest = rows - r
        if rest & 4:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(4, V, S, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale)
            r += 4
        if rest & 2:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(2, V, S, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale)
            r += 2
        if rest & 1:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(1, V, S, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale)

    return panel


_panel_1 = _panel(1)
_panel_2 = _panel(2)
_panel_2_large = _panel(2, large=True)
_panel_2_streaming = _panel(2, large=True, streaming=True)


@compiled
def share(size: Int, most: Int) -> Int:
    """The size of each of the fewest equal blocks of at most `most`."""
    blocks = (size + most - 1) // most
    each: Int = (size + blocks - 1) // blocks
    return each


def _block(panel_2: Any) -> Any:
    """The `product` of one block: at most DEEP deep and HIGH high, in panels of two vectors."""

    @inlined
    def block(
        memory: Array,
        c: Int,
        c_row: Int,
        init: Int,
        init_row: Int,
        a: Int,
        a_row: Int,
        a_k: Int,
        b: Int,
        b_k: Int,
        rows: Int,
        columns: Int,
        depth: Int,
        scale: Any,
    ) -> None:
        lanes = vector_length(memory)
        j = 0
        while j < columns:
            left = columns - j
            C, I, B = c + j, init + j, b + j  # noqa: E741
            if left > lanes:
                panel_2(memory, C, c_row, I, init_row, a, a_row, a_k, B, b_k, rows, left, depth, scale)
                j += 2 * lanes
            else:
                _panel_1(memory, C, c_row, I, init_row, a, a_row, a_k, B, b_k, rows, left, depth, scale)
                j += lanes

    return block


block = _block(_panel_2)
block_large = _block(_panel_2_large)
block_streaming = _block(_panel_2_streaming)


@compiled
def outer(
    memory: Array,
    c: Int,
    c_row: Int,
    init: Int,
    init_row: Int,
    a: Int,
    a_row: Int,
    b: Int,
    rows: Int,
    columns: Int,
    scale: Any,
) -> None:
    """The `product` of depth 1, row by row, which writes memory fastest."""
    B = memory[b : b + columns]
    for r in range(rows):
        A = memory[a + r * a_row]
        C = memory[c + r * c_row : c + r * c_row + columns]
        I = memory[init + r * init_row : init + r * init_row + columns]  # noqa: E741
        for j in range(columns):
            C[j] = scale * fma(A, B[j], I[j])


@compiled
def one_row(
    memory: Array,
    c: Int,
    init: Int,
    a: Int,
    a_k: Int,
    b: Int,
    b_k: Int,
    columns: Int,
    depth: Int,
    scale: Any,
) -> None:
    """The `product` of one row, which takes B row by row, as this reads memory fastest."""
    C, I = memory[c : c + columns], memory[init : init + columns]  # noqa: E741
    for j in range(columns):
        C[j] = I[j]
    for k in range(depth):
        A, B = memory[a + k * a_k], memory[b + k * b_k : b + k * b_k + columns]
        for j in range(columns):
            C[j] = fma(A, B[j], C[j])
    if scale != 1:
        for j in range(columns):
            C[j] *= scale


@compiled
def blocks(
    memory: Array,
    c: Int,
    c_row: Int,
    init: Int,
    init_row: Int,
    a: Int,
    a_row: Int,
    a_k: Int,
    b: Int,
    b_k: Int,
    rows: Int,
    columns: Int,
    depth: Int,
    scale: Any,
    streaming: Int,
) -> None:
    """The `product` of matrices of any size, in blocks for the caches."""
    one, row = memory.dtype.type(1), columns * memory.itemsize
    deep = share(depth, FEW if rows <= ROWS and depth * row > LARGE else DEEP)
    high = ROWS if depth <= FEW and rows * row > LARGE else HIGH
    aligned = (memory.ctypes.data + c * memory.itemsize) % LINE == 0 and c_row * memory.itemsize % LINE == 0
    if rows == 1 and depth * row > LARGE:
        one_row(memory, c, init, a, a_k, b, b_k, columns, depth, scale)
        return
    if streaming and aligned and depth <= deep:
        for r in range(0, rows, high):
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            h = min(high, rows - r)
            block_streaming(memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, h, columns, depth, scale)
        fence()
        return
    if depth == 1:
        outer(memory, c, c_row, init, init_row, a, a_row, b, rows, columns, scale)
        return
    for k in range(0, depth, deep):
        d = min(deep, depth - k)
        f = scale if k + d == depth else one  # the last block's
        for r in range(0, rows, high):
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row + k * a_k  # noqa: E741
            h = min(high, rows - r)
            block_large(memory, C, c_row, I, init_row, A, a_row, a_k, b + k * b_k, b_k, h, columns, d, f)
        init, init_row = c, c_row  # the next block goes on from here


@inlined
def product(
    memory: Array,
    c: Int,
    c_row: Int,
    init: Int,
    init_row: Int,
    a: Int,
    a_row: Int,
    a_k: Int,
    b: Int,
    b_k: Int,
    rows: Int,
    columns: Int,
    depth: Int,
    scale: float,
    streaming: Int,
) -> None:
    """C = scale (init + A B), every matrix a place in the one-dimensional array `memory`.

    C (rows, columns) begins at c and has c_row numbers between its rows; init likewise, with an init_row of 0
    for one row that is repeated; A (rows, depth) has a_row between its rows and a_k between its columns;
    B (depth, columns) has b_k between its rows. The rows of C, init and B are contiguous. `streaming`: C
    may be stored past the caches, as it is not read soon.
    """
    factor = memory.dtype.type(scale)
    if depth <= DEEP and rows <= HIGH and max(rows, depth) * columns * memory.itemsize <= LARGE:
        block(memory, c, c_row, init, init_row, a, a_row, a_k, b, b_k, rows, columns, depth, factor)
    else:
        blocks(
            memory, c, c_row, init, init_row, a, a_row, a_k, b, b_k, rows, columns, depth, factor, streaming
        )


@compiled
def transpose(memory: Array, a: Int, a_row: Int, t: Int, t_row: Int, rows: Int, columns: Int) -> None:
    """T (columns, rows) at t in `memory` from A (rows, columns) at a; t_row and a_row: their row strides."""
    lanes = vector_length(memory)
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            A, T = a + i * a_row + j, t + j * t_row + i
            transpose_block(memory, A, a_row, T, t_row, min(lanes, rows - i), columns - j)
