"""The ranks of a job, from the view of one of them: those of MPI, or processes that rank 0 starts on its
host.

Their connections are sockets, even if the implementation communicates by MPI: a job without an order is idle,
while waiting ranks of MPI would keep a core busy.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NamedTuple, NoReturn

FORWARD_SECONDS = 0.5
"""The seconds that `mpiexec` has to forward what a rank prints before it aborts: it drops the rest. Without
them MPICH lost the message of one in twelve."""


class World(NamedTuple):
    """The rank of this process, and its connections: of rank 0 to the others, in their order; of another
    one to rank 0. Of the ranks of its host, `on_host` of them, it is number `number_on_host`.
    """

    rank: int
    connections: Sequence[Connection]
    number_on_host: int
    on_host: int


def of_mpi(ranks: int) -> World:
    """The world of a process that `mpiexec` started.

    Raises ValueError if it started another number of ranks, and OSError if one cannot reach rank 0's host.
    """
    import mpi4py

    mpi4py.rc.thread_level = "funneled"  # only one thread calls MPI: it need not lock anything
    from mpi4py import MPI  # it starts MPI, at the level set above

    world = MPI.COMM_WORLD
    if world.size != ranks:
        library = MPI.Get_library_version().partition("\n")[0].strip("\0 ")
        raise ValueError(
            f"rank {world.rank}: expected {ranks} ranks, got {world.size}: mpiexec is not that of mpi4py's "
            f"MPI, {library}"
        )
    host = world.Split_type(MPI.COMM_TYPE_SHARED)
    number_on_host, on_host = host.rank, host.size
    host.Free()
    connections = [_connected(world)] if world.rank else _accepted(world, on_host == ranks)
    return World(world.rank, connections, number_on_host, on_host)


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
    try:
        leader = Client(at, authkey=key)
    except OSError as error:
        raise OSError(f"rank {world.rank}: cannot reach rank 0 at {at}: {error}") from error
    leader.send(world.rank)
    return leader


def abort_mpi(words: str) -> NoReturn:
    """End the job of this rank with a message, by MPI, as the others may wait in a call of MPI."""
    from mpi4py import MPI

    print(words, file=sys.stderr, flush=True)
    time.sleep(FORWARD_SECONDS)
    MPI.COMM_WORLD.Abort(1)
    os._exit(1)


def of_this_host(ranks: int, rank: int = 0, descriptor: int = -1) -> World:
    """The world of rank 0, which starts the others with its own command line; or of one of them, by what is
    added to that.

    Their meeting point is in the variables that torchrun sets
    (https://docs.pytorch.org/docs/stable/elastic/run.html).
    """
    if rank:
        return World(rank, [Connection(descriptor)], rank, ranks)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_reserved_port())}
    os.environ |= {"WORLD_SIZE": str(ranks), "RANK": "0"}
    connections = []
    for other in range(1, ranks):
        own, theirs = Pipe()
        with theirs:
            subprocess.Popen(
                [*sys.orig_argv, str(other), str(theirs.fileno())],
                env=os.environ | {"RANK": str(other)},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=[theirs.fileno()],
            )
        connections.append(own)
    return World(0, connections, 0, ranks)


def _reserved_port() -> int:
    """A port of this host that no other process gets while this one runs.

    A socket without a listener reserves it: gloo's and JAX's servers may bind it, too, as they set one of
    these options (socket(7)), and a search for a free port passes over it.
    """
    holder = socket.socket()
    for shared in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        holder.setsockopt(socket.SOL_SOCKET, shared, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()  # open until the process ends
    return port
