"""Races that belong together, and races that do not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.record import merging, race_file

WORKLOAD = race_file.RecordedWorkload((2, 1), ("sigmoid",), "mean_squared_error", "xor")
FACTS = race_file.Facts("an idea", None, ("float64",), True, "none", "lists")


def record(name: str, **changes: Any) -> race_file.Record:
    one = race_file.Record(
        created="2026-01-01",
        command=f"race {name}",
        machine={"cpu": "a CPU", "cores": 2},
        versions={"numpy": "2.0"},
        settings={"threads": 1, "seed": 1, "implementations": [name]},
        workloads={"xor": WORKLOAD},
        implementations={name: FACTS},
        processes=(race_file.Process(seed=1, started="then", seconds=1.0),),
        measurements=(
            race_file.Measurement(
                "xor", "step", name, 1, "float64", 1, 0, "measured", seconds=(1.0,), iterations=1
            ),
        ),
    )
    return dataclasses.replace(one, **changes)


def test_the_processes_of_all_races_are_those_of_one() -> None:
    later = (race_file.Process(seed=2, started="later", seconds=1.0),)
    merged = merging.merge(
        [record("loops"), record("numpy", settings={"threads": 1, "seed": 2}, processes=later)]
    )
    assert len(merged.processes) == 2
    assert [(m.implementation, m.process) for m in merged.measurements] == [("loops", 0), ("numpy", 1)]
    assert set(merged.implementations) == {"loops", "numpy"}
    assert merged.command == "race loops; race numpy"


def test_a_process_counts_once() -> None:
    with pytest.raises(ValueError, match="expected races that have no process in common, got one of then"):
        merging.merge([record("loops"), record("loops")])


def test_other_code_under_the_same_name_is_refused() -> None:
    changed = {"loops": dataclasses.replace(FACTS, source="something else")}
    with pytest.raises(ValueError, match="loops: its code changed"):
        merging.merge([record("loops"), record("loops", implementations=changed)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": {"cpu": "another", "cores": 2}}, "machine differ in 'cpu': 'a CPU' and 'another'"),
        ({"versions": {"numpy": "2.1"}}, "versions differ in 'numpy': '2.0' and '2.1'"),
        ({"versions": {"numpy": "2.0", "jax": "1"}}, "versions differ in 'jax': None and '1'"),
        ({"settings": {"threads": 1, "commit": "b"}}, "settings differ in 'commit': None and 'b'"),
        (
            {"workloads": {"xor": dataclasses.replace(WORKLOAD, widths=(3, 1))}},
            r"workloads xor differ in 'widths': \[2, 1\] and \[3, 1\]",
        ),
    ],
)
def test_other_machines_versions_and_settings_are_refused_with_both_values(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        merging.merge([record("loops"), record("numpy", **changes)])
