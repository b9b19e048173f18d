"""The trial of the race itself: whether its intervals hold what they claim, on this machine.

A/A: two copies of one implementation, whose ratio is 1. A/B: a copy with a known extra cost, whose ratio is
that. Prediction: cells predicted from smaller batches, as the race predicts what it skips. Agreement: the
medians of pyperf, which measures the same calls in processes of its own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
from scipy import stats

from benchmarks.measure import clock
from benchmarks.measure.worker import ROOT
from benchmarks.race.conductor import Plan, Race
from benchmarks.race.request import Request
from benchmarks.record import race_file
from benchmarks.record.cells import Cell
from benchmarks.record.statistics import CONFIDENCE, Interval, speedups

MODULE = "tests.studies.timing_implementations"
PARTS = ("aa", "ab", "prediction", "pyperf")
TARGET, BUDGET, TIMEOUT = 0.05, 215.0, 120.0  # those of a race that is asked for nothing else
PREDICTED, AGREED = 0.25, 0.05
EXTRAS = {"Spun3": 1.03, "Spun5": 1.05, "Spun10": 1.10, "Spun20": 1.20}


@dataclasses.dataclass(frozen=True)
class Share:
    """So many of so many, with the binomial 95 % interval (Clopper and Pearson) of the share."""

    held: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "none of none"
        low, high = stats.binomtest(self.held, self.of).proportion_ci(CONFIDENCE)
        return f"{self.held} of {self.of} = {self.held / self.of:.1%} (95 %: {low:.1%} to {high:.1%})"


Found = tuple[str, int, Interval]
"""An implementation, a batch size, and the implementation's time in units of another's."""


def race_all(
    number: int, names: Sequence[str], request: Request, say: Callable[[str], None]
) -> Iterator[Found]:
    """Every cell of so many races of the implementations `names` of the trial, in units of the first of
    them.
    """
    targets = [f"{MODULE}:{name}" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        for k in range(number):
            of_trial = dataclasses.replace(request, impl=targets)
            plan = Plan(of_trial, of_trial.settings(), ("gradients",), TARGET, BUDGET, TIMEOUT, "trial")
            running = Race(plan, Path(folder) / f"{k}.json", lambda _: None)
            running.run()
            say(f"race {k + 1} of {number}: {len(running.processes)} processes in {running.seconds:.0f} s")
            for cell, each in speedups(running.measurements, over=targets[0]).items():
                taken = Interval(1 / each.mean, 1 / each.high, 1 / each.low)
                yield cell.implementation.rpartition(":")[2], cell.batch_size, taken


def judge(found: Sequence[Found], truth: Callable[[str], float]) -> tuple[Share, float]:
    """How many intervals hold the truth, and the median distance of their means from it."""
    held = sum(each.low <= truth(name) <= each.high for name, _, each in found)
    off = [abs(each.mean / truth(name) - 1) for name, _, each in found]
    return Share(held, len(found)), statistics.median(off)


def predictions(record: race_file.Record) -> dict[Cell, float]:
    """Predicted over measured time, of every cell with two smaller batch sizes to predict it from."""
    times: dict[Cell, list[float]] = {}
    for m in record.measurements:
        if m.status == "measured":
            times.setdefault(m.cell, []).append(m.fastest)
    typical = {cell: statistics.median(values) for cell, values in times.items()}
    found = {}
    for cell, seconds in typical.items():
        smaller = {
            other.batch_size: taken
            for other, taken in typical.items()
            if other.batch_size < cell.batch_size
            and dataclasses.replace(other, batch_size=cell.batch_size) == cell
        }
        predicted = clock.predict(smaller, cell.batch_size)
        if len(smaller) >= 2 and predicted is not None:
            found[cell] = predicted / seconds
    return found


PYPERF = """
import pyperf

def to_workers(command, given):
    command += [given.name, given.batch_size]

runner = pyperf.Runner(add_cmdline_args=to_workers)
runner.argparser.add_argument("name")
runner.argparser.add_argument("batch_size")
given = runner.parse_args()

import time

from benchmarks import environment
from benchmarks.quiet import Quiet

environment.limit_threads(1)  # before NumPy is loaded, as in a race

import impls
from benchmarks import workloads

