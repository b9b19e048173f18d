"""The lesson's code runs, and its figures and pictures are those of the gallery's records."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import race_file
from reports import gallery
from reports.analysis import Analysis
from reports.render import figures
from tests.reports.records import LADDER, cell, race, record

DOCS = Path(__file__).parents[2] / "docs"
LESSON = (DOCS / "lesson.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", LESSON, re.DOTALL | re.MULTILINE)


def test_every_code_block_runs_and_proves_what_it_claims() -> None:
    found = blocks()
    assert len(found) >= 10
    names: dict[str, Any] = {}
    for k, block in enumerate(found):
        exec(compile(block, f"lesson.md, block {k + 1}", "exec"), names)
    steps = [
        name
        for name in ("loops", "numpy_sample", "numpy_batch", "numba_loops", "over_parts")
        if name in names
    ]
    assert len(steps) == 5
    assert sum("assert same(" in block for block in found) >= 6


def test_the_proof_can_fail() -> None:
    names: dict[str, Any] = {}
    for block in blocks()[:4]:
        exec(block, names)
    wrong = [[[value * 1.001 for value in row] for row in dw] for dw in names["wanted_dw"]]
    assert not names["same"](wrong, names["wanted_db"])
    broken = [[[float("nan") for _ in row] for row in dw] for dw in names["wanted_dw"]]
    assert not names["same"](broken, names["wanted_db"])


@pytest.mark.parametrize("page", gallery.pages(), ids=lambda page: page.name)
def test_the_figures_of_a_page_are_those_of_the_records(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    kept = [Analysis(race_file.read(DOCS / "gallery" / name)) for name in (gallery.RACE, gallery.HEADLINE)]
    assert len(gallery.FIGURE.findall(text)) >= 7
    assert gallery.renew(text, *kept) == text
    assert "-->?<!--" not in text


def test_every_picture_of_the_documents_is_there_and_small() -> None:
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert len(pictures) >= 9
    for picture in pictures:
        assert 1000 < (DOCS / picture).stat().st_size < 400_000
    for name in (gallery.RACE, gallery.HEADLINE):
        assert (DOCS / "gallery" / name).stat().st_size < 1_000_000


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
    (tmp_path / "lesson.md").write_text("<!--factor numpy loops 64-->?<!--/--> <!--total loops-->?<!--/-->")
    first = {path: path.read_bytes() for path in gallery.redraw(figures, tmp_path)}
    assert {path: path.read_bytes() for path in gallery.redraw(figures, tmp_path)} == first
    assert (tmp_path / "gallery" / "speedup.svg") in first
    assert "1.00 s" in (tmp_path / "lesson.md").read_text()
    (tmp_path / "lesson.md").write_text("<!--factor jax loops 64-->?<!--/-->")
    with pytest.raises(gallery.UnknownFigure, match="jax over loops at m = 64"):
        gallery.redraw(figures, tmp_path)
    assert json.loads((tmp_path / "gallery" / "race.json").read_text())["format"] == "gradrace-record"
