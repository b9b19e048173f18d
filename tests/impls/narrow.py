"""Implementations of float32 that compute one product in narrower arithmetic: 11 bits, as TF32 and half
precision have, or 8, as bfloat16 has. Each is right to two or three digits, faster on some hardware, and not
float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from impls.interface import Network
from tests.impls.mutants import Array, Sound

BITS = (11, 8)

SUMMED = 16
"""Terms that are summed exactly before the sum is rounded, as a matrix unit does."""


def rounded(array: Array, bits: int) -> Array:
    """The array rounded to the nearest numbers of `bits` significant bits."""
    fraction, exponent = np.frexp(array)
    return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits).astype(array.dtype)


@dataclasses.dataclass(frozen=True)
class NarrowedPart:
    """The product (z, dw, db or da) of a layer, and the part of it with fewer bits: its left operand, its
    right one, both, or its running sum.
    """

    product: str
    layer: int
    part: str
    bits: int

    def __str__(self) -> str:
        return f"{self.product}[{self.layer}], {self.part}, {self.bits} bits"


def places(network: Network) -> Iterator[NarrowedPart]:
    """Every place of a network."""
    for bits in BITS:
        for k in range(network.layers):
            for product in ("z", "dw", "da") if k else ("z", "dw"):
                for part in ("left", "right", "both", "sum"):
                    yield NarrowedPart(product, k, part, bits)
            yield NarrowedPart("db", k, "sum", bits)


class Narrow(Sound):
    """`Sound`, but at one place."""

    dtypes: ClassVar[tuple[str, ...]] = ("float32",)
    place: NarrowedPart
    changed = False
    """Whether any number was rounded: some have no more than 8 bits to begin with."""

    def rounded(self, array: Array) -> Array:
        found = rounded(array, self.place.bits)
        self.changed |= not np.array_equal(found, array)
        return found

    def product(self, name: str, k: int, p: Array, q: Array) -> Array:
        part = self.place.part
        if (name, k) != (self.place.product, self.place.layer):
            return p @ q
        if part == "sum":
            total = np.zeros((len(p), q.shape[1]), p.dtype)
            for start in range(0, len(q), SUMMED):
                stop = start + SUMMED
                total = self.rounded(total + p[:, start:stop] @ q[start:stop])
            return total
        if part in ("left", "both"):
            p = self.rounded(p)
        if part in ("right", "both"):
            q = self.rounded(q)
        return p @ q

    def z(self, k: int, x: Array) -> Array:
        return self.product("z", k, self.w[k], x) + self.b[k]

    def layer_dw(self, k: int, dz: Array) -> Array:
        return self.average(self.product("dw", k, dz, self.x[k].T))

    def layer_db(self, k: int, dz: Array) -> Array:
        return self.average(self.product("db", k, dz, np.ones((self.m, 1), dz.dtype)))

    def da_prev(self, k: int, dz: Array) -> Array:
        return self.product("da", k, self.w[k].T, dz)


def narrow(place: NarrowedPart) -> type[Narrow]:
    """The implementation that is narrow at `place`."""
    return type(f"Narrow({place})", (Narrow,), {"place": place})


class LayerOfZeros(Sound):
    """The gradient of one layer left out."""

    layer = 0

    def layer_dw(self, k: int, dz: Array) -> Array:
        return super().layer_dw(k, dz) * (k != self.layer)


class SinglePass(Sound):
    """A float32 pass inside a float64 implementation."""

    dtypes: ClassVar[tuple[str, ...]] = ("float64",)

    def gradients(self) -> None:
        wide = self.w, self.b, self.X, self.Y
        self.w, self.b = ([array.astype("f4") for array in arrays] for arrays in (self.w, self.b))
        self.X, self.Y = self.X.astype("f4"), self.Y.astype("f4")
        super().gradients()
        self.w, self.b, self.X, self.Y = wide
        self.dw = [dw.astype("f8") for dw in self.dw]
        self.db = [db.astype("f8") for db in self.db]


class LogarithmOfTwoCutShort(Sound):
    """e^z = 2^n e^(z - n ln 2) with the leading bits of ln 2 alone: the correction is dropped."""

    def sigmoid(self, z: Array) -> Array:
        n = np.rint(-z * np.log2(np.e)).astype(z.dtype)
        r = -z - n * z.dtype.type(0.693359375 if z.dtype == np.float32 else 0.6931471803691238)
        with np.errstate(all="ignore"):
            return 1 / (1 + np.ldexp(np.exp(r), n.astype(int)))
