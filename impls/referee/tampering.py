"""Whether an implementation changed what it is measured and judged with: clocks, NumPy, referee, race.

It runs in the same process and can reach all of that. What it replaced is found here, by name, unless it
replaced this, too: only an implementation in a process of its own (`gradrace check --isolated`) cannot.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

MODULES = (
    *("builtins", "dataclasses", "functools", "gc", "math", "os", "resource", "statistics", "time"),
    *("numpy", "numpy.linalg", "threadpoolctl"),
)
"""What the referee and the clock of a race stand on."""

IN_DEPTH = ("random", "impls.referee", "impls.processes", "benchmarks.measure", "benchmarks.race")
"""Of these packages methods and constants are watched, too."""

Snapshot = dict[tuple[str, str], tuple[Any, ...]]


def snapshot() -> Snapshot:
    """What is watched of the modules that are loaded, by name, with the code behind it."""
    return {key: _behind(value) for key, value in _watched()}


def changed(before: Snapshot) -> list[str]:
    """The names that are something else now than they were in `before`; those added since are no matter."""
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
        in_depth = module.startswith(IN_DEPTH)
        if module in MODULES or in_depth:
            for name, value in list(vars(found).items()):
                if callable(value) or (in_depth and name.isupper()):
                    yield (module, name), value
                if in_depth and isinstance(value, type) and value.__module__ == module:
                    methods = {k: v for k, v in vars(value).items() if callable(v) or isinstance(v, property)}
                    yield from (((module, f"{name}.{inner}"), method) for inner, method in methods.items())
                    # one more may hide one that is inherited
                    yield (module, f"{name}.__dict__"), frozenset(methods)


def _behind(value: Any) -> tuple[Any, ...]:
    if isinstance(value, FunctionType):
        return value, value.__code__, value.__defaults__
    if isinstance(value, dict):
        return value, *value.values()
    return tuple(sorted(value)) if isinstance(value, frozenset) else (value,)
