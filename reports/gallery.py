"""The gallery: a real race in the repository, its pictures, and the measured figures in the documents."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
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
RACE, HEADLINE, TRAININGS, ACCURACY = "race.json", "headline.json", "trainings.json", "accuracy.json"
LESSON = "lesson.json"

HEADINGS = {
    RACE: "The race",
    HEADLINE: "The article's experiment",
    TRAININGS: "Every optimizer",
    ACCURACY: "Time to accuracy",
}

PHASES = {TRAININGS: "step"}
"""The phase that is shown of a record, if it is not the default one."""

PICTURES = {TRAININGS: ("steps",)}
"""The pictures of each record; all of them for a record that is not listed."""


class UnknownFigure(ValueError):
    """A figure in a document that the gallery's record does not have."""


def redraw(
    figures: Callable[[Analysis, Panel, str], Iterable[tuple[str, str, Figure]]], docs: Path = DOCS
) -> list[Path]:
    """Draw the gallery's pictures, write its page, renew the documents' figures; returns the files written.

    `figures` is `render.figures`. Raises RecordError or OSError for a record that is not there, UnknownFigure
    for one that lacks a figure.
    """
    written: list[Path] = []
    origin = "`nox -s gallery` draws every picture from the records in `gallery/`; none is drawn by hand."
    lines = ["# Gallery", "", origin, ""]
    found = {name: Analysis(race_file.read(docs / "gallery" / name)) for name in HEADINGS}
    lesson = lesson_file.read(docs / "gallery" / LESSON)
    renewed = {
        page: renew(page.read_text(encoding="utf-8"), found, lesson)
        for page in filter(Path.exists, pages(docs))
    }
    for name, analysis in found.items():
        panel, baseline = analysis.panel(phase=PHASES.get(name)), analysis.baseline()
        shown = trainings.story(analysis, panel, baseline)
        lines += [f"## {HEADINGS[name]}", "", text.escape(shown.answer), ""]
        lines += [f"Raced by `{analysis.record.command}`.", ""]
        for title, file, figure in figures(analysis, panel, baseline):
            if file not in PICTURES.get(name, (file,)):
                continue
            place = f"accuracy-{file}" if name == ACCURACY else file  # a headline has losses, too
            written += both_themes(figure, docs / "gallery" / place)
            lines += [f"### {title}", "", shown_in_both(title, f"gallery/{place}"), ""]
        table = text.markdown_table(shown.head, shown.rows)
        lines += [*table, "", text.escape(text.machine(analysis.record)), ""]
    written.append(files.write(docs / "gallery.md", "\n".join(lines).encode()))
    for name, figure in (
        ("hero", hero(found[RACE])),
        ("lesson-blocks", blocks_chart(lesson)),
        ("lesson-learning", learning_chart(lesson)),
        ("lesson-shapes", shapes_chart()),
    ):
        written += both_themes(figure, docs / "gallery" / name)
    written += (files.write(page, words.encode()) for page, words in renewed.items())
    return written


HERO = ("loops", "loops-ndarray", "numpy-sample", "numpy", "numba-loops", "numba", "numba-blocked")
"""The lines of the README's picture: one for each idea."""


def hero(race: Analysis) -> Figure:
    """The README's picture: the speedups of a few implementations, with the result as the title."""
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


KINDS = "factor|time|total|block|accuracy|step|overhead|table"
FIGURE = re.compile(rf"<!--({KINDS}) ([^>]*)-->.*?<!--/-->", re.DOTALL)
"""A figure in a page: `<!--factor numba loops 1024-->1,530x<!--/-->`, `<!--time loops 1-->...<!--/-->`,
`<!--total loops-->...<!--/-->`, `<!--total numpy loops-->514x<!--/-->`, and of the lesson's code blocks
`<!--block loops 1-->...<!--/-->`, `<!--block numpy_batch loops 64-->...<!--/-->`,
`<!--accuracy zeros-->...<!--/-->`; of trainings the factor of a step and what it takes over a plain one,
`<!--step digits+adam numpy loops 64-->...<!--/-->`, `<!--overhead digits+adam numpy 64-->...<!--/-->`, and
whole tables, `<!--table factors-->`, `<!--table costs 64-->` (a batch size), `<!--table accuracy-->`. What
stands between the marks is renewed from the records."""


