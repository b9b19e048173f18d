"""The distributions that an implementation imports, with their versions and size."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Collection, Iterator
from importlib import metadata

from packaging.requirements import Requirement

PRESENT = "numpy"
"""The distribution that every user has, whose size is not counted."""

OF_THE_RACE = {"threadpoolctl"}
"""Packages that limit threads; races need them, implementations do not."""


def needed(module: str) -> frozenset[str]:
    """The distributions that a loaded module imports, itself or by modules of its own package."""
    found, seen, left = set(), set(), [module]
    while left:
        name = left.pop()
        if name in seen or name not in sys.modules:
            continue
        seen.add(name)
        for imported in _imports(name):
            top = imported.partition(".")[0]
            if top == module.partition(".")[0]:
                left.append(imported)
            elif top not in sys.stdlib_module_names:
                found |= _distributions(top)
    return frozenset(found - OF_THE_RACE)


def _imports(module: str) -> Iterator[str]:
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):  # a compiled module, or a namespace
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _distributions(package: str) -> set[str]:
    """The distributions that a package is from: the one of its name, or those that a search finds."""
    try:
        return {metadata.distribution(package).metadata["Name"]}
    except metadata.PackageNotFoundError:
        return set(metadata.packages_distributions().get(package, ()))


def versions(distributions: Collection[str]) -> dict[str, str]:
    """The version of each distribution."""
    return {name: metadata.version(name) for name in sorted(distributions)}


def installed_bytes(distributions: Collection[str]) -> int:
    """The size on disk of the distributions and all their requirements, without those of NumPy."""
    have = _required({PRESENT})
    return sum(map(_bytes, _required(set(distributions)) - have))


def _required(names: set[str]) -> set[str]:
    """The names of these distributions and of all that they require, as far as they are installed."""
    found: set[str] = set()
    left = list(names)
    while left:
        try:
            one = metadata.distribution(left.pop())
        except metadata.PackageNotFoundError:
            continue
        name = one.metadata["Name"].lower()
        if name not in found:
            found.add(name)
            wanted = map(Requirement, one.requires or ())
            left += [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


@functools.cache
def _bytes(distribution: str) -> int:
    """The size of a distribution's files by its own list, of which there are tens of thousands; or 0."""
    return sum(file.size or 0 for file in metadata.distribution(distribution).files or ())
