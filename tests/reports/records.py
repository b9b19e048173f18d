"""Records made up for tests: plausible times, any number of implementations, every status."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.record.race_file import Facts, Measurement, Process, Record, RecordedWorkload
from reports.analysis import Analysis

LADDER = (
    *("loops", "loops-ndarray", "numpy-sample", "numpy", "numpy-inplace", "numba-loops", "numba"),
    *("numba-parallel", "jax", "torch", "torch-compile", "sklearn", "autograd", "mine"),
)
SIZES = (1, 4, 16, 64, 256, 1024)

# Seconds of a call with no samples, and seconds a sample: about what the digits network takes.
COSTS = {
    "loops": (2e-6, 4e-4),
    "loops-ndarray": (4e-6, 1.1e-3),
    "numpy-sample": (9e-6, 2.4e-5),
    "numpy": (2.2e-5, 5.5e-7),
    "numpy-inplace": (1.4e-5, 4.3e-7),
    "numba-loops": (6e-7, 3.9e-6),
    "numba": (1.1e-6, 2.6e-7),
    "numba-parallel": (6e-6, 1.4e-7),
    "jax": (2.4e-5, 3.8e-7),
    "torch": (1.2e-4, 5.9e-7),
    "torch-compile": (6e-5, 4.2e-7),
    "sklearn": (8e-5, 6.3e-7),
    "autograd": (1.9e-4, 9e-7),
    "mine": (5e-5, 3e-6),
}

BELOW = {
    "loops": None,
    "numpy": "numpy-sample",
    "numpy-inplace": "numpy",
    "numba": "numba-loops",
    "numba-parallel": "numba",
    "jax": "numpy",
    "torch": "numpy",
    "torch-compile": "torch",
}
COMPILATION = {"numba-loops": 3.0, "numba": 6.0, "numba-parallel": 9.0, "jax": 0.7, "torch-compile": 8.0}
CALIBRATION = {"gemm_float64": 5e10, "gemm_float32": 1e11, "triad": 1e10, "interpreter": 4e-8, "timer": 5e-8}


def facts(name: str, differs_from: str | None = "") -> Facts:
    return Facts(
        idea=f"WIDE MARGINS, MANY WORDS, NO END OF THEM: what is the idea of {name}?",
        differs_from=BELOW.get(name, "loops") if differs_from == "" else differs_from,
        dtypes=("float64",),
        same_order=name == "loops",
        fast_math="none",
        layout="columns",
        lines_of_code=100,
        versions={"numpy": "2.4"},
        source=f"class {name.title().replace('-', '')}:\n    pass  # <{name}>\n",
    )


def cell(
    name: str,
    size: int,
    process: int = 0,
    seconds: tuple[float, ...] = (1e-3,),
    workload: str = "digits",
    phase: str = "gradients",
    dtype: str = "float64",
    threads: int = 1,
    **more: Any,
) -> Measurement:
    """One measured cell, or with `status` another."""
    if more.get("status", "measured") != "measured":
        seconds = ()
    return Measurement(
        workload,
        phase,
        name,
        size,
        dtype,
        threads,
        process,
        **{"status": "measured", "iterations": 1, **more},
        seconds=seconds,
    )


def record(
    measurements: list[Measurement],
    names: tuple[str, ...] | None = None,
    workloads: tuple[str, ...] = ("digits",),
    **more: Any,
) -> Record:
    """The record of these measurements."""
    names = tuple(dict.fromkeys(m.implementation for m in measurements)) if names is None else names
    processes = 1 + max((m.process for m in measurements), default=0)
    made = {
        "created": "2025-01-02T03:04:05+00:00",
        "command": "python -m benchmarks race",
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"python": "3.11", "numpy": "2.4"},
        "settings": {"threads": 1},
        "workloads": {
            name: RecordedWorkload((64, 32, 10), ("sigmoid", "sigmoid"), "mean_squared_error", "digits")
            for name in workloads
        },
        "implementations": {name: facts(name) for name in names},
        "processes": tuple(
            Process(seed, "2025-01-02T03:04:05+00:00", 30.0, calibration=CALIBRATION)
            for seed in range(processes)
        ),
        "measurements": tuple(measurements),
    }
    return Record(**{**made, **more})


def race(
    names: tuple[str, ...] = LADDER[:3],
    sizes: tuple[int, ...] = SIZES,
    processes: int = 5,
    rounds: int = 5,
    noise: float = 0.02,
    scale: float = 1.0,
    workloads: tuple[str, ...] = ("digits",),
    phases: tuple[str, ...] = ("gradients",),
    dtypes: tuple[str, ...] = ("float64",),
    **more: Any,
) -> Record:
    """A whole race with every figure of a cell; `scale` multiplies every time."""
    rng = np.random.default_rng(0)
    out = []
    for process in range(processes):
        luck = np.exp(noise * rng.standard_normal())
        for workload in workloads:
            for phase in phases:
                for dtype in dtypes:
                    for name in names:
                        if name == "loops" and dtype != "float64":
                            continue
                        fixed, each = COSTS.get(name, (5e-5, 3e-6))
                        for size in sizes:
                            typical = (
                                scale * luck * (fixed + each * size) * (0.6 if dtype == "float32" else 1)
                            )
                            seconds = typical * np.exp(noise * rng.standard_normal(rounds))
                            flops = size * 12000
                            out.append(
                                cell(
                                    name,
                                    size,
                                    process,
                                    tuple(float(value) for value in seconds),
                                    workload=workload,
                                    phase=phase,
                                    dtype=dtype,
                                    construct_seconds=typical + COMPILATION.get(name, 0.0),
                                    compile_seconds=COMPILATION.get(name, 0.0),
                                    flops=flops,
                                    bytes=size * 900 + 20000,
                                    peak_bytes=size * (1500 + 100 * names.index(name)) + 40000,
                                    least_bytes=size * 900 + 30000,
                                    error_of_bound=0.01,
                                    error_ulp=3.0 * (1 + names.index(name) % 4),
                                    error_ulp_median=0.5,
                                )
                            )
    return record(out, names, workloads, **more)


def rows(made: Record, over: str = "loops") -> pd.DataFrame:
    """The panel that is shown of a record, over a baseline."""
    analysis = Analysis(made)
    return analysis.rows(analysis.panel(), over)
