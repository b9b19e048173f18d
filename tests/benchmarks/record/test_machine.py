"""The machine and its software, as a record has them."""

import json

import numba
import numpy as np

from benchmarks.record import machine


def test_the_machine_and_the_versions_can_be_written_down() -> None:
    described, versions = machine.machine(), machine.versions()
    assert json.loads(json.dumps(described)) == described
    assert described["cpu"]
    assert described["cores"] >= 1
    assert (versions["numpy"], versions["numba"]) == (np.__version__, numba.__version__)
    assert {"python", "blas"} <= set(versions)
    assert all(isinstance(value, str) for value in versions.values())
