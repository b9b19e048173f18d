"""The implementations by name: a literal table, plus those of installed distributions; loaded on demand."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple, cast

from impls.compiled import keep_compiled, share_compiled
from impls.interface import DTYPES, Implementation, Unavailable

ENTRY_POINTS = "gradrace.implementations"
"""The entry-point group in which an installed distribution names implementations of its own."""


Launcher = Literal["mpiexec", "python"]
"""The program that starts ranks: MPI's `mpiexec`, or the interpreter of the first one, on its host."""


class Entry(NamedTuple):
    """The place of an implementation (`module:Class`, or `name@interpreter`), and the extra that installs
    what it needs; what starts it where it runs in ranks, and then not in the process that loads it.
    """

    target: str
    extra: str | None = None
    launcher: Launcher | None = None


# Names are stored in records: they are stable. The order is that of the ladder.
REGISTRY: dict[str, Entry] = {
    "loops": Entry("impls.loops:Loops"),
    "loops-pypy": Entry("loops@pypy3"),
    "loops-ndarray": Entry("impls.loops_ndarray:LoopsNdarray"),
    "numpy-sample": Entry("impls.numpy_sample:NumpySample"),
    "numpy": Entry("impls.numpy_batch:NumpyBatch"),
    "numpy-inplace": Entry("impls.numpy_inplace:NumpyInplace"),
    "numba-loops": Entry("impls.numba_loops:NumbaLoops"),
    "numba": Entry("impls.numba_arrays:NumbaArrays"),
    "numba-blocked": Entry("impls.numba_blocked:NumbaBlocked"),
    "numba-parallel": Entry("impls.numba_parallel:NumbaParallel"),
    "numpy-mpi": Entry("impls.mpi_numpy:NumpyMpi", extra="mpi", launcher="mpiexec"),
    "numba-mpi": Entry("impls.mpi_numba:NumbaMpi", extra="mpi", launcher="mpiexec"),
    "jax": Entry("impls.jax_jit:JaxJit", extra="jax"),
    "jax-gloo": Entry("impls.jax_gloo:JaxGloo", extra="jax", launcher="python"),
    "torch": Entry("impls.torch_eager:TorchEager", extra="torch"),
    "torch-compile": Entry("impls.torch_compile:TorchCompile", extra="torch"),
    "torch-gloo": Entry("impls.torch_gloo:TorchGloo", extra="torch", launcher="python"),
    "sklearn": Entry("impls.sklearn_mlp:SklearnMLP", extra="sklearn"),
    "autograd": Entry("impls.autograd_numpy:AutogradNumpy", extra="autograd"),
}


def names(ranks: bool | None = None) -> tuple[str, ...]:
    """Every registered name, in the order of the ladder, whether or not it can be loaded here.

    Only of those that take ranks, or, with False, that do not. Those of installed distributions (entry points
    of the group `ENTRY_POINTS`) come last.
    """
    known = (*REGISTRY, *(name for name in _installed() if name not in REGISTRY))
    return tuple(name for name in known if ranks is None or takes_ranks(name) == ranks)


def takes_ranks(name: str) -> bool:
    """Whether an implementation shares each batch among a given number of processes."""
    return name in REGISTRY and REGISTRY[name].launcher is not None


def load(name: str, ranks: int = 1) -> type[Implementation]:
    """The class registered as `name`, or found at `path/to/file.py:Class` or `package.module:Class`.

    Followed by `@python`, the name or path of an interpreter, it runs in processes of that interpreter. One
    that takes ranks runs in as many processes.

    Raises ValueError for a name that is neither registered nor a target, for ranks below 1, and for several
    of an implementation that takes none; Unavailable, with what to install or to fix, for a class that cannot
    be imported or does not keep the contract.
    """
    if ranks < 1:
        raise ValueError(f"ranks: expected 1 or more, got {ranks}")
    if takes_ranks(name):
        return _load_in_ranks(name, ranks)
    if ranks > 1:
        known = ", ".join(filter(takes_ranks, REGISTRY))
        raise ValueError(f"ranks: expected an implementation that takes them ({known}), got {name}")
    place, colon, last = name.rpartition(":")  # a folder may have an @ in its name
    last, at, python = last.partition("@")
    if at:
        if not python or (not colon and last not in names()):
            raise _unknown(name)
        return _load_under(place + colon + last, python)
    if name in REGISTRY:
        return _load_own(name, REGISTRY[name])
    installed = _installed()
    if name in installed:
        try:
            return _load_outside(name, installed[name])
        except ValueError as error:  # the mistake is the distribution's, not the caller's
            raise Unavailable(f"{name}: its distribution has a wrong entry point: {error}") from error
    if ":" in name:
        return _load_outside(name, name)
    raise _unknown(name)


