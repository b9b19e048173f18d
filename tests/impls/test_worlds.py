"""The connections between the ranks of a job."""

import os
import socket

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
