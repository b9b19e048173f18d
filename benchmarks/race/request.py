"""A race as it is asked for, on the command line of pytest or of `python -m benchmarks`, checked."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

import impls
from benchmarks import options, workloads
from benchmarks.options import Settings


@dataclasses.dataclass(frozen=True)
class Request:
    """The options, as text."""

    impl: Sequence[str] = ()
    workload: Sequence[str] = ()
    batch_sizes: Sequence[str] = ()
    dtype: Sequence[str] = ()
    threads: str = "1"
    network: str | None = None
    activation: str | None = None
    loss: str | None = None
    seed: str | None = None

    def workloads(self) -> dict[str, workloads.Workload]:
        """The workloads to race on, by name: those asked for, the network of one's own, or the digits."""
        asked = options.items(self.workload)
        if not self.network:
            if self.activation or self.loss:
                raise ValueError(
                    "--activation and --loss describe --network: expected it with them, got none"
                )
            options.choices("--workload", asked, tuple(workloads.WORKLOADS))
            return {name: workloads.named(name) for name in asked or ["digits"]}
        if asked:
            raise ValueError("--network is a workload of its own: expected it without --workload, got both")
        activation, loss = self.activation or "sigmoid", self.loss or "mean_squared_error"
        workload = workloads.ad_hoc(self.network, activation, loss)
        return {f"{self.network} {activation} {loss}": workload}

    def settings(self) -> Settings:
        """The checked settings; raises ValueError or TypeError with what was expected and what was got."""
        sizes = options.items(self.batch_sizes) or [str(m) for m in workloads.BATCH_SIZES]
        return Settings(
            implementations=options.implementations("--impl", self.impl, impls.names()),
            workloads=tuple(self.workloads()),
            batch_sizes=options.positives("--batch-sizes", sizes),
            dtypes=options.choices("--dtype", options.items(self.dtype) or ["float64"], impls.DTYPES),
            threads=options.positive("--threads", self.threads),
            seed=secrets.randbelow(2**31) if self.seed is None else options.whole("--seed", self.seed),
        )

    def arguments(self) -> list[str]:
        """The same request on the command line of pytest, without the seed."""
        pairs = [
            *(("--impl", name) for name in self.impl),
            *(("--workload", name) for name in self.workload),
            *(("--batch-sizes", sizes) for sizes in self.batch_sizes),
            *(("--dtype", dtype) for dtype in self.dtype),
            ("--threads", self.threads),
            ("--network", self.network),
            ("--activation", self.activation),
            ("--loss", self.loss),
        ]
        return [f"{option}={value}" for option, value in pairs if value is not None]
