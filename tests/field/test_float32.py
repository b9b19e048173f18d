"""A race of which the usual baseline has no part shows factors over one that was measured, and names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import GRADRACE
from tests.field.trial import race as race_to_the_end


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a race in float32, which `loops` cannot run."""
    folder = tmp_path_factory.mktemp("narrow")
    asked = ("--impl", "loops,numpy,numpy-inplace", "--dtype", "float32", "--workload", "digits")
    size = ("--batch-sizes", "64")
    race_to_the_end(*GRADRACE, "race", "--quiet", *asked, *size, "--record", "r.json", cwd=folder)
    return folder / "r.json"


@pytest.mark.parametrize("command", ["render", pytest.param("standings", marks=pytest.mark.field)])
def test_factors_are_over_a_baseline_that_was_measured(command: str, narrow: Path, gradrace: Command) -> None:
    rest = ("--out", "out") if command == "render" else ()
    ended = gradrace(command, narrow, *rest, env={"COLUMNS": "120"}, status=0)
    assert re.search(r"\d\.\d+x", ended.out), ended.out
    assert "numpy" in ended.out
    assert "No implementation was measured" not in ended.out


@pytest.mark.field
def test_the_summary_names_the_baseline(narrow: Path, gradrace: Command, tmp_path: Path) -> None:
    gradrace("render", narrow, "--out", "out", status=0)
    assert "as fast as numpy" in (tmp_path / "out" / "summary.md").read_text("utf-8")


@pytest.mark.field
@pytest.mark.parametrize("command", ["page", "export"])
def test_every_report_of_it_is_written(command: str, narrow: Path, gradrace: Command, tmp_path: Path) -> None:
    gradrace(command, narrow, "--out", "out", status=0)
    assert list((tmp_path / "out").iterdir())


@pytest.mark.field
def test_a_race_of_both_dtypes_has_factors_in_both(race: Command, gradrace: Command) -> None:
    race("--impl", "loops,numpy,numpy-inplace", "--dtype", "float64,float32")
    for dtype in ("float64", "float32"):
        ended = gradrace("render", "record.json", "--out", "out", "--dtype", dtype, status=0)
        assert re.search(r"\d\.\d+x", ended.out), ended.out


@pytest.mark.field
def test_one_implementation_alone_has_times_and_no_factors(race: Command, gradrace: Command) -> None:
    race("--impl", "numpy", "--dtype", "float32", status=0)
    ended = gradrace("render", "record.json", "--out", "out", status=0)
    assert "numpy" in ended.out
    assert "0 of 0" not in ended.out


@pytest.mark.field
def test_a_baseline_that_was_not_measured_is_refused_with_those_that_were(
    narrow: Path, gradrace: Command
) -> None:
    ended = gradrace("render", narrow, "--out", "out", "--baseline", "numba")
    assert ended.status == 2
    assert "numpy" in ended.err
