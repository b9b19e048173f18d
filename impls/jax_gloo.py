"""`jax-gloo`: `jax` in several processes, ranks, each with its columns of every batch.

As JAX's documentation advises for several processes: all run one program over a mesh of their devices
(`jax.shard_map`), and XLA compiles the communication, which is gloo's on CPUs, into it. Every rank computes
the gradients of its columns, divided by the m of the whole batch; one `psum` of all dw and db in one array
makes them the averages. So all make the same update, and no parameter ever travels.

As there is one program for all, every rank has as many columns as the others.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from impls import shares
from impls.interface import Problem, Result, Unsupported
from impls.jax_jit import COLUMNS, WHOLE, Array, JaxJit, Parameters


class JaxGloo(JaxJit):
    """The functions of `jax`, spread over a mesh that has a device of each rank."""

    idea = "the batch spread over ranks, averages by one psum inside of what is compiled"
    differs_from: ClassVar[str | None] = "jax"
    layout = "a rank's columns in matrices; the compiler chooses strides"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        # the variables are those of torchrun: JAX has none of its own
        rank, ranks, m = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), problem.batch_size
        shares.columns_of("jax-gloo", m, rank, ranks)
        if m % ranks:
            raise Unsupported(
                f"jax-gloo needs as many samples on each rank, got {ranks} ranks and batch_size {m}"
            )
        if not jax.distributed.is_initialized():
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            at = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            jax.distributed.initialize(at, num_processes=ranks, process_id=rank)
        super().__init__(problem, dtype, threads)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices of all ranks."""
        return Mesh(jax.devices("cpu"), "ranks")

    def put(self, tree: Any, spec: PartitionSpec) -> Any:
        def put_one(array: Any) -> Array:
            own = np.asarray(array)
            return jax.make_array_from_callback(own.shape, NamedSharding(self.mesh, spec), own.__getitem__)

        return jax.tree.map(put_one, tree)

    def spread(self, function: Any, arguments: Any, results: Any) -> Any:
        # check_vma would sum each gradient by itself
        return jax.shard_map(function, mesh=self.mesh, in_specs=arguments, out_specs=results, check_vma=False)

    def averaged(self, d: Parameters) -> Parameters:
        flat, of_flat = ravel_pytree(d)
        averages: Parameters = of_flat(lax.psum(flat, "ranks"))
        return averages

    def columns(self, table: Any) -> Array:
        each = table.shape[1] // self.mesh.size
        return lax.dynamic_slice_in_dim(table, lax.axis_index("ranks") * each, each, axis=1)

    @functools.cached_property
    def _gradients_alone(self) -> Any:
        batch, last = (COLUMNS, COLUMNS, WHOLE), (COLUMNS, COLUMNS)
        alone = jax.jit(self.spread(self.own_gradients, (WHOLE, *batch), (WHOLE, last)))
        with jax.enable_x64(True):
            return alone.lower(self.parameters, *self.each[0], self.t).compile()

    def gradients_alone(self) -> None:
        """The gradients of this rank's columns, without communication."""
        self.last_batch = self.batch
        self.d, self.last = jax.block_until_ready(
            self._gradients_alone(self.parameters, *self.each[self.batch], self.t)
        )

    def allreduce_of(self, size: int) -> Callable[[], Any]:
        """A function that sums `size` bytes over the ranks, to be timed."""
        numbers = self.put(np.zeros(size // 4, np.float32), WHOLE)
        summed = jax.jit(self.spread(lambda x: lax.psum(x, "ranks"), (WHOLE,), WHOLE))
        summed(numbers)  # compiled before it is timed
        return lambda: jax.block_until_ready(summed(numbers))

    def export(self) -> Result:
        z, a, y = (array.addressable_data(0) for array in (*self.last, self.each[self.last_batch][1]))
        return self.result(z, a, y)
