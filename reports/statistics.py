"""Means and intervals of positive quantities over processes, many cells at a time.

The unit is a process: each gives one value (the median of its rounds). A quantity is summed up by its
geometric mean, since times and their ratios err by factors: the mean of 2x and 1/2x is 1x.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 20
"""Processes from which the interval is bootstrapped. Below, where a bootstrapped mean covers less than it
says (about 0.90 at ten values), it is Student's t on the logarithms."""
RESAMPLES = 2000


def geometric_means(values: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """One row for each group of `keys`: the geometric mean of `column`, its interval, and the count.

    Columns `mean`, `low`, `high`, `processes`; low and high are NaN where one value leaves nothing to infer
    from. `column` must be positive. Deterministic: the bootstrap draws from a fixed seed.
    """
    logs = np.log(values[column]).rename("log")
    grouped = logs.groupby([values[key] for key in keys], sort=False, observed=True)
    summary = grouped.agg(["mean", "std", "count"])
    count = summary["count"].to_numpy()
    centre = summary["mean"].to_numpy()
    with np.errstate(invalid="ignore"):
        half = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(count - 1, 1)) * summary["std"] / np.sqrt(count)
    half = half.where(count > 1).to_numpy()  # NaN for a single value
    low, high = centre - half, centre + half
    for size in np.unique(count[count >= BOOTSTRAP_FROM]):
        rows = np.flatnonzero(count == size)
        members = grouped.ngroup().isin(rows)
        order = grouped.ngroup()[members].to_numpy().argsort(kind="stable")
        sample = logs[members].to_numpy()[order].reshape(len(rows), size)
        drawn = stats.bootstrap(
            (sample,),
            np.mean,
            axis=-1,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // sample.size),  # 16 MB at a time, however many cells there are
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        low[rows], high[rows] = drawn.confidence_interval
    out = pd.DataFrame(
        {"mean": np.exp(centre), "low": np.exp(low), "high": np.exp(high), "processes": count},
        index=summary.index,
    )
    return out.reset_index()
