"""`python -m tests.studies.scaling RECORD...`: what two ranks buy, from records of races on one and on two.

The speedup over one rank and the share of communication, the speedup over each peer on as many ranks, and in
how many cells the model of reports/tables/allreduce.py is within 25 % of the time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.record import race_file
from benchmarks.record.statistics import speedup
from reports.analysis import Analysis, panel_of
from reports.style import duration
from reports.tables.allreduce import models
from reports.tables.scaling import scalings
from reports.text import markdown_table

PEERS = ("torch-gloo", "jax-gloo", "numpy-mpi")


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("records", nargs="+", type=Path)
    head = ["", "ranks", "a call", "over one rank", "communication", *(f"over {name}" for name in PEERS)]
    rows, modelled, within = [], 0, 0
    for path in asked.parse_args().records:
        analysis = Analysis(race_file.read(path))
        for panel in dict.fromkeys(one.on_one for one in analysis.panels):
            for model in models(analysis, panel):
                modelled, within = modelled + len(model.measured), within + model.within(0.25)
            over_one = {
                (one.implementation, one.workers, one.batch_size): one
                for one in scalings(analysis, panel, "strong", "ranks")
            }
            for cell, timed in analysis.times.items():
                found = over_one.get((cell.implementation, cell.ranks, cell.batch_size))
                if found is None or panel_of(cell).on_one != panel:
                    continue
                peers = {
                    other.implementation: times
                    for other, times in analysis.times.items()
                    if panel_of(other) == panel_of(cell) and other.batch_size == cell.batch_size
                }
                rows.append(
                    [
                        f"{cell.implementation}, {cell.workload}, {cell.phase}, {cell.dtype}, "
                        f"m = {cell.batch_size}",
                        str(cell.ranks),
                        duration(found.seconds.mean),
                        f"{found.speedup.mean:.2f}x ({found.speedup.low:.2f} to {found.speedup.high:.2f})",
                        "-" if found.communication is None else f"{100 * found.communication:.1f} %",
                        *(
                            f"{speedup(peers[name], timed).mean:.2f}x"
                            if name in peers and name != cell.implementation
                            else "-"
                            for name in PEERS
                        ),
                    ]
                )
    print("\n".join(markdown_table(head, rows)))
    print(f"\nThe model is within 25 % of the time in {within} of {modelled} cells.")


if __name__ == "__main__":
    main()
