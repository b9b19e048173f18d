"""Charts: nothing overlaps or is cut off, each style belongs to one implementation, the bytes are
reproducible.

Boxes are those of the figure as drawn for saving; a pixel of slack lets glyphs touch their box's edge.
"""

import dataclasses
import hashlib
import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from benchmarks.record.race_file import Record, RecordedTraining
from reports import render, style
from reports.analysis import Analysis, Roof
from reports.charts import heat, labels, machine, scaling, speed, training
from reports.charts.canvas import canvas, settings
from reports.charts.scales import logarithmic, seconds_axis
from reports.tables import compare
from reports.tables.crossovers import notable_crossovers
from reports.tables.scaling import ScalingKind, scalings
from tests.reports.records import LADDER, SIZES, cell, race, record, rows
from tests.reports.tables.test_allreduce import modelled

TWELVE = tuple(2**k for k in range(12))
KINDS: tuple[ScalingKind, ...] = ("strong", "weak")
STATUSES = ("skipped", "unsupported", "unavailable", "wrong", "implausible", "failed", "timed out")


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text with ink that drawing the figure draws, and its box."""
    return [(text.get_text(), box) for text, box in drawn(figure)]


def drawn(figure: Figure) -> list[tuple[Text, Bbox]]:
    found = []

    def record(text: Text, renderer: RendererBase) -> None:
        if text.get_visible() and text.get_text().strip():
            found.append((text, text.get_window_extent(renderer)))

    with settings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # everything in its place as drawing puts it, but for the pixels
    return found


def own_frame(text: Text, figure: Figure) -> Bbox:
    """The box of a slanted text on axes that are turned with it: these boxes overlap where the texts do."""
    angle = np.radians(text.get_rotation())
    x, y = text.get_transform().transform(text.get_position())
    turned = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    text.set_rotation(0)
    box = labels.extent(text, figure)
    text.set_rotation(np.degrees(angle))
    return Bbox.from_bounds(*turned, box.width, box.height)


def legible(figure: Figure) -> None:
    """No text leaves the figure; no two texts overlap, slanted ones compared with those of the same slant."""
    texts = drawn(figure)
    edge = figure.bbox
    for text, box in texts:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= edge.width + 1 and box.y1 <= edge.height + 1
        assert inside, f"{text.get_text()!r} is cut off: {box} of {edge.width} x {edge.height}"
    slants = [text.get_rotation() % 90 for text, _ in texts]
    boxes = [own_frame(text, figure) if text.get_rotation() % 90 else box for text, box in texts]
    for k, j in itertools.combinations(range(len(texts)), 2):
        slim = Bbox.from_extents(boxes[k].x0 + 1, boxes[k].y0 + 1, boxes[k].x1 - 1, boxes[k].y1 - 1)
        words = texts[k][0].get_text(), texts[j][0].get_text()
        assert slants[k] != slants[j] or not slim.overlaps(boxes[j]), f"{words} overlap"


def leaders_end_before_names(figure: Figure) -> None:
    """No line that leads from a line's end to its name runs through a name, once the figure is laid out."""
    width, height = figure.bbox.size
    names = [
        text
        for text in figure.texts
        if text.get_horizontalalignment() == "left" and text.get_verticalalignment() == "center"
    ]
    boxes = [labels.extent(text, figure) for text in names]
    for leader in figure.get_children():
        if isinstance(leader, Line2D) and len(np.asarray(leader.get_xdata())) == 2:
            ends = np.asarray(leader.get_xydata()) * [width, height]
            assert all(not Bbox(ends).overlaps(box) for box in boxes)
            assert ends.min() >= 0
            assert ends[:, 0].max() <= width


def every_figure(made: Record) -> list[tuple[str, str, Figure]]:
    analysis = Analysis(made)
    return list(render.figures(analysis, analysis.panel(), analysis.baseline()))


@pytest.mark.parametrize("count", [1, 3, 8, 14])
@pytest.mark.parametrize("sizes", [(16,), TWELVE], ids=["one size", "twelve"])
def test_labels_do_not_overlap_and_nothing_is_cut_off(count: int, sizes: tuple[int, ...]) -> None:
    made = race(LADDER[:count], sizes=sizes, processes=2)
    found = every_figure(made)
    assert {"time", "speedup", "heat"} <= {name for _, name, _ in found}
    for _, _, figure in found:
        legible(figure)
        leaders_end_before_names(figure)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 500.0], ids=["from 1 us", "usual", "to 10 minutes"])
