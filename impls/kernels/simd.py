# ruff: noqa: ARG001 - numba passes to a writer of LLVM code what it passes
"""What `numba-blocked` computes with: one register-tiled product, and exponentials that vectorize.

**The product.** `product` is C = scale (init + A B) with A and B read where they lie, in the manner of the
BLIS micro-kernel [1]: `tile_product` holds ROWS x 2 vectors of C in registers and, for each k, loads two
vectors of a row of B, broadcasts ROWS numbers of A, and issues one fused multiply-add for each pair. B and
C need contiguous rows; A may have any strides, so a transposed A costs nothing. Nothing is packed or
padded: the networks at hand fit in the second-level cache, and there the broadcasts and vectors arrive
faster than the multiply-adds retire. On the machine that it was written on it runs above the speed of
OpenBLAS for a large product, from 8 samples up.

Vectors are as wide as the host's registers; the last, partial vector of a row of C is stored under a mask.
It loads whole vectors of B and init, so each must lie at least one block of vectors (`SLACK` numbers)
before the end of its array; the surplus lanes are dropped.

**The exponentials.** `exp` and `expm1` (arguments <= 0, all that sigmoid, tanh and softmax need) are plain
scalar code without branches, tables or calls, so that LLVM turns a loop over them into vector code for any
host: x = n ln 2 + r with |r| <= ln 2 / 2, the subtraction in two parts (Cody and Waite [2]) with fused
multiply-adds, a polynomial for e^r - 1 = r + r^2 P(r), and 2^n as an addition to the exponent's bits. `exp`
stops at the smallest normal number. `expm1` keeps e^r - 1 apart from the 1, so that tanh is accurate for
small arguments too. Errors are at most those of MAX_ULP (tests/impls/kernels/test_simd.py holds them against
60-digit arithmetic).

[1] Van Zee, van de Geijn: BLIS: A Framework for Rapidly Instantiating BLAS Functionality, ACM TOMS 41(3),
    2015;
    Goto, van de Geijn: Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34(3), 2008.
[2] Cody, Waite: Software Manual for the Elementary Functions, 1980, chapter 6; Muller et al.: Handbook of
    Floating-Point Arithmetic, 2nd ed. 2018, chapter 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba.extending
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numpy.typing import NDArray

Array = NDArray[Any]
Int = int | np.int64
F = TypeVar("F", bound=Callable[..., Any])
declare: Any = cgutils.get_or_insert_function


def compiled(function: F) -> F:
    """`function` for other compiled code only, by the rules of NumPy: x / 0 is an infinity or NaN."""
    # Without the wrappers by which Python and C would call it: they take a quarter of all compile time.
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast("F", njit(error_model="numpy", **options)(function))


def intrinsic(function: Callable[..., Any]) -> Any:
    """`function` as a writer of LLVM code; arguments that are literals come as literals."""
    return numba.extending.intrinsic(prefer_literal=True)(function)


_FEATURES = llvmlite.binding.get_host_cpu_features()

# Bytes in a vector register, and rows of the register tile: ROWS x 2 accumulators, two vectors of B and a
# broadcast must fit in the 32 (AVX-512, NEON) or 16 (AVX2, SSE) registers. ROWS is 4 or 8, see `_panel`.
if _FEATURES.get("avx512f"):
    VECTOR_BYTES, ROWS = 64, 8
elif _FEATURES.get("avx"):
    VECTOR_BYTES, ROWS = 32, 4
elif _FEATURES.get("neon"):
    VECTOR_BYTES, ROWS = 16, 8
else:
    VECTOR_BYTES, ROWS = 16, 4

SLACK = 4 * 64  # numbers that must follow the last one that a product reads


# ---- intrinsics: what numba's own language does not say ----------------------------------------------------


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, a, a), generate


@intrinsic
def copysign(typing_context: Any, size: Any, sign: Any) -> Any:
    """`size` with the sign of `sign`; NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        real = args[0].type
        function = ir.FunctionType(real, [real, real])
        return builder.call(declare(builder.module, function, f"llvm.copysign.f{size.bitwidth}"), args)

    return size(size, sign), generate


