"""`python -m tests.studies.scale`: what drawing a record of 20,000 measurements costs.

Exits with 1 where it takes 20 s or more of processor time, or 1 GiB or more of memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import race_file
from tests.reports import records

SECONDS, BYTES = 20.0, 2**30


def main() -> int:
    workloads = tuple(f"network-{k}" for k in range(5))
    record = records.race(
        records.LADDER[:13],
        sizes=tuple(2**k for k in range(13)),
        processes=4,
        workloads=workloads,
        phases=("forward", "gradients", "step"),
        dtypes=("float64", "float32"),
    )
    print(f"{len(record.measurements):,} measurements")
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        race_file.write(record, path)
        for verb in ("render", "page"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "reports", verb, str(path), "--out", f"{folder}/out"]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            peak = after.ru_maxrss * 1024
            print(f"{verb}: {seconds:.1f} s of processor time, {peak / 2**20:.0f} MiB")
            worst |= seconds >= SECONDS or peak >= BYTES
        print(f"page: {(Path(folder) / 'out' / 'index.html').stat().st_size / 1e6:.2f} MB")
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