def test_any_length_of_time_is_legible(scale: float) -> None:
    made = race(LADDER, processes=2, scale=scale)
    for _, _, figure in every_figure(made):
        legible(figure)


OPTIMIZERS = ("gradient_descent", "momentum", "nesterov", "rmsprop", "adam", "adamw")
TRAININGS = (
    *map(RecordedTraining, OPTIMIZERS),
    RecordedTraining(l2=0.001),
    RecordedTraining("adam", 0.001, 0.5),
)


def in_trainings(made: Record) -> Record:
    """The record with its workloads replaced by one network in as many trainings."""
    known = zip(made.workloads.items(), TRAININGS, strict=True)
    workloads = {name: dataclasses.replace(plain, training=each) for (name, plain), each in known}
    return dataclasses.replace(made, workloads=workloads)


@pytest.mark.parametrize("count", [2, 14])
def test_trainings_side_by_side_are_legible(count: int) -> None:
    names = tuple(f"digits+{k}" for k in range(len(TRAININGS)))
    phases = ("gradients", "step")
    made = in_trainings(race(LADDER[:count], (1, 64), 3, 3, workloads=names, phases=phases))
    figures = {name: figure for _, name, figure in every_figure(made)}
    legible(figures["steps"])
    leaders_end_before_names(figures["steps"])
    trained = [
        cell(
            name,
            16,
            seed,
            (s,) * 5,
            workload=workload,
            phase="train",
            iterations=10,
            losses=(0.5, 0.3, 0.2, 0.1, 0.1 / (k + 1)),
            accuracies=(0.1, 0.5, 0.9, 0.96, 0.97),
        )
        for k, workload in enumerate(names)
        for name, s in zip(LADDER[:count], np.geomspace(1e-6, 1e-2, count).tolist(), strict=True)
        for seed in range(2)
    ]
    settings = {"steps": 50, "accuracy": 0.95}
    for _, _, figure in every_figure(in_trainings(record(trained, workloads=names, settings=settings))):
        legible(figure)


def test_times_from_a_microsecond_to_ten_minutes_fit_one_chart() -> None:
    seconds = dict(zip(LADDER, np.geomspace(1e-6, 600, 14), strict=True))
    made = record(
        [cell(name, m, 0, (float(s * (1 + m / 64)),)) for name, s in seconds.items() for m in SIZES]
    )
    for _, _, figure in every_figure(made):
        legible(figure)


def test_implementations_of_the_same_speed_keep_their_labels_apart() -> None:
    made = record([cell(name, m, 0, (1e-3,)) for name in LADDER for m in SIZES])
    for _, _, figure in every_figure(made):
        legible(figure)


def test_every_status_has_a_mark_of_its_own_in_the_table_and_the_notes() -> None:
    cells = [cell("loops", m) for m in (1, 2)]
    for k, status in enumerate(STATUSES):
        guess: dict[str, Any] = {"predicted_seconds": 12.0} if status == "skipped" else {}
        cells += [
            cell(f"implementation-{k}", m, status=status, reason=f"because of {k}", **guess) for m in (1, 2)
        ]
    made = record(cells)
    panel = rows(made)
    figure = heat.heat_chart(panel, "loops")
    legible(figure)
    words = [text for text, _ in drawn_texts(figure)]
    looks = [style.UNMEASURED[status] for status in STATUSES]
    assert len({found.mark for found in looks}) == len(STATUSES)
    for found in looks:
        assert words.count(found.mark) == 2
    assert "~12.0 s" in words
    assert len({(found.fill, found.hatch) for found in looks}) == len(STATUSES)
    notes = " ".join(words)
    for found in looks:
        assert found.meaning in notes


def test_a_panel_without_one_measured_cell_is_drawn_all_the_same() -> None:
    made = record([cell("loops", 1, status="failed", reason="why")])
    found = every_figure(made)
    words = [text for _, _, figure in found for text, _ in drawn_texts(figure)]
    assert "nothing to draw: no cell was measured" in words
    for _, _, figure in found:
        legible(figure)


