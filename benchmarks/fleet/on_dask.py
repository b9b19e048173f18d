"""The engine `dask`: the workers of a Dask scheduler, each of which offers one slot."""

from __future__ import annotations

import contextlib
import logging
import operator
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.fleet import tasks
from benchmarks.fleet.description import Dask
from benchmarks.fleet.tasks import FleetTask, HostOutcome

SLOT = {"slot": 1}
"""The resource that a task takes, and a worker has: `dask worker --resources slot=1`."""

CONNECT_SECONDS = 10
TALKERS = ("asyncio", "distributed", "distributed.client", "tornado.application")
"""Loggers that write many lines if the scheduler is away, and are silenced; the command writes one."""

POLL_SECONDS = 0.5


class DaskEngine:
    """A task stays on its host: if its worker there dies, the scheduler starts it again on the next one.

    Raises ImportError without the extra, ConnectionError without a scheduler, and ValueError for hosts that
    have no worker, or none with a slot.
    """

    def __init__(self, fleet: Dask, say: tasks.Say) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ImportError(
                f"engine: dask needs {error.name}, got none; pip install -e '.[dask]'"
            ) from None
        for name in TALKERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.fleet, self.say = fleet, say
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # versions that differ: the host refuses them by name
                self.client = Client(fleet.address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TypeError) as error:
            raise ConnectionError(
                f"address: expected a Dask scheduler at {fleet.address}, got none that answers within "
                f"{CONNECT_SECONDS} s ({error}); start one: dask scheduler"
            ) from None
        try:
            self._addresses = self._chosen(self.client.scheduler_info(n_workers=-1)["workers"])
        except BaseException:
            self.client.close()
            raise
        self.hosts = list(self._addresses)
        self._futures: dict[str, Any] = {}
        self._task: FleetTask | None = None
        self._absent: dict[str, float] = {}
        self._pythons: dict[str, str] = {}

    def _chosen(self, workers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """The address of each host; a host is named by its address, or by the name of a worker on it."""
        known = {str(worker["name"]): worker["host"] for worker in workers.values()}
        known |= {worker["host"]: worker["host"] for worker in workers.values()}
        wanted = self.fleet.hosts or dict.fromkeys(worker["host"] for worker in workers.values())
        if not wanted:
            raise ValueError(f"{self.fleet.address}: expected workers, got none; start one: dask worker")
        for host in wanted:
            if host not in known:
                raise ValueError(f"hosts: expected some of {', '.join(sorted(known))}, got {host!r}")
        found = {host: known[host] for host in wanted}
        for worker in workers.values():
            if worker["host"] in found.values() and worker["resources"].get("slot") != 1:
                raise ValueError(
                    f"{worker['host']}: expected a worker with one slot, got {worker['resources']}; "
                    "start it with: dask worker --resources slot=1"
                )
        twice = [host for host in found if list(found.values()).count(found[host]) > 1]
        if twice:
            raise ValueError(f"hosts: expected each host once, got {' and '.join(twice)} for the same one")
        return found

    def __enter__(self) -> DaskEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """End the running tasks; a task that is only cancelled would keep its worker busy."""
        if self._task is not None and self.client.status == "running":
            for host, future in self._futures.items():
                future.cancel()
                with contextlib.suppress(Exception):
                    self._run(host, subprocess.run, tasks.ending(self._task, self._python(host)))
        with contextlib.suppress(Exception):
            self.client.close(timeout=2)

    def start(self, hosts: Sequence[str], task: FleetTask) -> None:
        self._task = task
        for host in hosts:
            self._futures[host] = self.client.submit(
                subprocess.run,
                tasks.command(task, self._python(host)),
                **tasks.OPTIONS,
                key=f"{task.name}-{host}-{time.monotonic_ns()}",
                workers=[self._addresses[host]],
                resources=SLOT,
                pure=False,
            )

    def _python(self, host: str) -> str:
        """The host's Python, by default its worker's, asked for once: the worker of a lost task is away."""
        if host not in self._pythons:
            own = self.fleet.environment.python
            self._pythons[host] = own or self._run(host, operator.attrgetter("executable"), sys)
        return self._pythons[host]

    def _run(self, host: str, function: Any, *arguments: Any) -> Any:
        """The answer of a worker on the host, at once, even if its slot is taken."""
        here = [address for address in self.client.nthreads() if self._host(address) == self._addresses[host]]
        return self.client.run(function, *arguments, workers=here[:1])[here[0]]

    @staticmethod
    def _host(address: str) -> str:
        from distributed.comm import get_address_host

        return str(get_address_host(address))

    def news(self) -> Iterator[tuple[str, HostOutcome | tasks.LostTask]]:
        time.sleep(POLL_SECONDS)
        self._check_scheduler()
        for host, future in list(self._futures.items()):
            if future.done() and future.status in ("finished", "error"):
                del self._futures[host]
                yield host, self._answer(future)
        yield from self._gone()

    def _answer(self, future: Any) -> HostOutcome | tasks.LostTask:
        error = future.exception() if future.status == "error" else None
        if error is None:
            return tasks.answer(future.result())
        if isinstance(error, FileNotFoundError):
            return tasks.no_project(str(error.filename), str(error.strerror))
        return tasks.LostTask(" ".join(str(error).split()), again=True)

    def _check_scheduler(self) -> None:
        """Raise SchedulerLost if the scheduler is gone, because its tasks are gone, too."""
        if self.client.status != "running" or any(
            f.status in ("lost", "cancelled") for f in self._futures.values()
        ):
            raise tasks.SchedulerLost(f"the Dask scheduler at {self.fleet.address} is gone")

    def _gone(self) -> Iterator[tuple[str, tasks.LostTask]]:
        """Hosts that have had no worker for longer than the fleet waits."""
        present = {self._host(address) for address in self.client.nthreads()}
        for host in list(self._futures):
            if self._addresses[host] in present:
                if self._absent.pop(host, None) is not None:
                    self.say(f"{host}: back; its race starts again")
                continue
            if host not in self._absent:
                self.say(f"{host}: its worker is gone; waiting {self.fleet.wait:g} s for another")
            since = self._absent.setdefault(host, time.monotonic())
            if time.monotonic() - since > self.fleet.wait:
                self._futures.pop(host).cancel()
                yield host, tasks.LostTask(f"no worker for {self.fleet.wait:g} s", again=False)
