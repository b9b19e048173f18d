"""The program's side of docs/protocol.md for several processes: the ranks of a job.

Rank 0 reads the orders, sends each to the others, carries it out as they do, and answers once all of them
have. If `mpiexec` starts the ranks, rank 0 reads and answers on a socket.

If one rank ends, or raises an exception that the others do not, the others would wait in a sum without end.
So each rank watches its sockets, and ends when another rank hangs up; a rank that raised an exception waits
for `GRACE` seconds until all have answered, then ends the job with its message, as "rank 1: ...".
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hmac
import os
import pickle
import secrets
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import IO, Any, NoReturn

from impls import serve, shares, worlds
from impls.interface import Result
from impls.worlds import World

GRACE = 3.0
"""The seconds that ranks which raised an exception wait for the others."""

KEY_SECONDS = 10.0
"""The seconds that a connection may take to send the key, as other programs may find the port."""

_REFUSALS = ("unsupported", "unavailable", "error")
_GO_ON = b"+"


def main(target: str, launcher: str, ranks: str, *of_rank: str) -> None:
    """Answer the orders on the standard input of rank 0 for the implementation at `target`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no rank outlives its parent
    if launcher == "mpiexec":
        try:
            world = worlds.of_mpi(int(ranks))
        except (ValueError, OSError) as error:
            worlds.abort_mpi(str(error))
    else:
        world = worlds.of_this_host(int(ranks), *map(int, of_rank))
    served = ServedRank(target, world)
    _watch(world)
    if world.rank:
        os.dup2(2, 1)  # the standard output of a job's further ranks is not read
        _follow(served, world.connections[0])
    else:
        _lead(served, world.connections, by_socket=launcher == "mpiexec")


class ServedRank(serve.Served):
    """One rank's object of an implementation, held to CPUs of its own where its host has enough for all."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name)
        self.world = world
        self.cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.exported: Result

    def carry_out(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """As in one process; for an export, the part of this rank, which `together` joins to the others'."""
        if order["kind"] == "allreduces":
            return {"seconds": shares.allreduces(self.race.allreduce_of, order["sizes"])}, b""
        if order["kind"] == "export":
            self.exported = self.race.export()
            return {}, pickle.dumps(shares.result_of_columns(self.exported))
        if order["kind"] == "construct" and self.cpus:
            self.hold_to_cpus(max(1, order["threads"]))
        return super().carry_out(order, data)

    def hold_to_cpus(self, threads: int) -> None:
        """Hold this rank to `threads` CPUs that no other rank of the host has, or to all if too few."""
        first, enough = self.world.number_on_host * threads, self.world.on_host * threads <= len(self.cpus)
        os.sched_setaffinity(0, self.cpus[first : first + threads] if enough else self.cpus)

    def together(self, parts: Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
        """The export of all ranks, from the parts of each."""
        # what the ranks of a job send each other is their own: it may be pickled
        of_ranks = [pickle.loads(part) for part in parts]  # noqa: S301
        return {}, serve.numbers(shares.whole(self.exported, of_ranks), self.problem)


def _lead(served: ServedRank, others: Sequence[Connection], by_socket: bool) -> None:
    orders, answers = serve.streams()
    if by_socket:
        orders, answers = _moved(served, others, orders, answers)
    for order, data in serve.read(orders):
        serve.write(answers, order, *_carried_out(served, others, order, data))
    os._exit(0)  # the other ranks end with it; finalizing MPI would wait for them


def _moved(
    served: ServedRank, others: Sequence[Connection], orders: IO[bytes], answers: IO[bytes]
) -> tuple[IO[bytes], IO[bytes]]:
    """Answer the first order with an address, and accept the others there.

    `mpiexec` forwards the standard input in pieces, and that of MPICH ends a job that reads one of them late.
    """
    order, data = next(serve.read(orders))
    answer, content = _carried_out(served, others, order, data)
    if _refused(answer):
        serve.write(answers, order, answer, content)
        return orders, answers
    host, key = socket.gethostname(), secrets.token_hex()
    local = order.get("host") == host
    with socket.create_server(("127.0.0.1" if local else "", 0)) as server:
        answer["address"] = ["127.0.0.1" if local else host, server.getsockname()[1], key]
        serve.write(answers, order, answer, content)
        while True:
            connection, _ = server.accept()
            with contextlib.suppress(OSError), connection:  # it stays open with what is made of it
                connection.settimeout(KEY_SECONDS)
                orders, answers = connection.makefile("rb"), connection.makefile("wb")
                if hmac.compare_digest(orders.readline(len(key) + 1), key.encode() + b"\n"):
                    connection.settimeout(None)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return orders, answers


def _carried_out(
    served: ServedRank, others: Sequence[Connection], order: dict[str, Any], data: bytes
) -> tuple[dict[str, Any], bytes]:
    """The answer of all ranks to an order, with its content."""
    for other in others:
        other.send((order, data))
    own, content = serve.answer(functools.partial(served.carry_out, order, data))
    if _refused(own):
        late = [rank for rank, other in enumerate(others, 1) if not other.poll(GRACE)]
        if late:
            _end(f"rank 0: {_refused(own)}")
    theirs = [other.recv() for other in others]
    for other, (each, _) in zip(others, theirs, strict=True):
        if _refused(each):
            other.send_bytes(_GO_ON)
    found, contents = zip((own, content), *theirs, strict=True)
    together = _together(found)
    if order["kind"] == "export" and not _refused(together):
        return serve.answer(functools.partial(served.together, contents))
    return together, b""


def _together(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer of all ranks: the refusal of one of them, or the answer of rank 0."""
    for rank, each in enumerate(answers):
        if _refused(each):
            return {**each, "error": f"rank {rank}: {each['error']}"} if "error" in each else each
    compiling = [each["compile_seconds"] for each in answers if "compile_seconds" in each]
    return {**answers[0], "compile_seconds": max(compiling)} if compiling else answers[0]


def _refused(answer: dict[str, Any]) -> str:
    """Why a rank did not carry out an order; empty if it did."""
    return next((str(answer[word]) for word in _REFUSALS if word in answer), "")


def _follow(served: ServedRank, leader: Connection) -> None:
    while True:
        order, data = leader.recv()
        own, content = serve.answer(functools.partial(served.carry_out, order, data))
        leader.send((own, content))
        if _refused(own):
            if not leader.poll(GRACE):
                _end(f"rank {served.world.rank}: {_refused(own)}")
            assert leader.recv_bytes() == _GO_ON


def _watch(world: World) -> None:
    """End this rank as soon as one of the others is gone, even during a call."""
    poll = select.poll()
    for connection in world.connections:
        poll.register(connection.fileno(), getattr(select, "POLLRDHUP", 0))

    def wait() -> None:
        gone = {descriptor for descriptor, _ in poll.poll()}
        for rank, one in enumerate(world.connections, 1):
            if one.fileno() in gone and not world.rank:
                print(f"rank {rank}: ended", file=sys.stderr, flush=True)
        os._exit(1)

    if world.connections:
        threading.Thread(target=wait, daemon=True).start()


def _end(words: str) -> NoReturn:
    """End this rank, and with it the job, with a last message."""
    print(words, file=sys.stderr, flush=True)
    os._exit(1)
