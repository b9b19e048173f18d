"""The ladder's best against the best of the rest, cell by cell, and how near it comes to the machine's limit."""

from __future__ import annotations

import math

import pandas as pd

from benchmarks.results import Facts, Record
from reports.derived import roof
from reports.statistics import geometric_means
from reports.style import duration, times
from reports.tables import CELL, PANEL, cells, measurements, speedups

SEAT = [*PANEL, "batch_size"]


def rungs(implementations: dict[str, Facts], ground: str) -> set[str]:
    """The racers that stand on `ground`, rung upon rung, by what each differs from; `ground` is one."""
    found = {ground}
    while True:
        above = {name for name, facts in implementations.items() if facts.differs_from in found} - found
        if not above:
            return found
        found |= above


def standings(record: Record, baseline: str) -> pd.DataFrame:
    """One row a cell: `best`, the ladder's fastest racer, its `seconds`, `speedup` over the baseline and
    `share` of the measured gemm rate; `rival`, the fastest racer off the ladder, and `factor` with `low` and
    `high`: how many times as fast the best is, paired within a process. NaN or "" where there is none.
    """
    ours = rungs(dict(record.implementations), baseline)
    table = cells(record)
    timed = table[table["status"] == "measured"]
    on = timed["implementation"].isin(ours)
    best, rival = (
        rows.sort_values("seconds").drop_duplicates(SEAT).set_index(SEAT) for rows in (timed[on], timed[~on])
    )
    out = best[["implementation", "seconds", "flops"]].rename(columns={"implementation": "best"})
    out = out.join(rival["implementation"].rename("rival")).reset_index()
    over = speedups(record, baseline)[[*CELL, "speedup"]].rename(columns={"implementation": "best"})
    out = out.merge(over, on=[*SEAT, "best"], how="left")
    roofs = {dtype: roof(record, dtype) for dtype in out["dtype"].unique()}
    rates = out["dtype"].map({dtype: found.flops if found else math.nan for dtype, found in roofs.items()})
    out["share"] = out["flops"] / out["seconds"] / rates
    frame = measurements(record)
    frame = frame.loc[frame["status"] == "measured", [*CELL, "process", "median"]]
    pairs = out[[*SEAT, "best", "rival"]].dropna(subset="rival")
    for role in ("best", "rival"):
        mine = frame.rename(columns={"implementation": role, "median": f"{role}_median"})
        pairs = pairs.merge(mine, on=[*SEAT, role, *(["process"] if role == "rival" else [])])
    pairs["ratio"] = pairs["rival_median"] / pairs["best_median"]
    means = geometric_means(pairs, SEAT, "ratio").rename(columns={"mean": "factor"})
    out = out.merge(means.drop(columns="processes"), on=SEAT, how="left")
    return out.fillna({"rival": ""}).sort_values(SEAT, kind="stable").reset_index(drop=True)


def grid(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """`standings` in words: the heads, and a row a cell."""
    head = ["cell", "best", "time", "over baseline", "of gemm", "rival", "factor", "95 % interval"]

    def shown(value: float, words: str) -> str:
        return words if math.isfinite(value) else "-"

    body = [
        [
            f"{row.workload} {row.phase} {row.dtype} m={row.batch_size}"
            + (f" threads={row.threads}" if row.threads > 1 else ""),
            row.best,
            duration(row.seconds),
            shown(row.speedup, times(row.speedup)),
            shown(row.share, f"{row.share:.0%}" if math.isfinite(row.share) else ""),
            row.rival or "-",
            shown(row.factor, times(row.factor)),
            shown(row.low, f"{row.low:.2f} to {row.high:.2f}"),
        ]
        for row in table.itertuples()
    ]
    return head, body
