"""`python -m tests.studies.scaling`: what two ranks buy on this machine, and what peers take on as many.

Every job has a process or two of its own, and they take turns, round by round; a time is that of the fastest
round. Communication is the share of a call that it takes longer than the same call without.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from typing import Any

import impls
from benchmarks import workloads
from benchmarks.measure import clock
from reports.style import duration
from reports.text import markdown_table

OWN, PEERS = "numba-mpi", ("torch-gloo", "jax-gloo")
ROUNDS, ROUND_SECONDS = 15, 0.03


def fastest(calls: Mapping[str, tuple[Any, str]]) -> dict[str, float]:
    """The seconds of a call of each method of a job, which take turns."""
    found = dict.fromkeys(calls, float("inf"))
    times: dict[str, int] = {}
    for turn, (name, (job, method)) in itertools.product(range(1 + ROUNDS), calls.items()):
        n = times.get(name, 3)
        seconds = clock.seconds_of(lambda: job.repeat(method, n), 1) / n  # noqa: B023 - called at once
        if turn:
            found[name] = min(found[name], seconds)
        else:
            times[name] = max(1, round(ROUND_SECONDS / seconds))
    return found


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--workload", nargs="+", default=["digits", "784-128-10"])
    asked.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 256, 1024, 4096])
    asked.add_argument("--dtypes", nargs="+", default=list(impls.DTYPES))
    asked.add_argument("--peers", nargs="*", default=list(PEERS))
    given = asked.parse_args()
    head = ["", "one rank", "two ranks", "times as fast", "communication"]
    head += [words for name in given.peers for words in (name, "times as fast")]
    rows = []
    for name, dtype, m in itertools.product(given.workload, given.dtypes, given.batch_sizes):
        workload = (
            workloads.ad_hoc(name, "sigmoid", "mean_squared_error") if "-" in name else workloads.named(name)
        )
        problem = workloads.problem(workload, m)
        two = impls.load(OWN, 2)(problem, dtype)
        jobs = {peer: (impls.load(peer, 2)(problem, dtype), "gradients") for peer in given.peers}
        calls = {"one": (impls.load(OWN)(problem, dtype), "gradients"), "two": (two, "gradients")}
        seconds = fastest({**calls, "alone": (two, "gradients_alone"), **jobs})
        own = seconds["two"]
        row = [f"{name}, {dtype}, m = {m:,}", duration(seconds["one"]), duration(own)]
        row += [f"{seconds['one'] / own:.2f}", f"{100 * max(0.0, 1 - seconds['alone'] / own):.1f} %"]
        for peer in given.peers:
            row += [duration(seconds[peer]), f"{seconds[peer] / own:.2f}"]
        rows.append(row)
    print("\n".join(markdown_table(head, rows)))


if __name__ == "__main__":
    main()