def test_a_prediction_is_hollow_and_its_line_dotted() -> None:
    cells = [cell("loops", m, 0, (m * 1e-3,)) for m in (1, 4, 16)]
    made = record([*cells, cell("loops", 64, status="skipped", predicted_seconds=0.064)])
    panel = rows(made)
    axes = speed.time_chart(panel, "loops").axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [np.asarray(line.get_xydata())[:, 0].tolist() for line in hollow] == [[64]]
    assert any(line.get_linestyle() == ":" for line in axes.lines)


def test_an_implementation_of_several_threads_is_not_drawn_at_one() -> None:
    cells = [cell(name, m, 0, (t,)) for name, t in (("numba", 1e-3), ("numba-parallel", 2e-3)) for m in SIZES]
    one = record(cells)
    two = record([dataclasses.replace(m, threads=2) for m in cells])
    alone = record([m for m in cells if m.implementation == "numba-parallel"])
    for made, drawn_there in ((one, False), (two, True), (alone, True)):
        for _, _, figure in every_figure(made):
            words = " ".join(words for words, _ in drawn_texts(figure))
            assert ("numba-parallel" in words) == drawn_there


def on_threads(made: Record, threads: int) -> Record:
    """The record raced once more on `threads` threads, in processes of its own, at 0.8 of the ideal."""
    count = len(made.processes)
    again = [
        dataclasses.replace(
            one,
            threads=threads,
            process=one.process + count,
            seconds=tuple(value / (0.8 * threads) for value in one.seconds),
        )
        for one in made.measurements
    ]
    both = (*made.measurements, *again)
    return dataclasses.replace(made, measurements=both, processes=made.processes * 2)


@pytest.mark.parametrize("count", [1, 5, 14])
@pytest.mark.parametrize("sizes", [(16, 32), TWELVE], ids=["two sizes", "twelve"])
def test_threads_beside_one_thread_are_legible(count: int, sizes: tuple[int, ...]) -> None:
    made = race(LADDER[-count:], sizes=sizes, processes=2)
    analysis = Analysis(on_threads(made, 2))
    for kind in KINDS:
        figure = scaling.scaling_chart(scalings(analysis, analysis.panel(), kind), "threads", "somewhere")
        legible(figure)
        leaders_end_before_names(figure)


def test_the_model_of_many_ranks_is_legible_and_circles_what_was_measured() -> None:
    analysis = modelled(noise=0.2)
    figures = {name: figure for _, name, figure in render.figures(analysis, analysis.panel(), "numba-mpi")}
    figure = figures["model-numba-mpi"]
    legible(figure)
    leaders_end_before_names(figure)
    circles = [one for one in figure.axes[0].get_lines() if one.get_markerfacecolor() == "none"]
    assert [np.asarray(one.get_xdata()).tolist() for one in circles] == [[2]]


def test_the_share_that_ranks_communicate_in_is_shown_where_the_record_has_it() -> None:
    analysis = Analysis(on_threads(race(LADDER[-2:], sizes=(16, 64), processes=2), 2))
    cells = scalings(analysis, analysis.panel(), "strong")
    ends = {one.implementation: one for one in cells}  # the last is of the largest batch
    shares = [one._replace(communication=0.125 if one in ends.values() else 0.5) for one in cells]
    with_them, without = (scaling.scaling_chart(each, "threads", "somewhere") for each in (shares, cells))
    legible(with_them)
    assert " ".join(text for text, _ in drawn_texts(with_them)).count("12.5 %") == len(ends)
    assert not any("communicat" in text for text, _ in drawn_texts(without))


def test_a_race_on_several_threads_has_their_pictures() -> None:
    names = {name for _, name, _ in every_figure(on_threads(race(sizes=(16, 32), processes=2), 2))}
    assert {"strong-threads", "weak-threads"} <= names


def test_a_race_on_one_thread_has_no_picture_of_threads() -> None:
    assert not [
        name for _, name, _ in every_figure(race(sizes=(16, 32), processes=2)) if name.endswith("-threads")
    ]


