"""The packages that an implementation needs."""

from __future__ import annotations

from importlib import metadata

import pytest

import impls
from benchmarks.measure import packages


def needed(name: str) -> frozenset[str]:
    return packages.needed(impls.load(name).__module__)


def test_numpy_alone_needs_nothing_else() -> None:
    for name in ("loops", "numpy", "numpy-inplace"):
        assert needed(name) == {"numpy"}
        assert packages.installed_bytes(needed(name)) == 0


def test_what_an_implementations_own_package_imports_counts() -> None:
    assert {"numpy", "numba", "llvmlite"} <= needed("numba-blocked")  # by way of its kernels


def test_a_library_counts_with_all_that_it_requires() -> None:
    numba = packages.installed_bytes({"numba"})
    assert numba == packages.installed_bytes({"numba", "llvmlite"})
    assert numba > packages.installed_bytes({"llvmlite"}) > 10 * 2**20


def test_a_package_is_known_by_its_distribution() -> None:
    pytest.importorskip("sklearn")
    assert "scikit-learn" in needed("sklearn")


def test_versions_are_those_that_are_installed() -> None:
    assert packages.versions({"numpy", "numba"}) == {
        "numba": metadata.version("numba"),
        "numpy": metadata.version("numpy"),
    }


def test_what_was_never_loaded_needs_nothing() -> None:
    assert packages.needed("nowhere.to.be.found") == frozenset()
