"""The change points of a series: where its level changes, from one value for each commit.

The values are logarithms of seconds, so that a step is a factor wherever it starts from. PELT (Killick,
Fearnhead and Eckley, 2012, https://arxiv.org/abs/1101.1438, as ruptures computes it) finds the levels that
fit best, each new one at a price:

    sum((value - its level)^2) / noise^2 + PENALTY ln(n) (number of steps)  ->  least

`noise` is the spread of differences between commits, the largest of those 1, 2, 4 and 8 commits apart, so
that a slow drift of the machine counts as noise and not as a series of steps. A value that is far from
its neighbours on both sides is moved nearer first, so that one bad run is not a level.
"""

from __future__ import annotations

import math

import numpy as np
import ruptures
from numpy.typing import NDArray
from scipy import ndimage

MIN_SEGMENT = 3
"""The fewest commits of a level: the third commit after a step distinguishes it from an outlier."""

PENALTY = 4.0
"""The price of a step, in noise^2 ln(n). BIC has 2 for independent normal noise of a known spread; see
docs/history.md for the rates of false and of missed steps at each price."""

FEWEST = 50
"""A shorter series has the price of one of this length, as its noise is not well known."""

MINIMUM_EFFECT = 0.02
"""Steps smaller than this share are not reported; it is the minimum effect of the gate."""

LEAST_NOISE = 0.001
"""The least noise of a series, as clocks and memory layouts do not allow for less."""

LAGS = (1, 2, 4, 8)
"""The distances in commits of the differences."""

DIFFERENCES = 5
"""A series has to be this many times as long as a lag. A step affects as many differences as the lag is long,
and the median of all differences has to remain that of the noise."""

NEIGHBOURS = 7
"""The number of values from whose median an outlier is measured."""

OUTLYING = 2.0
"""Values further than this from the median of their neighbours, in noise, are moved to that distance."""

MAD_TO_DEVIATION = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""


def steps(values: NDArray[np.float64]) -> list[int]:
    """The indices between 0 and n at which a new level begins in `values` (n,), logarithms of seconds."""
    n = len(values)
    if n < 2 * MIN_SEGMENT:
        return []
    spread = noise(values)
    middle = ndimage.median_filter(values, min(NEIGHBOURS, n), mode="nearest")
    tamed = np.clip(values, middle - OUTLYING * spread, middle + OUTLYING * spread)
    signal = ((tamed - tamed.mean()) / spread).reshape(n, 1)
    search = ruptures.KernelCPD(kernel="linear", min_size=MIN_SEGMENT).fit(signal)
    found: list[int] = search.predict(pen=PENALTY * math.log(max(n, FEWEST)))[:-1]
    return _notable(values, found)


def noise(values: NDArray[np.float64]) -> float:
    """The standard deviation of `values` (n,), n >= 2, about levels that may step: from their differences."""
    lags = [lag for lag in LAGS if lag == 1 or len(values) >= DIFFERENCES * lag]
    found = [np.median(np.abs(values[lag:] - values[:-lag])) for lag in lags]
    return max(float(max(found)) * MAD_TO_DEVIATION / math.sqrt(2), LEAST_NOISE)


def levels(values: NDArray[np.float64], at: list[int]) -> list[float]:
    """The median of each stretch of `values` between the steps `at`."""
    return [float(np.median(part)) for part in np.split(values, at)]


def _notable(values: NDArray[np.float64], found: list[int]) -> list[int]:
    """`found` without steps that are too small, removed from the smallest on: its neighbours grow by it."""
    found = list(found)
    while found:
        heights = np.abs(np.diff(levels(values, found)))
        least = int(np.argmin(heights))
        if heights[least] >= math.log1p(MINIMUM_EFFECT):
            break
        del found[least]
    return found
