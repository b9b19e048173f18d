"""`gradrace gate run`, in a repository of its own, against what users and machines do to it."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import CONTROL

ROOT = Path(__file__).parents[3]

PROBE_FILE = """
from impls.numpy_batch import NumpyBatch

class Probe(NumpyBatch):
    idea = "an implementation to be gated"
"""

CRASHING = (
    PROBE_FILE
    + """
    def gradients(self):
        import os
        if self.layers[0].w.shape[0] and getattr(self, "called", 0) > 20:
            os.abort()
        self.called = getattr(self, "called", 0) + 1
        super().gradients()
"""
)

WRONG = (
    PROBE_FILE
    + """
    def export(self):
        import dataclasses
        result = super().export()
        return dataclasses.replace(result, dw=(result.dw[0] * 1.001, *result.dw[1:]))
"""
)

SLOW = (
    PROBE_FILE
    + """
    def gradients(self):
        super().gradients()
        if getattr(self, "warm", False):
            super().gradients()
        self.warm = True
"""
)

LATER = """

def fails_after_the_first_pair():
    import os, pathlib
    mark = pathlib.Path("{mark}")
    with mark.open("a") as file:
        file.write(str(os.getpid()) + " ")
    if len(mark.read_text().split()) > 2:
        raise RuntimeError("not again")
    return blas()


CONTROLS["blas"] = fails_after_the_first_pair
"""

ENDLESS = (
    PROBE_FILE
    + """
    def __init__(self, *arguments):
        import os, pathlib
        super().__init__(*arguments)
        mark = pathlib.Path("{mark}")
        mark.with_suffix(".part").write_text(str(os.getpid()))
        mark.with_suffix(".part").rename(mark)
        while True:
            pass
