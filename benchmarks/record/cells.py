"""The cells of a race, and the status of their measurements."""

from __future__ import annotations

import dataclasses
from typing import Literal

PHASES = ("forward", "gradients", "step")

Status = Literal[
    "measured", "skipped", "unsupported", "unavailable", "wrong", "implausible", "failed", "timed out"
]
"""The status of a cell: `skipped` was predicted too slow, `unsupported` was refused by the implementation,
`unavailable` lacks a package, `wrong` did not pass the referee before or while it was timed, `implausible`
was faster than the machine can be, `failed` raised or crashed, `timed out` hung.
"""


@dataclasses.dataclass(frozen=True)
class Cell:
    """The parameters of one measurement; `ranks` processes share the batch, each with `threads` threads."""

    workload: str
    phase: str
    batch_size: int
    dtype: str
    threads: int
    implementation: str
    ranks: int = 1
