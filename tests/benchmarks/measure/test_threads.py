"""Threads: limited before anything counts the cores, and recorded as they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import threads

ROOT = Path(__file__).parents[3]

FRESH = """
import json, sys
from benchmarks.measure import threads
{before}
threads.limit_threads(1)
import numpy, scipy.linalg.blas, numba
print(json.dumps(threads.threads_in_force()))
"""


@pytest.mark.parametrize("before", ["assert 'numpy' not in sys.modules", "import numpy"])
def test_one_thread_is_one_thread_however_late_it_is_asked_for(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found = json.loads(done.stdout)
    assert set(found.values()) == {1}
    assert {"cpus", "numba"} <= set(found)
    assert threads.thread_warnings(found, 1) == []


def test_threads_that_differ_from_what_was_asked_are_warned_of() -> None:
    assert threads.thread_warnings({"openblas": 2, "cpus": 1}, 1) == ["openblas: 1 asked for, 2 in force"]


def test_more_threads_than_cpus_are_refused() -> None:
    with pytest.raises(ValueError, match="the CPUs that this process may use, got 100000"):
        threads.limit_threads(100000)
