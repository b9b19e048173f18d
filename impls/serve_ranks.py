"""The program's side of docs/protocol.md where it is several: ranks that `mpiexec` started.

Rank 0 reads the orders, hands each to the others, carries it out as they do, and answers once all of them
have. Orders go over sockets and not by MPI, whose waiting ranks keep a core busy: a job without an order is
at rest, and disturbs nothing that is timed meanwhile.

A rank that ends, or that raises what the others do not, would leave these in a sum for ever. So each watches
its sockets for a hang-up and ends with whoever hangs up; and a rank that raised something waits for `GRACE`
seconds until all have answered, then it ends the job with its words, as "rank 1: ...".
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NoReturn

import mpi4py

mpi4py.rc.thread_level = "funneled"  # only one thread calls MPI: it need not lock anything

from mpi4py import MPI  # noqa: E402 - it starts MPI, at the level set above

from impls import serve  # noqa: E402

GRACE = 3.0
"""Seconds that ranks which raised something wait for the others."""

_REFUSALS = ("unsupported", "unavailable", "error")
_GO_ON = b"+"


def main(target: str, ranks: int) -> None:
    """Answer the orders on the standard input of rank 0 for the implementation at `target`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no rank outlives who started it
    world = MPI.COMM_WORLD
    if world.size != ranks:
        library = MPI.Get_library_version().partition("\n")[0].strip("\0 ")
        _end(f"expected {ranks} ranks, got {world.size}: mpiexec is not of mpi4py's MPI, {library}")
    cpus = _cpus()
    served = serve.Served(target)
    if world.rank:
        _follow(served, _connected(world), cpus)
    else:
        _lead(served, _accepted(world), cpus)


def _lead(served: serve.Served, others: Sequence[Connection], cpus: Sequence[int]) -> None:
    orders, answers = serve.streams()
    _watch(others)
    for order, data in serve.read(orders):
        message = json.dumps(order).encode() + b"\n" + data
        for other in others:
            other.send_bytes(message)
        _pin(order, cpus)
        own, content = serve.answer(served, order, data)
        if _refused(own):
            late = [rank for rank, other in enumerate(others, 1) if not other.poll(GRACE)]
            if late:
                _end(_refused(own))
        theirs = [json.loads(other.recv_bytes()) for other in others]
        for other, each in zip(others, theirs, strict=True):
            if _refused(each):
                other.send_bytes(_GO_ON)
        serve.write(answers, order, *_together(own, theirs, content))
    os._exit(0)  # the others end with it; the end of MPI would wait for them


def _together(
    own: dict[str, Any], theirs: Sequence[dict[str, Any]], content: bytes
) -> tuple[dict[str, Any], bytes]:
    """The answer of all ranks: what one of them refused, or that of rank 0."""
    for rank, each in enumerate((own, *theirs)):
        if _refused(each):
            return ({**each, "error": f"rank {rank}: {each['error']}"} if "error" in each else each), b""
    compiling = [each["compile_seconds"] for each in (own, *theirs) if "compile_seconds" in each]
    return ({**own, "compile_seconds": max(compiling)} if compiling else own), content


def _refused(answer: dict[str, Any]) -> str:
    """Why a rank did not do what was ordered; empty where it did."""
    return next((str(answer[word]) for word in _REFUSALS if word in answer), "")


def _follow(served: serve.Served, leader: Connection, cpus: Sequence[int]) -> None:
    _watch([leader])
    while True:
        line, _, data = leader.recv_bytes().partition(b"\n")
        order = json.loads(line)
        _pin(order, cpus)
        own, _ = serve.answer(served, order, data)
        leader.send_bytes(json.dumps(own).encode())
        if _refused(own):
            if not leader.poll(GRACE):
                _end(_refused(own))
            assert leader.recv_bytes() == _GO_ON


def _cpus() -> Sequence[int]:
    """The CPUs that this process may run on; empty where the system knows no affinity."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ()


def _pin(order: dict[str, Any], cpus: Sequence[int]) -> None:
    """Hold this rank to CPUs of its own, where its host has enough for all of its ranks."""
    if order["kind"] != "construct" or not cpus:
        return
    threads, host = max(1, order["threads"]), MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
    own = range(host.rank * threads, (host.rank + 1) * threads)
    os.sched_setaffinity(0, [cpus[k] for k in own] if host.size * threads <= len(cpus) else cpus)
    host.Free()


def _accepted(world: MPI.Intracomm) -> list[Connection]:
    """The connections of rank 0 to the others, in their order."""
    one_host = world.Split_type(MPI.COMM_TYPE_SHARED).size == world.size
    key = os.urandom(32)
    with tempfile.TemporaryDirectory() as folder:
        place: Any = f"{folder}/ranks" if one_host else ("", 0)
        with Listener(place, backlog=world.size, authkey=key) as listener:
            at: Any = listener.address if one_host else (MPI.Get_processor_name(), listener.address[1])
            world.bcast((at, key))
            found: dict[int, Connection] = {}
            for _ in range(world.size - 1):
                other = listener.accept()
                found[other.recv()] = other
    return [found[rank] for rank in sorted(found)]


def _connected(world: MPI.Intracomm) -> Connection:
    """The connection of another rank to rank 0."""
    world.Split_type(MPI.COMM_TYPE_SHARED)
    at, key = world.bcast(None)
    leader = Client(at, authkey=key)
    leader.send(world.rank)
    return leader


def _watch(connections: Sequence[Connection]) -> None:
    """End this rank as soon as one of the others is gone, whatever it does at that moment."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection.fileno(), getattr(select, "POLLRDHUP", 0))

    def wait() -> None:
        gone = {descriptor for descriptor, _ in poll.poll()}
        for rank, one in enumerate(connections, 1):
            if one.fileno() in gone and not MPI.COMM_WORLD.rank:
                print(f"rank {rank}: ended", file=sys.stderr, flush=True)
        os._exit(1)

    if connections:
        threading.Thread(target=wait, daemon=True).start()


def _end(words: str) -> NoReturn:
    """End this rank, and by that the job, with its last words."""
    print(f"rank {MPI.COMM_WORLD.rank}: {words}", file=sys.stderr, flush=True)
    os._exit(1)
