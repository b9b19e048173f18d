"""Numbers of about 106 bits as the unevaluated sum of two float64 arrays: the oracle's arithmetic.

The same on every platform: NumPy's long double has 64 bits on x86, 113 in software on most ARM servers, and
53 under Windows and on Apple's machines. On x86 it is no faster either: it is never vectorized.

Sources: T. J. Dekker (1971), A floating-point technique for extending the available precision, Numerische
Mathematik 18, 224-242; D. E. Knuth, The Art of Computer Programming 2, section 4.2.2 (the exact sum);
Y. Hida, X. S. Li, D. H. Bailey (2001), Algorithms for quad-double precision floating point arithmetic,
ARITH-15.
"""

from __future__ import annotations

import decimal
import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

VELTKAMP = 2.0**27 + 1
"""The factor that splits 53 bits into 26 and 26."""


def two_sum(a: Reals, b: Reals) -> tuple[Reals, Reals]:
    """a + b and its rounding error (Knuth)."""
    s = a + b
    b_kept = s - a
    return s, (a - (s - b_kept)) + (b - b_kept)


def fast_two_sum(a: Reals, b: Reals) -> tuple[Reals, Reals]:
    """a + b and its rounding error, for |a| >= |b| (Dekker)."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Reals, b: Reals) -> tuple[Reals, Reals]:
    """a b and its rounding error (Dekker, Veltkamp), for magnitudes up to 2^995."""
    p = a * b
    t = VELTKAMP * a
    a_head = t - (t - a)
    a_tail = a - a_head
    t = VELTKAMP * b
    b_head = t - (t - b)
    b_tail = b - b_head
    return p, ((a_head * b_head - p) + a_head * b_tail + a_tail * b_head) + a_tail * b_tail


class DoubleDouble:
    """An array of numbers hi + lo, |lo| at most half an ulp of hi."""

    __slots__ = ("hi", "lo")
    __array_ufunc__ = None  # ndarray + DoubleDouble is ours

    def __init__(self, hi: Reals, lo: Reals | None = None) -> None:
        self.hi = hi
        self.lo = np.zeros_like(hi) if lo is None else lo

    @property
    def T(self) -> DoubleDouble:  # noqa: N802 - as an array's
        """The transpose."""
        return DoubleDouble(self.hi.T, self.lo.T)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as that of an array."""
        return self.hi.shape

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.hi, -self.lo)

    def __abs__(self) -> DoubleDouble:
        sign = np.copysign(1.0, self.hi)
        return DoubleDouble(self.hi * sign, self.lo * sign)

    def __add__(self, other: DoubleDouble | Reals | float) -> DoubleDouble:
        if isinstance(other, DoubleDouble):
            s, e = two_sum(self.hi, other.hi)
            return DoubleDouble(*fast_two_sum(s, e + (self.lo + other.lo)))
        s, e = two_sum(self.hi, np.asarray(other))
        return DoubleDouble(*fast_two_sum(s, e + self.lo))

    __radd__ = __add__

    def __sub__(self, other: DoubleDouble | Reals | float) -> DoubleDouble:
        return self + -other

    def __rsub__(self, other: Reals | float) -> DoubleDouble:
        return -self + other

    def __mul__(self, other: DoubleDouble | Reals | float) -> DoubleDouble:
        """A product; a Python float is a power of 2, or 0."""
        if isinstance(other, DoubleDouble):
            p, e = two_product(self.hi, other.hi)
            return DoubleDouble(*fast_two_sum(p, e + (self.hi * other.lo + self.lo * other.hi)))
        if isinstance(other, float):
            assert abs(math.frexp(other)[0]) in (0.0, 0.5)
            return DoubleDouble(self.hi * other, self.lo * other)
        p, e = two_product(self.hi, other)
        return DoubleDouble(*fast_two_sum(p, e + self.lo * other))

    __rmul__ = __mul__

    def __truediv__(self, other: DoubleDouble | float) -> DoubleDouble:
        if not isinstance(other, DoubleDouble):
            other = DoubleDouble(np.asarray(other, np.float64))
        q = self.hi / other.hi
        rest = self - other * q
        return DoubleDouble(*fast_two_sum(q, rest.hi / other.hi))

    def __rtruediv__(self, other: float) -> DoubleDouble:
        return DoubleDouble(np.full_like(self.hi, other)) / self


Number: TypeAlias = Any
"""The oracle's numbers: a DoubleDouble, or an array of float64, with the same operators."""


