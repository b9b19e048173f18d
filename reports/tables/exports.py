"""The record for other tools: tidy CSV, Parquet, and the JSON of github-action-benchmark."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd

from reports.analysis import COLUMNS, Analysis

SCHEMA = {name: "string" if kind == "object" else kind for name, kind in COLUMNS.items()}
"""Every column of the tidy table and its type; docs/tidy.md has their meanings."""


def tidy(analysis: Analysis, baseline: str) -> pd.DataFrame:
    """One row per cell, with the columns of `SCHEMA`: times in seconds, missing numbers NaN."""
    table = analysis.speedups(baseline).astype(SCHEMA)
    for name, kind in SCHEMA.items():
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
                    f"threads={row['threads']}",
                    *([f"ranks={row['ranks']}"] if row["ranks"] > 1 else []),
                    f"m={row['batch_size']}",
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
