"""Every fact of a machine may be missing, caches fall back, and paths are paths."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.field import trial
from tests.field.conftest import Command
from tests.field.trial import GRADRACE, NAMESPACE, ROOT, SMALL, as_nobody, run, statuses

WITHOUT = {
    "cache sizes": "mount -t tmpfs none /sys/devices/system/cpu/cpu0/cache",
    "facts of any CPU": "mount -t tmpfs none /sys/devices/system/cpu",
    "sysfs": "umount -l /sys || mount -t tmpfs none /sys",
    "a list of CPUs": "mount --bind /dev/null /proc/cpuinfo",
    "ticks": "mount --bind /dev/null /proc/stat",
    "a load average": "mount --bind /dev/null /proc/loadavg",
    "memory's size": "mount --bind /dev/null /proc/meminfo",
    "control groups": "mount -t tmpfs none /sys/fs/cgroup",
    "shared memory": "mount -t tmpfs -o size=4k none /dev/shm",
    "processes": "mount -t tmpfs none /proc",
    "devices": "mount --bind /dev/null /dev/urandom; mount --bind /dev/zero /dev/random",
    "names of users": "mount --bind /dev/null /etc/passwd",
    "scratch that can be written": "mkdir tmp; mount -t tmpfs -o ro none tmp; export TMPDIR=$PWD/tmp",
}


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("fact", WITHOUT)
def test_a_machine_without_a_fact_races(fact: str, tmp_path: Path) -> None:
    script = f'{WITHOUT[fact]}; exec "$@"'
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json")
    run(*NAMESPACE, script, "sh", *GRADRACE, *asked, cwd=tmp_path, status=0)
    assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}}


@pytest.mark.parametrize(
    "missing",
    ["size", pytest.param("type", marks=pytest.mark.field), pytest.param("level", marks=pytest.mark.field)],
)
@pytest.mark.root
@pytest.mark.field
def test_a_cache_without_one_of_its_facts_is_left_out(missing: str, tmp_path: Path) -> None:
    cache = Path("/sys/devices/system/cpu/cpu0/cache")
    for name in ("level", "type", "size"):
        for index in ("index0", "index1"):
            if name != missing and (cache / index / name).exists():
                (tmp_path / "cache" / index).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(cache / index / name, tmp_path / "cache" / index / name)
    script = f'mount --bind cache {cache}; exec "$@"'
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json")
    run(*NAMESPACE, script, "sh", *GRADRACE, *asked, cwd=tmp_path, status=0)


REFUSED = """
import os
def refused(*_):
    raise PermissionError(1, "Operation not permitted")