def renew(page: str, kept: Mapping[str, Analysis], lesson: Lesson) -> str:
    """`page` with every figure as the records have it; raises UnknownFigure for one that they lack."""

    def figure(found: re.Match[str]) -> str:
        kind, arguments = found[1], found[2]
        names = arguments.split()
        if kind == "total":
            words = _total(kept[HEADLINE], names)
        elif kind in ("block", "accuracy"):
            words = _of_lesson(lesson, kind, names)
        elif kind == "table":
            words = _table(kept, names)
        elif kind == "overhead":
            words = _overhead(kept[TRAININGS], *names)
        elif kind == "step":
            steps = kept[TRAININGS]
            words = _of_cell(steps, steps.panel(workload=names[0], phase="step"), "factor", names[1:])
        else:
            words = _of_cell(kept[RACE], kept[RACE].panel(), kind, names)
        return f"<!--{kind} {arguments}-->{words}<!--/-->"

    return FIGURE.sub(figure, page)


def _overhead(steps: Analysis, workload: str, name: str, size: str) -> str:
    """The time of a step over that of plain gradient descent, at a batch size."""
    known = {(s.workload, s.implementation, s.batch_size): s for s in trainings.steps(steps, steps.panel())}
    found = known.get((workload, name, int(size)))
    if found is None or found.over_plain is None:
        raise UnknownFigure(
            f"expected steps of {name} in {workload} at m = {size} in the gallery's trainings"
        )
    return factor(found.over_plain.mean)


def _of_cell(race: Analysis, panel: Panel, kind: str, arguments: Sequence[str]) -> str:
    """The time of a cell (implementation, batch size), or its factor (implementation, baseline, size)."""
    name, *_, size = arguments
    below = arguments[-2]
    column, words = ("speedup", factor) if kind == "factor" else ("seconds", duration)
    rows = race.rows(panel, below)
    rows = rows[(rows["basis"] != "projected") & (rows["baseline"] == below)]
    found = rows[(rows["implementation"] == name) & (rows["batch_size"] == int(size))][column].dropna()
    if found.empty:
        raise UnknownFigure(f"expected {column} of {name} over {below} at m = {size} in the gallery's record")
    return words(float(found.iloc[0]))


def _total(headline: Analysis, names: Sequence[str]) -> str:
    """The time of the whole experiment; for two implementations, the speedup of the first one."""
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


def _table(kept: Mapping[str, Analysis], arguments: Sequence[str]) -> str:
    """A table of trainings in Markdown, on lines of its own."""
    what, *size = arguments
    analysis = kept[ACCURACY if what == "accuracy" else TRAININGS]
    panel = analysis.panel()
    if what == "accuracy":
        head, rows = trainings.reached_grid(analysis, trainings.reached(analysis, panel))
    elif what == "factors":
        head, rows = trainings.factors_grid(analysis, panel, analysis.baseline())
    elif what == "costs" and size:
        head, rows = trainings.costs_grid(analysis, panel, int(size[0]))
    else:
        raise UnknownFigure(f"expected the table factors, costs SIZE or accuracy, got {' '.join(arguments)}")
    return "\n".join(["", "", *text.markdown_table(head, rows), "", ""])


def adopt(record: Record, name: str, docs: Path = DOCS) -> Path:
    """Put a race into the gallery with only the fastest, median and slowest round of each cell and process.

    The statistics of reports are the same as with all rounds.
    A headline and trainings are kept as they are: their rounds are their steps.
    """
    measurements = record.measurements
    settings = dict(record.settings)
    if name in (RACE, TRAININGS):
        measurements = tuple(
            dataclasses.replace(m, seconds=_three(m.seconds)) if len(m.seconds) > 3 else m
            for m in record.measurements
        )
        settings["rounds kept"] = "of each cell and process the fastest, the median and the slowest"
    # The path of the record is private.
    command = re.sub(r" --record[ =][^\s;]+", "", record.command)
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
