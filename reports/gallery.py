"""The gallery: a real race in the repository, its pictures, and the measured figures in the documents."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.record import documents, files, lesson_file, race_file
from benchmarks.record.lesson_file import Lesson
from benchmarks.record.race_file import Record
from reports import text
from reports.analysis import Analysis, Panel
from reports.charts.lesson import blocks_chart, learning_chart, shapes_chart
from reports.charts.speed import speedup_chart
from reports.charts.themes import both_themes
from reports.style import duration, factor
from reports.tables import trainings

DOCS = Path(__file__).parents[1] / "docs"
RACE, HEADLINE, LESSON = "race.json", "headline.json", "lesson.json"

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
        shown = trainings.story(analysis, panel, baseline)
        lines += [f"## {HEADINGS[name]}", "", text.escape(shown.answer), ""]
        lines += [f"Raced by `{analysis.record.command}`.", ""]
        for title, file, figure in figures(analysis, panel, baseline):
            written += both_themes(figure, docs / "gallery" / file)
            lines += [f"### {title}", "", shown_in_both(title, f"gallery/{file}"), ""]
        table = text.markdown_table(shown.head, shown.rows)
        lines += [*table, "", text.escape(text.machine(analysis.record)), ""]
    written.append(files.write(docs / "gallery.md", "\n".join(lines).encode()))
    written += both_themes(hero(found[RACE]), docs / "gallery" / "hero")
    lesson = lesson_file.read(docs / "gallery" / LESSON)
    for name, figure in (
        ("lesson-blocks", blocks_chart(lesson)),
        ("lesson-learning", learning_chart(lesson)),
        ("lesson-shapes", shapes_chart()),
    ):
        written += both_themes(figure, docs / "gallery" / name)
    for page in filter(Path.exists, pages(docs)):
        renewed = renew(page.read_text(encoding="utf-8"), found[RACE], found[HEADLINE], lesson)
        written.append(files.write(page, renewed.encode()))
    return written


HERO = ("loops", "loops-ndarray", "numpy-sample", "numpy", "numba-loops", "numba", "numba-blocked")
"""The lines of the README's picture: one for each idea."""


def hero(race: Analysis) -> Figure:
    """The README's picture: the speedups of a few implementations, with what they show as the title."""
    panel, baseline = race.panel(), race.baseline()
    rows = race.rows(panel, baseline)
    rows = rows[rows["implementation"].isin(HERO)]
    known = rows[rows["basis"] != "projected"].dropna(subset=["speedup"])
    if known.empty:
        return speedup_chart(rows, baseline)
    best = known.nlargest(1, "speedup").iloc[0]
    title = (
        f"The same gradients, {factor(best['speedup'])} as fast as {baseline}: "
        f"{best['implementation']}, {best['batch_size']:,} samples at once"
    )
    return speedup_chart(rows, baseline, title=title)


def shown_in_both(title: str, path: str) -> str:
    """A picture in Markdown that follows the reader's theme."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{path}-dark.svg">'
        f'<img alt="{title}" src="{path}.svg"></picture>'
    )


def pages(docs: Path = DOCS) -> list[Path]:
    """The pages that have figures of the gallery's records."""
    return [docs.parent / "README.md", docs / "lesson.md", docs / "results.md"]


FIGURE = re.compile(r"<!--(factor|time|total|block|accuracy) ([^>]*)-->.*?<!--/-->", re.DOTALL)
"""A figure in a page: `<!--factor numba loops 1024-->1,530x<!--/-->`, `<!--time loops 1-->...<!--/-->`,
`<!--total loops-->...<!--/-->`, `<!--total numpy loops-->514x<!--/-->`, and of the lesson's code blocks
`<!--block loops 1-->...<!--/-->`, `<!--block numpy_batch loops 64-->...<!--/-->`,
`<!--accuracy zeros-->...<!--/-->`. What stands between the marks is renewed from the records."""


def renew(page: str, race: Analysis, headline: Analysis, lesson: Lesson) -> str:
    """`page` with every figure as the records have it; raises UnknownFigure for one that they lack."""

    def figure(found: re.Match[str]) -> str:
        kind, arguments = found[1], found[2]
        names = arguments.split()
        if kind == "total":
            words = _total(headline, names)
        elif kind in ("block", "accuracy"):
            words = _of_lesson(lesson, kind, names)
        else:
            words = _of_cell(race, kind, names)
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


def _of_lesson(lesson: Lesson, kind: str, arguments: Sequence[str]) -> str:
    """The time of a block at a batch size, its factor over another one, or the accuracy of a training."""
    try:
        if kind == "accuracy":
            return f"{lesson.accuracy[arguments[0]]:.1%}"
        *names, size = arguments
        first, *below = (lesson.seconds[name][int(size)] for name in names)
    except KeyError as error:
        raise UnknownFigure(
            f"expected {kind} {' '.join(arguments)} in the lesson's file, got no {error}"
        ) from None
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