"""


@pytest.mark.parametrize(
    "call", ["sched_setaffinity", pytest.param("sched_getaffinity", marks=pytest.mark.field)]
)
@pytest.mark.parametrize(
    "through",
    [
        "race",
        pytest.param("pytest", marks=pytest.mark.field),
        pytest.param("train", marks=pytest.mark.field),
        pytest.param("headline", marks=pytest.mark.field),
    ],
)
def test_a_container_that_refuses_affinity_races(
    call: str, through: str, race: Command, gradrace: Command, tmp_path: Path
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(f"{REFUSED}\nos.{call} = refused\n")
    env = {"PYTHONPATH": str(tmp_path / "path")}
    if through == "race":
        race(env=env, status=0)
    elif through == "pytest":
        asked = ("--benchmark-only", "--impl=numpy", "--workload=xor", "--batch-sizes=1", "--no-report")
        run(
            sys.executable, "-m", "pytest", *asked, f"--record={tmp_path}/r.json", cwd=ROOT, env=env, status=0
        )
    elif through == "train":
        gradrace("train", "--impl", "numpy", "--steps", "10", env=env, status=0)
    else:
        small = ("--impl", "numpy", "--steps", "10", "--batch-size", "1", "--budget", "1")
        gradrace("headline", *small, "--record", "h.json", env=env, status=0)


def test_one_cpu_is_enough(tmp_path: Path) -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json")
    run("taskset", "-c", cpu, *GRADRACE, *asked, cwd=tmp_path, status=0)


@pytest.mark.field
def test_more_threads_than_cpus_are_refused_before_any_work(tmp_path: Path) -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    asked = ("race", *SMALL, "--impl", "numpy", "--threads", "2", "--record", "r.json")
    ended = run("taskset", "-c", cpu, *GRADRACE, *asked, cwd=tmp_path, status=2)
    assert "expected 1 to 1" in ended.err


LIMITS = {
    "files": "--nofile=64",
    "the stack": "--stack=1048576",
    "locked memory": "--memlock=0",
    "core dumps": "--core=0",
    "real time": "--rtprio=0",
}


@pytest.mark.field
@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_is_wide_enough_is_no_obstacle(limit: str, tmp_path: Path) -> None:
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json")
    run("prlimit", LIMITS[limit], *GRADRACE, *asked, cwd=tmp_path, status=0)


@pytest.mark.field
@pytest.mark.parametrize(
    "limit", ["--as=300000000", "--nofile=8", "--fsize=100", "--cpu=1", "--data=50000000"]
)
def test_a_limit_that_is_too_narrow_ends_in_words(limit: str, tmp_path: Path) -> None:
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json")
    ended = run("prlimit", limit, *GRADRACE, *asked, cwd=tmp_path, clean=False)
    if ended.status == 0:  # wide enough, after all
        assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}}
    else:
        assert ended.err or ended.status < 0


@pytest.mark.field
def test_an_implementation_that_asks_for_too_much_memory_is_its_own_failure(
    gallery: Path, tmp_path: Path
) -> None:
    (tmp_path / "big.py").write_text(
        "import impls, numpy\nclass Big(impls.load('numpy')):\n"
        "    def gradients(self):\n        self.big = numpy.ones(1 << 30)\n        super().gradients()\n"
    )
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy,big.py:Big", "--record", "r.json")
    ended = trial.race("prlimit", "--as=4000000000", *GRADRACE, *asked, cwd=tmp_path, status=4)
    assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}, "big.py:Big": {"failed"}}
    assert "MemoryError" in ended.err


NAMES = [
    "a[b]",
    "a,b",
    "a b",
    "a:b",
    "ä",
    "a%20b",
    "a'b",
    'a"b',
    "-a",
    "a\nb",
    "a*b",
    "{a}",
    "$a",
    "a#b",
    "a=b",
    "[red]",
    ":smile:",
    "~",
    "x" * 200,
]
FIRST = ("a[b]", "a,b")
HOSTILE = [pytest.param(n, marks=[] if n in FIRST else pytest.mark.field, id=ascii(n[:12])) for n in NAMES]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_may_have_any_name(name: str, race: Command, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copyfile(ROOT / "examples" / "outside.py", folder / "outside.py")
    target = f"./{name}/outside.py:Outside"
    race("--record", f"./{name}/record.json", "--impl", f"numpy,{target}", status=0)
    assert statuses(folder / "record.json") == {"numpy": {"measured"}, target: {"measured"}}


@pytest.mark.field
@pytest.mark.parametrize("name", HOSTILE[::2])
def test_a_report_may_stand_anywhere(name: str, gradrace: Command, raced: Path, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copyfile(raced, folder / "record.json")
    record, out = folder / "record.json", folder / "out"
    gradrace("render", record, "--out", out, cwd=folder, status=0)
    gradrace("export", record, "--format", "csv", "--out", out, cwd=folder, status=0)
    gradrace("history", "add", record, "--db", folder / "h.sqlite", cwd=folder, status=0)
    gradrace("history", "show", "--db", folder / "h.sqlite", cwd=folder, status=0)
    assert (out / "cells.csv").is_file()
    assert (folder / "h.sqlite").is_file()


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("name", ["numpy", "numba-loops", "numba"])
def test_a_user_without_a_home_races_from_a_checkout_of_somebody_else(name: str, tmp_path: Path) -> None:
    nobody = as_nobody(tmp_path)
    tmp_path.chmod(0o777)
    asked = ("race", "--quiet", *SMALL, "--impl", name, "--record", "r.json", "--budget", "30")
    env = {"HOME": "/nonexistent", "USER": "", "LOGNAME": ""}
    run(*nobody, *GRADRACE, *asked, cwd=tmp_path, env=env, status=0)
    assert statuses(tmp_path / "r.json") == {name: {"measured"}}


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("name", ["numpy", "numba-loops", "numba", "numba-blocked"])
def test_a_checkout_that_cannot_be_written_races(name: str, checkout: Path, tmp_path: Path) -> None:
    script = 'mount --bind checkout checkout; mount -o remount,ro,bind checkout; exec "$@"'
    asked = ("race", "--quiet", *SMALL, "--impl", name, "--record", "r.json", "--budget", "30")
    command = (*NAMESPACE, script, "sh", sys.executable, "checkout/gradrace.py", *asked)
    env = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"}
    run(*command, cwd=tmp_path, env=env, unset=("NUMBA_CACHE_DIR",), status=0)
    assert statuses(tmp_path / "r.json") == {name: {"measured"}}


@pytest.mark.root
@pytest.mark.field
def test_a_checkout_that_cannot_be_written_draws_where_it_is_asked_to(
    checkout: Path, raced: Path, tmp_path: Path
) -> None:
    script = 'mount --bind checkout checkout; mount -o remount,ro,bind checkout; exec "$@"'
    asked = ("render", str(raced), "--out", "out")
    run(*NAMESPACE, script, "sh", sys.executable, "checkout/gradrace.py", *asked, cwd=tmp_path, status=0)
    ended = run(*NAMESPACE, script, "sh", sys.executable, "checkout/gradrace.py", *asked[:2], cwd=tmp_path)
    assert ended.status in (0, 2)


@pytest.mark.field
@pytest.mark.parametrize("seconds", ["1e9 - now() % 1000", "0.0", "-1e6", "8e9"])
def test_a_clock_that_is_wrong_changes_no_race(seconds: str, race: Command, tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    code = f"import time\nnow = time.time\ntime.time = lambda: {seconds}\n"
    (tmp_path / "path" / "sitecustomize.py").write_text(code)
    race(env={"PYTHONPATH": str(tmp_path / "path")}, status=0)
    document = json.loads((tmp_path / "record.json").read_text("utf-8"))
    assert all(each["seconds"] > 0 for each in document["processes"])


@pytest.mark.parametrize("command", ["list", pytest.param("race", marks=pytest.mark.field)])
def test_a_folder_that_is_gone_is_an_error_in_words(command: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'cd gone; rmdir ../gone; exec "$@"'
    ended = run("sh", "-c", script, "sh", *GRADRACE, command, cwd=tmp_path, status=2)
    assert "the current folder" in ended.err


@pytest.mark.field
@pytest.mark.parametrize("command", ["race", "render", "export", "history"])
def test_a_folder_may_have_a_name_that_is_no_text(
    command: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"a\xff")
    folder.mkdir()
    asked = {
        "race": ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", folder / "r.json"),
        "render": ("render", raced, "--out", folder / "out"),
        "export": ("export", raced, "--out", folder / "out"),
        "history": ("history", "add", raced, "--db", folder / "h.sqlite"),
    }[command]
    gradrace(*asked, status=0)
    assert list(folder.iterdir())


@pytest.mark.root
@pytest.mark.field
def test_a_user_who_may_start_no_process_gets_the_reason(tmp_path: Path) -> None:
    nobody = as_nobody(tmp_path)
    tmp_path.chmod(0o777)
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json")
    ended = run(*nobody, "prlimit", "--nproc=1", *GRADRACE, *asked, cwd=tmp_path)
    assert ended.status not in (0, 1)
    assert "Resource temporarily unavailable" in ended.err or "can't start new thread" in ended.err


@pytest.mark.field
@pytest.mark.parametrize("loaded", ["/nonexistent.so", "libm.so.6"])
def test_a_library_that_everyone_loads_first_is_no_obstacle(loaded: str, race: Command) -> None:
    race("--impl", "numpy,numba", env={"LD_PRELOAD": loaded}, status=0)
