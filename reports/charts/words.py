"""Words about a panel that charts, tables and the summary share."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from reports.style import UNMEASURED, cores, digits, duration, factor, plain


def describe(panel: pd.DataFrame, shape: str = "") -> str:
    """A panel in words: workload, shape, phase, dtype, threads, ranks."""
    if panel.empty:
        return "nothing was raced"
    first = panel.iloc[0]
    workload = f"{plain(first['workload'])} {shape}".strip()
    return f"{workload}, {plain(first['phase'])}, {conditions(first)}"


def conditions(row: pd.Series, of: Literal["", "baseline_"] = "") -> str:
    """The dtype, threads and ranks of a cell, or of its baseline, in words: `float64, 2 threads`."""
    return f"{plain(row[f'{of}dtype'])}, {cores(row[f'{of}threads'], row[f'{of}ranks'])}"


def whiskers(panel: pd.DataFrame) -> str:
    """The meaning of this panel's whiskers, in words."""
    timed = panel[panel["status"] == "measured"]
    if timed.empty:
        return "nothing was measured"
    fewest, most = timed["processes"].min(), timed["processes"].max()
    if most == 1:
        return "whiskers: rounds of one process, fastest to median, no interval"
    if fewest == 1:
        return f"whiskers: 95 % interval over up to {most} processes; of one, fastest round to median"
    return f"whiskers: 95 % interval over {most if fewest == most else f'{fewest} to {most}'} processes"


def missing(panel: pd.DataFrame) -> list[str]:
    """A note for each status but measured: the implementations, their batch sizes, and the predicted time."""
    notes = []
    for status, shown in UNMEASURED.items():
        names = []
        for name, group in panel[panel["status"] == status].groupby("implementation", sort=False):
            words = plain(str(name))
            if len(group) < (panel["implementation"] == name).sum():
                words += f" at m = {', '.join(map(str, sorted(group['batch_size'])))}"
            guess = group["predicted_seconds"].max()
            names.append(words + (f" ({duration(guess)} a call)" if np.isfinite(guess) else ""))
        if names:
            notes.append(f"{shown.mark}, {shown.meaning}: {'; '.join(names)}")
    return notes


def cell_words(cell: pd.Series, absolute: bool) -> tuple[str, str]:
    """A cell's large and small words: factor and half-width, time, or mark and prediction."""
    if cell["status"] == "implausible":
        rate = cell["flops"] / cell["seconds"] / 1e9
        return UNMEASURED["implausible"].mark, f"{digits(rate)} GFLOP/s" if np.isfinite(rate) else ""
    if cell["status"] != "measured":
        guess = cell["predicted_seconds"]
        return UNMEASURED[cell["status"]].mark, f"~{duration(guess)}" if np.isfinite(guess) else ""
    if absolute or not np.isfinite(cell["speedup"]):
        return duration(cell["seconds"]), ""
    big = ("~" if cell["basis"] == "projected" else "") + factor(cell["speedup"])
    if cell["pairs"] > 1:
        half = 100 * (np.sqrt(cell["speedup_high"] / cell["speedup_low"]) - 1)
        return big, f"±{half:.{1 if half < 9.95 else 0}f} %"
    return big, ""
