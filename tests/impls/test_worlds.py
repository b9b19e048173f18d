"""The connections between the ranks of a job."""

import os
import select
import socket
import subprocess
import sys
import time

import pytest

from impls import worlds


def test_the_port_of_a_job_is_for_its_own_server_and_no_other_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    worlds.of_this_host(1)
    at = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(at)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, option, 1)
            server.bind(at)
            server.listen()
            socket.create_connection(at).close()


def test_what_a_rank_prints_is_forwarded_before_it_aborts_the_job():
    """The test plays `mpiexec`, and reads what the rank prints a moment later."""
    program = """
import sys, types
sys.modules["mpi4py"] = types.ModuleType("mpi4py")
class World:
    def Abort(status):
        print("ABORT", file=sys.stderr, flush=True)
        sys.exit(status)
sys.modules["mpi4py"].MPI = types.SimpleNamespace(COMM_WORLD=World)
from impls import worlds
worlds.FORWARD_SECONDS *= 3
worlds.abort_mpi("rank 1: cannot reach rank 0")
"""
    rank = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    assert rank.stderr is not None
    with rank.stderr:
        select.select([rank.stderr], [], [])
        time.sleep(0.1)
        forwarded = os.read(rank.stderr.fileno(), 4096)
        assert rank.wait() == 1
    assert forwarded == b"rank 1: cannot reach rank 0\n"
