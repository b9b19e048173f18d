"""`python -m tests.studies.gate_report`: the false alarms and the power of the gate, and of other rules."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

# Only click is imported up here: --help must answer at once.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.record.pairs_file import Pairs
    from tests.studies.replays import GateTally

FOLDER = Path(".gradrace/study")
OUT = Path(__file__).parents[2] / "reports" / "out"

SHARES = (0.0, 0.02, 0.05, 0.10, 0.20)
"""Slowdowns of one benchmark that are replayed; 0 gives the false alarms."""

OURS = "this gate"


@dataclasses.dataclass(frozen=True)
class Study:
    """The recordings: a commit with itself, slowdowns, and whole gates of each kind."""

    same: Pairs
    injected: Mapping[str, Pairs]
    runs: Mapping[str, Sequence[Pairs]]


@dataclasses.dataclass(frozen=True)
class Tallied:
    """Gates of one kind, judged by one rule; `real` ones were run, others replayed."""

    real: bool
    rule: str
    kind: str
    tally: GateTally


def load(folder: Path) -> Study:
    """The recordings of `python -m tests.studies.gate` in `folder`; raises Misuse if they cannot be read."""
    from reports.gate import commands
    from reports.gate.detectable import FEWEST_PAIRS

    runs: dict[str, list[Pairs]] = {}
    for path in sorted((folder / "runs").glob("*.json")):
        runs.setdefault(path.stem.rpartition("-")[0], []).append(commands.load(path))
    injected = {path.stem: commands.load(path) for path in sorted((folder / "injected").glob("*.json"))}
    same = commands.load(folder / "same.json")
    if len(same.pairs) < FEWEST_PAIRS:
        raise commands.Misuse(f"{folder}: expected {FEWEST_PAIRS} pairs of one commit, got {len(same.pairs)}")
    return Study(same, injected, runs)


def kind_of(slowdown: float) -> str:
    """The label of a replayed slowdown of one benchmark."""
    return f"{100 * slowdown:g} % in one benchmark" if slowdown else "no change"


def results(study: Study, replays: int) -> Iterator[Tallied]:
    """Every kind of slowdown, replayed by our rule and by the rivals'; then the whole gates, by all."""
    from tests.studies import replays as replay
    from tests.studies import rivals

    same = replay.Recording(study.same)
    injected = {kind: replay.Recording(pairs) for kind, pairs in study.injected.items()}
    kinds = {kind_of(share): replay.one(same.gated, share) if share else replay.none for share in SHARES}
    kinds["5 % in all benchmarks"] = replay.every(same.gated, 0.05)
    for seed, (kind, slowdown) in enumerate(kinds.items()):
        yield Tallied(False, OURS, kind, replay.gate(same, slowdown, replays, seed))
    for seed, (kind, recording) in enumerate(injected.items()):
        tally = replay.gate(same, replay.none, replays, seed, injected=recording)
        yield Tallied(False, OURS, f"{kind}, recorded", tally)
    for name, rule in rivals.rules().items():
        for seed, (kind, slowdown) in enumerate(kinds.items()):
            yield Tallied(False, name, kind, replay.rival(same, rule, slowdown, replays, seed))
    for kind, runs in study.runs.items():
        recordings = [replay.Recording(pairs) for pairs in runs]
        hurt = injected[kind].gated if kind in injected else []
        yield Tallied(True, OURS, kind, replay.whole(recordings, hurt))
        long = [run for run in recordings if len(run.differences) >= 2 * replay.RIVAL_PROCESSES]
        for name, rule in rivals.rules().items() if long else ():
            yield Tallied(True, name, kind, replay.whole_rival(long, rule, hurt))


