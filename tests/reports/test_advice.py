"""The answer to which implementation to use: what it says of each, and of what was not tried."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.record import race_file
from benchmarks.record.race_file import Record
from gradrace import commands
from reports import advice
from reports.analysis import Analysis
from reports.text import Story
from tests.reports.records import cell, facts, record

NUMPY_ALONE = ("numpy", "numpy-inplace")


def made(seconds: dict[str, list[float]], lost: dict[str, str] | None = None, **figures: Any) -> Record:
    """A record of steps at m = 32, of one process after the other; `lost` are absent, with a reason."""
    cells = [
        cell(name, 32, k, (value,), phase="step", **figures.get(name.replace("-", "_"), {}))
        for name, each in seconds.items()
        for k, value in enumerate(each)
    ]
    cells += [
        cell(name, 32, phase="step", status="unavailable", reason=reason)
        for name, reason in (lost or {}).items()
    ]
    sheet = {
        name: dataclasses.replace(
            facts(name),
            versions={"numpy": "2.4"} if name in NUMPY_ALONE else {"numpy": "2.4", name: "1"},
            install_bytes=0 if name in NUMPY_ALONE else 300 * 2**20,
        )
        for name in seconds
    }
    return record(cells, implementations=sheet)


def story(*arguments: Any, **figures: Any) -> Story:
    (found,) = advice.stories(Analysis(made(*arguments, **figures)))
    return found


def table(found: Story) -> dict[str, dict[str, str]]:
    """The table's rows by implementation, each by its head."""
    return {row[0]: dict(zip(found.head, row, strict=True)) for row in found.rows}


def test_it_names_the_fastest_who_is_behind_and_by_how_much() -> None:
    found = story({"jax": [1e-3, 1.01e-3] * 3, "numpy": [1.5e-3, 1.49e-3] * 3, "torch": [2e-3] * 6})
    assert "jax is fastest: 1.00 ms." in found.answer
    assert "torch takes 1.99x as long" in found.answer
    assert "needs nothing beyond NumPy is numpy, which takes 1.49x as long" in found.answer
    rows = table(found)
    assert list(rows) == ["jax", "numpy", "torch"]
    assert rows["numpy"]["verdict"] == "behind"
    low, high = rows["numpy"]["interval"].split(" to ")
    assert float(low[:-1]) < 1.49 < float(high[:-1])


def test_a_lead_below_what_matters_is_a_tie() -> None:
    found = story({"jax": [1e-3] * 5, "numpy": [1.01e-3] * 5})
    assert "numpy (closer than 3%) ties with it." in found.answer
    assert found.answer.endswith("The fastest that needs nothing beyond NumPy is numpy, which ties.")
    assert table(found)["numpy"]["verdict"] == "tie, closer than 3%"


def test_an_interval_that_holds_one_is_a_tie_that_was_not_told_apart() -> None:
    found = story({"jax": [1e-3] * 5, "torch": [1.5e-3, 0.9e-3, 1.4e-3, 0.8e-3, 1.3e-3]})
    assert "torch (not distinguished) ties with it." in found.answer


@pytest.mark.parametrize("times", [[1.5e-3], [1.5e-3, 0.9e-3], [1.5e-3, 0.9e-3, 1.2e-3]])
def test_few_processes_that_tell_nobody_apart_make_no_tie(times: list[float]) -> None:
    found = story({"jax": [1e-3] * len(times), "torch": times})
    assert "jax was fastest so far: 1.00 ms; too few processes to distinguish it from torch." in found.answer
    assert table(found)["torch"]["verdict"] == "not known"
    assert table(found)["torch"]["interval"] == "-"


def test_few_processes_tell_nobody_apart_however_well_they_agree() -> None:
    found = story({"jax": [1e-3] * 3, "torch": [1.15e-3, 1.16e-3, 1.14e-3]})
    assert "jax was fastest so far: 1.00 ms; too few processes to distinguish it from torch." in found.answer
    assert table(found)["torch"]["times as long"] == "1.15x"


