"""The runner's end of a process: orders, answers, and every way in which a process can fail to answer."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.gate.process import Crash, Process
from benchmarks.measure.environment import THREAD_VARIABLES


@contextmanager
def worker(tmp_path: Path, body: str) -> Iterator[Process]:
    """A process of a `benchmarks.gate.worker` that does `body`."""
    worktree = tmp_path / "base"
    (worktree / "benchmarks").mkdir(parents=True)
    (worktree / "benchmarks" / "__init__.py").write_text("")
    (worktree / "benchmarks" / "pair_worker.py").write_text(body)
    process = Process("base", Path(sys.executable), worktree, hash_seed=7, padding=100)
    try:
        yield process
    finally:
        process.close()


ECHO = """
import sys
for line in sys.stdin:
    print(line, end="", flush=True)
"""


def test_answers_come_in_the_order_of_the_orders(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as process:
        for k in range(3):
            process.order(number=k, text="a\nb")
        assert [process.answer(30) for _ in range(3)] == [{"number": k, "text": "a\nb"} for k in range(3)]


ENVIRONMENT = """
import json, os, pathlib
import benchmarks
cache = pathlib.Path(os.environ["NUMBA_CACHE_DIR"])
cache.mkdir()
print(json.dumps({**os.environ, "source": benchmarks.__file__}), flush=True)
"""


def test_a_process_has_its_own_seed_cache_and_threads_and_the_worktree_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    with worker(tmp_path, ENVIRONMENT) as process:
        found = process.answer(30)
        assert found["source"] == str(tmp_path / "base" / "benchmarks" / "__init__.py")
        assert found["PYTHONHASHSEED"] == "7"
        assert len(found["GRADRACE_PADDING"]) == 100
        assert {found[name] for name in THREAD_VARIABLES} == {"1"}
        assert process.cache == tmp_path / "numba-base"
        assert process.cache.is_dir()
    assert not process.cache.exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SystemExit(4)", "exit code 4"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("raise ValueError('what went wrong')", "exit code 1: ValueError: what went wrong"),
    ],
)
def test_a_process_that_ends_names_how(tmp_path: Path, body: str, reason: str) -> None:
    with worker(tmp_path, body) as process:
        process.during = "a benchmark"
        with pytest.raises(Crash) as crash:
            process.answer(30)
        assert (crash.value.side, crash.value.during, crash.value.timed_out) == ("base", "a benchmark", False)
        assert crash.value.reason == reason


def test_an_order_to_a_process_that_ended_is_a_crash(tmp_path: Path) -> None:
    with worker(tmp_path, "import os; os._exit(3)") as process:
        with pytest.raises(Crash):
            process.answer(30)
        with pytest.raises(Crash, match="exit code 3"):
            process.order(text="x" * 100_000)


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    with worker(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(1000)") as process:
        number = process.answer(30)
        with pytest.raises(Crash) as crash:
            process.answer(0.1)
        assert crash.value.timed_out
    with pytest.raises(ProcessLookupError):
        os.kill(int(json.dumps(number)), 0)


def test_a_process_that_does_not_want_to_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.gate.process.END_SECONDS", 0.1)
    with worker(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(1000)") as process:
        number = process.answer(30)
    with pytest.raises(ProcessLookupError):
        os.kill(int(json.dumps(number)), 0)
