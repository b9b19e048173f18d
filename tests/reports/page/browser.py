"""The page in a real browser: `nox -s browser`, or pytest on this file where chromium and Playwright are.

Screenshots at 1280 and 390 pixels, light and dark, are left in reports/out/screenshots.
"""

import csv
import dataclasses
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from scipy import stats

from benchmarks.record.race_file import Record
from reports.analysis import Analysis, Panel
from reports.page import build
from reports.style import duration, factor
from reports.text import answer
from tests.reports.charts.test_charts import HOSTILE
from tests.reports.page.test_page import hostile
from tests.reports.records import LADDER, cell, race, record

SHOTS = Path(__file__).parents[3] / "reports" / "out" / "screenshots"
SIZES = {1280: 900, 390: 844}


def rich() -> Record:
    """Two workloads, two phases, two dtypes, two thread counts, every status."""
    made = race(
        LADDER[:8],
        processes=3,
        workloads=("digits", "deep"),
        phases=("gradients", "step"),
        dtypes=("float64", "float32"),
    )
    more = [
        dataclasses.replace(m, threads=2, seconds=tuple(value * 0.6 for value in m.seconds))
        for m in made.measurements
        if m.implementation == "numba-parallel" and m.workload == "digits"
    ]
    statuses = ("skipped", "unsupported", "unavailable", "wrong", "failed", "timed out", "implausible")
    more += [
        cell(
            f"implementation-{k}",
            m,
            status=status,
            reason=f"because of {k}",
            predicted_seconds=2.0 if k == 0 else None,
        )
        for k, status in enumerate(statuses)
        for m in (1, 4, 16, 64, 256, 1024)
    ]
    return record([*made.measurements, *more], workloads=("digits", "deep"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    place = shutil.which("chromium")
    assert place, "expected chromium on the path; apt-get install chromium"
    with sync_playwright() as playwright:
        # A browser of root's refuses to start in its sandbox; the page is our own.
        found = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield found
        found.close()


class Visit:
    """A page opened from its file, with everything that it did."""

    def __init__(
        self, browser: Browser, path: Path, width: int = 1280, scheme: Any = "light", fragment: str = ""
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": SIZES.get(width, 900)}, color_scheme=scheme
        )
        self.page: Page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: self.messages.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        address = f"{path.as_uri()}#{fragment}" if fragment else path.as_uri()
        self.page.goto(address, wait_until="load", timeout=120_000)

    def drawn(self) -> "Visit":
        self.page.wait_for_function("document.body.dataset.drawn !== undefined", timeout=120_000)
        return self

    def show(self, name: str, shown: bool) -> None:
        """Have an implementation shown, or not."""
        self.page.evaluate("document.getElementById('filter').open = true")
        self.page.evaluate("delete document.body.dataset.drawn")
        self.page.get_by_role("checkbox", name=name, exact=True).set_checked(shown)
        self.drawn()

    def choose(self, control: str, label: str) -> None:
        self.page.evaluate("delete document.body.dataset.drawn")
        self.page.select_option(f"#choose-{control}", label=label)
        self.drawn()

    def cells(self, table: str) -> list[list[str]]:
        """The words of a table's body."""
        found: list[list[str]] = self.page.evaluate(
            "(id) => [...document.querySelectorAll(`#${id} tbody tr`)]"
            ".map((row) => [...row.children].map((cell) => cell.innerText.trim()))",
            table,
        )
        return found


def written(made: Record, folder: Path) -> Path:
    path = folder / "index.html"
    analysis = Analysis(made)
    path.write_bytes(build.build(analysis, analysis.panel(), analysis.baseline()))
    return path


@pytest.fixture(scope="session")
def made() -> Record:
    return rich()


@pytest.fixture(scope="session")
def path(made: Record, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(made, tmp_path_factory.mktemp("page"))


@pytest.fixture
def visit(browser: Browser, path: Path) -> Iterator[Visit]:
    found = Visit(browser, path).drawn()
    yield found
    assert found.messages == []
    found.context.close()


def test_what_more_threads_buy_is_drawn_where_there_are_more(visit: Visit) -> None:
    assert visit.page.locator("#threads-figure").is_hidden()
    visit.choose("threads", "2")
    figure = visit.page.locator("#threads-figure")
    assert figure.is_visible()
    assert "Times as fast as on one thread, on 2" in figure.inner_text()
    assert "numba-parallel" in visit.page.locator("#threads svg").inner_html()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_no_console_error_no_request_no_accessibility_fault_no_sideways_scrolling(
    browser: Browser, path: Path, width: int, scheme: str
) -> None:
    visit = Visit(browser, path, width, scheme).drawn()
    SHOTS.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=SHOTS / f"{width}-{scheme}.png", full_page=True)
    assert visit.messages == []
    assert visit.requests == [path.as_uri()]
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(visit.page).response
    faults = {
        fault["id"]: [node["html"][:200] for node in fault["nodes"]]
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    }
    assert faults == {}
    visit.context.close()


def expected(made: Record, panel: Panel, baseline: str, name: str, size: int) -> tuple[float, ...]:
    """Seconds, speedup and its interval, from the record's raw seconds and nothing of the reports."""
    times: dict[str, dict[int, float]] = {}
    for m in made.measurements:
        here = Panel(m.workload, m.phase, m.dtype, m.threads, m.ranks)
        if (here, m.batch_size) == (panel, size) and m.status == "measured":
            times.setdefault(m.implementation, {})[m.process] = min(m.seconds)
    own, base = times[name], times[baseline]
    logs = np.log([base[process] / own[process] for process in own])
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    mean = logs.mean()
    seconds = math.exp(np.mean(np.log(list(own.values()))))
    return seconds, math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def test_ten_numbers_are_those_of_the_record(visit: Visit, made: Record) -> None:
    rng = np.random.default_rng(0)
    choices = [
        (workload, phase, dtype)
        for workload in ("digits", "deep")
        for phase in ("gradients", "step")
        for dtype in ("float64", "float32")
    ]
    checked = 0
    for k in rng.permutation(len(choices))[:5]:
        workload, phase, dtype = choices[k]
        visit.choose("workload", f"{workload} 64-32-10")
        visit.choose("phase", phase)
        visit.choose("dtype", dtype)
        visit.choose("baseline", "numpy")
        rows = {(row[0], int(row[1])): row for row in visit.cells("cells")}
        for name, size in (("numba", int(rng.choice([1, 16, 1024]))), ("numpy-inplace", 64)):
            seconds, mean, low, high = expected(made, Panel(workload, phase, dtype, 1), "numpy", name, size)
            row = rows[name, size]
            assert row[3] == duration(seconds)
            assert row[5] == factor(mean)
            assert row[6] == f"{factor(low)} to {factor(high)}"
            checked += 1
    assert checked == 10


def test_every_control_changes_what_it_says(visit: Visit) -> None:
    seen = [visit.cells("cells")]
    for control, label, words in (
        ("workload", "deep 64-32-10", "deep 64-32-10, gradients, float64, 1 thread"),
        ("phase", "step", "deep 64-32-10, step, float64, 1 thread"),
        ("dtype", "float32", "deep 64-32-10, step, float32, 1 thread"),
        ("baseline", "numpy", "Times as fast as numpy (deep 64-32-10, step, float32, 1 thread)"),
    ):
        visit.choose(control, label)
        assert words in visit.page.inner_text("#speedup-title")
        seen.append(visit.cells("cells"))
    visit.choose("workload", "digits 64-32-10")
    visit.choose("threads", "2")
    assert "2 threads" in visit.page.inner_text("#time-title")
    assert {row[0] for row in visit.cells("cells")} == {"numba-parallel"}
    assert all(one != other for k, one in enumerate(seen) for other in seen[:k])


def test_one_sentence_follows_every_control(visit: Visit) -> None:
    seen = {visit.page.inner_text("#answer")}
    choices = (("dtype", "float32"), ("phase", "step"), ("baseline", "numpy"), ("batch-size", "64"))
    for control, label in choices:
        visit.choose(control, label)
        words = visit.page.inner_text("#answer")
        assert label in words
        assert words not in seen
        seen.add(words)
    visit.show("numba-parallel", False)
    assert "numba is" in visit.page.inner_text("#answer")
    assert visit.page.inner_text("#which").startswith("Fastest: numba, ")


def test_the_sentence_is_that_of_every_other_report(visit: Visit, made: Record) -> None:
    analysis = Analysis(made)
    for dtype, baseline, size in (
        *(("float64", "loops", "all"), ("float64", "numpy", "all")),
        *(("float32", "numba", "all"), ("float64", "numpy", "16")),
    ):
        visit.choose("dtype", dtype)
        visit.choose("baseline", baseline)
        visit.choose("batch-size", size)
        rows = analysis.rows(Panel("digits", "gradients", dtype, 1), baseline)
        if size != "all":
            rows = rows[rows["batch_size"] == int(size)]
        much, _, fastest = answer(rows, baseline, "64-32-10").rpartition(" Fastest: ")
        assert visit.page.inner_text("#answer") == much
        if size == "all":
            assert visit.page.inner_text("#which") == f"Fastest: {fastest}"


def test_three_answers_stand_above_the_fold(visit: Visit) -> None:
    for place in ("#answer", "#which", ".believe", "#speedup"):
        box = visit.page.locator(place).bounding_box()
        assert box
        assert box["y"] + box["height"] <= 1200


def test_at_one_batch_size_there_are_bars(visit: Visit) -> None:
    assert visit.page.is_visible("#speedup svg")
    assert not visit.page.is_visible("#speedup-bars")
    visit.choose("batch-size", "64")
    assert not visit.page.is_visible("#speedup")
    for chart in ("speedup", "time"):
        lengths = visit.page.evaluate(
            "(id) => [...document.querySelectorAll(`#${id}-bars .mark-rect.role-mark path`)]"
            ".map((bar) => bar.getBoundingClientRect().width)",
            chart,
        )
        shown = [row for row in visit.cells("cells") if row[3] and row[0] != "numba-parallel"]
        assert len(lengths) == len(shown)
        assert lengths == sorted(lengths, reverse=chart == "speedup")
    assert {row[1] for row in visit.cells("cells")} == {"64"}
    visit.choose("batch-size", "all")
    assert visit.page.is_visible("#speedup svg")


def test_an_implementation_that_is_filtered_out_is_shown_nowhere(visit: Visit) -> None:
    visit.show("numba", False)
    assert "numba" not in visit.page.locator("#speedup .mark-text text").all_text_contents()
    assert "numba" not in {row[0] for row in [*visit.cells("cells"), *visit.cells("heat")]}
    assert visit.page.inner_text("#filter summary") == "implementations: 14 of 15"
    visit.show("numba", True)
    assert "numba" in {row[0] for row in visit.cells("cells")}


def test_a_link_shows_what_its_sender_saw(browser: Browser, path: Path, visit: Visit) -> None:
    for control, label in (("workload", "deep 64-32-10"), ("dtype", "float32"), ("baseline", "numpy")):
        visit.choose(control, label)
    visit.choose("batch-size", "16")
    visit.show("numba-loops", False)
    other = Visit(browser, path, fragment=visit.page.url.partition("#")[2]).drawn()
    for place in ("#answer", "#which", "#speedup-title", "#filter summary", "#heat"):
        assert other.page.inner_text(place) == visit.page.inner_text(place)
    assert other.page.get_attribute("#permalink", "href") == visit.page.get_attribute("#permalink", "href")
    assert other.messages == []
    other.context.close()


@pytest.mark.parametrize("fragment", ["h-fair", "workload=none&m=x&baseline=%00&without=", "phase=step&m=3"])
def test_a_link_that_names_what_is_not_there_shows_a_page_all_the_same(
    browser: Browser, path: Path, fragment: str
) -> None:
    visit = Visit(browser, path, fragment=fragment).drawn()
    assert " as fast as loops " in visit.page.inner_text("#answer")
    assert visit.messages == []
    visit.context.close()


def test_tables_can_be_downloaded(visit: Visit, made: Record) -> None:
    def download(table: str) -> list[dict[str, str]]:
        with visit.page.expect_download() as waiting:
            visit.page.click(f'.download[data-table="{table}"]')
        return list(csv.DictReader(waiting.value.path().read_text("utf-8").splitlines()))

    rows = {(row["implementation"], row["batch_size"]): row for row in download("cells")}
    assert len(rows) == len(visit.cells("cells"))
    seconds, mean, _, high = expected(made, Panel("digits", "gradients", "float64", 1), "loops", "numpy", 64)
    found = rows["numpy", "64"]
    assert float(found["seconds"]) == pytest.approx(seconds, rel=1e-5)
    assert float(found["speedup"]) == pytest.approx(mean, rel=1e-5)
    assert float(found["speedup_high"]) == pytest.approx(high, rel=1e-5)
    assert found["baseline"] == "loops"
    assert len(download("heat")) == 15
    assert [row["implementation"] for row in download("sheet")][:2] == ["loops", "loops-ndarray"]


def test_a_baseline_that_was_not_measured_cannot_be_chosen(visit: Visit) -> None:
    def offered() -> set[str]:
        found: list[str] = visit.page.evaluate(
            "[...document.querySelectorAll('#choose-baseline option:not(:disabled)')].map((one) => one.text)"
        )
        return set(found)

    assert offered() == set(LADDER[:8])
    visit.choose("threads", "2")
    assert "numba-parallel" in offered()
    assert "implementation-3" not in offered()


def test_a_control_with_one_option_is_text(browser: Browser, tmp_path: Path) -> None:
    visit = Visit(browser, written(race(LADDER[:2]), tmp_path)).drawn()
    assert visit.page.locator("#controls select").count() == 2  # of batch size and baseline
    assert "float64" in visit.page.inner_text("#controls")
    visit.context.close()


def test_an_implementation_of_several_threads_is_not_drawn_at_one(visit: Visit) -> None:
    assert "numba-parallel" not in visit.page.inner_text("#speedup")
    assert "numba-parallel" in visit.page.inner_text("#heat")
    visit.choose("threads", "2")
    assert "numba-parallel" in visit.page.inner_text("#time")


def test_a_baseline_that_has_no_float32_falls_back_to_float64(visit: Visit) -> None:
    visit.choose("dtype", "float32")
    assert "loops in float64" in visit.page.inner_text("#speedup-title")
    assert any(row[0] == "numpy" and row[5].endswith("x") for row in visit.cells("cells"))


def test_a_choice_that_was_not_raced_moves_to_the_nearest_that_was(visit: Visit) -> None:
    visit.choose("threads", "2")
    visit.choose("workload", "deep 64-32-10")
    assert "deep 64-32-10, gradients, float64, 1 thread" in visit.page.inner_text("#time-title")
    assert visit.page.input_value("#choose-threads") == "0"


def test_the_table_sorts_both_ways_and_says_so(visit: Visit) -> None:
    seconds = {row[3]: k for k, row in enumerate(visit.cells("cells"))}
    assert len(seconds) > 10
    for column, name in ((1, "m"), (3, "time"), (5, "speedup")):
        for order in ("ascending", "descending"):
            visit.page.get_by_role("button", name=name, exact=True).click()
            head = visit.page.locator("#cells th").nth(column)
            assert head.get_attribute("aria-sort") == order
            if column == 1:
                values = [int(row[1]) for row in visit.cells("cells")]
                assert values == sorted(values, reverse=order == "descending")
    fastest = visit.cells("cells")[0]
    assert fastest[0] == "numba-parallel"
    assert visit.cells("cells")[-1][5] == ""  # what has no number comes last, either way


def test_tabs_open_by_keyboard(visit: Visit) -> None:
    visit.page.focus("#tab-0")
    for key, k in (("ArrowRight", 1), ("End", 14), ("ArrowRight", 0), ("ArrowLeft", 14), ("Home", 0)):
        visit.page.keyboard.press(key)
        assert visit.page.evaluate("document.activeElement.id") == f"tab-{k}"
        assert visit.page.is_visible(f"#code-{k}")
        assert visit.page.locator('[role="tabpanel"]:visible').count() == 1
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "code-0"


def test_figures_stand_beside_the_code(visit: Visit) -> None:
    visit.page.click("#tab-3")
    panel = visit.page.inner_text("#code-3")
    assert "class Numpy" in panel
    assert "1024" in panel
    assert "x" in panel


def test_hovering_shows_time_speedup_interval_and_error(visit: Visit) -> None:
    point = visit.page.locator("#speedup .mark-symbol path[aria-label]").nth(3)
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    visit.page.wait_for_selector("#vg-tooltip-element.visible")
    words = visit.page.inner_text("#vg-tooltip-element")
    for field in ("implementation", "batch size", "time", "speedup", "interval", "error"):
        assert field in words


@pytest.mark.parametrize("chart", ["speedup", "time"])
def test_names_at_line_ends_do_not_overlap(visit: Visit, chart: str) -> None:
    boxes = visit.page.evaluate(
        "(id) => [...document.querySelectorAll(`#${id} .mark-text.role-mark text`)]"
        ".map((text) => text.getBoundingClientRect())"
        ".map((box) => [box.left, box.top, box.right, box.bottom])",
        chart,
    )
    edge = visit.page.locator(f"#{chart}").bounding_box()
    assert edge
    assert len(boxes) >= 8
    for k, (left, top, right, bottom) in enumerate(boxes):
        assert left >= edge["x"]
        assert right <= edge["x"] + edge["width"] + 1
        for other in boxes[:k]:
            overlap = min(bottom, other[3]) - max(top, other[1])
            assert overlap < 4 or right <= other[0] or left >= other[2]  # boxes hold the leading, too


def test_ticks_are_numbers_without_trailing_zeros(visit: Visit) -> None:
    for chart, wanted in (("speedup", {"0.1x", "1x", "1,000x"}), ("time", {"10 µs", "1 ms", "100 ms"})):
        ticks = visit.page.locator(f"#{chart} .role-axis-label text").all_text_contents()
        assert wanted <= set(ticks)


def test_every_status_stands_in_the_table(visit: Visit) -> None:
    heat = visit.page.inner_text("#heat")
    marks = ("skipped", "n/s", "absent", "WRONG", "failed", "timeout", "~2.00 s", "implausible")
    for mark in marks:
        assert mark in heat


def test_the_page_prints(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    assert not visit.page.is_visible(".tablist")
    assert visit.page.locator(".tabpanel:visible").count() == 15
    assert visit.page.pdf(format="A4").startswith(b"%PDF")


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    visit = Visit(browser, written(hostile(), tmp_path)).drawn()
    assert visit.messages == []
    assert len(visit.requests) == 1
    words = visit.page.inner_text("body")
    assert HOSTILE[0] in words
    assert "\U0001f600" in words
    assert visit.page.evaluate("document.scripts.length") == 3
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.context.close()


@pytest.mark.parametrize(
    "cells",
    [
        [cell("loops", 1, status="failed", reason="why")],
        [cell("loops", 1)],
        [cell("loops", 1, seconds=()), cell("numpy", 2)],
    ],
    ids=["no successful cell", "one cell", "no time"],
)
def test_a_poor_record_gives_a_page_without_errors(
    browser: Browser, tmp_path: Path, cells: list[Any]
) -> None:
    visit = Visit(browser, written(record(cells, implementations={}), tmp_path), 390).drawn()
    assert visit.messages == []
    assert len(visit.cells("cells")) == len(cells)
    visit.context.close()


def test_a_cell_with_one_pair_and_more_processes_has_the_interval_of_that_pair(
    browser: Browser, tmp_path: Path
) -> None:
    """A baseline that was lost after one process: its rounds there, and the implementation's beside them."""
    made = record(
        [
            *(cell("numpy", m, k, (1e-5 * m, 1.2e-5 * m)) for m in (1, 16) for k in range(3)),
            *(cell("loops", m, 1, (8e-5 * m, 9e-5 * m)) for m in (1, 16)),
        ]
    )
    visit = Visit(browser, written(made, tmp_path)).drawn()
    assert visit.messages == []
    row = next(row for row in visit.cells("cells") if row[:2] == ["numpy", "1"])
    assert row[5] == factor(8.0)
    assert row[6] == f"{factor(8e-5 / 1.1e-5)} to {factor(8.5e-5 / 1e-5)}"
    visit.context.close()
