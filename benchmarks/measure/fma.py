# ruff: noqa: ARG001 - numba passes to a writer of LLVM code what it passes
"""Loops of fused multiply-adds on vectors that never leave their registers, compiled by numba."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, cast

import llvmlite.binding
import numba
import numba.extending
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped

CHAINS = 12
"""The independent sums: enough to hide the latency of two units, and few enough for sixteen registers."""

COUNT = 50_000
"""The iterations of a loop, which take about a millisecond."""

cgutils: Any = untyped


def _intrinsic(function: Callable[..., Any]) -> Any:
    return numba.extending.intrinsic(prefer_literal=True)(function)


@_intrinsic
def _chains(typing_context: Any, count: Any, x: Any, width: Any) -> Any:
    """`count` times z = z x + x on each chain of vectors of `width` bytes; the sum of them all."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        real, index = args[1].type, ir.IntType(32)
        lanes = width.literal_value // (x.bitwidth // 8)
        vector = ir.VectorType(real, lanes)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f{x.bitwidth}"
        )
        factor = ir.Constant(vector, ir.Undefined)
        for lane in range(lanes):
            factor = builder.insert_element(factor, args[1], index(lane))
        places = [cgutils.alloca_once_value(builder, factor) for _ in range(CHAINS)]
        with cgutils.for_range(builder, args[0]):
            for place in places:
                builder.store(builder.call(fma, [builder.load(place), factor, factor]), place)
        total = builder.load(places[0])
        for place in places[1:]:
            total = builder.fadd(total, builder.load(place))
        # use all lanes, or the compiler would compute only one
        found = builder.extract_element(total, index(0))
        for lane in range(1, lanes):
            found = builder.fadd(found, builder.extract_element(total, index(lane)))
        return found

    return x(types.intp, x, width), generate


@functools.cache
def _loop(width: int) -> Callable[[Any], Any]:
    """The loop on vectors of `width` bytes; once for each, as numba compiles each function anew."""

    def loop(x: Any) -> Any:
        return _chains(COUNT, x, width)

    return cast("Callable[[Any], Any]", numba.njit(cache=True)(loop))


def loops(dtype: str) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Compiled loops and their operations, for the two widest vectors: the widest may not be the fastest."""
    features: Any = llvmlite.binding.get_host_cpu_features()
    known = {64: "avx512f", 32: "avx", 16: ""}
    has = [width for width, feature in known.items() if not feature or features.get(feature)]
    x = np.dtype(dtype).type(0.5)
    for width in has[:2]:
        loop = _loop(width)
        loop(x)
        yield 2 * COUNT * CHAINS * (width // x.itemsize), functools.partial(loop, x)