"""
)

PROBE = ("--impl", "probe.py:Probe")


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(root: Path, probe: str | None) -> str:
    if probe is None:
        (root / "probe.py").unlink(missing_ok=True)
    else:
        (root / "probe.py").write_text(probe)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "a change")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with our packages, and an implementation beside them."""
    folder = tmp_path / "repository"
    for package in ("impls", "benchmarks"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gradrace.py", folder)
    (folder / ".gitignore").write_text(".gradrace/\n__pycache__/\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, PROBE_FILE)
    return folder


def start(root: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "gate", "run", "--here", *arguments],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(root: Path, *arguments: str) -> Any:
    process = start(root, *arguments)
    out, err = process.communicate()
    return dataclasses.make_dataclass("Done", ["code", "out", "err"])(process.returncode, out, err)


def test_pairs_of_fresh_processes_are_measured_in_turns(root: Path, tmp_path: Path) -> None:
    head = commit(root, SLOW)
    out = tmp_path / "pairs.json"
    done = run(root, "--base", "main~1", *PROBE, "--pairs", "2", "--out", str(out))
    assert (done.code, done.out.strip()) == (0, str(out)), done.err
    record = pairs_file.read(out)
    assert record.head.commit == head
    assert record.base.commit == git(root, "rev-parse", "main~1")
    assert record.base.machine == record.head.machine
    assert record.base.threads_in_force["cpus"] == 1
    assert not record.incidents
    gated = [b.name for b in record.benchmarks if b.implementation != CONTROL]
    assert len(gated) == 3
    assert len(record.benchmarks) == 6
    assert len({seed for p in record.pairs for seed in (p.base_hash_seed, p.head_hash_seed)}) == 4
    for pair in record.pairs:
        assert {reading.benchmark for reading in pair.readings} == {b.name for b in record.benchmarks}
        assert all(reading.iterations >= 1 for reading in pair.readings)
    # One method that does everything twice: no noise hides that.
    assert all(pairs_file.differences(pair)[gated[-1]] > 0.2 for pair in record.pairs)
    assert not list((root / ".gradrace").glob("*/benchmarks"))
    assert git(root, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("probe", "side", "status", "reason"),
    [
        (None, "head", "unavailable", "there is no file probe.py"),
        (WRONG, "head", "wrong", "times its bound"),
        (CRASHING, "head", "failed", "SIGABRT"),
        ("raise RuntimeError('no import')", "head", "unavailable", "no import"),
    ],
    ids=["one-sided", "wrong", "crashing", "broken"],
)
def test_what_one_side_cannot_run_is_put_on_record(
    root: Path, tmp_path: Path, probe: str | None, side: str, status: str, reason: str
) -> None:
    commit(root, probe)
    out = tmp_path / "pairs.json"
    done = run(root, "--base", "main~1", *PROBE, "--pairs", "1", "--out", str(out))
    assert done.code == 0, done.err
    record = pairs_file.read(out)
    assert {incident.benchmark for incident in record.incidents} == {
        b.name for b in record.benchmarks if b.implementation != CONTROL
    }
    for incident in record.incidents:
        assert (incident.side, incident.status) == (side, status)
        assert reason in incident.reason
    assert "lost: " in done.err


def test_a_budget_that_ends_before_the_first_pair_is_no_answer(root: Path, tmp_path: Path) -> None:
    commit(root, WRONG)
    out = tmp_path / "pairs.json"
    done = run(root, "--base", "main~1", *PROBE, "--budget", "0.1", "--out", str(out))
    assert done.code == 2
    assert "expected a pair within 0.1 s, got none: lost" in done.err
    assert not out.exists()


def test_what_is_lost_after_the_first_pair_is_on_record(root: Path, tmp_path: Path) -> None:
    with (root / "benchmarks" / "gate" / "controls.py").open("a") as file:
        file.write(LATER.format(mark=tmp_path / "mark"))
    commit(root, PROBE_FILE)
    out = tmp_path / "pairs.json"
    done = run(root, "--base", "main~1", *PROBE, "--out", str(out))
    assert done.code == 0, done.err
    record = pairs_file.read(out)
    assert len(record.pairs) == 1
    (lost,) = record.incidents
    assert (lost.benchmark, lost.status) == (f"{CONTROL} blas", "failed")
    assert "not again" in lost.reason


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_gate_that_is_stopped_is_no_answer_and_cleans_up(
    root: Path, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "pairs.json"
    process = start(root, "--base", "main", *PROBE, "--pairs", "30", "--out", str(out))
    deadline = time.monotonic() + 300
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    _, err = process.communicate()
    assert process.returncode == 2
    assert "stopped; go on with --resume" in err
    assert "Traceback" not in err
    assert pairs_file.read(out).pairs
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_no_process_outlives_a_killed_gate(root: Path, tmp_path: Path) -> None:
    commit(root, ENDLESS.format(mark=tmp_path / "mark"))
    process = start(root, "--base", "main", *PROBE, "--pairs", "1", "--out", str(tmp_path / "pairs.json"))
    deadline = time.monotonic() + 300
    while not (tmp_path / "mark").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = int((tmp_path / "mark").read_text())
    process.kill()
    process.communicate()
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def alive(process_id: int) -> bool:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"  # nobody may be there to ask how it ended


def test_a_killed_gate_keeps_its_pairs_and_goes_on_from_them(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.json"
    asked = ("--base", "main", *PROBE, "--pairs", "3", "--out", str(out))
    process = start(root, *asked)
    deadline = time.monotonic() + 300
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = pairs_file.read(out)
    assert 1 <= len(kept.pairs) < 3
    assert (root / ".gradrace" / "base").exists()
    done = run(root, *asked, "--resume")
    assert done.code == 0, done.err
    record = pairs_file.read(out)
    assert len(record.pairs) == 3
    assert record.pairs[: len(kept.pairs)] == kept.pairs
    assert not (root / ".gradrace" / "base").exists()
    assert len(git(root, "worktree", "list").splitlines()) == 1
    # Another head is another comparison.
    commit(root, SLOW)
    done = run(root, *asked, "--resume")
    assert done.code == 3
    assert "--resume: " in done.err
    assert pairs_file.read(out) == record
    # Without --resume the file is kept beside the new one.
    done = run(root, *asked[:-4], "--pairs", "1", *asked[-2:])
    assert done.code == 0, done.err
    assert pairs_file.read(out.with_name("pairs.json.previous")) == record


def test_two_gates_at_once_are_refused(root: Path, tmp_path: Path) -> None:
    first = start(root, "--base", "main", *PROBE, "--pairs", "1", "--out", str(tmp_path / "one.json"))
    holder = root / ".gradrace" / "lock.pid"
    deadline = time.monotonic() + 300
    while not (holder.exists() and holder.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    second = run(root, "--base", "main", *PROBE, "--out", str(tmp_path / "two.json"))
    assert second.code == 3
    assert "expected no other gate" in second.err
    _, err = first.communicate()
    assert first.returncode == 0, err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Missing option '--base'"),
        (("--base", "nowhere"), "--base: expected a branch, a tag or a commit"),
        (("--base", "--upload-pack=x"), "--base: expected a branch, a tag or a commit"),
        (("--base", "$(touch x)"), "--base: expected a branch, a tag or a commit"),
        (("--base", "main", "--head", "`touch x`"), "--head: expected a branch, a tag or a commit"),
        (("--base", "main", "--impl", "nump"), "'--impl': expected one of"),
        (("--base", "main", "--budget", "0"), "'--budget': expected a positive number"),
        (("--base", "main", "--budget", "inf"), "'--budget': expected a positive number"),
        (("--base", "main", "--target", "inf"), "minimum effect and target: expected"),
        (("--base", "main", "--impl", "/probe.py:Probe"), "expected a file of the repository"),
        (("--base", "main", "--impl", "../probe.py:Probe"), "expected a file of the repository"),
        (("--base", "main", "--minimum-effect", "6"), "minimum effect"),
        (("--base", "main", "--out", "/dev/null/pairs.json"), "'--out': expected a place"),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(root: Path, arguments: tuple[str, ...], reason: str) -> None:
    done = run(root, *arguments)
    assert done.code == 3
    assert reason in done.err
    assert "Traceback" not in done.err
    assert not (root / "x").exists()


def test_changes_that_are_not_committed_are_refused(root: Path) -> None:
    (root / "impls" / "loops.py").write_text("")
    done = run(root, "--base", "main")
    assert done.code == 3
    assert "expected a clean working tree" in done.err
    assert "impls/loops.py" in done.err


@pytest.mark.parametrize("out", ["pairs.json", "new/pairs.json"])
def test_a_gates_own_file_does_not_stop_it_from_going_on(root: Path, out: str) -> None:
    asked = ("--base", "main", *PROBE, "--pairs", "1", "--out", out)
    for more in ((), (), ("--resume",)):  # the second one puts the first one's file aside
        done = run(root, *asked, *more)
        assert done.code == 0, done.err


def test_implementations_from_elsewhere_are_no_answer(root: Path) -> None:
    with (root / "impls" / "__init__.py").open("a") as file:
        file.write("\n__file__ = '/elsewhere/impls/__init__.py'\n")
    commit(root, PROBE_FILE)
    done = run(root, "--base", "main~1", *PROBE)
    assert done.code == 2
    assert "head runs the implementations in /elsewhere" in done.err


def test_a_mistake_of_ours_does_not_read_as_a_slowdown(root: Path) -> None:
    file = root / "benchmarks" / "gate" / "worktrees.py"
    file.write_text(file.read_text() + "\n\ndef repository(folder):\n    raise KeyError(folder)\n")
    done = run(root, "--base", "main")
    assert done.code == 2
    assert "KeyError" in done.err


def test_a_commit_whose_install_fails_is_no_answer(root: Path) -> None:
    (root / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'nothing_here'\n")
    commit(root, PROBE_FILE)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "gate", "run", "--base", "main"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the environment of base could not be built" in done.stderr
    assert not (root / ".gradrace" / "base").exists()


def test_head_files_that_cannot_be_run_are_no_answer(root: Path) -> None:
    (root / "benchmarks" / "gate" / "watched.py").write_text(
        "raise RuntimeError('a benchmark file that fails')\n"
    )
    commit(root, PROBE_FILE)
    done = run(root, "--base", "main~1")
    assert done.code == 2
    assert "a benchmark file that fails" in done.err


def test_no_benchmark_is_blamed_for_what_stops_all_of_them(root: Path) -> None:
    with (root / "benchmarks" / "measure" / "threads.py").open("a") as file:
        file.write("\n\ndef threads_in_force():\n    raise RuntimeError('no thread pools')\n")
    commit(root, PROBE_FILE)
    done = run(root, "--base", "main~1", *PROBE)
    assert done.code == 2
    assert "no thread pools" in done.err
    assert "lost: " not in done.err


def test_a_base_that_lacks_what_heads_benchmarks_need_cannot_be_compared(root: Path) -> None:
    (root / "impls" / "__init__.py").write_text("from impls.registry import load, names\n")
    commit(root, PROBE_FILE)
    shutil.copy(ROOT / "impls" / "__init__.py", root / "impls")
    commit(root, PROBE_FILE)
    done = run(root, "--base", "main~1", *PROBE)
    assert done.code == 2
    assert "base cannot be compared, as it cannot run head's benchmark files" in done.err
    assert "cannot import name" in done.err
    assert "Traceback" not in done.err
