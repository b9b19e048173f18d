"""The cells of a race, and what may become of them."""

from __future__ import annotations

import dataclasses
from typing import Literal

PHASES = ("forward", "gradients", "step")

Status = Literal[
    "measured", "skipped", "unsupported", "unavailable", "wrong", "implausible", "failed", "timed out"
]
"""What became of a cell: `skipped` was predicted too slow, `unsupported` was refused by the implementation,
`unavailable` lacks a package, `wrong` did not pass the referee, before or while it was timed, `implausible`
was faster than the machine can be, `failed` raised or crashed, `timed out` hung.
"""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one measurement is of: so many `ranks`, processes that share the batch, of `threads` each."""

    workload: str
    phase: str
    batch_size: int
    dtype: str
    threads: int
    implementation: str
    ranks: int = 1