problem = workloads.problem(workloads.named("digits"), int(given.batch_size))
call = impls.load(given.name)(problem).gradients
moments = Quiet()
moments.listen()

def quietly(loops):
    moments.wait()
    call()
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return time.perf_counter() - start

runner.bench_time_func(f"{given.name}/{given.batch_size}", quietly)
"""


def pyperf_median(name: str, batch_size: int) -> float:
    """The median of `gradients()` in seconds, as pyperf measures it.

    In processes of its own, with its own calibration, warm-up and number of values. Each value begins in a
    quiet moment, since the machine's disturbances are not what is to be compared, and is short, to end in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "bench.py", Path(folder) / "out.json"
        script.write_text(PYPERF)
        command = [
            sys.executable,
            str(script),
            name,
            str(batch_size),
            "--quiet",
            "--inherit-environ=PYTHONPATH",
            "--min-time=0.01",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*command, "-o", str(out)], check=True, env=environment)
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
    return statistics.median(float(value) for run in runs for value in run.get("values", ()))


def agreement(record: race_file.Record, say: Callable[[str], None]) -> dict[Cell, float]:
    """The race's median over pyperf's, of every cell of the record that was measured."""
    rounds: dict[Cell, list[float]] = {}
    for m in record.measurements:
        if m.status == "measured":
            rounds.setdefault(m.cell, []).append(statistics.median(m.seconds))
    found = {}
    for cell, medians in rounds.items():
        found[cell] = statistics.median(medians) / pyperf_median(cell.implementation, cell.batch_size)
        say(f"{cell.implementation} at m = {cell.batch_size}: {found[cell]:.3f}")
    return found


def within(found: Mapping[Cell, float], share: float) -> Share:
    """How many ratios are no further from 1 than the share, either way."""
    return Share(sum(abs(value - 1) <= share for value in found.values()), len(found))


def study(number: int, batch_sizes: Sequence[str], parts: Sequence[str], say: Callable[[str], None]) -> str:
    """Run the parts of the study; returns its result as a Markdown table."""
    if "pyperf" in parts and importlib.util.find_spec("pyperf") is None:
        raise ValueError("--part pyperf: expected pyperf, got none; pip install pyperf, or name other parts")
    request = Request(batch_sizes=batch_sizes)
    rows = []
    if "aa" in parts:
        held, off = judge(list(race_all(number, ["CopyA", "CopyB"], request, say)), lambda _: 1.0)
        rows += [("A/A: the interval holds 1.0", str(held)), ("A/A: median distance from 1.0", f"{off:.2%}")]
    if "ab" in parts:
        found = list(race_all(number, ["Spun", *EXTRAS], request, say))
        for name, truth in EXTRAS.items():
            held, off = judge([each for each in found if each[0] == name], EXTRAS.__getitem__)
            rows.append((f"A/B, {truth - 1:.0%} more: recovered", f"{held}, {off:.2%} off"))
    if "prediction" in parts:
        near = within(predictions(_race_of(request, say)), PREDICTED)
        rows.append((f"predicted within {PREDICTED:.0%}", str(near)))
    if "pyperf" in parts:
        few = dataclasses.replace(request, impl=["numpy,numba"])
        near = within(agreement(_race_of(few, say), say), AGREED)
        rows.append((f"medians within {AGREED:.0%} of pyperf's", str(near)))
    return "\n".join(["| trial | result |", "|---|---|", *(f"| {what} | {came} |" for what, came in rows)])


def _race_of(request: Request, say: Callable[[str], None]) -> race_file.Record:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        plan = Plan(request, request.settings(), ("gradients",), TARGET, BUDGET, TIMEOUT, "trial")
        running = Race(plan, path, lambda _: None)
        running.run()
        say(running.verdict())
        return race_file.read(path)


@click.command()
@click.option("--races", default=30, type=click.IntRange(1), help="Races of each part that takes many.")
@click.option("--batch-sizes", multiple=True, metavar="LIST", help="[default: 1,4,16,64,256,1024]")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Repeat it for more. [all]")
def main(races: int, batch_sizes: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """Validate the race itself: do its intervals hold what they claim, here? Takes an hour."""
    click.echo(study(races, batch_sizes, parts or PARTS, lambda line: click.echo(line, err=True)))


if __name__ == "__main__":
    main()