_BITS: dict[Any, Any] = {types.float64: types.int64, types.float32: types.int32}
_FLOATS: dict[Any, Any] = {bits: real for real, bits in _BITS.items()}


@intrinsic
def to_bits(typing_context: Any, x: Any) -> Any:
    """The bits of a float as an integer of its size."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _BITS[x](x), generate


@intrinsic
def from_bits(typing_context: Any, bits: Any) -> Any:
    """The float that has these bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _FLOATS[bits](bits), generate


@intrinsic
def pointer(typing_context: Any, address: Any, like: Any) -> Any:
    """What `numba.carray` takes: the place at an address, where numbers of the type of `like` lie."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    place: Any = types.CPointer(types.unliteral(like))  # type: ignore[no-untyped-call]
    return place(address, like), generate


@intrinsic
def vector_length(typing_context: Any, memory: Any) -> Any:
    """Numbers of this array's dtype in a vector: a constant of the compiled code."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, VECTOR_BYTES * 8 // memory.dtype.bitwidth)

    return types.intp(memory), generate


def _broadcast(builder: Any, x: Any, lanes: int) -> Any:
    vector = ir.VectorType(x.type, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, x, ir.IntType(32)(0))
    return builder.shuffle_vector(one, undefined, _lanes([0] * lanes))


