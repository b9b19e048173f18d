"""pytest-benchmark's own ways are honoured, or a line says why not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.field.trial import ROOT, EndedCommand, run, statuses


def pytest_race(
    tmp_path: Path, *asked: str, status: int | None = 0, cwd: Path = ROOT, within: float = 120
) -> EndedCommand:
    """`pytest --benchmark-only`, of numpy in the smallest cell, gradients alone."""
    small = ("--impl=numpy", "--workload=xor", "--batch-sizes=1", "--no-report", "-k", "gradients")
    places = (f"--record={tmp_path / 'r.json'}", f"--benchmark-storage=file://{tmp_path / 'saved'}")
    return run(
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--benchmark-only",
        *small,
        *places,
        *asked,
        cwd=cwd,
        status=status,
        within=within,
    )


def test_comparing_with_nothing_saved_is_no_crash(tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, "--benchmark-compare", status=None)
    assert ended.status == 0
    assert "Can't load the previous benchmark" in " ".join(ended.text.split())
    assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}}


@pytest.mark.field
def test_comparing_with_a_number_that_is_not_saved_is_no_crash(tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, "--benchmark-compare=0007", status=None)
    assert ended.status in (0, 4)


@pytest.mark.field
def test_saving_and_comparing_go_on_working(tmp_path: Path) -> None:
    pytest_race(tmp_path, "--benchmark-save=first")
    assert list((tmp_path / "saved").glob("*/0001_first.json"))
    ended = pytest_race(tmp_path, "--benchmark-compare")
    assert "(0001_first)" in ended.text or "0001_fi" in ended.text


@pytest.mark.field
def test_a_threshold_that_is_exceeded_fails(tmp_path: Path) -> None:
    pytest_race(tmp_path, "--benchmark-autosave")
    (saved,) = (tmp_path / "saved").glob("*/0001_*.json")
    text = json.loads(saved.read_text("utf-8"))
    for each in text["benchmarks"]:
        each["stats"] = {k: v / 1000 if isinstance(v, float) else v for k, v in each["stats"].items()}
    saved.write_text(json.dumps(text), "utf-8")
    ended = pytest_race(tmp_path, "--benchmark-compare", "--benchmark-compare-fail=min:5%", status=None)
    assert ended.status == 1
    assert "Performance has regressed" in ended.text


IGNORED = {
    "--benchmark-min-rounds": "--benchmark-min-rounds=100",
    "--benchmark-min-time": "--benchmark-min-time=1",
    "--benchmark-max-time": "--benchmark-max-time=10",
    "--benchmark-timer": "--benchmark-timer=time.process_time",
    "--benchmark-warmup": "--benchmark-warmup=on",
    "--benchmark-cprofile": "--benchmark-cprofile=cumtime",
    "--benchmark-cprofile-top": "--benchmark-cprofile-top=5",
    "--benchmark-warmup-iterations": "--benchmark-warmup-iterations=5",
    "--benchmark-calibration-precision": "--benchmark-calibration-precision=20",
}


@pytest.mark.parametrize(
    "option",
    [pytest.param(o, marks=[] if o == "--benchmark-min-rounds" else pytest.mark.field) for o in IGNORED],
)
def test_an_option_that_does_nothing_is_named(option: str, tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, IGNORED[option], status=None)
    assert ended.status in (0, 4)
    lines = [line for line in ended.text.splitlines() if option in line and "rootdir" not in line]
    assert lines, ended.text


HONOURED = {
    "json": "--benchmark-json={tmp}/b.json",
    "histogram": "--benchmark-histogram={tmp}/h",
    "columns": "--benchmark-columns=min,max",
    "sort": "--benchmark-sort=name",
    "group": "--benchmark-group-by=func",
    "name": "--benchmark-name=short",
    "time unit": "--benchmark-time-unit=ns",
    "quiet": "--benchmark-quiet",
    "verbose": "--benchmark-verbose",
    "garbage": "--benchmark-disable-gc",
    "stop early": "-x",
    "durations": "--durations=3",
    "junit": "--junitxml={tmp}/junit.xml",
    "order": "-p no:randomly",
    "verbosity": "-vv",
    "quietness": "-qq",
    "no capture": "-s",
    "short tracebacks": "--tb=short",
    "one file": "benchmarks",
    "enabled": "--benchmark-enable",
    "groups of a parameter": "--benchmark-group-by=param:batch_size",
    "a file of its own": "--benchmark-storage=file://{tmp}/a,b",
    "colour": "--color=yes",
    "strict": "--strict-markers --strict-config",
    "warnings": "-W error",
}


@pytest.mark.field
@pytest.mark.parametrize("way", HONOURED)
def test_a_way_of_pytests_races(way: str, tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, *HONOURED[way].format(tmp=tmp_path).split(), status=None)
    if way == "histogram" and ended.status:  # needs a package besides
        assert ended.status == 4
        assert "pip install 'pytest-benchmark[histogram]'" in ended.text
        assert not (tmp_path / "r.json").exists()
        return
    assert ended.status == 0, ended
    assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}}
    if way == "json":
        assert json.loads((tmp_path / "b.json").read_text("utf-8"))["benchmarks"]
    if way == "junit":
        assert (tmp_path / "junit.xml").is_file()


@pytest.mark.field
@pytest.mark.parametrize(
    "asked",
    [
        *("--benchmark-skip", "--benchmark-disable", "--benchmark-json=/nonexistent/b.json"),
        *("--benchmark-compare-fail=nonsense", "--benchmark-columns=nonsense", "--benchmark-sort=nonsense"),
        *(
            "--benchmark-group-by=param:nonsense",
            "--benchmark-storage=nonsense://x",
            "--benchmark-name=nonsense",
        ),
        *("--benchmark-time-unit=h", "--benchmark-min-rounds=0", "--benchmark-json="),
    ],
)
def test_a_way_that_does_not_go_is_refused_before_any_work(asked: str, tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, asked, status=None)
    assert ended.status == 4, ended
    assert not (tmp_path / "r.json").exists()


@pytest.mark.field
@pytest.mark.parametrize("asked", ["-n2", "--dist=load -n2", "-n1"])
def test_workers_beside_each_other_time_nothing_silently(asked: str, tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    ended = pytest_race(tmp_path, *asked.split(), status=None)
    assert ended.status != 0 or "xdist" in ended.text, ended


@pytest.mark.field
def test_collecting_alone_measures_nothing(tmp_path: Path) -> None:
    pytest_race(tmp_path, "--collect-only")
    assert not (tmp_path / "r.json").exists()


@pytest.mark.field
def test_a_mistake_of_an_option_is_one_line(tmp_path: Path) -> None:
    ended = run(sys.executable, "-m", "pytest", "--benchmark-only", "--impl=nunpy", cwd=ROOT)
    assert ended.status == 4
    assert "did you mean 'numpy'?" in ended.text


@pytest.mark.field
def test_a_record_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, f"--record={tmp_path}", status=4)
    assert "--record" in ended.text


@pytest.mark.field
def test_pytest_from_another_folder_races_too(tmp_path: Path) -> None:
    ended = pytest_race(tmp_path, str(ROOT / "benchmarks"), "-c", str(ROOT / "pyproject.toml"), cwd=tmp_path)
    assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}}, ended


@pytest.mark.field
def test_pytest_without_timing_writes_no_record(tmp_path: Path) -> None:
    asked = ("--impl=numpy", "--workload=xor", "--batch-sizes=1", f"--record={tmp_path}/r.json")
    run(sys.executable, "-m", "pytest", "-q", "benchmarks", *asked, cwd=ROOT, status=0)
    assert not (tmp_path / "r.json").exists()


@pytest.mark.field
def test_pytest_without_the_plugin_says_what_is_missing(tmp_path: Path) -> None:
    ended = run(sys.executable, "-m", "pytest", "-p", "no:benchmark", "--benchmark-only", cwd=ROOT)
    assert ended.status == 4
