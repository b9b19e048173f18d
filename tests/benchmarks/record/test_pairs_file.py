"""The pairs file: what is written is read back, and what is damaged is refused."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate.decision import RULES, Rule
from benchmarks.record import pairs_file
from benchmarks.record.documents import RecordError
from benchmarks.record.pairs_file import Benchmark, Commit, Incident, Pair, Pairs, Reading, Terms

NUMPY = Benchmark("test_numpy", terms=Terms({"median": RULES["median"]}))
HASH = Benchmark("control hash", control=True)


def commit(ref: str) -> Commit:
    return Commit(ref, ref * 40, {"cpu": "a CPU"}, {"numpy": "2.0"})


def pair(ratio: float, *benchmarks: Benchmark) -> Pair:
    readings = [Reading(b.name, 10, (1e-3,) * 4, (ratio * 1e-3,) * 4) for b in benchmarks]
    return Pair("2025-01-01T00:00:00+00:00", 5.0, "head", 1, 2, 3, 4, 0.5, tuple(readings))


def example(pairs: int = 2) -> Pairs:
    return Pairs(
        created="2025-01-01T00:00:00+00:00",
        command="gradrace gate run --base main",
        base=commit("a"),
        head=commit("b"),
        settings={"here": True},
        benchmarks=(NUMPY, HASH),
        incidents=(Incident(NUMPY.name, "head", "failed", "it raised"),),
        pairs=tuple(pair(1.1, NUMPY, HASH) for _ in range(pairs)),
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.json"
    pairs_file.write(example(), path)
    return path


def test_what_is_written_is_read_back(written: Path) -> None:
    assert pairs_file.read(written) == example()


def test_a_file_of_the_schema_before_is_read(written: Path) -> None:
    cell = {"workload": "digits", "phase": "gradients", "batch_size": 16, "dtype": "float64"}
    cells = [{"implementation": "numpy", **cell}, {"implementation": "control", **cell, "phase": "hash"}]
    names = {NUMPY.name: "numpy gradients m=16 digits float64", HASH.name: "control hash"}
    older = json.loads(written.read_text())
    older |= {"schema": 1, "benchmarks": cells, "rule": {"minimum_effect": 0.03, "target": 0.06}}
    for side in ("base", "head"):
        older[side]["threads_in_force"] = {"blas": 1}
    older["incidents"][0] |= {"benchmark": names[NUMPY.name], "status": "wrong"}
    for each in older["pairs"]:
        for reading in each["readings"]:
            reading["benchmark"] = names[reading["benchmark"]]
    written.write_text(json.dumps(older))
    found = pairs_file.read(written)
    assert [(b.name, b.control) for b in found.benchmarks] == [
        (names["test_numpy"], False),
        ("control hash", True),
    ]
    assert found.benchmarks[0].params == cells[0]
    assert found.benchmarks[0].terms.rules == {"median": Rule(0.03, 0.06)}
    assert found.incidents[0].status == "failed"
    assert [len(pair.readings) for pair in found.pairs] == [2, 2]
    del older["rule"]
    written.write_text(json.dumps(older))
    with pytest.raises(RecordError, match="expected a whole gradrace-pairs of schema 1"):
        pairs_file.read(written)


def test_a_half_written_file_is_refused(written: Path) -> None:
    text = written.read_text()
    for length in range(0, len(text) - 2, len(text) // 20):
        written.write_text(text[:length])
        with pytest.raises(RecordError, match=r"pairs\.json"):
            pairs_file.read(written)


def damage(document: dict[str, Any], way: str) -> None:
    if way == "benchmark twice":
        document["benchmarks"] *= 2
    elif way == "reading twice":
        document["pairs"][0]["readings"] *= 2
    elif way == "unknown benchmark":
        document["pairs"][0]["readings"][0]["benchmark"] = "other"
    elif way == "incident of nothing":
        document["incidents"][0]["benchmark"] = "other"
    elif way == "one-sided reading":
        document["pairs"][1]["readings"][0]["head"].pop()
    elif way == "no turns":
        document["pairs"][1]["readings"][0] |= {"base": [], "head": []}
    elif way == "zero seconds":
        document["pairs"][1]["readings"][0]["base"][0] = 0.0
    elif way == "no rule":
        document["benchmarks"][0]["terms"]["rules"]["median"]["target"] = 0.001
    elif way == "unknown side":
        document["pairs"][0]["first"] = "left"
    elif way == "another format":
        document["format"] = "gradrace-record"
    elif way == "newer":
        document["schema"] += 1


@pytest.mark.parametrize(
    "way",
    [
        "benchmark twice",
        "reading twice",
        "unknown benchmark",
        "incident of nothing",
        "one-sided reading",
        "no turns",
        "zero seconds",
        "no rule",
        "unknown side",
        "another format",
        "newer",
    ],
)
def test_a_file_that_contradicts_itself_is_refused(written: Path, way: str) -> None:
    document = json.loads(written.read_text())
    damage(document, way)
    written.write_text(json.dumps(document))
    with pytest.raises(RecordError, match=r"pairs\.json"):
        pairs_file.read(written)


def test_a_disturbance_of_both_sides_and_a_spike_of_one_make_no_difference() -> None:
    base = (1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 1.0)
    head = (1.1, 1.1, 9.0, 5.5, 5.5, 5.5, 1.1)
    disturbed = dataclasses.replace(pair(1.0), readings=(Reading(NUMPY.name, 10, base, head),))
    assert pairs_file.differences(disturbed.readings[0])["median"] == pytest.approx(math.log(1.1))


@pytest.mark.parametrize("turns", [2, 6, 7, 80])
def test_who_goes_first_makes_no_difference(turns: int) -> None:
    """Whoever worked last finds its data in the cache; two disturbed turns change nothing of that."""
    cold = [1.6 if k % 2 else 1.0 for k in range(turns)]
    base, head = cold, [1.05 * 1.6 / seconds for seconds in cold]
    if turns >= 6:
        head = [*head[:-2], 30.0, 20.0]
    found = pairs_file.differences(Reading("test_numpy", 1, tuple(base), tuple(head)))
    assert found["median"] == pytest.approx(math.log(1.05))


def test_the_difference_is_the_logarithm_of_head_over_base() -> None:
    found = pairs_file.differences(pair(1.1, NUMPY).readings[0])
    assert found["median"] == found["mean"] == pytest.approx(math.log(1.1))


def test_controls_are_watched_and_benchmarks_are_gated() -> None:
    quiet = dataclasses.replace(example(), incidents=(), pairs=(pair(1.0, NUMPY, HASH),) * 6)
    decision = pairs_file.decision(quiet)
    assert decision.controls == {HASH.name: "steady"}
    assert {name: f.outcome for name, f in decision.benchmarks.items()} == {NUMPY.name: "same"}


def test_the_rule_of_the_file_decides() -> None:
    slow = dataclasses.replace(example(), pairs=(pair(1.1, NUMPY),) * 12)
    easy = dataclasses.replace(NUMPY, terms=Terms({"median": Rule(0.2, 0.3)}))
    lenient = dataclasses.replace(slow, benchmarks=(easy, HASH))
    assert pairs_file.decision(slow).benchmarks[NUMPY.name].outcome == "slower"
    assert pairs_file.decision(lenient).benchmarks[NUMPY.name].outcome == "same"