def test_whiskers_are_the_interval() -> None:
    made = race(("loops", "numpy"), processes=4)
    panel = rows(made)
    axes = speed.speedup_chart(panel, "loops").axes[0]
    reach = sorted(
        tuple(segment[:, 1])
        for bars in axes.collections
        if isinstance(bars, LineCollection)
        for segment in bars.get_segments()
        if len(segment) == 2
    )
    own = panel[panel["implementation"] == "numpy"]
    wanted = sorted(zip(own["speedup_low"], own["speedup_high"], strict=True))
    assert np.allclose([pair for pair in reach if pair[0] > 1.001], wanted)


def test_crossovers_are_ringed_and_labelled_with_their_batch_size() -> None:
    made = race(LADDER, processes=2, noise=0.0)
    panel = rows(made)
    crossing = notable_crossovers(panel, "loops")[0]
    for chart in (speed.time_chart, speed.speedup_chart):
        figure = chart(panel, "loops")
        rings = [line for line in figure.axes[0].lines if line.get_markersize() == 10]
        assert [np.asarray(line.get_xydata())[0, 0] for line in rings] == [pytest.approx(crossing.batch_size)]
        assert f"m ≈ {style.digits(crossing.batch_size, 2)}" in [words for words, _ in drawn_texts(figure)]


def test_a_crossover_is_ringed_where_it_is_though_the_baseline_was_too_slow_to_run() -> None:
    sizes = (1, 16)
    times = {"numpy": (1e-6, 1e-4), "numba": (1e-5, 1e-5)}
    made = [cell(name, m, 0, (t,)) for name, both in times.items() for m, t in zip(sizes, both, strict=True)]
    made += [cell("loops", m, status="skipped", predicted_seconds=1.0 * m) for m in sizes]
    shown = record(made)
    figure = speed.speedup_chart(rows(shown), "loops")
    assert "m ≈ 4.0" in [words for words, _ in drawn_texts(figure)]


def test_every_known_implementation_has_a_look_of_its_own() -> None:
    assert len({(look.colour, look.marker) for look in style.LOOKS.values()}) == len(style.LOOKS)
    for one, other in itertools.pairwise(style.LOOKS.values()):
        assert one.marker != other.marker


@hypothesis.given(st.text(max_size=30))
def test_an_unknown_implementation_looks_the_same_whoever_else_is_there(name: str) -> None:
    assert style.look(name) == style.look(name)
    colours = {look.colour for look in style.LOOKS.values()} | set(style.SPARE_COLOURS)
    assert style.look(name).colour in colours


def test_looks_stay_as_they_are() -> None:
    found = {name: style.look(name) for name in ("mine", "alpha", "beta")}
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:12]
    assert digest == "815a3f4c8dff", "an implementation's look in records already drawn has changed"


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_every_colour_stands_out_from_white_and_from_the_dark_page() -> None:
    # WCAG 2.2, 1.4.11: 3:1 for graphics; the names beside them, darkened, 4.5:1 on white.
    dark = luminance("#15181c")
    for colour in [*(look.colour for look in style.LOOKS.values()), *style.SPARE_COLOURS]:
        light = luminance(colour)
        assert 1.05 / (light + 0.05) >= 3, colour
        assert (light + 0.05) / (dark + 0.05) >= 3, colour
        assert 1.05 / (luminance(style.darker(colour)) + 0.05) >= 4.5, colour


@hypothesis.given(
    st.lists(st.floats(-50, 450), min_size=1, max_size=20), st.floats(1, 30), st.floats(100, 400)
)
def test_spread_positions_are_apart_within_bounds_and_in_order(
    wanted: list[float], gap: float, most: float
) -> None:
    placed = labels.spread(wanted, gap, 0.0, most)
    ordered = np.sort(placed)
    least = min(gap, most / max(len(wanted) - 1, 1))
    assert (np.diff(ordered) >= least - 1e-6).all()
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= most + 1e-6
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= 0).all()


