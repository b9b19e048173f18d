"""The ranks of a job, as one of them sees them: MPI's, or processes that rank 0 starts on its host.

Their connections are sockets, whatever the implementation communicates by: a job without an order is at rest,
where MPI's waiting ranks would keep a core busy.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NamedTuple


class World(NamedTuple):
    """Which rank this process is, and its connections: of rank 0 to the others, in their order; of another
    one to rank 0. Of the ranks of its host, `on_host` of them, it is number `number_on_host`.
    """

    rank: int
    connections: Sequence[Connection]
    number_on_host: int
    on_host: int


def of_mpi(ranks: int) -> World:
    """That of a process which `mpiexec` started; raises ValueError where it did not start so many."""
    import mpi4py

    mpi4py.rc.thread_level = "funneled"  # only one thread calls MPI: it need not lock anything
    from mpi4py import MPI  # it starts MPI, at the level set above

    world = MPI.COMM_WORLD
    if world.size != ranks:
        library = MPI.Get_library_version().partition("\n")[0].strip("\0 ")
        raise ValueError(
            f"expected {ranks} ranks, got {world.size}: mpiexec is not of mpi4py's MPI, {library}"
        )
    host = world.Split_type(MPI.COMM_TYPE_SHARED)
    connections = [_connected(world)] if world.rank else _accepted(world, host.size == ranks)
    return World(world.rank, connections, host.rank, host.size)


def _accepted(world: Any, one_host: bool) -> list[Connection]:
    """The connections of MPI's rank 0 to the others, in their order."""
    key = os.urandom(32)
    with tempfile.TemporaryDirectory() as folder:
        place: Any = f"{folder}/ranks" if one_host else ("", 0)
        with Listener(place, backlog=world.size, authkey=key) as listener:
            at: Any = listener.address if one_host else (socket.gethostname(), listener.address[1])
            world.bcast((at, key))
            found: dict[int, Connection] = {}
            for _ in range(world.size - 1):
                other = listener.accept()
                found[other.recv()] = other
    return [found[rank] for rank in sorted(found)]


def _connected(world: Any) -> Connection:
    """The connection of another rank of MPI to rank 0."""
    at, key = world.bcast(None)
    leader = Client(at, authkey=key)
    leader.send(world.rank)
    return leader


def of_this_host(ranks: int, rank: int = 0, descriptor: int = -1) -> World:
    """That of rank 0, which starts the others with its own command line; or of one of them, by what is added
    to that.

    Where they meet is in the variables that torchrun sets (https://docs.pytorch.org/docs/stable/elastic/run.html).
    """
    if rank:
        return World(rank, [Connection(descriptor)], rank, ranks)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": str(ranks), "RANK": "0"}
    connections = []
    for rank in range(1, ranks):
        own, other = Pipe()
        with other:
            subprocess.Popen(
                [*sys.orig_argv, str(rank), str(other.fileno())],
                env=os.environ | {"RANK": str(rank)},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=[other.fileno()],
            )
        connections.append(own)
    return World(0, connections, 0, ranks)
