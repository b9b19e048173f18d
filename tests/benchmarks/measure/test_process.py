"""Real processes: what they know, what becomes of one that misbehaves, and that nothing is left of any."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure.process import ORPHANED, Message, Parent, ProcessError, PythonProcess, Silent


class Ask(Message):
    """The orders of these tests."""


class Echo(Ask):
    text: str


class Do(Ask):
    what: str


class Reply(Message):
    """The answers to them."""


class Echoed(Reply):
    text: str
    numbers: tuple[float, ...] = ()


class Did(Reply):
    what: str
    pid: int = 0


def serve(parent: Parent) -> None:
    while order := parent.receive(Ask):
        match order:
            case Echo(text):
                parent.send(Echoed(text, (0.1, 1e-300)))
            case Do(what):
                parent.send(Did(what, DEEDS[what]() or 0))


def described() -> dict[str, Any]:
    import numba
    import threadpoolctl

    import benchmarks

    return {
        "threads": [
            numba.get_num_threads(),
            *(pool["num_threads"] for pool in threadpoolctl.threadpool_info()),
        ],
        "path": sys.path,
        "benchmarks": str(benchmarks.__file__),
        "optimize": sys.flags.optimize,
        "cwd": str(Path.cwd()),
        "variable": os.environ.get("GRADRACE_TEST"),
        "session": os.getsid(0) == os.getpid(),
    }


def describe(parent: Parent) -> None:
    parent.send(Echoed(json.dumps(described())))


def fork(then: Callable[[], Any]) -> int:
    """A child of the process's own, which holds its end of the line open."""
    child = os.fork()
    if not child:
        time.sleep(600)
    then()
    return child


def spin() -> None:
    while True:
        pass


def hang_up() -> None:
    os.closerange(3, 100)
    spin()


def chatter() -> None:
    for _ in range(10_000):
        print("x" * 1023)
    print("the end of it")
    os._exit(1)


DEEDS: dict[str, Callable[[], Any]] = {
    "return": int,
    "sys.exit(0)": lambda: sys.exit(0),
    "sys.exit(words)": lambda: sys.exit("no more"),
    "os._exit(0)": lambda: os._exit(0),
    "os._exit(1)": lambda: os._exit(1),
    "raise": lambda: 1 // 0,
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "spin": spin,
    "chatter": chatter,
    "close": hang_up,
    "fork": lambda: fork(int),
    "words": lambda: print("said of an earlier order"),
    "fork and exit": lambda: fork(lambda: os._exit(0)),
}


def ask(process: PythonProcess, order: Ask) -> Reply:
    process.send(order)
    return process.receive(Reply, 60.0)


def exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def gone(pid: int) -> bool:
    """Whether it ends soon: what a kill ends is not gone at once."""
    deadline = time.monotonic() + 30
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not exists(pid)


def test_messages_come_whole_and_in_order() -> None:
    texts = ["", "x" * 1_000_000, "a line\nand another, \N{GREEK SMALL LETTER ALPHA}"]
    with PythonProcess(serve, threads=1) as process:
        for text in texts:
            process.send(Echo(text))
        for text in texts:
            assert process.receive(Reply, 60.0) == Echoed(text, (0.1, 1e-300))
        process.close(grace=60.0)


def test_two_processes_take_orders_at_once() -> None:
    with PythonProcess(serve, threads=1) as one, PythonProcess(serve, threads=1) as other:
        for k in range(3):
            one.send(Echo(f"one {k}"))
            other.send(Echo(f"other {k}"))
            assert other.receive(Reply, 60.0) == Echoed(f"other {k}", (0.1, 1e-300))
            assert one.receive(Reply, 60.0) == Echoed(f"one {k}", (0.1, 1e-300))


