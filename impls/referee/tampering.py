"""Detects an implementation that replaces functions which measure or judge it: clocks, NumPy, referee, race.

The implementation runs in the same process and can replace any of them, this module included. Only a process
of its own (`gradrace check --isolated`) rules that out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

MODULES = ("builtins", "time", "gc", "statistics", "numpy", "numpy.linalg", "threadpoolctl")
"""The modules of others that the referee and the clock of a race use."""

OWN = ("impls.referee", "impls.processes", "benchmarks.measure", "benchmarks.race")

Snapshot = dict[tuple[str, str], tuple[Any, ...]]


def snapshot() -> Snapshot:
    """Every function and class of the watched modules that are loaded, with its code."""
    return {key: _behind(value) for key, value in _watched()}


def changed(before: Snapshot) -> list[str]:
    """The names of `before` that are removed or replaced now."""
    now = dict(_watched())
    return [
        ".".join(key)
        for key, kept in before.items()
        if key not in now
        or len(kept) != len(found := _behind(now[key]))
        or any(a is not b for a, b in zip(kept, found, strict=True))
    ]


def _watched() -> Iterator[tuple[tuple[str, str], Any]]:
    package = sys.modules["impls"]
    for name in package.__all__:  # looked up there by the race, and found by its __getattr__ unless replaced
        if callable(value := getattr(package, name)):
            yield ("impls", name), value
    for module, found in list(sys.modules.items()):
        if module in MODULES or module.startswith(OWN):
            for name, value in list(vars(found).items()):
                if callable(value):
                    yield (module, name), value
                if isinstance(value, type) and value.__module__ == module and module.startswith(OWN):
                    for inner, method in list(vars(value).items()):
                        if callable(method) or isinstance(method, property):
                            yield (module, f"{name}.{inner}"), method


def _behind(value: Any) -> tuple[Any, ...]:
    if isinstance(value, FunctionType):
        return value, value.__code__, value.__defaults__
    return (value,)
