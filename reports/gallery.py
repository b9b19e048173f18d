"""The gallery: a real race in the repository, its pictures, and the measured figures in the lesson."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import race_file
from benchmarks.record.race_file import Record
from reports import files, render, text
from reports.style import duration, factor
from reports.tables.derived import totals
from reports.tables.frames import Panel, choose, choose_baseline, of_panel, quantile, speedups

DOCS = Path(__file__).parents[1] / "docs"
RACE, HEADLINE = "race.json", "headline.json"


class UnknownFigure(ValueError):
    """A figure that the lesson asks for and the gallery's record does not hold."""


def redraw(docs: Path = DOCS) -> list[Path]:
    """Draw the gallery's pictures, write its page, and renew the figures in the lesson; the files written.

    Raises RecordError or OSError for a record that is not there, UnknownFigure for one that lacks a figure.
    """
    folder = docs / "gallery"
    written, sections = [], []
    for name, heading in ((RACE, "The race"), (HEADLINE, "The article's experiment")):
        record = race_file.read(folder / name)
        panel = choose(record)
        baseline = choose_baseline(record, None)
        table = speedups(record, baseline)
        rows = of_panel(table, panel)
        told = text.story(record, rows, baseline)
        sections += [
            f"## {heading}",
            "",
            text.escape(told.answer),
            "",
            f"Raced by `{record.command}`.",
            "",
        ]
        for title, file, figure in render.figures(record, table, panel, baseline):
            written += files.picture(figure, folder / file, kinds=("svg",))
            sections += [f"### {title}", "", f"![{title}](gallery/{file}.svg)", ""]
        sections += [*text.lines_of_table(told), "", text.escape(text.machine(record)), ""]
    opening = [
        "# Gallery",
        "",
        "Every picture is drawn from the two records in `gallery/` by `nox -s gallery`; none by hand.",
        "",
    ]
    written.append(files.write(docs / "gallery.md", "\n".join([*opening, *sections]).encode()))
    lesson = docs / "lesson.md"
    if lesson.exists():
        record = race_file.read(folder / RACE)
        head = race_file.read(folder / HEADLINE)
        renewed = renew(lesson.read_text(encoding="utf-8"), record, head)
        written.append(files.write(lesson, renewed.encode()))
    return written


FIGURE = re.compile(r"<!--(factor|time|total) ([^>]*)-->.*?<!--/-->", re.DOTALL)
"""A figure in the lesson: `<!--factor numba loops 1024-->1,530x<!--/-->`, `<!--time loops 1-->...<!--/-->`,
`<!--total loops-->...<!--/-->`. What stands between the marks is renewed from the records."""


def renew(text: str, record: Record, head: Record) -> str:
    """`text` with every figure as the records have it."""
    panel = choose(record)

    def figure(found: re.Match[str]) -> str:
        kind, arguments = found[1], found[2].split()
        words = {"factor": _factor, "time": _time, "total": _total}[kind](
            head if kind == "total" else record, panel, arguments
        )
        return f"<!--{kind} {found[2]}-->{words}<!--/-->"

    return FIGURE.sub(figure, text)


def _factor(record: Record, panel: Panel, arguments: Sequence[str]) -> str:
    name, below, size = arguments
    return factor(_of_cell(record, panel, "speedup", name, size, below))


def _time(record: Record, panel: Panel, arguments: Sequence[str]) -> str:
    name, size = arguments
    return duration(_of_cell(record, panel, "seconds", name, size, name))


def _of_cell(record: Record, panel: Panel, column: str, name: str, size: str, below: str) -> float:
    rows = of_panel(speedups(record, below), panel)
    rows = rows[rows["basis"] != "projected"]
    found = rows[(rows["implementation"] == name) & (rows["batch_size"] == int(size))][column].dropna()
    if found.empty:
        raise UnknownFigure(f"expected {column} of {name} over {below} at m = {size} in the gallery's record")
    return float(found.iloc[0])


def _total(record: Record, _: Panel, arguments: Sequence[str]) -> str:
    for total in totals(record, choose(record)):
        if total.implementation == arguments[0]:
            return duration(total.seconds)
    raise UnknownFigure(f"expected {arguments[0]} in the gallery's headline")


def adopt(record: Record, name: str, docs: Path = DOCS) -> Path:
    """Put a race into the gallery, small: of each cell and process its fastest, median and slowest round.

    Every statistic of `tables` is that of all the rounds.
    A headline is kept as it is: its rounds are its steps.
    """
    measurements = record.measurements
    settings = dict(record.settings)
    if name == RACE:
        measurements = tuple(
            dataclasses.replace(m, seconds=_three(m.seconds)) if len(m.seconds) > 3 else m
            for m in record.measurements
        )
        settings["rounds kept"] = "of each cell and process the fastest, the median and the slowest"
    # Where it was written to is nobody's business.
    command = re.sub(r" --record[ =]\S+", "", record.command)
    kept = dataclasses.replace(record, command=command, measurements=measurements, settings=settings)
    path = docs / "gallery" / name
    race_file.write(kept, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["measurements"] = [
        {key: value for key, value in each.items() if value not in (None, "", [])}
        for each in document["measurements"]
    ]
    return files.write(path, json.dumps(document, separators=(",", ":")).encode() + b"\n")


def _three(seconds: Sequence[float]) -> tuple[float, ...]:
    ordered = sorted(seconds)
    return tuple(float(f"{quantile(ordered, share):.6g}") for share in (0.0, 0.5, 1.0))