@hypothesis.given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-1, 1)), min_size=1, max_size=28))
@hypothesis.settings(deadline=None, max_examples=20)
def test_names_above_stand_in_the_order_of_their_marks_and_their_lines_never_cross(
    places: list[tuple[float, float]],
) -> None:
    with settings():
        figure, axes = canvas("", "", above=100, margins=(84, 90))
        logarithmic(axes, "x", [1e-3, 1e3], "")
        logarithmic(axes, "y", [0.1, 10], "")
        marks = [(10.0**x, 10.0**y, str(k)) for k, (x, y) in enumerate(places)]
        texts = labels.name_above(axes, marks, slant=45)
        leaders = [np.asarray(one.get_xydata()) for one in figure.get_children() if isinstance(one, Line2D)]
    assert [text.get_text() for text in texts] == [words for *_, words in marks]
    ends = axes.transData.transform([mark[:2] for mark in marks])
    for text, leader, end in zip(texts, leaders, ends, strict=True):
        assert leader[0, 0] == pytest.approx(text.get_position()[0])
        assert leader[-1] * figure.bbox.size == pytest.approx(end)
        assert leader[1, 0] == leader[2, 0]  # straight down on to the mark
    for one, other in itertools.combinations(leaders, 2):
        assert (one[0, 0] - other[0, 0]) * (one[1, 0] - other[1, 0]) >= -1e-9


def test_positions_that_are_apart_already_stay() -> None:
    assert labels.spread([10.0, 50.0, 90.0], 12, 0, 100).tolist() == [10.0, 50.0, 90.0]


HOSTILE = (
    "<script>alert(1)</script>",
    "a" * 10_000,
    "$\\frac{1}{0}$",
    "line\nbreak\ttab",
    "\u202edetrevni\u202c",
    "emoji \U0001f600 and שלום",
    "",
    "%s %d {0} {name}",
    '\'; DROP TABLE "implementations"; --',
)


@pytest.mark.filterwarnings("error")
def test_hostile_names_are_drawn_as_text() -> None:
    cells = [cell(name, m, 0, (1e-3 * (k + 1) * m,)) for k, name in enumerate(HOSTILE) for m in SIZES]
    cells.append(cell("broken", 1, status="failed", reason=HOSTILE[0] + HOSTILE[3] + HOSTILE[1]))
    made = record(cells, workloads=("digits",))
    for _, _, figure in every_figure(made):
        legible(figure)


def test_two_renderings_are_the_same_bytes_and_valid_svg(tmp_path: Path) -> None:
    made = race(LADDER[:5], processes=2)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        analysis = Analysis(made)
        written = render.render(analysis, analysis.panel(), "loops", tmp_path / folder)
    assert len(written) > 15
    for path in written:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
        if path.suffix == ".svg":
            assert ET.fromstring(path.read_bytes()).tag.endswith("svg")


def test_charts_touch_no_global_state() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    every_figure(race(LADDER[:3], processes=2))
    assert dict(mpl.rcParams) == before
    import sys

    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_headline_and_the_training_are_legible() -> None:
    cells = [
        cell(
            name,
            64,
            k,
            tuple([10.0 ** -(k / 3)] * 20),
            phase="headline",
            iterations=50 if k else 1,
            losses=tuple(np.geomspace(1, 0.01, 20)),
        )
        for k, name in enumerate(LADDER)
    ]
    made = record(cells, settings={"steps": 1000})
    found = every_figure(made)
    assert [name for _, name, _ in found] == ["headline", "training"]
    for _, _, figure in found:
        legible(figure)
        leaders_end_before_names(figure)
    words = [words for words, _ in drawn_texts(found[0][2])]
    assert "1,000 steps of training" in words


def test_the_roofline_has_a_ceiling_for_each_cache_and_nothing_above_the_highest() -> None:
    flops = 10_000
    cells = [
        cell("numba", m, 0, (1e-6 * m**0.9,), flops=flops * m, bytes=40_000 + 100 * m) for m in (1, 16, 1024)
    ]
    roof = Roof(5e10, 1e9, {"L1": 1.5e11, "L2": 1e11})
    figure = machine.roofline_chart(rows(record(cells)), roof)
    legible(figure)
    (axes,) = figure.axes
    *ceilings, measured = (np.asarray(line.get_xydata()) for line in axes.lines)
    assert len(ceilings) == 3
    for x, y in measured:
        assert y <= np.interp(x, *ceilings[0].T) * 1.001
    assert any("150 in L1, 100 in L2, 1.00 from memory" in words for words, _ in drawn_texts(figure))


