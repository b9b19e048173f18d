"""The page as a file; what it does in a browser is in `browser.py`."""

import dataclasses
import html.parser
import json
import re
from typing import Any

import numpy as np
import pytest

from benchmarks.record.race_file import Record
from tests.reports.charts.test_charts import HOSTILE
from tests.reports.records import LADDER, cell, race, record

pytest.importorskip("altair", reason="the page is an extra")
pytest.importorskip("vl_convert", reason="the page is an extra")

from reports.analysis import Analysis, Panel, of_panel
from reports.page import build as page
from reports.page import charts, markup


@pytest.fixture(scope="module", autouse=True)
def _one_library() -> Any:
    """Vega is bundled once, not once a test: it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        bundle = charts.library()
        drawn = charts.specifications()
        patch.setattr(charts, "library", lambda: bundle)
        patch.setattr(charts, "specifications", lambda: drawn)
        yield


def build(made: Record) -> str:
    analysis = Analysis(made)
    return page.build(analysis, analysis.panel(), analysis.baseline()).decode()


class Reader(html.parser.HTMLParser):
    """Elements and texts outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.tags or self.tags[-1][0] not in ("script", "style"):
            self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def embedded(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_nothing_is_fetched_from_anywhere() -> None:
    found = read(build(race(LADDER, processes=2)))
    for tag, attributes in found.tags:
        assert tag not in ("link", "img", "iframe", "object", "base"), tag
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_is_below_two_megabytes() -> None:
    assert len(build(race(LADDER, sizes=tuple(2**k for k in range(14)), processes=10)).encode()) < 2_000_000


def test_two_pages_of_one_record_are_the_same_bytes() -> None:
    made = race(LADDER[:4], processes=2)
    assert build(made) == build(made)


def test_the_answer_and_the_command_are_words_of_the_page() -> None:
    words = " ".join(read(build(race(LADDER, processes=2))).words)
    assert "numba-parallel is" in words
    assert "python -m benchmarks race" in words
    assert "a processor" in words


def hostile() -> Record:
    made = race((*LADDER[:2], *HOSTILE), processes=1, workloads=tuple(name or "x" for name in HOSTILE[:3]))
    facts = next(iter(made.implementations.values()))
    sheet = {
        name: type(facts)(
            idea=text,
            differs_from=text,
            dtypes=(text,),
            same_order=False,
            fast_math=text,
            layout=text,
            versions={text: text},
            source=text + "</code></pre><script>alert(2)</script>",
        )
        for name, text in zip(made.implementations, HOSTILE * 2, strict=False)
    }
    process = type(made.processes[0])(0, HOSTILE[0], 1.0, warnings=HOSTILE, threads_in_force={HOSTILE[0]: 1})
    return record(
        list(made.measurements),
        workloads=tuple(made.workloads),
        implementations=sheet,
        machine={text: list(HOSTILE) for text in HOSTILE},
        versions={text: text for text in HOSTILE},
        settings={text: {text: [text]} for text in HOSTILE},
        command=HOSTILE[0] * 1000,
        created=HOSTILE[3],
        processes=(process,),
    )


def test_hostile_text_is_shown_as_text() -> None:
    text = build(hostile())
    found = read(text)
    scripts = [attributes for tag, attributes in found.tags if tag == "script"]
    assert len(scripts) == 3  # the data, the library, ours
    words = "".join(found.words)
    assert "<script>alert(1)</script>" in words
    assert "<script>alert(2)</script>" in words
    assert "\U0001f600" in words
    assert "\u202e" not in words
    data = embedded(text)
    assert "<" not in re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]  # type: ignore[index]
    labels = [implementation["label"] for implementation in data["implementations"]]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    "cells",
    [
        [cell("loops", 1, status="failed", reason="why")],
        [cell("loops", 1)],
        [cell("loops", 1, seconds=())],
        [cell("loops", 1, status="unavailable"), cell("numpy", 1)],
    ],
    ids=["no successful cell", "one cell", "no time", "no baseline"],
)
def test_a_poor_record_gives_a_page_all_the_same(cells: list[Any]) -> None:
    made = record(cells, implementations={}, machine={}, versions={})
    words = " ".join(read(build(made)).words)
    assert "holds no fairness sheet" in words
    assert "holds no facts of this implementation" in words


