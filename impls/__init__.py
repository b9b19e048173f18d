"""What is compared: the contract, the implementations, and the referee that checks them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from impls.interface import (
    ACTIVATIONS,
    DTYPES,
    LOSSES,
    Implementation,
    Network,
    Problem,
    Result,
    Unavailable,
    Unsupported,
)
from impls.registry import extras, load, names

if TYPE_CHECKING:
    from impls.facts import lines_of_code
    from impls.referee import Verdict, check, held, quantities

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "LOSSES",
    "Implementation",
    "Network",
    "Problem",
    "Result",
    "Unavailable",
    "Unsupported",
    "Verdict",
    "check",
    "extras",
    "held",
    "lines_of_code",
    "load",
    "names",
    "quantities",
]

# `import impls` takes a moment wherever it is needed, so what only a few need is imported when they ask.
_LAZY = {
    "Verdict": "impls.referee",
    "check": "impls.referee",
    "held": "impls.referee",
    "lines_of_code": "impls.facts",
    "quantities": "impls.referee",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
