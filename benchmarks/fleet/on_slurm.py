"""The engine `slurm`: a job of one exclusive node for every host, by submitit."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.fleet import tasks
from benchmarks.fleet.description import Slurm
from benchmarks.fleet.tasks import FleetTask, HostOutcome
from benchmarks.record import files

POLL_SECONDS = 1.0
"""The interval at which the results are read."""

QUEUE_POLLS = 5
"""The number of such intervals after which the queue is asked."""

CANCEL = ("scancel",)

OVER = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
"""States of a job that will not run any more."""

LATE_SECONDS = 15.0
"""The seconds until the result of a job that has ended must be visible through a shared file system."""


class SlurmEngine:
    """Races on the nodes of a Slurm cluster: a job on each named node, or an array of as many jobs as
    are asked for, each with a node to itself.

    The number of each host's job is kept in the folder: where this command was killed, the next one finds the
    jobs that have ended meanwhile. Raises ImportError without the extra, and ConnectionError without Slurm.
    """

    def __init__(self, fleet: Slurm, folder: Path, say: tasks.Say) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ImportError(
                f"engine: slurm needs {error.name}, got none; pip install -e '.[slurm]'"
            ) from None
        self.fleet, self.say = fleet, say
        self.array = isinstance(fleet.hosts, int)
        names = [f"node-{k + 1}" for k in range(fleet.hosts)] if isinstance(fleet.hosts, int) else fleet.hosts
        self.hosts = list(dict.fromkeys(names))
        self._queue()
        try:
            self._executor = submitit.SlurmExecutor(folder, python=fleet.environment.python)
        except RuntimeError as error:
            raise ConnectionError(f"engine: slurm: expected its commands here, got none ({error})") from None
        self._job = submitit.SlurmJob
        self._list = folder / "jobs.json"
        self._jobs: dict[str, Any] = {}
        self._over: dict[str, float] = {}
        self._away: float | None = None
        self._polls = 0

    def __enter__(self) -> SlurmEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the jobs that have not ended."""
        for job in self._jobs.values():
            _cancel(job.job_id)

    def start(self, hosts: Sequence[str], task: FleetTask) -> None:
        earlier = self._earlier()
        for host in hosts:
            job = self._job(self._executor.folder, earlier[host]) if host in earlier else None
            if job and job.paths.result_pickle.exists():
                self._jobs[host] = job
            elif job:
                _cancel(job.job_id)
        new = [host for host in hosts if host not in self._jobs]
        for batch in [new] if self.array else [[host] for host in new]:
            self._submit(batch, task)
        listed = {**earlier, **{host: job.job_id for host, job in self._jobs.items()}}
        files.write(self._list, msgspec.json.encode(listed))

    def _earlier(self) -> dict[str, str]:
        """The number of each host's last job."""
        if not self._list.exists():
            return {}
        return msgspec.json.decode(self._list.read_bytes(), type=dict[str, str])

    def _submit(self, hosts: Sequence[str], task: FleetTask) -> None:
        if not hosts:
            return
        python = self.fleet.environment.python or self._executor.python
        self._executor.update_parameters(
            job_name="gradrace",
            partition=self.fleet.partition,
            time=self.fleet.minutes,
            nodes=1,
            ntasks_per_node=1,
            exclusive=True,
            nodelist=None if self.array else hosts[0],
        )
        try:
            with self._executor.batch():
                jobs = [
                    self._executor.submit(subprocess.run, tasks.command(task, python), **tasks.OPTIONS)
                    for _ in hosts
                ]
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            words = " ".join(str(error).split())
            raise ConnectionError(f"engine: slurm: expected it to take a job, got: {words}") from None
        self._jobs.update(zip(hosts, jobs, strict=True))

    def news(self) -> Iterator[tuple[str, HostOutcome | tasks.LostTask]]:
        time.sleep(POLL_SECONDS)
        for host, job in list(self._jobs.items()):
            if job.paths.result_pickle.exists():
                del self._jobs[host]
                self._over.pop(host, None)
                found = self._answer(job)
                if not (isinstance(found, HostOutcome) and found.record):
                    job.paths.result_pickle.unlink(missing_ok=True)  # another try is another job
                yield host, found
        self._polls += 1
        states = self._states() if self._polls % QUEUE_POLLS == 0 else None
        if states is None:
            return
        for host, job in list(self._jobs.items()):
            state = states.get(job.job_id, "gone from the queue")
            if state not in OVER and job.job_id in states:
                self._over.pop(host, None)
            elif time.monotonic() - self._over.setdefault(host, time.monotonic()) > LATE_SECONDS:
                del self._jobs[host], self._over[host]
                yield host, tasks.LostTask(f"job {job.job_id} left no result: {state}", again=True)

    def _answer(self, job: Any) -> HostOutcome | tasks.LostTask:
        try:
            return tasks.answer(job.result())
        except FileNotFoundError as error:
            return tasks.no_project(str(error.filename), str(error.strerror))
        except Exception as error:  # noqa: BLE001 - submitit's own, with what was raised on the node
            return tasks.LostTask(str(error).strip().splitlines()[-1], again=True)

    def _states(self) -> Mapping[str, str] | None:
        """The state of each job in the queue, None if Slurm is away; raises SchedulerLost in the end."""
        try:
            found = self._queue()
        except ConnectionError as error:
            if self._away is None:
                self._away = time.monotonic()
                self.say(f"{error}; waiting {self.fleet.wait:g} s for it")
            if time.monotonic() - self._away > self.fleet.wait:
                raise tasks.SchedulerLost(str(error)) from None
            return None
        self._away = None
        return found

    @staticmethod
    def _queue() -> dict[str, str]:
        """The states of this user's jobs by number. Not by sacct, as submitit: few clusters lack a queue."""
        asked = ("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T")
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            words = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
            raise ConnectionError(
                f"engine: slurm: expected a controller that answers, got: {words}"
            ) from None
        return {
            number: state for number, _, state in (row.partition(" ") for row in done.stdout.splitlines())
        }


def _cancel(number: str) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run((*CANCEL, number), capture_output=True, check=False, timeout=60)
