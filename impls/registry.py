"""Who races: a literal table from names to classes, loaded only when asked for."""

from __future__ import annotations

import importlib
from typing import NamedTuple, cast

from impls.interface import Implementation, Unavailable


class Entry(NamedTuple):
    """Where a racer is, and what it needs: distribution names as pip knows them."""

    target: str
    extra: str | None = None


# Names are stored in records: they are stable. The order is that of the ladder.
REGISTRY: dict[str, Entry] = {
    "loops": Entry("impls.loops:Loops"),
    "numpy": Entry("impls.numpy_batch:NumpyBatch"),
    "numba": Entry("impls.numba_fused:NumbaFused"),
}


def names() -> tuple[str, ...]:
    """Every registered name, in the order of the ladder, whether or not it can be loaded here."""
    return tuple(REGISTRY)


def load(name: str) -> type[Implementation]:
    """The class registered as `name`.

    Raises ValueError for an unknown name and Unavailable, saying what to install, where a package is missing.
    """
    if name not in REGISTRY:
        raise ValueError(f"implementation: expected one of {', '.join(REGISTRY)}, got {name!r}")
    entry = REGISTRY[name]
    module, _, attribute = entry.target.partition(":")
    try:
        return cast("type[Implementation]", getattr(importlib.import_module(module), attribute))
    except ImportError as error:
        remedy = f"pip install -e '.[{entry.extra}]'" if entry.extra else "pip install -e ."
        raise Unavailable(f"{name} cannot be loaded ({error}); install what it needs: {remedy}") from error
