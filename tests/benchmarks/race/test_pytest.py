"""The race as a user starts it: `pytest --benchmark-only`, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import race_file

ROOT = Path(__file__).parents[3]

WRONG = """
import dataclasses
from impls.numpy_batch import NumpyBatch

class Wrong(NumpyBatch):
    idea = "one layer's gradient is left out"

    def export(self):
        result = super().export()
        return dataclasses.replace(result, dw=(result.dw[0] * 1.001, *result.dw[1:]))

class Slow(NumpyBatch):
    def forward(self):
        import time
        time.sleep(0.2)
        return super().forward()
"""


NOBODYS = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
"""The environment of a race, without the variables of these tests and of the workers that run them."""


UNNEEDED = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Plugins that take longer than a small race: Hypothesis is imported for its summary, where there is none."""


def race(*arguments: str) -> Any:
    command = [sys.executable, "-m", "pytest", "--benchmark-only", *UNNEEDED, *arguments]
    return subprocess.run(command, cwd=ROOT, env=NOBODYS, capture_output=True, text=True, check=False)


def test_a_race_leaves_a_record_and_pytest_benchmarks_own(tmp_path: Path) -> None:
    record, own = tmp_path / "record.json", tmp_path / "own.json"
    done = race(
        "--impl=loops,numpy",
        "--batch-sizes",
        "1,4",
        f"--record={record}",
        "--seed=7",
        f"--benchmark-json={own}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = race_file.read(record)
    assert written.settings["seed"] == written.processes[0].seed == 7
    assert not any("asked for" in warning for warning in written.processes[0].warnings)
    assert set(written.processes[0].threads_in_force.values()) == {1}
    assert written.workloads["digits"].widths == (64, 32, 10)
    cells = {(m.implementation, m.phase, m.batch_size) for m in written.measurements}
    assert len(cells) == len(written.measurements) == 2 * 3 * 2
    for m in written.measurements:
        assert m.status == "measured"
        assert len(m.seconds) >= 3
        assert m.iterations >= 1
        assert m.error_of_bound is not None
        assert 0 <= m.error_of_bound <= 1
        assert m.bound_of_norm is not None
        assert 0 < m.bound_of_norm < 0.01
        assert m.construct_seconds is not None
        assert m.construct_seconds > 0
    document = json.loads(own.read_text())
    assert len(document["benchmarks"]) == 12
    for entry in document["benchmarks"]:
        extra = entry["extra_info"]
        assert extra["widths"] == [64, 32, 10]
        assert extra["flops"] > 0
        assert extra["error_of_bound"] <= 1
        assert extra["compile_seconds"] == 0
        assert entry["params"]["implementation"] in ("loops", "numpy")
    assert document["machine_info"]["threads"] == dict(written.processes[0].threads_in_force)
    assert "openblas" in document["machine_info"]["versions"]["blas"]
    # The report of this very record, at the end of the output.
    assert str(record) in done.stdout
    assert (tmp_path / "summary.md").exists()


def test_a_wrong_implementation_fails_its_tests_and_the_others_go_on(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(WRONG)
    record = tmp_path / "record.json"
    target = f"{outside}:Wrong"
    done = race(
        "--no-report",
        f"--impl={target},numpy",
        "--batch-sizes=4",
        f"--record={record}",
        "-k",
        "gradients or step",
    )
    assert done.returncode == 1
    assert "times its bound" in done.stdout, done.stdout
    statuses = {(m.implementation, m.status) for m in race_file.read(record).measurements}
    assert statuses == {(target, "wrong"), ("numpy", "measured")}


def test_an_interrupted_race_leaves_the_record_that_was_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(WRONG)
    record = tmp_path / "record.json"
    record.write_text("what was there")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--benchmark-only",
        f"--impl={outside}:Slow",
        f"--record={record}",
    ]
    with subprocess.Popen(
        [*command, "-v", "--capture=no"],
        cwd=ROOT,
        env=NOBODYS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "test_cell" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode != 0, rest
    assert record.read_text() == "what was there"
    assert {path.name for path in tmp_path.iterdir()} <= {"__pycache__", "outside.py", "record.json"}


def test_a_later_race_can_be_compared_with_a_saved_one(tmp_path: Path) -> None:
    common = (
        "--no-report",
        "--impl=numpy",
        "--batch-sizes=1",
        f"--record={tmp_path}/r.json",
        f"--benchmark-storage={tmp_path}",
    )
    saved = race(*common, "-k", "forward", "--benchmark-save=first")
    assert saved.returncode == 0, saved.stdout
    compared = race(
        *common, "-k", "forward", "--benchmark-compare=0001", "--benchmark-compare-fail=min:100000%"
    )
    assert compared.returncode == 0, compared.stdout
    assert "(0001_first)" in compared.stdout
    (file,) = tmp_path.glob("*/0001_first.json")
    earlier = json.loads(file.read_text())
    earlier["benchmarks"][0]["stats"]["min"] = 1e-12
    file.write_text(json.dumps(earlier))
    failed = race(*common, "-k", "forward", "--benchmark-compare=0001", "--benchmark-compare-fail=min:5%")
    assert failed.returncode != 0
    assert "Performance has regressed" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--impl", "nunpy"], "did you mean 'numpy'?"),
        (["--activation", "relu"], "describe --network"),
        (["--network", "4-2", "--workload", "xor"], "without --workload, got both"),
        (["--network", "64"], "expected the inputs and at least one layer"),
    ],
)
def test_a_wrong_request_ends_before_anything_is_raced(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = race(*arguments, f"--record={tmp_path}/record.json")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_ones_own_is_raced_on_random_data(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = race(
        "--no-report", "--impl=numpy", "--batch-sizes=2", "--dtype=float32", "--network", "6-5-4",
        "--activation", "relu", "--loss", "softmax_cross_entropy", f"--record={record}", "-k", "step",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (workload,) = race_file.read(record).workloads.values()
    assert (workload.widths, workload.activations, workload.data) == (
        (6, 5, 4),
        ("relu", "softmax"),
        "random",
    )