def _lanes(indices: Sequence[int]) -> Any:
    """Lanes for a shuffle: a constant vector."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), list(indices))


@intrinsic
def tile_product(
    typing_context: Any,
    rows: Any,
    vectors: Any,
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

    `rows` and `vectors` are literals, the other names are those of `product`. As NumPy, on `memory`:

        for r in range(rows):
            C[r, :columns] = scale * (init[r, :columns] + sum(A[r, k] * B[k, :columns] for k in range(depth)))
    """
    R, V = rows.literal_value, vectors.literal_value
    bits = memory.dtype.bitwidth
    lanes = VECTOR_BYTES * 8 // bits

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, c_row, init, init_row, a, a_row, a_k, b, b_k, columns, depth, scale = args[3:]
        base = context.make_array(signature.args[2])(context, builder, args[2]).data
        intp, i32 = ir.IntType(64), ir.IntType(32)
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
            return _broadcast(builder, x, lanes)

        one = intp(1)
        total = [[load(address(init, (init_row, r), (one, v * lanes))) for v in range(V)] for r in range(R)]
        flat = [x for row in total for x in row]
        # A multiply-add may start before the last one has ended, but not on the same accumulator: where a
        # tile has few, several values of k go side by side, each with accumulators of its own.
        beside = max(1, 8 // (R * V))
        zero = ir.Constant(vector, [0.0] * lanes)
        flat += [zero] * (len(flat) * (beside - 1))

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

        k_done, flat = over_depth(intp(0), beside, flat)
        if beside > 1:
            while len(flat) > R * V:  # pairwise
                half = len(flat) // 2
                flat = [builder.fadd(x, y) for x, y in zip(flat[:half], flat[half:], strict=True)]
            _, flat = over_depth(k_done, 1, flat)
        following = [flat[r * V : (r + 1) * V] for r in range(R)]

        factor = broadcast(scale)
        for row in following:
            row[:] = [builder.fmul(x, factor) for x in row]
        whole = builder.icmp_signed(">=", columns, intp(V * lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                for r in range(R):
                    for v in range(V):
                        place = address(c, (c_row, r), (one, v * lanes))
                        builder.store(
                            following[r][v], builder.bitcast(place, vector.as_pointer()), align=bits // 8
                        )
            with otherwise:
                indices = ir.VectorType(intp, lanes)
                mask = ir.VectorType(ir.IntType(1), lanes)
                store = declare(
                    builder.module,
                    ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), i32, mask]),
                    f"llvm.masked.store.{suffix}.p0",
                )
                limit = broadcast(columns)
                for v in range(V):
                    lane = ir.Constant(indices, [v * lanes + i for i in range(lanes)])
                    wanted = builder.icmp_signed("<", lane, limit)
                    for r in range(R):
                        place = address(c, (c_row, r), (one, v * lanes))
                        place = builder.bitcast(place, vector.as_pointer())
                        builder.call(store, [following[r][v], place, i32(bits // 8), wanted])
        return context.get_dummy_value()

    offsets = (types.intp,) * 11
    return types.void(rows, vectors, memory, *offsets, memory.dtype), generate


def _on_a_vector(name: str) -> Any:
    """An intrinsic on the first `count` numbers, at most a vector, at `place` of `memory`.

    "max" and "sum" return the largest of them and x, and their sum and x; "add" and "multiply" write what
    they make of each and x to the same place of `other`.
    """

    @intrinsic
    def on_a_vector(typing_context: Any, memory: Any, place: Any, count: Any, x: Any, other: Any) -> Any:
        bits = memory.dtype.bitwidth
        lanes = VECTOR_BYTES * 8 // bits
        suffix = f"v{lanes}f{bits}"

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place, count, x = args[1:4]
            vector, i32 = ir.VectorType(x.type, lanes), ir.IntType(32)
            lane = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(lanes)))
            mask = builder.icmp_signed("<", lane, _broadcast(builder, count, lanes))

            def address(array: int) -> Any:
                base = context.make_array(signature.args[array])(context, builder, args[array]).data
                return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

            def call(function: str, returned: Any, *arguments: Any, **flags: Any) -> Any:
                kind = ir.FunctionType(returned, [argument.type for argument in arguments])
                return builder.call(declare(builder.module, kind, f"llvm.{function}"), arguments, **flags)

            xs = _broadcast(builder, x if name == "max" else ir.Constant(x.type, -0.0), lanes)
            numbers = call(f"masked.load.{suffix}.p0", vector, address(0), i32(bits // 8), mask, xs)
            if name == "max":
                numbers = builder.select(builder.fcmp_ordered(">", numbers, xs), numbers, xs)
                width = lanes  # halves against each other; LLVM's own reduction takes detours for NaN
                while width > 1:
                    width //= 2
                    upper = _lanes([(width + i) % lanes for i in range(lanes)])
                    others = builder.shuffle_vector(numbers, numbers, upper)
                    numbers = builder.select(builder.fcmp_ordered(">", numbers, others), numbers, others)
                return builder.extract_element(numbers, i32(0))
            if name == "sum":
                return call(f"vector.reduce.fadd.{suffix}", x.type, x, numbers, fastmath=("reassoc",))
            operation = builder.fadd if name == "add" else builder.fmul
            changed = operation(numbers, _broadcast(builder, x, lanes))
            call(f"masked.store.{suffix}.p0", ir.VoidType(), changed, address(4), i32(bits // 8), mask)
            return context.get_dummy_value()

        returned = memory.dtype if name in ("max", "sum") else types.void
        return returned(memory, types.intp, types.intp, memory.dtype, other), generate

    return on_a_vector


vector_max = _on_a_vector("max")
vector_sum = _on_a_vector("sum")
vector_add = _on_a_vector("add")
vector_multiply = _on_a_vector("multiply")


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
        intp, i32 = ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(context.get_value_type(memory.dtype), lanes)

        def address(place: Any, row: Any, i: int) -> Any:
            place = builder.gep(base, [builder.add(place, builder.mul(row, intp(i)))])
            return builder.bitcast(place, vector.as_pointer())

        # Rows that A has not are its last one over again: they are within memory, and nobody stores them.
        last = builder.sub(rows, intp(1))
        block = []
        for i in range(lanes):
            row = builder.select(builder.icmp_signed("<", intp(i), last), intp(i), last)
            place = builder.gep(base, [builder.add(a, builder.mul(a_row, row))])
            block.append(builder.load(builder.bitcast(place, vector.as_pointer()), align=bits // 8))
        apart = 1
        while apart < lanes:
            lower = _lanes([i if not i & apart else lanes + i - apart for i in range(lanes)])
            upper = _lanes([i + apart if not i & apart else lanes + i for i in range(lanes)])
            for i in range(lanes):
                if not i & apart:
                    one, two = block[i], block[i + apart]
                    block[i] = builder.shuffle_vector(one, two, lower)
                    block[i + apart] = builder.shuffle_vector(one, two, upper)
            apart *= 2
        lane = ir.Constant(ir.VectorType(intp, lanes), list(range(lanes)))
        for i in range(lanes):
            wanted = builder.select(builder.icmp_signed("<", intp(i), columns), rows, intp(0))
            mask = builder.icmp_signed("<", lane, _broadcast(builder, wanted, lanes))
            place = address(t, t_row, i)
            kind = ir.FunctionType(ir.VoidType(), [vector, place.type, i32, mask.type])
            store = declare(builder.module, kind, f"llvm.masked.store.v{lanes}f{bits}.p0")
            builder.call(store, [block[i], place, i32(bits // 8), mask])
        return context.get_dummy_value()

    return types.void(memory, *(types.intp,) * 6), generate


# ---- the product -------------------------------------------------------------------------------------------


def _panel(vectors: int) -> Any:
    """A panel of C, `vectors` vectors wide: the rows in tiles of ROWS, then what is left by powers of two."""
    HALF, QUARTER = ROWS // 2, ROWS // 4

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
        while r + ROWS <= rows:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(
                ROWS, vectors, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale
            )
            r += ROWS
        if rows & HALF:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(
                HALF, vectors, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale
            )
            r += HALF
        if rows & QUARTER:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(
                QUARTER, vectors, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale
            )
            r += QUARTER
        if ROWS == 8 and rows & 1:
            C, I, A = c + r * c_row, init + r * init_row, a + r * a_row  # noqa: E741
            tile_product(
                1, vectors, memory, C, c_row, I, init_row, A, a_row, a_k, b, b_k, columns, depth, scale
            )

    return panel


_panel_1 = _panel(1)
_panel_2 = _panel(2)


@compiled
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
) -> None:
    """C = scale (init + A B), every matrix a place in the one-dimensional array `memory`.

    C (rows, columns) begins at c and has c_row numbers between its rows; init likewise, with an init_row of 0
    for one row that is repeated; A (rows, depth) has a_row between its rows and a_k between its columns;
    B (depth, columns) has b_k between its rows. The rows of C, init and B are contiguous.
    """
    lanes = vector_length(memory)
    factor = memory.dtype.type(scale)
    j = 0
    while j < columns:
        left = columns - j
        C, I, B = c + j, init + j, b + j  # noqa: E741
        if left > lanes:
            _panel_2(memory, C, c_row, I, init_row, a, a_row, a_k, B, b_k, rows, left, depth, factor)
            j += 2 * lanes
        else:
            _panel_1(memory, C, c_row, I, init_row, a, a_row, a_k, B, b_k, rows, left, depth, factor)
            j += lanes


@compiled
def transpose(memory: Array, a: Int, t: Int, rows: Int, columns: Int) -> None:
    """T (columns, rows), at t in `memory`, from A (rows, columns) at a; both without gaps."""
    lanes = vector_length(memory)
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            A, T = a + i * columns + j, t + j * rows + i
            transpose_block(memory, A, columns, T, rows, min(lanes, rows - i), columns - j)


# ---- the exponentials --------------------------------------------------------------------------------------

MAX_ULP = {"exp": 1.5, "expm1": 2.5, "sigmoid": 2.5, "tanh": 3.0}
"""Largest errors in units in the last place of the exact result, where that is a normal number."""


@compiled
def _polynomial_64(r: Any) -> Any:
    # (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, interpolated at the Chebyshev nodes: e^r within 2^-55
    p = 2.5100375832561234e-08
    p = fma(p, r, 2.7620075879983367e-07)
    p = fma(p, r, 2.7557268480310024e-06)
    p = fma(p, r, 2.4801521322368692e-05)
    p = fma(p, r, 0.00019841269863040545)
    p = fma(p, r, 0.0013888888917196719)
    p = fma(p, r, 0.008333333333330065)
    p = fma(p, r, 0.041666666666624164)
    p = fma(p, r, 0.16666666666666669)
    return fma(p, r, 0.5)


@compiled
def _polynomial_32(r: Any) -> Any:
    # the same in float32: e^r within 2^-26
    p = np.float32(0.0013926175888627768)
    p = fma(p, r, np.float32(0.008363173343241215))
    p = fma(p, r, np.float32(0.041666556149721146))
    p = fma(p, r, np.float32(0.16666577756404877))
    return fma(p, r, np.float32(0.5))


def _exponentials(
    real: Any, whole: Any, digits: int, bias: int, lowest: float, polynomial: Any
) -> tuple[Any, Any]:
    """exp and expm1 for x <= 0, for floats `real` of `digits` binary digits; `whole` is an integer as large.

    Adding 1.5 2^(digits - 1) to a small number rounds it to a whole number n, and leaves n in the low bits.
    """
    LOG2_E = real(1.4426950408889634)
    LN2_HIGH = real(0.6931471805599453)
    LN2_LOW = real(2.3190468138462996e-17 if real is np.float64 else 0.6931471805599453 - float(LN2_HIGH))
    TO_WHOLE = real(1.5 * 2.0 ** (digits - 1))
    TO_WHOLE_BITS = whole(TO_WHOLE.view(whole))
    LOWEST, LOWEST_M1 = real(lowest), real(-digits)
    BIAS, SHIFT = whole(bias), whole(digits - 1)
    ONE = real(1.0)

    @compiled
    def reduced(x: Any) -> Any:
        # x = n ln 2 + r  ->  n, e^r - 1
        shifted = fma(x, LOG2_E, TO_WHOLE)
        n = shifted - TO_WHOLE
        r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
        return whole(to_bits(shifted) - TO_WHOLE_BITS), fma(r * r, polynomial(r), r)

    def exp(x: Any) -> Any:
        # Never below the smallest normal number: 2^n is then added to the exponent's bits.
        n, q = reduced(LOWEST if x < LOWEST else x)  # in this order a NaN passes through
        return from_bits(whole(to_bits(ONE + q) + (n << SHIFT)))

    def expm1(x: Any) -> Any:
        # below LOWEST_M1, e^x is less than half a unit in the last place of -1
        n, q = reduced(LOWEST_M1 if x < LOWEST_M1 else x)
        power = from_bits(whole((n + BIAS) << SHIFT))
        return fma(q, power, power - ONE)

    return exp, expm1


_EXP_64, _EXPM1_64 = _exponentials(np.float64, np.int64, 53, 1023, -708.39, _polynomial_64)
_EXP_32, _EXPM1_32 = _exponentials(np.float32, np.int32, 24, 127, -87.33, _polynomial_32)


def exp(x: Any) -> Any:
    """e^x for x <= 0, in the dtype of x; for compiled code only."""
    raise NotImplementedError


def expm1(x: Any) -> Any:
    """e^x - 1 for x <= 0, in the dtype of x; for compiled code only."""
    raise NotImplementedError


@numba.extending.overload(exp)
def _exp(x: Any) -> Any:
    return _EXP_32 if x == types.float32 else _EXP_64


@numba.extending.overload(expm1)
def _expm1(x: Any) -> Any:
    return _EXPM1_32 if x == types.float32 else _EXPM1_64


@compiled
def sigmoid(z: Any, one: Any) -> Any:
    """1 / (1 + e^-z) as e^min(z, 0) / (1 + e^-|z|); `one` is the number 1 in the dtype of z."""
    e = exp(-abs(z))
    return (one if z >= 0 else e) / (one + e)


@compiled
def tanh(z: Any, two: Any) -> Any:
    """sinh z / cosh z as (e^-2|z| - 1) / (e^-2|z| + 1), with z's sign; `two` is 2 in the dtype of z."""
    q = expm1(-two * abs(z))
    return copysign(q / (two + q), z)
