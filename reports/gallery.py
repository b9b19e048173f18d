"""The gallery: a real race in the repository, its pictures, and the measured figures in the documents."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.record import documents, files, race_file
from benchmarks.record.race_file import Record
from reports import text
from reports.analysis import Analysis, Panel
from reports.charts.canvas import picture
from reports.style import duration, factor

DOCS = Path(__file__).parents[1] / "docs"
RACE, HEADLINE = "race.json", "headline.json"

HEADINGS = {RACE: "The race", HEADLINE: "The article's experiment"}


class UnknownFigure(ValueError):
    """A figure that a document asks for and the gallery's record does not hold."""


def redraw(
    figures: Callable[[Analysis, Panel, str], Iterable[tuple[str, str, Figure]]], docs: Path = DOCS
) -> list[Path]:
    """Draw the gallery's pictures, write its page, and renew the figures of the documents; the files written.

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
    for page in filter(Path.exists, pages(docs)):
        renewed = renew(page.read_text(encoding="utf-8"), found[RACE], found[HEADLINE])
        written.append(files.write(page, renewed.encode()))
    return written


def pages(docs: Path = DOCS) -> list[Path]:
    """The pages that have figures of the gallery's records."""
    return [docs.parent / "README.md", docs / "lesson.md", docs / "results.md"]


FIGURE = re.compile(r"<!--(factor|time|total) ([^>]*)-->.*?<!--/-->", re.DOTALL)
"""A figure in a page: `<!--factor numba loops 1024-->1,530x<!--/-->`, `<!--time loops 1-->...<!--/-->`,
`<!--total loops-->...<!--/-->`, `<!--total numpy loops-->514x<!--/-->`. What stands between the marks is
renewed from the records."""


def renew(page: str, race: Analysis, headline: Analysis) -> str:
    """`page` with every figure as the records have it; raises UnknownFigure for one that they lack."""

    def figure(found: re.Match[str]) -> str:
        kind, arguments = found[1], found[2]
        names = arguments.split()
        words = _total(headline, names) if kind == "total" else _of_cell(race, kind, names)
        return f"<!--{kind} {arguments}-->{words}<!--/-->"

    return FIGURE.sub(figure, page)


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


def _total(headline: Analysis, names: Sequence[str]) -> str:
    """The time of the whole experiment; of two implementations, how many times as fast the first one is."""
    totals = headline.totals(headline.panel())
    for name in names:
        if name not in totals:
            raise UnknownFigure(f"expected {name} in the gallery's headline")
    first, *below = (totals[name].mean for name in names)
    return factor(below[0] / first) if below else duration(first)


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
    document = json.loads(documents.encoded(kept, race_file.FORMAT, race_file.SCHEMA))
    document["measurements"] = [
        {key: value for key, value in each.items() if value not in (None, "", [])}
        for each in document["measurements"]
    ]
    compact = json.dumps(document, separators=(",", ":"))
    return files.write(docs / "gallery" / name, f"{compact}\n".encode())


def _three(seconds: Sequence[float]) -> tuple[float, ...]:
    kept = (min(seconds), statistics.median(seconds), max(seconds))
    return tuple(float(f"{value:.6g}") for value in kept)
