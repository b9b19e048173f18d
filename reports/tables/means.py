"""Means and intervals of positive quantities over processes, many cells at a time.

The unit is a process: each gives one value (its fastest round). A quantity is summed up by its
geometric mean, since times and their ratios err by factors: the mean of 2x and 1/2x is 1x. The interval is
Student's t on the logarithms; a bootstrap of the mean covers too little at the few processes of a race
(about 0.90 instead of 0.95 at ten of them).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

CONFIDENCE = 0.95

Floats = NDArray[np.float64]


def t_quantile(freedom: Floats) -> Floats:
    """Student's t at the upper end of a two-sided interval; NaN where no degree of freedom is left."""
    safe = np.maximum(freedom, 1)
    quantile: Floats = np.where(freedom > 0, special.stdtrit(safe, (1 + CONFIDENCE) / 2), np.nan)
    return quantile


def geometric_means(values: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """One row for each group of `keys`: the geometric mean of `column`, its interval, and the count.

    Columns `mean`, `low`, `high`, `processes`; low and high are NaN where one value leaves nothing to infer
    from. `column` must be positive.
    """
    logs = values[keys].assign(log=np.log(values[column]))
    summary = logs.groupby(keys, sort=False)["log"].agg(["mean", "std", "count"]).reset_index()
    count = summary["count"].to_numpy(dtype=float)
    half = t_quantile(count - 1) * summary["std"] / np.sqrt(count)
    return summary[keys].assign(
        mean=np.exp(summary["mean"]),
        low=np.exp(summary["mean"] - half),
        high=np.exp(summary["mean"] + half),
        processes=summary["count"],
    )


class Slope(NamedTuple):
    """An exponent and its 95 % interval; the ends are NaN where one process leaves nothing to infer from."""

    value: float
    low: float
    high: float


def exponent(x: Floats, y: Floats) -> float:
    """The least-squares slope of log y over log x: y grows as x to that power."""
    u, v = np.log(x), np.log(y)
    return float(np.sum((u - u.mean()) * (v - v.mean())) / np.sum((u - u.mean()) ** 2))


def mean_slope(exponents: Floats) -> Slope:
    """The mean of the exponents of several processes, and Student's interval."""
    if not len(exponents):
        return Slope(np.nan, np.nan, np.nan)
    mean, count = float(exponents.mean()), len(exponents)
    deviation = exponents.std(ddof=1) if count > 1 else np.nan
    half = float(t_quantile(np.array(count - 1.0)) * deviation / np.sqrt(count))
    return Slope(mean, mean - half, mean + half)
