"""Fleets for real: hosts with networks of their own, killed in the middle, under Dask and under Slurm."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.benchmarks.fleet import clusters
from tests.benchmarks.fleet.clusters import DASK, DaskCluster, Host, SlurmCluster, wait_for
from tests.field.trial import GRADRACE, EndedCommand

pytestmark = [pytest.mark.field, pytest.mark.root]

RACE = ("--impl", "numpy", "--workload", "xor", "--batch-sizes", "1", "--target", "0.0001")


class FleetRun:
    """A fleet's race under way, and the most races that each host had at a time."""

    def __init__(self, folder: Path, hosts: list[Host], env: Mapping[str, str], *options: str) -> None:
        self.record, self.hosts = folder / "record.json", hosts
        self.most = dict.fromkeys((host.name for host in hosts), 0)
        self.process = subprocess.Popen(
            [*GRADRACE, "race", "--on", "fleet.yaml", "--record", self.record, *RACE, *options],
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def look(self) -> bool:
        """Count the races on every host; whether the command has ended."""
        for host in self.hosts:
            self.most[host.name] = max(self.most[host.name], host.races())
        return self.process.poll() is not None

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Look until the condition holds."""
        wait_for(lambda: self.look() or condition(), what, seconds)

    def finished(self, host: str) -> Path:
        """The path of a host's record after its race."""
        return self.record.with_name("record.hosts") / f"{host}.json"

    def ended(self, seconds: float = 240) -> EndedCommand:
        """How the command ended; no host ever had two races at a time."""
        wait_for(self.look, "the end of the race", seconds)
        out, err = self.process.communicate()
        assert max(self.most.values()) <= 1, self.most
        assert "Traceback" not in out + err
        return EndedCommand(self.process.returncode, out, err)


@pytest.fixture
def hosts(request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    """The hosts that the test needs, or a skip with the reason."""
    if reason := clusters.unavailable():
        pytest.skip(reason)
    with clusters.hosts(request.param) as found:
        yield found


@pytest.fixture
def dask(hosts: list[Host], tmp_path: Path) -> Iterator[DaskCluster]:
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    cluster = DaskCluster(tmp_path, hosts)
    try:
        wait_for(lambda: all(host.name in known(cluster) for host in hosts), "the workers")
        yield cluster
    finally:
        cluster.stop()


def known(cluster: DaskCluster) -> list[str]:
    """The names of the workers that the scheduler has."""
    from distributed import Client

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other versions
        client = Client(cluster.address)
    with client:
        return [str(worker["name"]) for worker in client.scheduler_info(n_workers=-1)["workers"].values()]


@pytest.fixture
def slurm(hosts: list[Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    lacking = [name for name in SlurmCluster.NEEDED if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"no {', '.join(lacking)} here: apt-get install slurmctld slurmd slurm-client munge")
    with contextlib.closing(SlurmCluster(tmp_path_factory.mktemp("slurm"), hosts)) as cluster:
        yield cluster


def begin(cluster: DaskCluster | SlurmCluster, folder: Path, fleet: str, *options: str) -> FleetRun:
    (folder / "fleet.yaml").write_text(fleet)
    env = cluster.environment if isinstance(cluster, SlurmCluster) else {}
    return FleetRun(folder, cluster.hosts, env, *options)


def processes(record: Path) -> int:
    return len(json.loads(record.read_text("utf-8"))["processes"])


@pytest.mark.parametrize("hosts", [2], indirect=True)
def test_a_host_that_is_killed_is_raced_again_and_the_other_is_kept(
    dask: DaskCluster, tmp_path: Path
) -> None:
    first, second = dask.hosts
    fleet = f"engine: dask\naddress: {dask.address}\nhosts: [{first.name}, {second.name}]\n"
    run = begin(dask, tmp_path, fleet, "--budget", "12")
    run.until(lambda: first.races() + second.races() == 2, "two races")
    time.sleep(3)
    second.kill()
    run.until(run.finished(first.name).exists, "the other record")
    kept = run.finished(first.name).read_bytes()
    dask.start_worker(second)
    ended = run.ended()
    assert ended.status == 0, ended
    assert f"{second.name}: its worker is gone" in ended.err
    assert run.finished(first.name).read_bytes() == kept
    both = [processes(run.finished(host.name)) for host in dask.hosts]
    assert processes(run.record) == sum(both)


@pytest.mark.parametrize("hosts", [2], indirect=True)
def test_a_lost_dask_scheduler_costs_what_had_not_ended_and_resumes(
    dask: DaskCluster, tmp_path: Path
) -> None:
    first, second = dask.hosts
    fleet = f"engine: dask\naddress: {dask.address}\n"
    run = begin(dask, tmp_path, fleet, "--budget", "12")
    run.until(lambda: first.races() + second.races() == 2, "two races")
    second.kill()
    run.until(run.finished(first.address).exists, "the first record")
    kept = run.finished(first.address).read_bytes()
    dask.start_worker(second)
    run.until(lambda: second.races() == 1, "the second race")
    dask.stop()
    ended = run.ended()
    assert ended.status == 1, ended
    assert "continue with --resume" in ended.err
    assert not run.record.exists()
    dask.start_scheduler()
    for host in dask.hosts:
        dask.start_worker(host)
    wait_for(lambda: len(known(dask)) == 2, "the workers")
    run = begin(dask, tmp_path, fleet, "--budget", "12", "--resume")
    ended = run.ended()
    assert ended.status == 0, ended
    assert f"already raced: {first.address}" in ended.err
    assert run.most == {first.name: 0, second.name: 1}
    assert run.finished(first.address).read_bytes() == kept


@pytest.mark.parametrize("hosts", [2], indirect=True)
def test_an_interrupted_race_leaves_nothing_running_on_the_hosts(dask: DaskCluster, tmp_path: Path) -> None:
    run = begin(dask, tmp_path, f"engine: dask\naddress: {dask.address}\n", "--budget", "100")
    run.until(lambda: sum(host.races() for host in dask.hosts) == 2, "two races")
    run.process.terminate()
    run.ended(60)
    wait_for(lambda: sum(host.races() for host in dask.hosts) == 0, "the end of the races", 20)


@pytest.mark.parametrize("hosts", [2], indirect=True)
def test_hosts_that_cannot_race_are_named(dask: DaskCluster, tmp_path: Path) -> None:
    first, second = dask.hosts
    other = tmp_path / "other" / "numpy-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    second.kill()
    options = ("--nthreads", "1", "--resources", "slot=1", "--name", "mixed", "--no-dashboard")
    folder = tmp_path / "mixed"
    environment = ("env", f"PYTHONPATH={other.parent}")
    second.start(
        folder.with_suffix(".log"),
        *(*environment, DASK, "worker", dask.address, *options, "--local-directory", folder),
    )
    wait_for(lambda: "mixed" in known(dask), "the worker")
    fleet = f"engine: dask\naddress: {dask.address}\nhosts: [{first.name}, mixed]\n"
    ended = begin(dask, tmp_path, fleet, "--budget", "4").ended()
    assert ended.status == 4, ended
    (line,) = (line for line in ended.err.splitlines() if line.startswith("not measured: "))
    assert line.startswith(
        "not measured: mixed: expected the versions of the machine that started the race: numpy "
    )
    fleet = f"{fleet}environment:\n  python: /usr/bin/python3\n"
    ended = begin(dask, tmp_path, fleet, "--budget", "4").ended()
    assert ended.status == 4, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("not measured: ")]
    assert len(lines) == 2
    assert all("expected gradrace for /usr/bin/python3" in line for line in lines)
    fleet = f"engine: dask\naddress: {dask.address}\nhosts: [elsewhere]\n"
    ended = begin(dask, tmp_path, fleet).ended()
    assert ended.status == 2, ended
    assert ended.err.startswith("Error: hosts: expected some of ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("hosts", [3], indirect=True)
def test_an_array_of_three_races_on_three_nodes(slurm: SlurmCluster, tmp_path: Path) -> None:
    run = begin(slurm, tmp_path, "engine: slurm\npartition: bench\nhosts: 3\n", "--budget", "6")
    ended = run.ended()
    assert ended.status == 0, ended
    assert set(run.most.values()) == {1}
    numbers = json.loads((tmp_path / "record.hosts" / "jobs" / "jobs.json").read_text())
    assert {number.partition("_")[2] for number in numbers.values()} == {"0", "1", "2"}
    each = [processes(run.finished(f"node-{k}")) for k in (1, 2, 3)]
    assert processes(run.record) == sum(each)


@pytest.mark.parametrize("hosts", [3], indirect=True)
def test_a_node_that_dies_costs_its_own_race_which_is_tried_again(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    names = [host.name for host in slurm.hosts]
    fleet = f"engine: slurm\npartition: bench\nhosts: [{', '.join(names)}]\n"
    run = begin(slurm, tmp_path, fleet, "--budget", "8")
    run.until(lambda: sum(host.races() for host in slurm.hosts) == 3, "three races")
    slurm.hosts[2].kill()
    run.until(lambda: all(run.finished(name).exists() for name in names[:2]), "two records")
    kept = [run.finished(name).read_bytes() for name in names[:2]]
    run.until(lambda: f"{names[2]} down" in slurm.sinfo(), "a node that is down")
    slurm.start_node(slurm.hosts[2])
    ended = run.ended()
    assert ended.status == 0, ended
    assert f"{names[2]}: job " in ended.err
    assert [run.finished(name).read_bytes() for name in names[:2]] == kept


@pytest.mark.parametrize("hosts", [3], indirect=True)
def test_a_controller_that_is_killed_and_comes_back_costs_nothing(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    run = begin(slurm, tmp_path, "engine: slurm\nhosts: 3\n", "--budget", "30")
    run.until(lambda: sum(host.races() for host in slurm.hosts) == 3, "three races")
    time.sleep(10)  # it saves what it knows every few seconds
    slurm.kill_controller()
    time.sleep(8)
    slurm.start_controller()
    ended = run.ended()
    assert ended.status == 0, ended
    assert set(run.most.values()) == {1}


@pytest.mark.parametrize("hosts", [3], indirect=True)
def test_a_controller_that_stays_away_is_waited_for_and_the_race_resumes(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    fleet = "engine: slurm\nhosts: 3\nwait: 2\n"
    long = ("--budget", "30", "--impl", "numpy,numpy-inplace")  # a baseline alone is soon known
    run = begin(slurm, tmp_path, fleet, *long)
    run.until(lambda: sum(host.races() for host in slurm.hosts) == 3, "three races")
    time.sleep(10)
    slurm.kill_controller()
    ended = run.ended()
    assert ended.status == 1, ended
    assert "continue with --resume" in ended.err
    ended = begin(slurm, tmp_path, fleet, *long, "--resume").ended()
    assert ended.status == 2, ended
    assert "expected a controller that answers" in ended.err
    assert len(ended.err.splitlines()) == 1
    slurm.start_controller()
    run = begin(slurm, tmp_path, fleet, *long, "--resume")
    ended = run.ended()
    assert ended.status == 0, ended
    assert all(run.finished(f"node-{k}").exists() for k in (1, 2, 3))
