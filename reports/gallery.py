"""The gallery: a real race in the repository, its pictures, and the measured figures in the lesson."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.record import files, race_file
from benchmarks.record.race_file import Record
from reports import text
from reports.analysis import Analysis, Panel
from reports.charts.canvas import picture
from reports.style import duration, factor

DOCS = Path(__file__).parents[1] / "docs"
RACE, HEADLINE = "race.json", "headline.json"

HEADINGS = {RACE: "The race", HEADLINE: "The article's experiment"}


class UnknownFigure(ValueError):
    """A figure that the lesson asks for and the gallery's record does not hold."""


def redraw(
    figures: Callable[[Analysis, Panel, str], Iterable[tuple[str, str, Figure]]], docs: Path = DOCS
) -> list[Path]:
    """Draw the gallery's pictures, write its page, and renew the figures in the lesson; the files written.

    `figures` is `render.figures`. Raises RecordError or OSError for a record that is not there, UnknownFigure
    for one that lacks a figure.
    """
    written, lines = (
        [],
        [
            "# Gallery",
            "",
            "Every picture is drawn from the two records in `gallery/` by `nox -s gallery`; none by hand.",
            "",
        ],
    )
    found = {name: Analysis(race_file.read(docs / "gallery" / name)) for name in HEADINGS}
    for name, analysis in found.items():
        panel, baseline = analysis.panel(), analysis.baseline()
        shown = text.story(analysis, panel, baseline)
        lines += [f"## {HEADINGS[name]}", "", text.escape(shown.answer), ""]
        lines += [f"Raced by `{analysis.record.command}`.", ""]
        for title, file, figure in figures(analysis, panel, baseline):
            written += picture(figure, docs / "gallery" / file, kinds=("svg",))
            lines += [f"### {title}", "", f"![{title}](gallery/{file}.svg)", ""]
        table = text.markdown_table(shown.head, shown.rows)
        lines += [*table, "", text.escape(text.machine(analysis.record)), ""]
    written.append(files.write(docs / "gallery.md", "\n".join(lines).encode()))
    lesson = docs / "lesson.md"
    if lesson.exists():
        renewed = renew(lesson.read_text(encoding="utf-8"), found[RACE], found[HEADLINE])
        written.append(files.write(lesson, renewed.encode()))
    return written


FIGURE = re.compile(r"<!--(factor|time|total) ([^>]*)-->.*?<!--/-->", re.DOTALL)
"""A figure in the lesson: `<!--factor numba loops 1024-->1,530x<!--/-->`, `<!--time loops 1-->...<!--/-->`,
`<!--total loops-->...<!--/-->`. What stands between the marks is renewed from the records."""


def renew(lesson: str, race: Analysis, headline: Analysis) -> str:
    """`lesson` with every figure as the records have it; raises UnknownFigure for one that they lack."""

    def figure(found: re.Match[str]) -> str:
        kind, arguments = found[1], found[2]
        words = _total(headline, arguments) if kind == "total" else _of_cell(race, kind, arguments.split())
        return f"<!--{kind} {arguments}-->{words}<!--/-->"

    return FIGURE.sub(figure, lesson)


def _of_cell(race: Analysis, kind: str, arguments: Sequence[str]) -> str:
    """The time of a cell (implementation, batch size), or its factor (implementation, baseline, size)."""
    name, *_, size = arguments
    below = arguments[-2]
    column, words = ("speedup", factor) if kind == "factor" else ("seconds", duration)
    rows = race.rows(race.panel(), below)
    rows = rows[(rows["basis"] != "projected") & (rows["baseline"] == below)]
    found = rows[(rows["implementation"] == name) & (rows["batch_size"] == int(size))][column].dropna()
    if found.empty:
        raise UnknownFigure(f"expected {column} of {name} over {below} at m = {size} in the gallery's record")
    return words(float(found.iloc[0]))


def _total(headline: Analysis, name: str) -> str:
    totals = headline.totals(headline.panel())
    if name not in totals:
        raise UnknownFigure(f"expected {name} in the gallery's headline")
    return duration(totals[name].mean)


def adopt(record: Record, name: str, docs: Path = DOCS) -> Path:
    """Put a race into the gallery, small: of each cell and process its fastest, median and slowest round.

    Every statistic of reports is that of all the rounds.
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
    kept = (min(seconds), statistics.median(seconds), max(seconds))
    return tuple(float(f"{value:.6g}") for value in kept)
