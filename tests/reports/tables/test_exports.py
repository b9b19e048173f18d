"""Tables for other tools."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.analysis import Analysis
from reports.tables import exports
from tests.reports.records import LADDER, cell, race, record


def tidy() -> pd.DataFrame:
    made = race(LADDER[:3], processes=3)
    broken = cell("numpy", 1, status="failed", reason='quotes " and, commas\nand lines')
    return exports.tidy(Analysis(record([*made.measurements, broken])), "loops")


def test_the_documented_schema_is_the_one_written() -> None:
    table = tidy()
    assert list(table.columns) == list(exports.SCHEMA)
    page = (Path(__file__).parents[3] / "docs" / "tidy.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert {row[1].strip().strip("`"): row[2].strip() for row in rows} == exports.SCHEMA
    assert all(row[3].strip() for row in rows)


def test_csv_gives_the_table_back() -> None:
    table = tidy()
    back = list(csv.DictReader(io.StringIO(exports.csv(table).decode())))
    assert list(back[0]) == list(table.columns)
    assert [row["reason"] for row in back] == table["reason"].tolist()
    # not by pandas, which rounds what it reads
    seconds = [float(row["seconds"] or "nan") for row in back]
    assert np.array_equal(seconds, table["seconds"], equal_nan=True)


def test_parquet_gives_the_table_back() -> None:
    pytest.importorskip("pyarrow")
    table = tidy()
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(exports.parquet(table))), table)


def test_github_action_benchmark_reads_the_measured_cells() -> None:
    table = tidy()
    entries = json.loads(exports.action(table))
    assert len(entries) == 18
    assert len({entry["name"] for entry in entries}) == 18
    first = entries[0]
    assert first["name"] == "loops digits gradients float64 threads=1 m=1"
    assert first["unit"] == "s"
    assert first["value"] == table["seconds"].iloc[0]
    assert all(isinstance(entry["value"], float) for entry in entries)


def test_the_same_record_gives_the_same_bytes() -> None:
    for write in (exports.csv, exports.action):
        assert write(tidy()) == write(tidy())
