"""The cells of a race."""

from __future__ import annotations

import dataclasses

PHASES = ("forward", "gradients", "step")


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one measurement is of."""

    workload: str
    phase: str
    batch_size: int
    dtype: str
    threads: int
    implementation: str

    @property
    def lane(self) -> tuple[str, int, str, str]:
        """What one constructed implementation serves: every phase of it."""
        return (self.workload, self.batch_size, self.dtype, self.implementation)