def _unknown(name: str) -> ValueError:
    return ValueError(
        f"implementation: expected one of {', '.join(names())}, or path/to/file.py:Class, "
        f"or package.module:Class, each with @python behind it or not; got {name!r}"
    )


@functools.cache
def _installed() -> dict[str, str]:
    """Name -> target of the implementations of installed distributions."""
    from importlib.metadata import (
        entry_points,
    )  # imported here, because it takes a third of the time of `import impls`

    points = entry_points(group=ENTRY_POINTS)
    found = sorted(points, key=lambda point: point.name)
    return {point.name: f"{point.module}:{point.attr or ''}" for point in found}


def _load_own(name: str, entry: Entry) -> type[Implementation]:
    under, at, python = entry.target.partition("@")
    if at:
        return _load_under(under, python)
    module, _, attribute = entry.target.partition(":")
    keep_compiled()
    try:
        found = cast("type[Implementation]", getattr(importlib.import_module(module), attribute))
    # A broken installation of a backend may raise anything; the other implementations must still load.
    except Exception as error:
        remedy = f"pip install -e '.[{entry.extra}]'" if entry.extra else "pip install -e ."
        raise Unavailable(f"{name} cannot be loaded ({error}); install what it needs: {remedy}") from error
    share_compiled()
    return found


def _load_under(name: str, python: str) -> type[Implementation]:
    from impls.child import in_child  # imported here, because few races need another process

    keep_compiled()
    return in_child(name, python)


def _load_in_ranks(name: str, ranks: int) -> type[Implementation]:
    from impls.ranks import in_ranks  # here, as in `_load_under`

    entry = REGISTRY[name]
    assert entry.launcher is not None
    keep_compiled()
    return in_ranks(name, entry.target, ranks, entry.launcher, f"pip install -e '.[{entry.extra}]'")


def _load_outside(name: str, target: str) -> type[Implementation]:
    place, _, attribute = target.rpartition(":")
    if not place or not attribute.isidentifier():
        raise ValueError(
            f"implementation: expected path/to/file.py:Class or package.module:Class, got {target!r}"
        )
    path = Path(place) if place.endswith(".py") else None
    if path and not _is_file(path):
        raise Unavailable(f"{name}: there is no file {path}")
    try:
        module = _import_file(path) if path else importlib.import_module(place)
    # This runs foreign code, which may raise anything; the other implementations must still load.
    except (Exception, SystemExit) as error:
        raise Unavailable(
            f"{name}: importing {place} failed with {type(error).__name__}: {error}; "
            "fix it, or install what it imports"
        ) from error
    if not hasattr(module, attribute):
        classes = [
            k for k, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__
        ]
        raise Unavailable(
            f"{name}: {place} has no {attribute}; it defines {', '.join(classes) or 'no class at all'}"
        )
    share_compiled()
    found = getattr(module, attribute)
    faults = faults_of(found)
    if faults:
        raise Unavailable(f"{name}: {attribute} is no implementation: {'; '.join(faults)}")
    return cast("type[Implementation]", found)


def _is_file(path: Path) -> bool:
    """Whether a path is a file; False if permissions hide it, which raises before Python 3.14."""
    with contextlib.suppress(OSError):
        return path.is_file()
    return False


def _import_file(path: Path) -> ModuleType:
    # A name of its own, so that a file called jax.py shadows nothing; registered, so that it can be pickled.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"gradrace_outside_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def faults_of(found: object) -> list[str]:
    """The reasons why `found` is not an `Implementation`; empty if it is one."""
    if not inspect.isclass(found):
        return [f"expected a class, got {type(found).__name__}"]
    # As text: interpreters before Python 3.10 cannot evaluate `str | None`.
    facts = [name for name, hint in Implementation.__annotations__.items() if hint.startswith("ClassVar")]
    methods = [name for name, value in vars(Implementation).items() if callable(value) and name[0] != "_"]
    faults = []
    for kind, wanted in (("fact", facts), ("method", methods)):
        lacking = [name for name in wanted if not hasattr(found, name)]
        if lacking:
            faults.append(f"it lacks the {kind}{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}")
    faults += [f"{name} is not callable" for name in methods if not callable(getattr(found, name, len))]
    dtypes = getattr(found, "dtypes", DTYPES)
    if not (isinstance(dtypes, tuple) and dtypes and all(d in DTYPES for d in dtypes)):
        faults.append(f"dtypes: expected a tuple of {' and '.join(DTYPES)}, got {dtypes!r}")
    for fact, kinds, words in (
        ("idea", str, "str"),
        ("differs_from", (str, type(None)), "str or None"),
        ("same_order", bool, "bool"),
        ("fast_math", str, "str"),
        ("layout", str, "str"),
    ):
        if hasattr(found, fact) and not isinstance(getattr(found, fact), kinds):
            faults.append(f"{fact}: expected {words}, got {getattr(found, fact)!r}")
    return faults
