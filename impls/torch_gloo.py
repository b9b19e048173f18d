"""`torch-gloo`: `torch` in several processes, ranks, each with its columns of every batch.

As PyTorch's documentation advises for CPUs: `torch.distributed` with its backend gloo. Every rank
computes the gradients of its columns, divided by the m of the whole batch; copied into one tensor, a single
`all_reduce` makes them the averages. So all make the same update, and no parameter ever travels.

`DistributedDataParallel` sums in buckets during the backward pass; but usually nearly all numbers
are those of the first layer's dw, which comes last, so that it took longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import distributed

from impls import shares
from impls.interface import Problem, Unsupported
from impls.kernels.masks import lowbias32
from impls.torch_eager import TorchEager


class TorchGloo(TorchEager):
    """The network of `torch` in tensors of a rank's columns."""

    idea = "the batch spread over ranks, averages by one all_reduce of gloo"
    differs_from: ClassVar[str | None] = "torch"
    layout = "a rank's columns in matrices like those of torch, all gradients in one tensor"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"torch-gloo computes in {' or '.join(self.dtypes)}, got {dtype}")
        if not distributed.is_initialized():
            distributed.init_process_group("gloo")  # by the variables of torchrun
        self.whole = problem
        rank, ranks = distributed.get_rank(), distributed.get_world_size()
        self.columns = shares.columns_of("torch-gloo", problem.batch_size, rank, ranks)
        super().__init__(shares.share_of(problem, self.columns), dtype, threads)

    def warm_up(self) -> None:
        # As yet the averages are those of a batch that has these columns only, and so are the masks.
        self.m = self.whole.batch_size
        self.hashes = [
            torch.from_numpy(lowbias32(shares.mask_index(n, self.m, self.columns)).view(np.int32))
            for n in self.whole.network.widths[1:-1]
        ]
        sizes = [parameter.numel() for parameter in self.parameters]
        self.dp = torch.empty(sum(sizes), dtype=self.parameters[0].dtype)  # all dw and db
        self.averages = [
            part.view_as(parameter)
            for part, parameter in zip(self.dp.split(sizes), self.parameters, strict=True)
        ]
        super().warm_up()

    def gradients(self) -> None:
        self.gradients_alone()
        torch.cat([d.reshape(-1) for d in self.d], out=self.dp)
        distributed.all_reduce(self.dp)
        self.d = self.averages

    def gradients_alone(self) -> None:
        """The gradients of this rank's columns, without communication."""
        super().gradients()

    def allreduce_of(self, size: int) -> Callable[[], None]:
        """A function that sums `size` bytes over the ranks, to be timed."""
        numbers = torch.zeros(size // 4)
        return lambda: distributed.all_reduce(numbers)
