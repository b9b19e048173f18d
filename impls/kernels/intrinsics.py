# ruff: noqa: ARG001 - numba passes to a writer of LLVM code what it passes
"""The operations that numba's own language lacks, as intrinsics: bits of floats, and vectors of a register.

Vectors are as wide as the registers that numba compiles for. An operation on a vector takes `count` numbers,
at most a vector, and masks the others: it reads and writes nothing beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numba.extending
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, codegen
from numpy.typing import NDArray

Array = NDArray[Any]
Int = int | np.int64
F = TypeVar("F", bound=Callable[..., Any])
declare: Any = cgutils.get_or_insert_function
config: Any = numba.core.config
host_features: Any = codegen.get_host_cpu_features


# Without the wrappers by which Python and C would call it: they take a quarter of all compile time.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: F) -> F:
    """`function` for other compiled code only, by the rules of NumPy: x / 0 is an infinity or NaN."""
    return cast("F", njit(**OPTIONS, forceinline=False)(function))  # else it inherits its caller's inlining


def inlined(function: F) -> F:
    """The same, inlined into its caller: for functions with many arguments that do little."""
    return cast("F", njit(**OPTIONS, forceinline=True)(function))


def merged(function: F) -> F:
    """The same, merged into its callers before they are compiled: for long functions with few callers, which
    would be compiled alone as well.
    """
    return cast("F", njit(**OPTIONS, inline="always")(function))


def intrinsic(function: Callable[..., Any]) -> Any:
    """`function` as a writer of LLVM code; arguments that are literals come as literals."""
    return numba.extending.intrinsic(prefer_literal=True)(function)


def target_features() -> dict[str, bool]:
    """The instruction sets that numba compiles for: the processor's, as NUMBA_CPU_FEATURES changes them."""

    def parsed(features: str) -> dict[str, bool]:
        return {feature[1:]: feature[0] == "+" for feature in features.split(",") if feature}

    found = parsed(host_features())
    asked: str | None = config.CPU_FEATURES
    if asked is None:
        return found
    # LLVM does not report the other features that a named processor has.
    return {**({} if config.CPU_NAME else found), **parsed(asked)}


FEATURES = target_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16


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
def hashed(typing_context: Any, x: Any) -> Any:
    """`impls.kernels.masks.lowbias32` of a 32-bit number; numba's own product of two of them has 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def shifted(x: Any, bits: int) -> Any:
            return builder.xor(x, builder.lshr(x, x.type(bits)))

        (x,) = args
        x = builder.mul(shifted(x, 16), x.type(0x7FEB352D))
        x = builder.mul(shifted(x, 15), x.type(0x846CA68B))
        return shifted(x, 16)

    return types.uint32(types.uint32), generate


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """The place at an address, which `numba.carray` makes an array of."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.intp), generate


@intrinsic
def vector_length(typing_context: Any, memory: Any) -> Any:
    """Numbers of this array's dtype in a vector: a constant of the compiled code."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, VECTOR_BYTES * 8 // memory.dtype.bitwidth)

    return types.intp(memory), generate


def repeated(builder: Any, x: Any, lanes: int) -> Any:
    """LLVM's vector of `lanes` numbers that are all x."""
    vector = ir.VectorType(x.type, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, x, ir.IntType(32)(0))
    return builder.shuffle_vector(one, undefined, order([0] * lanes))


def order(indices: Sequence[int]) -> Any:
    """LLVM's constant vector of these lanes, for a shuffle."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), list(indices))


def below(builder: Any, limit: Any, lanes: int, first: int = 0) -> Any:
    """LLVM's mask of the lanes `first`, `first` + 1, ... that are below a limit."""
    lane = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(first, first + lanes)))
    return builder.icmp_signed("<", lane, repeated(builder, limit, lanes))


def store_masked(builder: Any, vector: Any, place: Any, mask: Any, bits: int) -> None:
    """Stores those numbers of a vector, of `bits` bits each, that the mask selects."""
    i32 = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [vector.type, place.type, i32, mask.type])
    function = declare(builder.module, kind, f"llvm.masked.store.v{vector.type.count}f{bits}.p0")
    builder.call(function, [vector, place, i32(bits // 8), mask])


def store_streaming(builder: Any, vector: Any, place: Any) -> None:
    """Stores a vector at a place that is a multiple of its size, past the caches: no line is read before."""
    store = builder.store(vector, place, align=VECTOR_BYTES)
    store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))


@intrinsic
def prefetch(typing_context: Any, memory: Any, place: Any) -> Any:
    """Prefetch the line of a place in `memory`, which may be beyond its end, into the second-level cache."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base = context.make_array(signature.args[0])(context, builder, args[0]).data
        line, i32 = builder.gep(base, [args[1]]), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [line.type, i32, i32, i32])
        read, second_level, data = i32(0), i32(2), i32(1)
        builder.call(declare(builder.module, kind, "llvm.prefetch.p0"), [line, read, second_level, data])
        return context.get_dummy_value()

    return types.void(memory, types.intp), generate


@intrinsic
def fence(typing_context: Any) -> Any:
    """A memory fence: other threads see all earlier stores, also past the caches, before later ones."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


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
            mask = below(builder, count, lanes)

            def address(array: int) -> Any:
                base = context.make_array(signature.args[array])(context, builder, args[array]).data
                return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

            def call(function: str, returned: Any, *arguments: Any, **flags: Any) -> Any:
                kind = ir.FunctionType(returned, [argument.type for argument in arguments])
                return builder.call(declare(builder.module, kind, f"llvm.{function}"), arguments, **flags)

            xs = repeated(builder, x if name == "max" else ir.Constant(x.type, -0.0), lanes)
            numbers = call(f"masked.load.{suffix}.p0", vector, address(0), i32(bits // 8), mask, xs)
            if name == "max":
                numbers = builder.select(builder.fcmp_ordered(">", numbers, xs), numbers, xs)
                width = lanes  # halves against each other; LLVM's own reduction takes detours for NaN
                while width > 1:
                    width //= 2
                    upper = order([(width + i) % lanes for i in range(lanes)])
                    others = builder.shuffle_vector(numbers, numbers, upper)
                    numbers = builder.select(builder.fcmp_ordered(">", numbers, others), numbers, others)
                return builder.extract_element(numbers, i32(0))
            if name == "sum":
                return call(f"vector.reduce.fadd.{suffix}", x.type, x, numbers, fastmath=("reassoc",))
            operation = builder.fadd if name == "add" else builder.fmul
            changed = operation(numbers, repeated(builder, x, lanes))
            store_masked(builder, changed, address(4), mask, bits)
            return context.get_dummy_value()

        returned = memory.dtype if name in ("max", "sum") else types.void
        return returned(memory, types.intp, types.intp, memory.dtype, other), generate

    return on_a_vector


vector_max = _on_a_vector("max")
vector_sum = _on_a_vector("sum")
vector_add = _on_a_vector("add")
vector_multiply = _on_a_vector("multiply")
