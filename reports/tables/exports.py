"""The record for other tools: tidy CSV and Parquet, and what github-action-benchmark reads."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd

from reports.analysis import Analysis

SCHEMA = {
    "workload": ("string", "name of the network and its data"),
    "phase": ("string", "what one call does: forward, gradients or step"),
    "dtype": ("string", "float64 or float32"),
    "threads": ("int64", "threads asked for"),
    "batch_size": ("int64", "m, the samples of a batch"),
    "implementation": ("string", "the implementation"),
    "status": (
        "string",
        "measured, skipped, unsupported, unavailable, wrong, failed or timed out; the worst over processes",
    ),
    "reason": ("string", "why it was not measured; empty where it was"),
    "seconds": (
        "float64",
        "seconds of one call: geometric mean over processes of the fastest round",
    ),
    "low": ("float64", "lower whisker of `seconds`; see `spread`"),
    "high": ("float64", "upper whisker of `seconds`; see `spread`"),
    "spread": (
        "string",
        "what the whiskers are: interval (95 %, over processes), rounds (fastest to median of the only "
        "process), or empty",
    ),
    "processes": ("int64", "processes that measured the cell"),
    "rounds": ("int64", "rounds of all of them"),
    "baseline": ("string", "the implementation that speedups are over"),
    "baseline_dtype": ("string", "dtype of the baseline's times that were used"),
    "baseline_threads": ("int64", "threads of the baseline's times that were used"),
    "speedup": ("float64", "times as fast as the baseline at the same batch size"),
    "speedup_low": ("float64", "lower whisker of `speedup`"),
    "speedup_high": ("float64", "upper whisker of `speedup`"),
    "pairs": ("int64", "processes in which the ratio could be paired"),
    "basis": (
        "string",
        "paired, unpaired (means of different processes), projected (from a prediction) or empty",
    ),
    "construct_seconds": ("float64", "seconds of construction, with compilation and warm-up"),
    "compile_seconds": ("float64", "seconds of construction spent compiling"),
    "cold_construct_seconds": ("float64", "seconds of a first construction, no compiler's cache on disk"),
    "cold_compile_seconds": ("float64", "seconds of that spent compiling"),
    "cached_compile_seconds": (
        "float64",
        "seconds of compilation in the next process, from the cache on disk",
    ),
    "predicted_seconds": ("float64", "predicted seconds of one call, where it was skipped"),
    "flops": ("float64", "multiplications and additions of the matrix products of one call"),
    "bytes": ("float64", "the least bytes that one call moves"),
    "peak_bytes": ("float64", "most bytes that a call had allocated beyond what stood before it"),
    "construct_peak_bytes": ("float64", "the same of the construction, beyond the problem"),
    "least_bytes": ("float64", "what any implementation must hold for both"),
    "error_of_bound": ("float64", "largest error as a share of the referee's bound"),
    "error_ulp": ("float64", "largest error in units in the last place"),
    "error_ulp_median": ("float64", "median error in units in the last place"),
}
"""Every column of the tidy table: its type and its meaning. Times in seconds, missing numbers empty (NaN)."""


def tidy(analysis: Analysis, baseline: str) -> pd.DataFrame:
    """One row a cell, with the columns of `SCHEMA`."""
    table = analysis.speedups(baseline)[list(SCHEMA)].astype(
        {name: kind for name, (kind, _) in SCHEMA.items()}
    )
    for name, (kind, _) in SCHEMA.items():
        if kind == "string":  # JSON can hold halves of surrogate pairs, which no file in UTF-8 can
            table[name] = table[name].map(lambda text: text.encode("utf-8", "replace").decode())
    return table


def csv(table: pd.DataFrame) -> bytes:
    """The tidy table as CSV: UTF-8, a header, floats in full."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def parquet(table: pd.DataFrame) -> bytes:
    """The tidy table as Parquet; raises ImportError without pyarrow."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def action(table: pd.DataFrame) -> bytes:
    """Measured cells as github-action-benchmark's `customSmallerIsBetter` has them."""
    entries = [
        {
            "name": " ".join(
                [
                    *(str(row[key]) for key in ("implementation", "workload", "phase", "dtype")),
                    f"threads={row['threads']} m={row['batch_size']}",
                ]
            ),
            "unit": "s",
            "value": row["seconds"],
            **({"range": f"{row['low']:.6g} to {row['high']:.6g}"} if np.isfinite(row["low"]) else {}),
            "extra": f"{row['processes']} processes, {row['rounds']} rounds",
        }
        for row in table[table["status"] == "measured"].to_dict("records")
    ]
    return (json.dumps(entries, indent=1) + "\n").encode()
