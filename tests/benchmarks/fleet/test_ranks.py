"""Ranks on two hosts: their sums cross a network. With MPICH, whose starter takes a launcher of our own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.fleet import clusters

ROOT = Path(__file__).parents[3]

LAUNCHER = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done  # options of ssh
host=$1; shift
exec nsenter --net=/run/netns/%s$((${host##*.} - 1)) unshare --uts sh -c "hostname %s; $*"
"""
"""A substitute for ssh: it runs a command on a host of the same machine, by its address, and gives it a
name."""


def unavailable() -> str:
    """Why no MPI can be started on hosts here; empty if one can."""
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    if mpiexec is None:
        return "there is no mpiexec beside this Python: pip install mpich mpi4py"
    version = subprocess.run([mpiexec, "--version"], capture_output=True, text=True).stdout
    return (
        clusters.unavailable() if "HYDRA" in version else "mpiexec is not of MPICH: pip install mpich mpi4py"
    )


pytestmark = [pytest.mark.field, pytest.mark.root]


@pytest.fixture
def two() -> Iterator[list[clusters.Host]]:
    if reason := unavailable():
        pytest.skip(reason)
    with clusters.hosts(2) as found:
        yield found


def ran(folder: Path, two: list[clusters.Host], name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of ours, whose ranks start one on each host; their names are addresses, or `name`."""
    launcher, hosts = folder / "launcher", folder / "hosts"
    launcher.write_text(LAUNCHER % (clusters.BRIDGE, name))
    launcher.chmod(0o755)
    hosts.write_text("".join(f"{host.address}:1\n" for host in two))
    variables = {
        "HYDRA_HOST_FILE": str(hosts),
        "HYDRA_LAUNCHER": "ssh",
        "HYDRA_LAUNCHER_EXEC": str(launcher),
        "HYDRA_IFACE": clusters.BRIDGE,
        "UCX_TLS": "tcp",  # it would find both hosts to be one machine
    }
    gradrace = [sys.executable, "-m", "gradrace", *command]
    return subprocess.run(
        gradrace, env=os.environ | variables, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def sent_by(host: clusters.Host) -> int:
    """The bytes that the bridge has received from a host."""
    return int(Path(f"/sys/class/net/{host.name}/statistics/rx_bytes").read_text())


def test_ranks_on_two_hosts_sum_over_the_network(two: list[clusters.Host], tmp_path: Path) -> None:
    asked = ("--impl", "numpy-mpi", "--ranks", "2", "--network", "784-128-10", "--batch-sizes", "64")
    record = tmp_path / "record.json"
    done = ran(tmp_path, two, "$host", "race", *asked, "--budget", "1", "--record", str(record))
    assert done.returncode == 0, done.stdout + done.stderr
    gradients = 8 * (784 * 128 + 128 + 128 * 10 + 10)
    assert all(sent_by(host) > 10 * gradients for host in two)


def test_a_rank_that_cannot_reach_rank_0_ends_the_job_with_its_words(
    two: list[clusters.Host], tmp_path: Path
) -> None:
    done = ran(tmp_path, two, "no.such.name.invalid", "check", "numpy-mpi", "--ranks", "2")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "rank 1: cannot reach rank 0" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert all(host.running() == [] for host in two)