def _digits(value: decimal.Decimal) -> tuple[float, float]:
    hi = float(value)
    return hi, float(value - decimal.Decimal(hi))


STEPS = 64
"""e^z = 2^(k / STEPS) e^r with |r| <= ln 2 / (2 STEPS), where a short Taylor series does."""

with decimal.localcontext() as _context:
    _context.prec = 60
    _POWERS = np.array(
        [_digits(decimal.Decimal(2) ** (decimal.Decimal(j) / STEPS)) for j in range(STEPS)]
    ).T.copy()
    # ln 2 / STEPS in three parts, the first two of 32 bits, so that k times them is exact
    _rest = decimal.Decimal(2).ln() / STEPS
    _LN2 = []
    for _bits in (2.0**39, 2.0**71):
        _LN2.append(float(round(_rest * decimal.Decimal(_bits))) / _bits)
        _rest -= decimal.Decimal(_LN2[-1])
    _LN2.append(float(_rest))

LOWEST = -750.0
"""e^z is 0 in float64 below -745.2."""

_SCALES = np.ldexp(1.0, -np.arange(2 - int(LOWEST / np.log(2))))  # 2^0, 2^-1, ...


def _powers(z: DoubleDouble) -> tuple[NDArray[np.bool_], DoubleDouble, DoubleDouble]:
    """With e^z = 2^(k / STEPS) e^r, z <= 0: whether k is 0, e^r - 1 (to 2^-69) and e^z (to 2^-76)."""
    low = z.hi < LOWEST
    hi = np.where(low, LOWEST, z.hi)
    k = np.rint(hi * (STEPS / np.log(2)))
    s, e_1 = two_sum(hi, -k * _LN2[0])
    s, e_2 = two_sum(s, -k * _LN2[1])
    r, r_lo = fast_two_sum(s, e_1 + e_2 - k * _LN2[2] + np.where(low, 0.0, z.lo))
    tail = r * r * r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040 + r / 40320)))))
    square, square_lo = two_product(r, r)
    s, e = fast_two_sum(r, square / 2)
    grown = DoubleDouble(*fast_two_sum(s, e + r_lo + r * r_lo + square_lo / 2 + tail))
    index = k.astype(np.intp)
    power = DoubleDouble(_POWERS[0].take(index % STEPS), _POWERS[1].take(index % STEPS))
    power = power + power * grown
    scale = _SCALES.take(-(index // STEPS))
    return index == 0, grown, DoubleDouble(power.hi * scale, power.lo * scale)


def exp(z: Number) -> Number:
    """e^z, for z <= 0 (a rounding error above 0 does no harm)."""
    return _powers(z)[2] if isinstance(z, DoubleDouble) else np.exp(z)


def expm1(z: Number) -> Number:
    """e^z - 1 without cancellation, for z <= 0."""
    if not isinstance(z, DoubleDouble):
        return np.expm1(z)
    near, grown, e = _powers(z)
    return where(near, grown, e - 1.0)


def log(x: Number) -> Number:
    """ln x, for x >= 1, by one step of Newton's method from the float64 logarithm."""
    if not isinstance(x, DoubleDouble):
        return np.log(x)
    y = np.log(x.hi)
    return (x * _powers(DoubleDouble(-y))[2] - 1.0) + y


def sqrt(x: DoubleDouble) -> DoubleDouble:
    """The square root of x >= 0, by one step of Newton's method from the float64 root."""
    y = np.sqrt(x.hi)
    rest = x - DoubleDouble(*two_product(y, y))
    return DoubleDouble(*fast_two_sum(y, rest.hi / np.where(y > 0, 2 * y, 1.0)))


def where(condition: NDArray[np.bool_], p: Number | float, q: Number) -> Number:
    """p where the condition holds, else q; p is of the type of q, or a plain number."""
    if not isinstance(q, DoubleDouble):
        return np.where(condition, p, q)
    hi, lo = (p.hi, p.lo) if isinstance(p, DoubleDouble) else (p, 0.0)
    return DoubleDouble(np.where(condition, hi, q.hi), np.where(condition, lo, q.lo))


def halves(x: Number) -> tuple[Reals, Reals]:
    """x as two float64: the nearest to x, and the rest."""
    return (x.hi, x.lo) if isinstance(x, DoubleDouble) else (x, np.zeros_like(x))


def high(x: Number) -> Reals:
    """The float64 nearest to x."""
    return x.hi if isinstance(x, DoubleDouble) else x
