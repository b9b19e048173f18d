"""What the gate watches unless it is asked for other implementations: twelve benchmarks, a literal list.

numba compiles anew in every process: `numba-loops` and `numba`, which take as long to compile as
`numba-blocked`, would cost more than half of the pairs that a budget holds. At m = 1 `numba-blocked` takes a
microsecond, which differs by 4 % from one process to the next with the machine code that it happens to
compile: no budget of minutes shows 5 % there.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gate.controls import CONTROLS
from benchmarks.record.pairs_file import CONTROL, Benchmark

GATED = (
    Benchmark("loops", "digits", "gradients", 1, "float64"),
    Benchmark("numpy-sample", "digits", "gradients", 16, "float64"),
    Benchmark("numpy", "digits", "gradients", 1, "float64"),
    Benchmark("numpy", "digits", "forward", 64, "float64"),
    Benchmark("numpy", "digits", "step", 64, "float64"),
    Benchmark("numpy", "digits", "gradients", 1024, "float64"),
    Benchmark("numpy-inplace", "digits", "gradients", 64, "float64"),
    Benchmark("numpy-inplace", "digits", "step", 1024, "float64"),
    Benchmark("numba-blocked", "digits", "gradients", 64, "float64"),
    Benchmark("numba-blocked", "digits", "forward", 1024, "float64"),
    Benchmark("numba-blocked", "digits", "step", 64, "float64"),
    Benchmark("numba-blocked", "digits", "gradients", 1024, "float64"),
)

STEADY = tuple(Benchmark(CONTROL, "", kernel, 0, "float64") for kernel in CONTROLS)
"""The controls, measured in every process."""


def gated(implementations: Sequence[str]) -> tuple[Benchmark, ...]:
    """The benchmarks of these implementations; of all that `GATED` names where there are none.

    An implementation that `GATED` does not name is watched in its gradients, at a small, a middling and a
    large batch.
    """
    if not implementations:
        return GATED
    listed: list[Benchmark] = []
    for name in implementations:
        own = [benchmark for benchmark in GATED if benchmark.implementation == name]
        listed += own or [Benchmark(name, "digits", "gradients", m, "float64") for m in (1, 64, 1024)]
    return tuple(listed)