def experiment(seconds: dict[str, float], steps: int = 100_000) -> Figure:
    """The picture of a headline of the digits that took `seconds`, by implementation."""
    cells = [
        cell(name, 1024, 0, (total / steps,) * 100, phase="headline", iterations=steps // 100)
        for name, total in seconds.items()
    ]
    found = every_figure(record(cells, settings={"steps": steps}))
    return next(figure for _, name, figure in found if name == "headline")


def test_who_needs_less_than_the_least_in_a_call_is_explained_where_construction_held_it() -> None:
    held: dict[str, Any] = {"peak_bytes": 100, "least_bytes": 1000, "construct_peak_bytes": 5000}
    made = record(
        [
            cell("numpy-inplace", 64, **held),
            cell("numpy", 64, **{**held, "peak_bytes": 4000}),
            cell("mine", 64, **{**held, "construct_peak_bytes": 10}),
        ]
    )
    words = [words for words, _ in drawn_texts(machine.memory_chart(rows(made, "numpy")))]
    (below,) = [line for line in words if line.startswith("below it")]
    assert below.endswith("uses again: numpy-inplace")


def test_the_headline_is_to_scale_and_magnifies_what_is_too_short_to_be_seen() -> None:
    seconds = {"loops": 26_000.0, "numpy": 50.0, "numba": 25.0}
    figure = experiment(seconds)
    legible(figure)
    for axes in figure.axes:
        assert axes.get_xscale() == "linear"
        assert axes.get_xlim()[0] == 0.0
        drawn = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
        assert drawn == pytest.approx([26_000.0, 50.0, 25.0])
    whole, magnified = figure.axes
    assert whole.get_xlim()[1] > 9 * 3600
    assert 50.0 < magnified.get_xlim()[1] < 100.0
    words = [words for words, _ in drawn_texts(figure)]
    assert "the article's loops: 9 h" in words
    assert any(re.fullmatch(r"magnified \d+ times", one) for one in words)
    assert "(no name)" not in words


def test_the_article_is_marked_in_its_own_experiment_alone() -> None:
    seconds = {"numpy": 50.0, "numba": 25.0}
    figures = [experiment(seconds), experiment(seconds, 1000)]
    assert [len(figure.axes) for figure in figures] == [2, 1]  # beside nine hours, both are too short
    marked = [any("article" in words for words, _ in drawn_texts(figure)) for figure in figures]
    assert marked == [True, False]


def test_records_side_by_side_are_legible() -> None:
    one, other = (Analysis(race(LADDER, processes=3, scale=scale)) for scale in (1.0, 0.7))
    both = compare.factors(one, other, one.panel())
    assert np.allclose(both["speedup"], 1 / 0.7, rtol=0.01)
    legible(compare.chart(both, "first" * 30, "other"))


def test_the_accuracy_chart_names_the_dtypes_that_it_draws() -> None:
    dtypes = ("float64", "float32")
    errors: dict[str, Any] = {"error_ulp": 3.0, "error_ulp_median": 0.5}
    cells = [cell(name, 64, dtype=dtype, **errors) for dtype in dtypes for name in ("loops", "numpy")]
    table = Analysis(record(cells)).speedups("loops")
    both = machine.accuracy_chart(table, "here")
    assert any("hollow float32" in words for words, _ in drawn_texts(both))
    for dtype in dtypes:
        one = machine.accuracy_chart(table[table["dtype"] == dtype], "here")
        [subtitle] = [words for words, _ in drawn_texts(one) if words.startswith("here")]
        assert subtitle.endswith(f"; {dtype}")


def test_charts_without_their_figures_say_so() -> None:
    bare = record([cell("loops", m) for m in SIZES])
    panel = rows(bare)
    figures = [
        machine.roofline_chart(panel, None),
        machine.accuracy_chart(panel, "here"),
        machine.memory_chart(panel),
        machine.growth_chart({}, {}, "here", ""),
        training.break_even_chart([], "here"),
        training.training_chart([], "here"),
        training.trainings_chart("title", "here", [], [], seconds_axis, style.duration),
        training.headline_chart({}, 10, "here"),
        speed.ladder_chart(Analysis(bare).ladder(Analysis(bare).panel()), [1], "here"),
        speed.interpreters_chart(panel, {}, 7, "here"),
    ]
    for figure in figures:
        legible(figure)
        assert any(words.startswith("nothing to draw") for words, _ in drawn_texts(figure))
