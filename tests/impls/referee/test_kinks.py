"""The part of a gradient's error that kinks of relu explain: the nearest sum of their changes."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given as drawn
from hypothesis import strategies as st

from impls.referee.kinks import Kinks


@st.composite
def kinks(draw: st.DrawFn) -> Kinks:
    """Kinks in a gradient of 3 by 4: fewer than its numbers or more, some equal, some without effect."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    K = draw(st.integers(1, 20))
    dz, x = rng.standard_normal((3, K)), rng.standard_normal((4, K))
    alike = rng.integers(0, K, K) if draw(st.booleans()) else np.arange(K)
    least, most = -rng.random(K) * rng.integers(0, 2, K), rng.random(K) * rng.integers(0, 2, K)
    return Kinks(dz[:, alike], x[:, alike], least, most)


def most_along(kinks: Kinks, direction: np.ndarray) -> float:
    """The largest inner product with `direction` of what kinks can add up to."""
    along = np.einsum("ik,ij,jk->k", kinks.dz, direction, kinks.x)
    return float(np.maximum(along * kinks.least, along * kinks.most).sum())


SIZES = st.sampled_from((1e-30, 1e-3, 1.0, 1e30))


@drawn(kinks(), SIZES, st.integers(0, 999))
def test_what_is_taken_from_an_error_is_the_nearest_that_kinks_add_up_to(
    kinks: Kinks, size: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kinks = dataclasses.replace(kinks, least=size * kinks.least, most=size * kinks.most)
    error = size * rng.standard_normal((3, 4))
    left = kinks.taken_from(error)
    taken = error - left
    close = 1e-9 * float(np.linalg.norm(error))
    for _ in range(20):
        direction = rng.standard_normal((3, 4))
        assert np.vdot(direction, taken) <= most_along(kinks, direction) + 1e2 * close
    # no other is nearer: none lies further in the direction of what is left
    assert most_along(kinks, left) <= np.vdot(left, taken) + close * np.linalg.norm(error)


@drawn(kinks(), SIZES, st.integers(0, 999))
def test_an_error_that_kinks_explain_leaves_nothing(kinks: Kinks, size: float, seed: int) -> None:
    share = np.random.default_rng(seed).random(len(kinks.least))
    share = size * (kinks.least + share * (kinks.most - kinks.least))
    kinks = dataclasses.replace(kinks, least=size * kinks.least, most=size * kinks.most)
    error = (kinks.dz * share) @ kinks.x.T
    left = kinks.taken_from(error)
    assert np.linalg.norm(left) <= 1e-12 * size * len(share)
