"""Exponentials that vectorize: e^x and e^x - 1 for x <= 0, and the activations that need no more.

`exp` and `expm1` are plain scalar code without branches, tables or calls, so that LLVM turns a loop over them
into vector code for any host: x = n ln 2 + r with |r| <= ln 2 / 2, the subtraction in two parts (Cody and
Waite [1]) with fused multiply-adds, a polynomial for e^r - 1 = r + r^2 P(r), and 2^n as an addition to the
exponent's bits. `exp` stops at the smallest normal number. `expm1` keeps e^r - 1 apart from the 1, so that
tanh is accurate for small arguments too. Errors are at most those of MAX_ULP
(tests/impls/kernels/test_exponentials.py compares with 60-digit arithmetic).

[1] Cody, Waite: Software Manual for the Elementary Functions, 1980, chapter 6; Muller et al.: Handbook of
    Floating-Point Arithmetic, 2nd ed. 2018, chapter 10.
"""

from __future__ import annotations

from typing import Any

import numba.extending
import numpy as np
from numba import types

from impls.kernels.intrinsics import compiled, copysign, fma, from_bits, to_bits

MAX_ULP = {"exp": 1.5, "expm1": 2.5, "sigmoid": 2.5, "tanh": 3.0}
"""The largest errors, in units in the last place of the exact result, if that is a normal number."""


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
