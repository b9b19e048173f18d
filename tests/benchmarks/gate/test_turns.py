"""A side's process: what it runs in, and who is to blame where it fails."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gate.errors import NoAnswer
from benchmarks.gate.messages import PairAnswer, Prepare, Ready, TakeTurn
from benchmarks.gate.turns import Incidents, Place, SideProcess, catalogue
from benchmarks.record.pairs_file import Benchmark

ROOT = Path(__file__).parents[3]
NUMPY = Benchmark("numpy", "digits", "gradients", 1, "float64")
BASE = Place("base", Path(sys.executable), ROOT)


def test_a_process_has_its_own_seed_padding_and_cache_and_runs_its_own_worktree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    for package in ("impls", "benchmarks"):
        shutil.copytree(ROOT / package, tmp_path / "head" / package)
    place = Place("head", Path(sys.executable), tmp_path / "head")
    with SideProcess(place, hash_seed=7, padding=100) as process:
        environment = Path(f"/proc/{process.process._popen.pid}/environ").read_text().split("\0")
        assert "PYTHONHASHSEED=7" in environment
        assert f"GRADRACE_PADDING={'x' * 100}" in environment
        assert f"NUMBA_CACHE_DIR={tmp_path / 'numba-head'}" in environment
        process.cache.mkdir()
        process.send(Prepare((), verify=False))
        process.receive(PairAnswer, 60)  # no benchmark is to blame from here on
        assert process.receive(Ready, 60).source == str(tmp_path / "head")
    assert not process.cache.exists()


@pytest.fixture
def killed() -> Iterator[SideProcess]:
    """A worker whose process was killed."""
    with SideProcess(BASE, 0, 0) as process:
        os.kill(process.process._popen.pid, signal.SIGKILL)
        yield process


def test_the_benchmark_that_a_process_was_busy_with_is_lost(killed: SideProcess) -> None:
    with pytest.raises(Incidents) as caught:
        killed.time(TakeTurn(NUMPY.name, 1))
    (incident,) = caught.value.incidents
    assert (incident.benchmark, incident.side, incident.status) == (NUMPY.name, "base", "failed")
    assert "SIGKILL" in incident.reason


def test_without_a_benchmark_to_blame_there_is_no_answer(killed: SideProcess) -> None:
    with pytest.raises(NoAnswer, match=r"base cannot be compared.*SIGKILL"):
        killed.receive(PairAnswer, 60)


def test_only_the_last_line_that_a_process_printed_is_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "benchmarks", tmp_path / "head" / "benchmarks")
    (tmp_path / "head" / "benchmarks" / "gate" / "watched.py").write_text("raise RuntimeError('gone')")
    with pytest.raises(NoAnswer) as caught:
        catalogue(Place("head", Path(sys.executable), tmp_path / "head"), [])
    assert caught.value.message.endswith("instead of answering: RuntimeError: gone")


def test_what_a_process_reports_of_itself_does_not_depend_on_what_it_measures(tmp_path: Path) -> None:
    for package in ("impls", "benchmarks"):
        shutil.copytree(ROOT / package, tmp_path / "head" / package)
    probe = "import scipy.linalg  # brings a BLAS of its own\nfrom impls.numpy_batch import NumpyBatch\n"
    (tmp_path / "head" / "probe.py").write_text(probe + "class Probe(NumpyBatch):\n    idea = 'another'\n")
    found = []
    for wanted in ((), (Benchmark("probe.py:Probe", "digits", "gradients", 1, "float64"),)):
        with SideProcess(Place("head", Path(sys.executable), tmp_path / "head"), 0, 0) as process:
            process.send(Prepare(wanted, verify=False))
            while not isinstance(answer := process.receive(PairAnswer, 60), Ready):
                pass
        assert answer.lost == {}
        found.append(answer.versions)
    assert found[0] == found[1]
