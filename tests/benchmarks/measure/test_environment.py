"""Threads: limited before anything counts the cores, and told as they are."""

import json
import subprocess
import sys

import pytest

from benchmarks.measure import environment

FRESH = """
import json, sys
from benchmarks import environment
{before}
environment.limit_threads(1)
import numpy, scipy.linalg.blas, numba
print(json.dumps(environment.threads_in_force()))
"""


@pytest.mark.parametrize("before", ["assert 'numpy' not in sys.modules", "import numpy"])
def test_one_thread_is_one_thread_however_late_it_is_asked_for(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(before=before)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert set(found.values()) == {1}
    assert {"cpus", "numba"} <= set(found)
    assert environment.thread_warnings(found, 1) == []


def test_threads_that_differ_from_what_was_asked_are_told() -> None:
    assert environment.thread_warnings({"openblas": 2, "cpus": 1}, 1) == ["openblas: 1 asked for, 2 in force"]


def test_more_threads_than_cpus_are_refused() -> None:
    with pytest.raises(ValueError, match="the CPUs that this process may use, got 100000"):
        environment.limit_threads(100000)


def test_the_machine_and_the_versions_can_be_written_down() -> None:
    machine, versions = environment.machine(), environment.versions()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert {"python", "numpy", "numba", "blas"} <= set(versions)
    assert all(isinstance(value, str) for value in versions.values())