def test_a_process_knows_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with PythonProcess(describe, threads=1, variables={"GRADRACE_TEST": "yes"}) as process:
        answer = process.receive(Reply, 60.0)
    assert isinstance(answer, Echoed)
    found = json.loads(answer.text)
    assert set(found["threads"]) == {1}
    assert found["benchmarks"] == str(Path(__file__).parents[3] / "benchmarks" / "__init__.py")
    assert found["path"][-1] == found["cwd"] == str(tmp_path)
    assert (found["optimize"], found["variable"], found["session"]) == (0, "yes", True)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("sys.exit(0)", "the process exited with status 0 instead of answering"),
        ("sys.exit(words)", "status 1 instead of answering; it printed: no more"),
        ("os._exit(0)", "exited with status 0"),
        ("os._exit(1)", "exited with status 1"),
        ("raise", "ZeroDivisionError: "),
        ("SIGKILL", r"ended by SIGKILL \(out of memory, as a rule\)"),
        ("SIGSEGV", r"ended by SIGSEGV \(a fault in compiled code\)"),
        ("chatter", "the end of it$"),
        ("fork and exit", "exited with status 0"),
    ],
)
def test_a_process_that_ends_instead_of_answering_is_an_error_with_how_it_ended(
    deed: str, words: str
) -> None:
    with PythonProcess(serve, threads=1) as process:
        with pytest.raises(ProcessError, match=words) as caught:
            ask(process, Do(deed))
        assert not isinstance(caught.value, Silent)
        assert len(str(caught.value)) < 3000
        with pytest.raises(ProcessError, match=r"instead of answering|ended by"):
            ask(process, Echo("anyone?"))


def test_what_a_process_printed_for_earlier_orders_is_not_quoted() -> None:
    with PythonProcess(serve, threads=1) as process:
        ask(process, Do("words"))
        with pytest.raises(ProcessError, match=r"it printed: no more$"):
            ask(process, Do("sys.exit(words)"))


def test_silence_is_an_error_of_its_own() -> None:
    with PythonProcess(serve, threads=1) as process:
        ask(process, Echo("ready"))
        process.send(Do("spin"))
        with pytest.raises(Silent, match=r"no answer within 0\.2 s"):
            process.receive(Reply, 0.2)


def test_a_process_that_closes_its_connection_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.measure.process.END_SECONDS", 0.1)
    with PythonProcess(serve, threads=1) as process:
        process.send(Do("close"))
        with pytest.raises(ProcessError, match="closed its connection and went on"):
            process.receive(Reply, 60.0)


def test_an_answer_of_another_kind_is_an_error() -> None:
    with PythonProcess(serve, threads=1) as process:
        process.send(Echo("x"))
        with pytest.raises(ProcessError, match="expected Ask as JSON, got"):
            process.receive(Ask, 60.0)


def test_what_a_process_started_ends_with_it() -> None:
    with PythonProcess(serve, threads=1) as process:
        answer = ask(process, Do("fork"))
        assert isinstance(answer, Did)
        assert exists(answer.pid)
    assert gone(answer.pid)


@pytest.mark.parametrize("deed", ["return", "spin"])
def test_a_process_ends_with_its_parent(deed: str) -> None:
    """The parent is killed while the process is busy or idle; no process of it remains."""
    code = (
        "import os, sys, time\n"
        "from benchmarks.measure.process import PythonProcess\n"
        "from tests.benchmarks.measure.test_process import Do, Echo, serve, Reply\n"
        "process = PythonProcess(serve, threads=1)\n"
        "process.send(Echo('ready'))\n"
        "process.receive(Reply, 60.0)\n"
        f"process.send(Do({deed!r}))\n"
        "print(process._popen.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert exists(pid)
        parent.kill()
    assert gone(pid)


def test_a_process_ends_whose_parent_was_gone_before_it_could_ask_to_end_with_it() -> None:
    code = (
        "import os\n"
        "from benchmarks.measure.process import PythonProcess\n"
        "from tests.benchmarks.measure.test_process import listens_to_nobody\n"
        "print(PythonProcess(listens_to_nobody, threads=1)._popen.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, check=True)
    assert gone(int(done.stdout))


def listens_to_nobody(parent: Parent) -> None:
    time.sleep(60)


def talk(parent: Parent) -> None:
    while True:
        parent.send(Did("talking"))


def test_a_process_whose_parent_hung_up_ends_at_its_next_message() -> None:
    process = PythonProcess(talk, threads=1)
    process.receive(Reply, 60.0)
    process._socket.shutdown(2)
    assert process._popen.wait(60) == ORPHANED
    process.close()


@pytest.mark.parametrize("deed", ["return", "SIGKILL", "spin"])
def test_where_a_system_cannot_wait_for_an_end_the_same_holds(
    deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.measure.process.end_of", lambda pid: None)
    with PythonProcess(serve, threads=1) as process:
        process.send(Do(deed))
        if deed == "return":
            assert process.receive(Reply, 60.0) == Did("return")
        else:
            with pytest.raises(Silent if deed == "spin" else ProcessError):
                process.receive(Reply, 60.0 if deed == "SIGKILL" else 3.0)
