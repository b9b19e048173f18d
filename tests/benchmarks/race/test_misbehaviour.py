"""Real races with implementations that misbehave, which affects their own cells only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.race import journal
from benchmarks.record import race_file
from gradrace import commands

ROOT = Path(__file__).parents[3]

UNRULY = """
import ctypes, os, signal, sys, time
from impls.numpy_batch import NumpyBatch

def fork_and_exit():
    if not os.fork():
        time.sleep(600)  # holds the line open
    os._exit(1)

def chatter():
    for _ in range(10_000):
        print("x" * 1023)
    os._exit(1)

def wait():
    while True:
        time.sleep(1)

class Deed(NumpyBatch):
    where = ""

    def act(self, where):
        if where == self.where and self.m > 1:
            print("goodbye from", where, flush=True)
            type(self).deed()

    def __init__(self, problem, dtype="float64", threads=1):
        self.m = problem.batch_size
        self.act("constructor")
        super().__init__(problem, dtype, threads)

    def forward(self):
        self.act("forward")
        return super().forward()

    def gradients(self):
        self.act("gradients")
        return super().gradients()

    def step(self, learning_rate):
        self.act("step")
        return super().step(learning_rate)

def made(name, where, deed):
    globals()[name] = type(name, (Deed,), {"where": where, "deed": staticmethod(deed)})

made("Leaves", "constructor", lambda: sys.exit(0))
made("Ends0", "constructor", lambda: os._exit(0))
made("Ends1", "forward", lambda: os._exit(1))
made("Killed", "step", lambda: os.kill(os.getpid(), signal.SIGKILL))
made("Faults", "gradients", lambda: ctypes.string_at(0))
made("Chatters", "gradients", chatter)
made("Forks", "gradients", fork_and_exit)
made("Hoards", "gradients", lambda: bytearray(1 << 62))
made("Waits", "gradients", wait)
"""

FATES = {
    "Leaves": ("failed", "SystemExit: 0"),
    "Ends0": ("failed", "exited with status 0 instead of answering; it printed: goodbye from constructor"),
    "Ends1": ("failed", "exited with status 1 instead of answering; it printed: goodbye from forward"),
    "Killed": ("failed", "ended by SIGKILL (out of memory, as a rule); it printed: goodbye from step"),
    "Faults": ("failed", "ended by SIGSEGV (a fault in compiled code)"),
    "Chatters": ("failed", "exited with status 1"),
    "Forks": ("failed", "exited with status 1"),
    "Hoards": ("failed", "MemoryError"),
    "Waits": ("timed out", "no answer within 15 s"),
}


def running(words: str) -> list[str]:
    """The command lines of processes that have these words in theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended since
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if words in line]


@pytest.mark.parametrize("at", ["", f"@{sys.executable}"], ids=["in the race's process", "in its own"])
def test_whatever_an_implementation_does_costs_its_own_cells_alone(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setattr("benchmarks.race.questions.FEWEST", 2)  # no interval is asked for
    (tmp_path / "unruly.py").write_text(UNRULY)
    record = tmp_path / "record.json"
    names = {name: f"{tmp_path}/unruly.py:{name}{at}" for name in FATES}
    done = CliRunner().invoke(
        commands,
        [
            *("race", "--impl", ",".join(["numpy", *names.values()]), "--workload", "xor", "--quiet"),
            *("--batch-sizes", "1,4", "--phases", "step", "--target", "1e9", "--budget", "600"),
            *("--timeout", "15", "--record", str(record)),
        ],
    )
    assert done.exit_code == 4, done.output
    found = race_file.read(record).measurements
    lost = {(m.implementation, m.batch_size): m for m in found if m.status != "measured"}
    assert [m.reason for m in lost.values() if m.batch_size == 1] == []
    assert set(lost) == {(target, 4) for target in names.values()}
    for name, (status, reason) in FATES.items():
        assert lost[names[name], 4].status == status, name
        assert reason in lost[names[name], 4].reason
        assert f"not measured: {names[name]}: {status}: " in done.stderr
    measured = {(m.implementation, m.batch_size) for m in found if m.status == "measured"}
    assert measured == {("numpy", 1), ("numpy", 4), *((target, 1) for target in names.values())}
    deadline = time.monotonic() + 30  # what a kill ends is not gone at once
    while running(f"{tmp_path}/unruly.py") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(f"{tmp_path}/unruly.py") == []


def test_a_killed_race_leaves_no_process_behind_and_resumes(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = [
        *(sys.executable, "-m", "benchmarks", "race", "--impl", "numpy,numpy-inplace", "--workload", "xor"),
        *("--batch-sizes", "1,4", "--phases", "step", "--seed", "3", "--target", "1e9", "--quiet"),
        *("--record", str(record)),
    ]
    place = journal.of(record)
    with subprocess.Popen(command, cwd=ROOT) as process:
        while not place.exists() or b'"Measured"' not in place.read_bytes():
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not record.exists()
    kept = [entry for entry in journal.read(place) if "Measured" in type(entry).__name__]
    assert kept
    subprocess.run([*command, "--resume"], check=True, cwd=ROOT)
    resumed = race_file.read(record)
    assert len(resumed.measurements) > len(kept)
    assert {(m.implementation, m.batch_size) for m in resumed.measurements} == {
        (name, m) for name in ("numpy", "numpy-inplace") for m in (1, 4)
    }
    assert not place.exists()
