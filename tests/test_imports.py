"""The import rules: impls <- benchmarks <- reports, an implementation its own library only, nothing heavy up
front; and one name for one thing.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import impls
from impls.registry import REGISTRY

ROOT = Path(__file__).parent.parent

OURS = ("impls", "benchmarks", "reports", "tests")

MAY_IMPORT = {
    "impls": {"impls"},
    "benchmarks": {"benchmarks", "impls"},
    "reports": {"reports", "benchmarks"},
}

NO_IMPLEMENTATION = {
    "__init__",
    "__main__",
    "child",
    "cli",
    "facts",
    "interface",
    "processes",
    "progress",
    "ranks",
    "registry",
    "serve",
    "serve_ranks",
    "shares",
    "without_numpy",
    "worlds",
}

DOORS = ("benchmarks.record", "benchmarks.gate.decision")
"""The modules of the race that reports may import, so that any machine can draw what another measured."""

NEEDS_MORE = (
    "mpi4py",
    "numba",
    "torch",
    "jax",
    "jaxlib",
    "optax",
    "sklearn",
    "autograd",
    "scipy",
    "pandas",
    "matplotlib",
    "rich",
)


@functools.cache
def imported(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, wherever in it, by its absolute name."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where they lead"
            assert node.module is not None
            found += (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    return tuple(found)


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


def through_a_door(name: str) -> bool:
    return any(f"{name}.".startswith(f"{door}.") or door.startswith(f"{name}.") for door in DOORS)


def test_reports_enter_the_race_by_two_doors() -> None:
    for path in files("reports"):
        for name in imported(path):
            assert name.split(".")[0] != "benchmarks" or through_a_door(name), f"{path} imports {name}"


def names_of_impls(path: Path) -> Iterator[str]:
    """Every name below `impls` that a file imports, or reads as an attribute of the package."""
    yield from (name.removeprefix("impls.") for name in imported(path) if name.startswith("impls."))
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "impls":
            yield node.attr


def test_the_race_uses_what_impls_exports_and_nothing_below() -> None:
    exported = {*impls.__all__, "__file__"}
    for path in files("benchmarks"):
        for name in names_of_impls(path):
            assert name in exported, f"{path} uses impls.{name}"


def test_whatever_impls_exports_is_there() -> None:
    for name in impls.__all__:
        assert getattr(impls, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        impls.nothing  # noqa: B018 - the attribute is the test


def test_the_record_stands_alone() -> None:
    for path in files("benchmarks/record"):
        for name in imported(path):
            assert name.split(".")[0] != "benchmarks" or through_a_door(name), f"{path} imports {name}"


def test_the_decision_needs_the_standard_library_alone() -> None:
    for name in imported(ROOT / "benchmarks" / "gate" / "decision.py"):
        assert name.split(".")[0] in sys.stdlib_module_names, f"the decision imports {name}"


def test_nothing_imports_the_tests() -> None:
    for package in MAY_IMPORT:
        for path in files(package):
            assert not [name for name in imported(path) if name.split(".")[0] == "tests"], path


def test_only_the_commands_of_a_package_import_the_whole_command() -> None:
    for package in MAY_IMPORT:
        for path in files(package):
            assert path.name == "__main__.py" or "gradrace" not in imported(path), path
    whole = (ROOT / "gradrace.py").read_text("utf-8")
    assert not re.search(r"^(import|from) (impls|benchmarks|reports)", whole, re.MULTILINE)


def implementations() -> list[Path]:
    return [path for path in sorted((ROOT / "impls").glob("*.py")) if path.stem not in NO_IMPLEMENTATION]


def below(path: Path) -> set[str]:
    """The files of the implementations that those in a file say they differ from."""
    facts = re.findall(r'\bdiffers_from\b.*= "([\w-]+)"', path.read_text("utf-8"))
    return {REGISTRY[name].target.partition(":")[0].removeprefix("impls.") for name in facts}


def test_every_implementation_is_checked() -> None:
    modules = {entry.target.partition(":")[0] for entry in REGISTRY.values() if ":" in entry.target}
    assert modules <= {f"impls.{path.stem}" for path in implementations()}
    assert below(ROOT / "impls" / "torch_compile.py") == {"torch_eager"}


@pytest.mark.parametrize("path", implementations(), ids=lambda path: path.stem)
def test_an_implementation_imports_the_contract_its_library_and_what_it_stands_on(path: Path) -> None:
    allowed = {"interface", "kernels", "shares"} | below(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "impls" and len(parts) > 1:
            assert parts[1] in allowed, f"{path} imports {name}"


def meanings(path: Path) -> Iterator[tuple[str, str]]:
    """Every class in a file and every alias of a type at its top: the name, and what it stands for."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name, f"the class at {path.relative_to(ROOT)}:{node.lineno}"
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if re.fullmatch(r"_*[A-Z]+[a-z]\w*", name):
                yield name, ast.unparse(node.value)


def test_a_class_has_a_name_of_its_own() -> None:
    """Implementations aside, which write the same layer down in their own ways, to be read side by side."""
    written_again = {*implementations(), *files("impls/kernels")}
    checked = [*(path for package in OURS for path in files(package)), *ROOT.glob("*.py")]
    found: dict[str, set[str]] = {}
    for path in checked:
        for name, meaning in () if path in written_again else meanings(path):
            found.setdefault(name, set()).add(meaning)
    assert {"Implementation", "SideOrder", "Reals"} <= found.keys()
    twice = {name: sorted(those) for name, those in found.items() if len(those) > 1}
    assert not twice, twice


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
    assert not loaded_by("import reports, reports.cli") & {
        "numba",
        "torch",
        "jax",
        "sklearn",
        "autograd",
    }


ENTRIES = {"benchmarks": 10, "reports": 14}
"""The largest numbers of entries at the top of packages, without data, tests and dunder files."""

LEVELS = 6


@pytest.mark.parametrize(("package", "most"), ENTRIES.items())
def test_a_package_is_small_at_its_top(package: str, most: int) -> None:
    entries = [
        path.name
        for path in (ROOT / package).iterdir()
        if not path.name.startswith(("__", "test_")) and path.name not in ("data", "out", "py.typed")
    ]
    assert len(entries) <= most, sorted(entries)


@functools.cache
def levels(module: str) -> tuple[str, ...]:
    """The longest chain of imports that begins at a module and stays inside its package."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    below = {
        name
        for name in imported(file)
        if name.split(".")[0] == module.split(".")[0] and name != module and is_a_file(name)
    }
    return (module, *max((levels(name) for name in sorted(below)), key=len, default=()))


def is_a_file(name: str) -> bool:
    return (ROOT / name.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("package", ENTRIES)
def test_imports_inside_a_package_are_few_levels_deep(package: str) -> None:
    for path in files(package):
        chain = levels(".".join(path.relative_to(ROOT).with_suffix("").parts))
        assert len(chain) <= LEVELS, " -> ".join(chain)
