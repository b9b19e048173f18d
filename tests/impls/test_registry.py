"""Loading: the table, targets outside it, entry points; what is missing is an error of its own alone."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import impls
from impls import registry
from impls.loops import Loops

LOOPS: object = Loops

LADDER = (
    "loops",
    "loops-pypy",
    "loops-ndarray",
    "numpy-sample",
    "numpy",
    "numpy-inplace",
    "numba-loops",
    "numba",
    "numba-blocked",
    "numba-parallel",
    "numpy-mpi",
    "numba-mpi",
    "jax",
    "jax-gloo",
    "torch",
    "torch-compile",
    "torch-gloo",
    "sklearn",
    "autograd",
)

SOURCE = """
from impls.loops import Loops

class Mine(Loops):
    idea = "mine"
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Entry points, as installed distributions would bring them: name -> target."""
    points: dict[str, str] = {}

    def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
        return [importlib.metadata.EntryPoint(name, target, group) for name, target in points.items()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._installed.cache_clear()
    yield points
    registry._installed.cache_clear()


def written(tmp_path: Path, source: str) -> str:
    path = tmp_path / "implementation.py"
    path.write_text(source)
    return f"{path}:Mine"


def test_names_are_those_of_the_ladder_in_its_order() -> None:
    assert impls.names()[: len(LADDER)] == LADDER


def test_every_name_loads_an_implementation_or_says_what_to_install() -> None:
    for name, entry in registry.REGISTRY.items():
        try:
            found = impls.load(name)
        except impls.Unavailable as missing:
            install = f".[{entry.extra}]" if entry.extra else "apt-get install pypy3"
            assert install in str(missing)  # noqa: PT017 - either way is a pass
        else:
            assert registry.faults_of(found) == []


def test_every_rung_differs_from_a_registered_one() -> None:
    for name in impls.names():
        try:
            below = impls.load(name).differs_from
        except impls.Unavailable:
            continue
        assert below is None or below in impls.names()


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected one of loops, .*, autograd, .*; got 'numpie'"):
        impls.load("numpie")


def test_a_missing_extra_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # so Python marks a module that cannot be imported
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    monkeypatch.delitem(sys.modules, "impls.sklearn_mlp", raising=False)
    with pytest.raises(
        impls.Unavailable, match=r"sklearn cannot be loaded .* pip install -e '\.\[sklearn\]'"
    ):
        impls.load("sklearn")
    assert impls.load("loops") is LOOPS


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("torch", OSError("libgomp.so.1: cannot open shared object file")),
        ("jax", RuntimeError("jaxlib version 0.1 is incompatible with jax version 0.9")),
    ],
)
def test_a_library_that_does_not_load_is_unavailable_too(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise error

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(impls.Unavailable, match=rf"{name} cannot be loaded \({error}\).* '\.\[{name}\]'"):
        impls.load(name)


def test_a_file_brings_its_class(tmp_path: Path) -> None:
    assert impls.load(written(tmp_path, SOURCE)).idea == "mine"


def test_a_module_brings_its_class() -> None:
    assert impls.load("impls.loops:Loops") is LOOPS


def test_a_file_called_like_a_library_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(SOURCE)
    impls.load(f"{tmp_path / 'numpy.py'}:Mine")
    assert sys.modules["numpy"].__file__ != str(tmp_path / "numpy.py")


def test_an_installed_distribution_brings_its_class(installed: dict[str, str]) -> None:
    installed["theirs"] = "impls.loops:Loops"
    assert impls.names() == (*LADDER, "theirs")
    assert impls.load("theirs") is LOOPS


def test_a_distribution_cannot_replace_a_rung(installed: dict[str, str]) -> None:
    installed["numpy"] = "impls.loops:Loops"
    assert impls.names() == LADDER
    assert impls.load("numpy") is not LOOPS


def test_a_broken_distribution_stops_nobody(installed: dict[str, str]) -> None:
    installed["theirs"] = "no_such_package:Mine"
    assert "theirs" in impls.names()
    with pytest.raises(impls.Unavailable, match="theirs: importing no_such_package failed"):
        impls.load("theirs")
    assert impls.load("loops") is LOOPS


def test_an_entry_point_that_names_no_class_stops_nobody(installed: dict[str, str]) -> None:
    for target in ("impls.loops", "impls.loops:Loops.forward"):
        installed["theirs"] = target
        registry._installed.cache_clear()
        assert impls.load("loops") is LOOPS
        with pytest.raises(impls.Unavailable, match="theirs: its distribution has a wrong entry point"):
            impls.load("theirs")
    installed["theirs"] = "impls.loops : Loops [extra]"
    registry._installed.cache_clear()
    assert impls.load("theirs") is LOOPS


@pytest.mark.parametrize(
    "target", [":Mine", "implementation.py:", "implementation.py:not a name", "impls.loops:"]
)
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"expected path/to/file\.py:Class or package\.module:Class, got"):
        impls.load(target)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(impls.Unavailable, match=r"there is no file .*nowhere\.py"):
        impls.load(f"{tmp_path / 'nowhere.py'}:Mine")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("class Mine(:", r"SyntaxError: .*line 1"),
        ("raise SystemExit('away')", "SystemExit: away"),
    ],
)
def test_a_file_that_fails_to_import_is_named_with_its_error(
    tmp_path: Path, source: str, message: str
) -> None:
    before = set(sys.modules)
    with pytest.raises(impls.Unavailable, match=rf"implementation\.py failed with {message}"):
        impls.load(written(tmp_path, source))
    assert not [name for name in set(sys.modules) - before if "outside_implementation" in name]
    assert impls.load("loops") is LOOPS


def test_a_missing_class_is_answered_with_those_there_are(tmp_path: Path) -> None:
    source = "from impls.loops import Loops\nclass Other: ...\nclass Another: ..."
    with pytest.raises(impls.Unavailable, match=r"has no Mine; it defines Other, Another"):
        impls.load(written(tmp_path, source))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SOURCE.replace('idea = "mine"', "train = None"), "train is not callable"),
        (SOURCE.replace('idea = "mine"', "idea = 1"), "idea: expected str, got 1"),
        (SOURCE.replace('idea = "mine"', "dtypes = ()"), r"dtypes: expected a tuple .* got \(\)"),
        (SOURCE.replace('idea = "mine"', "dtypes = ('float16',)"), "dtypes: expected a tuple"),
        (SOURCE.replace('idea = "mine"', "same_order = 'yes'"), "same_order: expected bool, got 'yes'"),
        ("Mine = 1", "expected a class, got int"),
        ("class Mine: ...", "it lacks the methods forward, gradients, step, train, export"),
        (
            "class Mine:\n idea = layout = fast_math = ''\n differs_from = None\n same_order = True\n"
            " dtypes = ('float64',)\n forward = gradients = step = train = lambda self: None",
            "it lacks the method export",
        ),
        (
            "class Mine:\n idea = layout = fast_math = ''\n same_order = True\n dtypes = ('float64',)\n"
            " forward = gradients = step = train = export = lambda self: None",
            "it lacks the fact differs_from",
        ),
    ],
)
def test_a_class_that_is_no_implementation_is_told_what_it_lacks(
    tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(impls.Unavailable, match=rf"Mine is no implementation: .*{message}"):
        impls.load(written(tmp_path, source))
