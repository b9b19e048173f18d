"""The import rules: impls <- benchmarks <- reports, a racer its own library only, nothing heavy up front."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

OURS = ("impls", "benchmarks", "reports", "tests")

MAY_IMPORT = {
    "impls": {"impls"},
    "benchmarks": {"benchmarks", "impls"},
    "reports": {"reports", "benchmarks"},
}

NO_RACERS = {
    "__init__",
    "__main__",
    "accuracy",
    "conformance",
    "double_double",
    "error_bound",
    "facts",
    "interface",
    "oracle",
    "reference",
    "referee",
    "registry",
}

BELOW = {
    "numba_loops": {"loops"},
    "numba_fused": {"numba_simd"},  # what it computes with, kept apart from what it computes
    "numba_parallel": {"numba_fused", "numba_simd"},
    "torch_compile": {"torch_eager"},
}
"""What a racer's file may import beside the contract: the files of the rung below it."""

READERS = ("results", "decision", "pairs_file")
"""What reports may import of the race: files and rules. Any machine can draw what another measured."""

NEEDS_MORE = (
    "numba",
    "torch",
    "jax",
    "jaxlib",
    "sklearn",
    "autograd",
    "scipy",
    "pandas",
    "matplotlib",
    "rich",
)


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, by its absolute name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where they lead"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_there_are_files_to_check() -> None:
    for package in OURS:
        assert files(package)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    for path in files(package):
        for name in imported(path):
            top = name.split(".")[0]
            assert top not in OURS or top in MAY_IMPORT[package], f"{path} imports {name}"


def test_reports_read_files_and_run_no_race() -> None:
    for path in files("reports"):
        for name in imported(path):
            parts = name.split(".")
            assert parts[0] != "benchmarks" or len(parts) == 1 or parts[1] in READERS, (
                f"{path} imports {name}"
            )


@pytest.mark.parametrize("reader", READERS)
def test_what_reports_read_needs_the_standard_library_alone(reader: str) -> None:
    for name in imported(ROOT / "benchmarks" / f"{reader}.py"):
        parts = name.split(".")
        ours = parts[0] == "benchmarks" and (len(parts) == 1 or parts[1] in READERS)
        assert ours or parts[0] in sys.stdlib_module_names, f"{reader} imports {name}"


def test_nothing_imports_the_tests() -> None:
    for package in MAY_IMPORT:
        for path in files(package):
            assert not [name for name in imported(path) if name.split(".")[0] == "tests"], path


def racers() -> list[Path]:
    return [path for path in files("impls") if path.stem not in NO_RACERS]


def test_every_racer_is_checked() -> None:
    from impls.registry import REGISTRY

    modules = {entry.target.partition(":")[0] for entry in REGISTRY.values()}
    assert modules <= {f"impls.{path.stem}" for path in racers()}


@pytest.mark.parametrize("path", racers(), ids=lambda path: path.stem)
def test_a_racer_imports_the_contract_its_library_and_the_rung_below(path: Path) -> None:
    allowed = {"interface", *BELOW.get(path.stem, set())}
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "impls" and len(parts) > 1:
            assert parts[1] in allowed, f"{path} imports {name}"


def loaded_by(statement: str) -> set[str]:
    """The top-level modules of a fresh interpreter after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import impls", "import impls; impls.load('loops')", "import impls; impls.names()"]
)
def test_backends_are_imported_only_on_load(statement: str) -> None:
    assert not loaded_by(statement) & set(NEEDS_MORE)


def test_a_report_needs_no_backend() -> None:
    assert not loaded_by("import reports, reports.__main__") & {
        "numba",
        "torch",
        "jax",
        "sklearn",
        "autograd",
    }
