"""Hosts of the tests' own, network namespaces joined by a bridge, and clusters that run on them. As root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BRIDGE = "gradrace"
NETWORK = "10.89.77"
HEAD = f"{NETWORK}.1"
"""The address of this machine, which the hosts see."""

DASK = Path(sys.executable).with_name("dask")


def unavailable() -> str:
    """Why there can be no hosts here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces take root"
    if shutil.which("ip") is None:
        return "ip is not installed: apt-get install iproute2"
    made = subprocess.run(["ip", "netns", "add", f"{BRIDGE}-try"], capture_output=True, text=True)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    _ip("netns", "delete", f"{BRIDGE}-try")
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


class Host:
    """A host: what is started on it has its own network, and ends with it."""

    def __init__(self, number: int) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self.name = f"{BRIDGE}{number}"
        self.address = f"{NETWORK}.{number + 1}"
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        except subprocess.CalledProcessError:
            _ip("netns", "delete", self.name)
            raise
        _ip("link", "set", self.name, "master", BRIDGE, "up")
        for words in ("addr add {}/24 dev eth0", "link set eth0 up", "link set lo up"):
            _ip("-n", self.name, *words.format(self.address).split())

    def start(self, log: Path, *command: str | Path) -> None:
        """Start a command there; what it prints goes to the log."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.name}", *map(str, command)],  # /sys stays as it is
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)

    def running(self) -> list[int]:
        """The processes there."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return [int(number) for number in found.stdout.split()]

    def races(self) -> int:
        """The number of races that run there, by their command lines.

        A process that a race has just started has its command line, too, until it runs its own program: it is
        no race, but the child of one.
        """
        parents = {}
        for number in self.running():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
                if b"race" in words and any(word.endswith(b"gradrace.py") for word in words):
                    status = Path(f"/proc/{number}/stat").read_text()
                    parents[number] = int(status.rpartition(")")[2].split()[1])
        return sum(parent not in parents for parent in parents.values())

    def kill(self) -> None:
        """End everything there at once, as a power cut would."""
        while numbers := self.running():
            for number in numbers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.05)
        while self._started:
            self._started.pop().wait()

    def remove(self) -> None:
        self.kill()
        _ip("link", "delete", self.name)  # with its namespace it would go some time later
        _ip("netns", "delete", self.name)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """A block with `count` hosts."""
    found: list[Host] = []
    _ip("link", "add", BRIDGE, "type", "bridge")
    try:
        _ip("addr", "add", f"{HEAD}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        found.extend(Host(number) for number in range(1, count + 1))
        yield found
    finally:
        for host in found:
            host.remove()
        _ip("link", "delete", BRIDGE)


def listening(port: int) -> bool:
    """Whether anything accepts connections at the port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection((HEAD, port), timeout=1):
        return True
    return False


class DaskCluster:
    """A scheduler on this machine, and a worker of one slot on each host."""

    PORT = 8786

    def __init__(self, folder: Path, found: list[Host]) -> None:
        self.folder, self.hosts = folder, found
        self.address = f"tcp://{HEAD}:{self.PORT}"
        self.scheduler = self.start_scheduler()
        for host in found:
            self.start_worker(host)

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        with (self.folder / "scheduler.log").open("ab") as log:
            self.scheduler = subprocess.Popen(
                [DASK, "scheduler", "--host", HEAD, "--port", str(self.PORT), "--no-dashboard"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        wait_for(lambda: listening(self.PORT), "the Dask scheduler")
        return self.scheduler

    def start_worker(self, host: Host, *more: str) -> None:
        options = ("--nthreads", "1", "--resources", "slot=1", "--name", host.name, "--no-dashboard", *more)
        folder = self.folder / host.name
        log = self.folder / f"{host.name}.log"
        host.start(log, DASK, "worker", self.address, *options, "--local-directory", folder)

    def stop(self) -> None:
        for host in self.hosts:
            host.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.scheduler.pid, signal.SIGKILL)
        self.scheduler.wait()


class SlurmCluster:
    """A controller on this machine, a node on each host, and munge: as root, without systemd."""

    NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
    PORT = 6817

    def __init__(self, folder: Path, found: list[Host]) -> None:
        self.folder, self.hosts = folder, found
        self.controller: subprocess.Popen[bytes] | None = None
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for part in (folder, *folder.parents):
            assert not part.stat().st_mode & 0o022 or part.stat().st_mode & 0o1000, f"munge trusts no {part}"
        munge = folder / "munge.socket"
        names = ("pid-file", "log-file", "seed-file")
        files = (f"--{name}={folder / name.replace('-file', '.munge')}" for name in names)
        self.munge = self._start(
            "munge", "munged", "-F", "-f", f"--key-file={key}", f"--socket={munge}", *files
        )
        (folder / "slurm.conf").write_text(
            f"ClusterName=gradrace\nSlurmctldHost={socket.gethostname()}({HEAD})\nSlurmctldPort={self.PORT}\n"
            f"SlurmUser=root\nAuthType=auth/munge\nAuthInfo=socket={munge}\n"
            f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool.%n\n"
            f"SlurmctldPidFile={folder}/ctld.pid\nSlurmdPidFile={folder}/slurmd.%n.pid\n"
            "ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSelectType=select/cons_tres\n"
            "ReturnToService=2\nSlurmdTimeout=10\nSlurmctldTimeout=10\nMpiDefault=none\nJobRequeue=0\n"
            + "".join(
                f"NodeName={host.name} NodeAddr={host.address} NodeHostname={socket.gethostname()} CPUs=1\n"
                for host in found
            )
            + f"PartitionName=bench Nodes={','.join(host.name for host in found)} Default=YES State=UP\n"
        )
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        try:
            wait_for(munge.exists, "munge")
            self.start_controller()
            for host in found:
                self.start_node(host)
            wait_for(lambda: self.sinfo().count("idle") == len(found), "idle nodes")
        except BaseException:
            self.close()
            raise

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_controller(self) -> None:
        self.controller = self._start("controller", "slurmctld", "-D", "-f", f"{self.folder}/slurm.conf")
        wait_for(lambda: listening(self.PORT), "slurmctld")

    def kill_controller(self) -> None:
        assert self.controller is not None
        self.controller.kill()
        self.controller.wait()

    def start_node(self, host: Host) -> None:
        log = self.folder / f"{host.name}.log"
        host.start(log, "slurmd", "-D", "-N", host.name, "-f", f"{self.folder}/slurm.conf")

    def sinfo(self) -> str:
        """The state of each node, a line each."""
        asked = ["sinfo", "--noheader", "--Node", "--format=%N %t"]
        found = subprocess.run(asked, capture_output=True, text=True, env={**os.environ, **self.environment})
        return found.stdout

    def close(self) -> None:
        for host in self.hosts:
            host.kill()
        if self.controller is not None:
            self.kill_controller()
        self.munge.kill()
        self.munge.wait()
