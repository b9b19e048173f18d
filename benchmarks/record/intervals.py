"""What a few processes say: the geometric mean of a positive quantity, and its 95 % interval.

Times and their ratios err by factors, so that their logarithms are what is averaged: the mean of 2x and 1/2x
is 1x. The interval is Student's t on the logarithms; bootstrapped ones cover too little at so few values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean, and the interval around it; infinitely wide where one value leaves nothing to infer from."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """The larger of the relative distances from the mean to the ends: 0.05 is +-5 %."""
        return self.high / self.mean - 1


def interval(values: Sequence[float]) -> Interval:
    """The geometric mean of positive values, one a process, and its interval."""
    logs = np.log(np.asarray(values, np.float64))
    n = len(logs)
    mean = math.exp(logs.mean())
    if n < 2:
        return Interval(mean, 0.0, math.inf)
    t = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    factor = math.exp(t * logs.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean / factor, mean * factor)
