"""Real processes of a race: what becomes of one that crashes, hangs, runs out of memory, or is orphaned."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.measure.channel import ORPHANED, Channel
from benchmarks.race.conductor import Plan, Race
from benchmarks.race.request import Request
from benchmarks.record import race_file
from benchmarks.record.cells import Cell

UNRULY = """
import ctypes, time
from impls.numpy_batch import NumpyBatch

class Crashes(NumpyBatch):
    def gradients(self):
        if self.m > 1:
            ctypes.string_at(0)
        super().gradients()
    def __init__(self, problem, dtype="float64", threads=1):
        self.m = problem.batch_size
        super().__init__(problem, dtype, threads)

class Hangs(Crashes):
    def gradients(self):
        if self.m > 1:
            time.sleep(3600)
        NumpyBatch.gradients(self)

class Hoards(Crashes):
    def gradients(self):
        if self.m > 1:
            bytearray(1 << 62)
        NumpyBatch.gradients(self)
"""


def test_crashes_hangs_and_hoards_cost_their_cells_alone(tmp_path: Path) -> None:
    (tmp_path / "unruly.py").write_text(UNRULY)
    targets = {name: f"{tmp_path}/unruly.py:{name}" for name in ("Crashes", "Hangs", "Hoards")}
    request = Request(impl=("numpy", *targets.values()), batch_sizes=("1,4",), workload=("xor",), seed="1")
    plan = Plan(
        request, request.settings(), ("gradients",), target=1e9, budget=600, timeout=12, command="test"
    )
    Race(plan, tmp_path / "record.json", lambda _: None).run()
    record = race_file.read(tmp_path / "record.json")
    lost = {(m.implementation, m.batch_size): m for m in record.measurements if m.status != "measured"}
    assert set(lost) == {(target, 4) for target in targets.values()}
    assert lost[targets["Crashes"], 4].status == "failed"
    assert "SIGSEGV" in lost[targets["Crashes"], 4].reason
    assert lost[targets["Hangs"], 4].status == "timed out"
    assert "no sign of life for 12 s" in lost[targets["Hangs"], 4].reason
    assert lost[targets["Hoards"], 4].status == "failed"
    assert "MemoryError" in lost[targets["Hoards"], 4].reason
    measured = {(m.implementation, m.batch_size) for m in record.measurements if m.status == "measured"}
    assert measured == {("numpy", 1), ("numpy", 4), *((target, 1) for target in targets.values())}


def test_a_killed_race_leaves_no_process_behind_and_resumes(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = [
        *(sys.executable, "-m", "benchmarks", "race", "--impl", "numpy,numpy-inplace", "--workload", "xor"),
        *("--batch-sizes", "1,4", "--seed", "3", "--target", "1000", "--quiet", "--record", str(record)),
    ]
    partial = tmp_path / "record.partial.json"
    with subprocess.Popen(command) as process:
        while not partial.exists():
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not record.exists()
    kept = race_file.read(partial)
    assert kept.measurements
    subprocess.run([*command, "--resume"], check=True)
    resumed = race_file.read(record)
    assert resumed.measurements[: len(kept.measurements)] == kept.measurements
    assert {(m.implementation, m.batch_size) for m in resumed.measurements} == {
        (name, m) for name in ("numpy", "numpy-inplace") for m in (1, 4)
    }
    assert not partial.exists()


def test_messages_come_whole_and_in_order() -> None:
    one, other = socket.socketpair()
    with one, other:
        sender, receiver = Channel(one), Channel(other)
        long = "x" * 100_000
        one.settimeout(5)
        other.sendall(b"")
        for k in range(3):
            sender.send(number=k)
        assert [receiver.receive(1.0) for _ in range(3)] == [{"number": k} for k in range(3)]
        with pytest.raises(TimeoutError):
            receiver.receive(0.01)
        sender.send(text=long[:50_000])
        assert receiver.receive(1.0) == {"text": long[:50_000]}
        one.close()
        assert receiver.receive(1.0) is None


ORPHAN = """
import socket, sys
from benchmarks.channel import Channel
channel = Channel(socket.socket(fileno=int(sys.argv[1])))
while True:
    channel.send(still="here")
"""


def test_a_process_whose_conductor_is_gone_ends() -> None:
    ours, its = socket.socketpair()
    with its:
        process = subprocess.Popen([sys.executable, "-c", ORPHAN, str(its.fileno())], pass_fds=[its.fileno()])
    assert json.loads(ours.recv(1 << 16).partition(b"\n")[0]) == {"still": "here"}
    ours.close()
    assert process.wait(30) == ORPHANED


def test_a_cell_travels_as_json() -> None:
    cell = Cell("digits", "step", 4, "float32", 2, "numpy")
    assert Cell(**json.loads(json.dumps(dataclasses.asdict(cell)))) == cell