def test_speedups_in_the_page_are_those_of_the_analysis_for_every_baseline() -> None:
    made = race(LADDER[:4], processes=3, dtypes=("float64", "float32"))
    analysis = Analysis(made)
    packed = embedded(build(made))
    assert len(packed["cells"]["m"]) == len(analysis.cells) == 6 * 7
    for name, found in zip(analysis.implementations, packed["speedups"], strict=True):
        table = analysis.speedups(name)
        for key, column in (("value", "speedup"), ("low", "speedup_low"), ("high", "speedup_high")):
            assert np.array(found[key], float) == pytest.approx(table[column], rel=1e-5, nan_ok=True)
        assert found["pairs"] == table["pairs"].tolist()
    for panel in packed["panels"]:
        own = of_panel(analysis.cells, Panel("digits", "gradients", panel["dtype"], 1))
        seconds = packed["cells"]["seconds"][panel["start"] : panel["stop"]]
        assert seconds == pytest.approx(own["seconds"].tolist(), rel=1e-5)


def test_a_baseline_without_a_time_in_a_panel_has_no_speedups_there() -> None:
    raced = ((LADDER[0], "digits"), (LADDER[1], "digits"), (LADDER[2], "deep"))
    cells = [cell(name, m, workload=workload) for name, workload in raced for m in (1, 4)]
    packed = embedded(build(record(cells, workloads=("digits", "deep"))))
    for found, (_, here) in zip(packed["speedups"], raced, strict=True):
        for panel in packed["panels"]:
            values = found["value"][panel["start"] : panel["stop"]]
            assert (None not in values) == panel["workload"].startswith(here)


def test_the_fallback_baseline_is_named() -> None:
    packed = embedded(build(race(LADDER[:3], processes=2, dtypes=("float64", "float32"))))
    loops = packed["speedups"][[each["label"] for each in packed["implementations"]].index("loops")]
    by_dtype = {p["dtype"]: k for k, p in enumerate(packed["panels"])}
    assert loops["fallbacks"][by_dtype["float64"]] is None
    assert loops["fallbacks"][by_dtype["float32"]] == "loops in float64, 1 thread"


def test_only_a_headline_brings_its_answer() -> None:
    steps = cell("numpy", 1024, phase="headline", seconds=(1e-3,), iterations=100)
    made = record([steps, cell("numpy", 1)], settings={"steps": 100})
    answers = {panel["phase"]: panel["answer"] for panel in embedded(build(made))["panels"]}
    assert answers["gradients"] is None
    assert answers["headline"].startswith("100 steps of 1024 samples take numpy 100 ms")


def test_the_fairness_sheet_is_in_the_ladders_order_with_versions_and_compile_times() -> None:
    made = race(("numba", "mine", "loops", "numpy"), processes=2)
    numba = next(m for m in made.measurements if m.implementation == "numba")
    surveyed = dataclasses.replace(
        numba, cold_compile_seconds=6.0, cached_compile_seconds=0.3, construct_seconds=6.1
    )
    text = build(
        dataclasses.replace(
            made, measurements=tuple(surveyed if m is numba else m for m in made.measurements)
        )
    )
    sheet = text[text.index('id="sheet"') :]
    sheet = sheet[: sheet.index("</table>")]
    assert re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', sheet) == ["loops", "numpy", "numba", "mine"]
    assert "6.00 s at first, 300 ms from a cache" in sheet
    assert "numpy: 2.4" in sheet


def test_source_is_highlighted_and_escaped() -> None:
    found = page.highlight('def f(x):  # <b>\n    return "a" < 1\n')
    assert '<span class="k">def</span>' in found
    assert '<span class="f">f</span>' in found
    assert '<span class="c"># &lt;b&gt;</span>' in found
    assert '<span class="n">1</span>' in found


def test_names_that_would_look_alike_are_told_apart() -> None:
    assert markup.distinct(["a" * 100, "a" * 99, "b"], 10)["b"] == "b"
    assert len(set(markup.distinct(["a" * 100, "a" * 99, "\u202e", "\u202d"], 10).values())) == 4