def share(count: int, of: int) -> str:
    """A share in words: count, percentage, Clopper and Pearson's 95 % interval."""
    low, high = interval(count, of)
    return f"{count} of {of}: {100 * count / of:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def interval(count: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""
    from scipy import stats

    found = stats.binomtest(count, of).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def markdown(study: Study, found: Sequence[Tallied]) -> str:
    """The tables, and what they rest on."""
    machine = study.same.head.machine
    lines = [
        "# The gate: its validation study",
        "",
        f"{len(study.same.pairs)} recorded pairs of one commit ({study.same.head.commit[:10]}), "
        f"{sum(not b.control for b in study.same.benchmarks)} gated benchmarks, on "
        f"{machine.get('cpu', 'an unknown machine')} with {machine.get('cores', '?')} cores. A replay draws "
        "whole pairs in blocks of neighbours, and the slowed benchmarks of a recorded injection from its own "
        "pairs. `named`: failed, and for nothing but what was slowed (of several, one is enough). "
        "pytest-benchmark and Welch see one process of each side, asv two, from different pairs, as they "
        "come from different times. Gates end after 30 pairs at the latest, those that were run also at "
        "their budget. Shares come with 95 % binomial intervals: of gates that were run they are those of "
        "the gate; of replays they are the error of the replaying alone, as all come from the same pairs.",
    ]
    lines += ["", *overview([result for result in found if not result.real])]
    for real, title in ((False, "Replayed gates"), (True, "Gates that were run")):
        rows = [result for result in found if result.real == real]
        lines += ["", f"## {title}", ""]
        if not rows:
            lines.append("None yet.")
            continue
        lines += [
            "| change | rule | failed the change | named | could not tell | pairs, median |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        kinds = list(dict.fromkeys(result.kind for result in rows))
        for result in sorted(rows, key=lambda result: kinds.index(result.kind)):
            t = result.tally
            lines.append(
                f"| {result.kind} | {result.rule} | {share(t.alarms, t.gates)} | {share(t.named, t.gates)} "
                f"| {share(t.unknown, t.gates)} | {f'{t.pairs:g}' if result.rule == OURS else ''} |"
            )
    if study.runs:
        lines += ["", *costs(study.runs)]
    if study.injected:
        lines += ["", "## What was injected", "", *sizes(study.injected)]
    return "\n".join(lines) + "\n"


def sizes(injected: Mapping[str, Pairs]) -> list[str]:
    """By how much each injection slows which benchmark: a table."""
    from tests.studies import replays as replay

    lines = ["| injection | benchmark | pairs | head / base, median |", "| --- | --- | --- | --- |"]
    for kind, pairs in injected.items():
        recording = replay.Recording(pairs)
        for name in recording.gated:
            found = [row[name]["median"] for row in recording.differences if name in row]
            lines.append(f"| {kind} | {name} | {len(found)} | {math.exp(statistics.median(found)):.3f} |")
    return lines


def overview(replayed: Sequence[Tallied]) -> list[str]:
    """A row for every rule: how often it failed no change, and how often it named each change."""
    tallies = {(result.rule, result.kind): result.tally for result in replayed}
    rules = list(dict.fromkeys(rule for rule, _ in tallies))
    kinds = [
        kind
        for kind in dict.fromkeys(kind for _, kind in tallies)
        if all((r, kind) in tallies for r in rules)
    ]
    heads = ["rule", *(f"{kind}: {'named' if kind != kind_of(0) else 'failed'}" for kind in kinds)]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * len(kinds)]
    for rule in rules:
        cells = []
        for kind in kinds:
            tally = tallies[rule, kind]
            cells.append(f"{100 * (tally.named if kind != kind_of(0) else tally.alarms) / tally.gates:.1f} %")
        lines.append(f"| {' | '.join([rule, *cells])} |")
    return lines


def costs(runs: Mapping[str, Sequence[Pairs]]) -> list[str]:
    """A table of the times of whole gates, for each kind and together."""
    lines = ["| change | gates | seconds, median | longest |", "| --- | --- | --- | --- |"]
    every = [run for kind in runs.values() for run in kind]
    for kind, own in [*runs.items(), ("all", every)]:
        seconds = [sum(pair.seconds for pair in run.pairs) for run in own]
        lines.append(f"| {kind} | {len(seconds)} | {statistics.median(seconds):.0f} | {max(seconds):.0f} |")
    return lines


def chart(study: Study, found: Sequence[Tallied]) -> Figure:
    """The share of replayed gates that failed the change, against the slowdown; 0 is the false alarms."""
    import numpy as np
    from matplotlib.ticker import PercentFormatter

    from reports.charts import canvas, labels, marks

    with canvas.settings():
        replays = max(result.tally.gates for result in found)
        figure, axes = canvas.canvas(
            "How often a change fails the gate, by how much slower it is",
            f"one of {sum(not b.control for b in study.same.benchmarks)} benchmarks slower; "
            f"{replays} replays of {len(study.same.pairs)} recorded pairs; whiskers: 95 % intervals",
            [
                "At 0 % no change should fail, from 5 % on every one. "
                "pytest-benchmark and Welch see one process of each side, asv two."
            ],
        )
        kinds = [kind_of(share) for share in SHARES]
        x = np.arange(len(SHARES), dtype=float)
        axes.set_xticks(x, [f"{100 * share:g} %" for share in SHARES])
        axes.set_xlabel("slowdown of one benchmark")
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        ends = []
        for rule in dict.fromkeys(result.rule for result in found):
            tallies = {r.kind: r.tally for r in found if r.rule == rule and not r.real}
            y = np.array([tallies[kind].alarms / tallies[kind].gates for kind in kinds])
            bounds = np.array([interval(tallies[kind].alarms, tallies[kind].gates) for kind in kinds])
            none = np.zeros(len(x), bool)
            ends.append(marks.line(axes, rule, x, y, bounds[:, 0], bounds[:, 1], none))
        labels.name_lines(axes, ends)
    return figure


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=FOLDER)
@click.option("--replays", type=click.IntRange(min=1), default=1000, show_default=True, help="Of each kind.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, help="[default: reports/out]")
def main(folder: Path, replays: int, out: Path) -> None:
    """Report how often the gate errs, by what `python -m tests.studies.gate` recorded in FOLDER."""
    from benchmarks.record import files
    from reports.charts.canvas import picture

    study = load(folder)
    files.ready(out)
    found = list(results(study, replays))
    text = markdown(study, found)
    click.echo(text)
    click.echo(files.write(out / "gate-study.md", text.encode()))
    for path in picture(chart(study, found), out / "gate-study"):
        click.echo(path)


if __name__ == "__main__":
    main()
