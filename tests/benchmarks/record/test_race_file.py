"""Records of races: what is written is read back, and what is damaged is refused with its place."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import race_file
from benchmarks.record.documents import RecordError
from tests.reports.records import race, record

GALLERY = Path(__file__).parents[3] / "docs" / "gallery"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    race_file.write(race(processes=1, sizes=(1,)), path)
    return path


def test_what_is_written_is_read_back(written: Path) -> None:
    assert race_file.read(written) == race(processes=1, sizes=(1,))


@pytest.mark.parametrize("name", ["race.json", "headline.json"])
def test_records_of_earlier_versions_are_read(name: str) -> None:
    found = race_file.read(GALLERY / name)
    assert {m.status for m in found.measurements} >= {"measured"}
    assert all(math.isfinite(m.fastest) for m in found.measurements if m.status == "measured")
    # They were raced before there was any other training.
    assert {w.training for w in found.workloads.values()} == {race_file.RecordedTraining()}


@pytest.mark.parametrize("dropout", [0.5, (0.5, 0.0)])
def test_a_training_is_read_back(tmp_path: Path, dropout: Any) -> None:
    training = race_file.RecordedTraining("adam", l2=0.001, dropout=dropout)
    made = race(processes=1, sizes=(1,))
    workload = dataclasses.replace(made.workloads["digits"], training=training)
    race_file.write(dataclasses.replace(made, workloads={"digits": workload}), tmp_path / "record.json")
    assert race_file.read(tmp_path / "record.json").workloads == {"digits": workload}
    assert training.words == f"adam l2=0.001 dropout={dropout}"


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    made = race(processes=1, sizes=(1,))
    lost = dataclasses.replace(made.measurements[0], probe=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        race_file.write(dataclasses.replace(made, measurements=(lost,)), tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seconds": [1.0, "2"]}, r"measurements\[0\].seconds\[1\]: Expected `float.*`, got `str`"),
        ({"seconds": [0.0]}, r"measurements\[0\].seconds\[0\]: Expected `float` > 0.0"),
        ({"seconds": 1.0}, r"measurements\[0\].seconds: Expected `array`, got `float`"),
        ({"status": "great"}, r"measurements\[0\].status: Invalid enum value 'great'"),
        ({"process": True}, r"measurements\[0\].process: Expected `int`, got `bool`"),
        ({"process": 7}, r"measurements\[0\].process: no process 7"),
        ({"workload": "other"}, r"measurements\[0\].workload: no workload 'other'"),
        ({"iterations": None}, r"measurements\[0\].iterations: Expected `int`, got `null`"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(written: Path, change: dict[str, Any], words: str) -> None:
    document = json.loads(written.read_text())
    document["measurements"][0] |= change
    written.write_text(json.dumps(document))
    with pytest.raises(RecordError, match=rf"record\.json: {words}"):
        race_file.read(written)


def test_a_number_out_of_range_is_refused(written: Path) -> None:
    written.write_text(written.read_text().replace('"iterations": 1', '"probe": 1e999, "iterations": 1', 1))
    with pytest.raises(RecordError, match="out of range"):
        race_file.read(written)


def test_an_empty_race_is_a_record(tmp_path: Path) -> None:
    race_file.write(record([]), tmp_path / "record.json")
    assert race_file.read(tmp_path / "record.json") == record([])
