"""The lesson's code runs, and its figures and pictures are those of the gallery's records."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import lesson
from benchmarks.record import lesson_file, race_file
from benchmarks.record.documents import RecordError
from reports import gallery
from reports.analysis import Analysis
from reports.render import figures
from tests.reports.records import LADDER, cell, race, record

DOCS = Path(__file__).parents[2] / "docs"
LESSON = (DOCS / "lesson.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found() -> lesson_file.Lesson:
    """The lesson as it runs here, its blocks timed at one batch size."""
    return lesson.lesson(LESSON, sizes=(1,))


def test_every_code_block_runs_and_proves_what_it_claims(found: lesson_file.Lesson) -> None:
    assert set(found.seconds) == set(lesson.BLOCKS)
    assert sum("assert same(" in block for block in lesson.blocks(LESSON)) >= 7


def test_zeros_stay_alike_and_random_weights_learn(found: lesson_file.Lesson) -> None:
    kept = lesson_file.read(DOCS / "gallery" / gallery.LESSON)
    assert found.accuracy["zeros"] < 0.3
    assert min(found.accuracy["small"], found.accuracy["scaled"]) > 0.95
    # another BLAS adds in another order: the curves agree as trainings do
    for start, costs in kept.costs.items():
        assert found.costs[start] == pytest.approx(costs, rel=0.2, abs=0.02)
        assert found.accuracy[start] == pytest.approx(kept.accuracy[start], abs=0.02)


def test_a_lesson_is_kept_in_a_file(found: lesson_file.Lesson, tmp_path: Path) -> None:
    lesson_file.write(found, tmp_path / "lesson.json")
    assert lesson_file.read(tmp_path / "lesson.json").seconds == found.seconds
    (tmp_path / "lesson.json").write_text("{}")
    with pytest.raises(RecordError, match="expected a gradrace-lesson"):
        lesson_file.read(tmp_path / "lesson.json")


def test_the_notebook_has_the_lessons_cells_and_one_that_times_them() -> None:
    cells = json.loads((DOCS / "lesson.ipynb").read_text("utf-8"))["cells"]
    code = ["".join(each["source"]).strip() for each in cells if each["cell_type"] == "code"]
    assert code[:-1] == [block.strip() for block in lesson.blocks(LESSON)]
    assert "lesson.times(globals())" in code[-1]
    words = "\n\n".join("".join(each["source"]) for each in cells if each["cell_type"] == "markdown")
    missing = [line for line in prose(LESSON) if line not in words]
    assert not missing, "write it anew: python -m tests.studies.notebook"


def prose(page: str) -> list[str]:
    outside = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return [line.strip() for line in outside.splitlines() if line.strip()]


def test_the_proof_can_fail() -> None:
    names: dict[str, Any] = {}
    for block in lesson.blocks(LESSON)[:4]:
        exec(block, names)
    wrong = [[[value * 1.001 for value in row] for row in dw] for dw in names["wanted_dw"]]
    assert not names["same"](wrong, names["wanted_db"])
    broken = [[[float("nan") for _ in row] for row in dw] for dw in names["wanted_dw"]]
    assert not names["same"](broken, names["wanted_db"])


@pytest.mark.parametrize("page", gallery.pages(), ids=lambda page: page.name)
def test_the_figures_of_a_page_are_those_of_the_records(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = {name: Analysis(race_file.read(DOCS / "gallery" / name)) for name in gallery.HEADINGS}
    assert len(gallery.FIGURE.findall(text)) >= 7
    kept = lesson_file.read(DOCS / "gallery" / gallery.LESSON)
    assert gallery.renew(text, found, kept) == text
    assert "-->?<!--" not in text


def test_every_picture_of_the_documents_is_there_and_small() -> None:
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', page)
    assert len(pictures) >= 18
    pictures += re.findall(r'(?:src|srcset)="([^"]+)"', LESSON)
    for picture in pictures:
        assert 1000 < (DOCS / picture).stat().st_size < 400_000
    for name in gallery.HEADINGS:
        assert (DOCS / "gallery" / name).stat().st_size < 1_500_000  # the page of it is to stay below 2 MB


def test_adopting_a_race_keeps_every_statistic(tmp_path: Path) -> None:
    made = dataclasses.replace(
        race(LADDER[:4], processes=3, rounds=21), command="race --record /a/b.json --quiet"
    )
    (tmp_path / "gallery").mkdir()
    path = gallery.adopt(made, gallery.RACE, tmp_path)
    kept = race_file.read(path)
    assert kept.command == "race --quiet"
    assert max(len(m.seconds) for m in kept.measurements) == 3
    before, after = Analysis(made), Analysis(kept)
    for timed, before_it in zip(after.times.values(), before.times.values(), strict=True):
        assert timed == {process: pytest.approx(each, rel=1e-5) for process, each in before_it.items()}
    assert after.speedups("loops")["speedup"].tolist() == pytest.approx(
        before.speedups("loops")["speedup"].tolist(), rel=1e-5
    )


def test_a_gallery_is_redrawn_from_its_records(tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    gallery.adopt(race(LADDER[:4], processes=2), gallery.RACE, tmp_path)
    head = [cell(name, 64, k, (0.1,), phase="headline", losses=(0.5,)) for k, name in enumerate(LADDER[:2])]
    gallery.adopt(record(head, settings={"steps": 10}), gallery.HEADLINE, tmp_path)
    steps = race(LADDER[:4], (64,), 2, phases=("gradients", "step"))
    gallery.adopt(steps, gallery.TRAININGS, tmp_path)
    train = [
        cell(name, 16, k, (0.1,), phase="train", losses=(0.5,), accuracies=(0.96,))
        for k, name in enumerate(LADDER[:2])
    ]
    gallery.adopt(record(train, settings={"steps": 1, "accuracy": 0.95}), gallery.ACCURACY, tmp_path)
    kept = lesson_file.read(DOCS / "gallery" / gallery.LESSON)
    lesson_file.write(kept, tmp_path / "gallery" / gallery.LESSON)
    (tmp_path / "lesson.md").write_text(
        "<!--factor numpy loops 64-->?<!--/--> <!--total loops-->?<!--/--> <!--accuracy zeros-->?<!--/-->"
        "<!--table factors-->?<!--/--> <!--table costs 64-->?<!--/--> <!--table accuracy-->?<!--/-->"
    )
    first = {path: path.read_bytes() for path in gallery.redraw(figures, tmp_path)}
    assert {path: path.read_bytes() for path in gallery.redraw(figures, tmp_path)} == first
    assert (tmp_path / "gallery" / "speedup.svg") in first
    assert (tmp_path / "gallery" / "lesson-learning.svg") in first
    assert "1.00 s" in (tmp_path / "lesson.md").read_text()
    assert f"{kept.accuracy['zeros']:.1%}" in (tmp_path / "lesson.md").read_text()
    assert "| gradient\\_descent, loops | 1.00 |" in (tmp_path / "lesson.md").read_text()
    (tmp_path / "lesson.md").write_text("<!--step digits numpy loops 64-->?<!--/-->")
    gallery.redraw(lambda *_: (), tmp_path)
    assert "x<!--/-->" in (tmp_path / "lesson.md").read_text()
    drawn = {path: path.stat().st_mtime_ns for path in first}
    (tmp_path / "lesson.md").write_text("<!--overhead digits+adam numpy 64-->?<!--/-->")
    with pytest.raises(gallery.UnknownFigure, match=r"steps of numpy in digits\+adam at m = 64"):
        gallery.redraw(figures, tmp_path)
    (tmp_path / "lesson.md").write_text("<!--table costs-->?<!--/-->")
    with pytest.raises(gallery.UnknownFigure, match="expected the table factors, costs SIZE or accuracy"):
        gallery.redraw(figures, tmp_path)
    (tmp_path / "lesson.md").write_text("<!--factor jax loops 64-->?<!--/-->")
    with pytest.raises(gallery.UnknownFigure, match="jax over loops at m = 64"):
        gallery.redraw(figures, tmp_path)
    for mark in ("block torch 64", "block loops 3", "accuracy ones"):
        (tmp_path / "lesson.md").write_text(f"<!--{mark}-->?<!--/-->")
        with pytest.raises(gallery.UnknownFigure, match=f"expected {mark} in the lesson's file"):
            gallery.redraw(figures, tmp_path)
    del drawn[tmp_path / "lesson.md"]
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn  # no picture is drawn in vain
    assert json.loads((tmp_path / "gallery" / "race.json").read_text())["format"] == "gradrace-record"