def test_what_needs_nothing_beyond_numpy_may_be_the_fastest() -> None:
    found = story({"numpy": [1e-3] * 5, "jax": [2e-3] * 5})
    assert "It needs nothing beyond NumPy." in found.answer


def test_the_dropped_are_named_with_the_rule() -> None:
    found = story({"jax": [1e-3] * 5, "torch": [9e-3], "autograd": [5e-3]})
    assert "2 others take 5.00x as long or longer." in found.answer
    words = (
        "Dropped, at more than 3 times the fastest in every process, more than 1.5 times the fastest in each "
        "of 2 processes or more or more than 1.2 times the fastest in each of 3 processes or more: autograd "
        "and torch."
    )
    assert words in found.remarks


def test_what_each_costs_stands_in_the_table() -> None:
    start = {"construct_seconds": 2.0, "compile_seconds": 1.5, "peak_bytes": 2**20}
    cold = {**start, "cold_construct_seconds": 4.0, "cold_compile_seconds": 3.0}
    found = story(
        {"jax": [1e-3] * 5, "numpy": [2e-3] * 5, "torch": [2.5e-3] * 5},
        jax=cold,
        torch=start,
        numpy={"construct_seconds": 0.0, "compile_seconds": 0.0},
    )
    rows = table(found)
    assert [rows["jax"][head] for head in ("install", "compile", "repaid after", "memory")] == [
        *("300 MiB", "3.00 s", "4,000 steps", "1.00 MiB"),
    ]
    assert [rows["numpy"][head] for head in ("install", "compile", "repaid after")] == [
        "nothing",
        "none",
        "-",
    ]
    assert [rows["torch"][head] for head in ("compile", "repaid after")] == ["≥ 1.50 s", "never"]
    assert "jax has repaid its start after 4,000 steps" in found.answer


def test_a_start_that_few_steps_repay_is_a_whole_number_of_them() -> None:
    start = {"construct_seconds": 0.0035, "compile_seconds": 0.003}
    found = story({"jax": [1e-3] * 5, "numpy": [2e-3] * 5}, jax=start, numpy={"construct_seconds": 0.0})
    assert table(found)["jax"]["repaid after"] == "4 steps"


def test_what_was_not_tried_has_its_reason() -> None:
    found = story({"jax": [1e-3] * 5}, {"torch": "pip install -e '.[torch]'"})
    words = "Not tried (a package is not installed): torch: pip install -e '.[torch]'."
    assert words in found.remarks


def test_a_record_without_facts_claims_nothing_of_numpy() -> None:
    bare = dataclasses.replace(made({"jax": [1e-3] * 5, "numpy": [2e-3] * 5}), implementations={})
    (found,) = advice.stories(Analysis(bare))
    assert "NumPy" not in found.answer
    assert table(found)["numpy"]["install"] == "-"


def test_each_batch_size_has_an_answer_of_its_own() -> None:
    cells = [cell(name, m, k) for name in ("jax", "numpy") for m in (1, 4) for k in range(2)]
    found = advice.stories(Analysis(record(cells)))
    assert [story.answer.partition(":")[0][-5:] for story in found] == ["m = 1", "m = 4"]


def test_the_command_prints_it(tmp_path: Any) -> None:
    path = tmp_path / "record.json"
    race_file.write(made({"jax": [1e-3] * 5, "numpy": [2e-3] * 5}), path)
    done = CliRunner().invoke(commands, ["ranking", str(path)])
    assert done.exit_code == 0
    assert "jax is fastest" in done.stdout
    assert "repaid after" in done.stdout


@pytest.mark.parametrize("measurements", [[], [cell("jax", 1, status="failed", reason="why")]])
def test_a_record_without_a_time_is_refused(measurements: list[Any], tmp_path: Any) -> None:
    path = tmp_path / "record.json"
    race_file.write(record(measurements), path)
    done = CliRunner().invoke(commands, ["ranking", str(path)])
    assert done.exit_code == 2
    assert "expected a record with a time in it" in done.stderr
