"""The contract, the implementations that are compared, and the referee that checks them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impls.child import Child
    from impls.compiled import keep_compiled
    from impls.facts import lines_of_code
    from impls.interface import (
        ACTIVATIONS,
        DTYPES,
        LOSSES,
        OPTIMIZERS,
        Implementation,
        Network,
        Problem,
        Result,
        Training,
        Unavailable,
        Unsupported,
    )
    from impls.kernels.caches import caches
    from impls.processes import (
        THREAD_VARIABLES,
        cpu_seconds,
        descendants,
        end_of,
        how_it_ended,
        launched,
        printed,
    )
    from impls.progress import progress_console
    from impls.referee import (
        State,
        Verdict,
        changed,
        check,
        first_state,
        held,
        judge_forward,
        judge_gradients,
        judge_step,
        judge_train,
        judge_unseen_step,
        quantities,
        snapshot,
    )
    from impls.registry import load, names, takes_ranks

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "LOSSES",
    "OPTIMIZERS",
    "THREAD_VARIABLES",
    "Child",
    "Implementation",
    "Network",
    "Problem",
    "Result",
    "State",
    "Training",
    "Unavailable",
    "Unsupported",
    "Verdict",
    "caches",
    "changed",
    "check",
    "cpu_seconds",
    "descendants",
    "end_of",
    "first_state",
    "held",
    "how_it_ended",
    "judge_forward",
    "judge_gradients",
    "judge_step",
    "judge_train",
    "judge_unseen_step",
    "keep_compiled",
    "launched",
    "lines_of_code",
    "load",
    "names",
    "printed",
    "progress_console",
    "quantities",
    "snapshot",
    "takes_ranks",
]

# Imported where it is first asked for: help needs no NumPy, and an implementation no referee.
_PLACES = (
    "impls.processes",
    "impls.progress",
    "impls.interface",
    "impls.registry",
    "impls.compiled",
    "impls.facts",
    "impls.kernels.caches",
    "impls.child",
    "impls.referee",
)


def __getattr__(name: str) -> Any:
    places = map(import_module, _PLACES if name in __all__ else ())
    for place in places:
        if hasattr(place, name):
            return getattr(place, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
