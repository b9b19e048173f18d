"""Implementations in other processes: the same bits, errors as sentences, and nothing left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import impls
from impls.child import Child, ChildError, _Process, in_child
from impls.referee import conformance

SIGMOID = impls.Network((5, 4, 3), ("sigmoid", "sigmoid"), "mean_squared_error")
SOFTMAX = impls.Network((5, 4, 3), ("relu", "softmax"), "softmax_cross_entropy")

HERE = Path(__file__)
ROOT = HERE.parents[2]


class Misbehaving:
    """Answers with its facts, and misbehaves in the way that its learning rate selects."""

    idea = layout = "none"
    differs_from = None
    dtypes = ("float64",)
    same_order = False
    fast_math = "none"
    compile_seconds = 0.0

    def __init__(self, problem: impls.Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.problem = problem
        if threads > 2:
            raise ValueError(f"threads: expected 1 or 2, got {threads}")
        if threads > 1:
            raise impls.Unsupported(f"one thread only, got {threads}")

    def forward(self) -> None:
        print("a line that is no answer")
        os.write(1, b"another")

    def gradients(self) -> None:
        self.problem.X[0, 0] = 1.0

    def step(self, learning_rate: float) -> None:
        DEEDS[int(learning_rate)]()

    def train(self, steps: int, learning_rate: float) -> None:
        subprocess.Popen(["sleep", "600"])

    def export(self) -> impls.Result:
        wrong = np.zeros((1, 1))
        return impls.Result(float(os.getpid()), wrong, (), (), (), ())


def chatter() -> None:
    for _ in range(1000):
        print("x" * 1000)
    print("the end of it")
    os._exit(3)


def fork() -> None:
    """Its own child holds the pipes open."""
    if os.fork():
        os._exit(3)
    time.sleep(600)


DEEDS = (
    lambda: 1 // 0,
    lambda: os.kill(os.getpid(), signal.SIGKILL),
    lambda: os._exit(3),
    chatter,
    fork,
    lambda: sys.exit("no more"),
    lambda: time.sleep(600),
)


PLAIN = impls.Training()

TRAININGS = (
    PLAIN,
    impls.Training("momentum", l2=0.01),
    impls.Training("adam", dropout=0.5, seed=7),
    impls.Training(dropout=(0.3,)),
)

ENDS = (
    *((last, "mean_squared_error") for last in ("identity", "sigmoid", "tanh", "relu")),
    ("sigmoid", "binary_cross_entropy"),
    ("softmax", "softmax_cross_entropy"),
)


def problem(
    network: impls.Network = SIGMOID, seed: int = 1, training: impls.Training = PLAIN
) -> impls.Problem:
    return impls.Problem.random(network, 12, 4, seed=seed, training=training)


def same(one: impls.Result, other: impls.Result) -> bool:
    numbers = ([*impls.quantities(result), *(("", x) for x in result.state)] for result in (one, other))
    pairs = zip(*numbers, strict=True)
    return one.loss == other.loss and all(np.array_equal(a, b) for (_, a), (_, b) in pairs)


def misbehaving() -> type[impls.Implementation]:
    return in_child(f"{HERE}:Misbehaving")


def pid_of(race: impls.Implementation) -> int:
    assert isinstance(race, Child)
    return race._process._popen.pid


def exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def gone(pid: int) -> bool:
    """Whether it ends soon: what a kill ends is not gone at once."""
    deadline = time.monotonic() + 30
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not exists(pid)


@pytest.mark.parametrize("training", TRAININGS, ids=str)
@pytest.mark.parametrize(
    ("name", "dtype"), [("loops", "float64"), ("numpy", "float64"), ("numpy", "float32")]
)
def test_another_process_computes_the_same_bits(name: str, dtype: str, training: impls.Training) -> None:
    given = problem(SOFTMAX, training=training)
    here, there = impls.load(name)(given, dtype), in_child(name)(given, dtype)
    for call in ("forward", "gradients", "forward"):
        getattr(here, call)()
        getattr(there, call)()
        assert same(here.export(), there.export())
    here.step(0.1)
    there.step(0.1)
    assert same(here.export(), there.export())
    here.train(5, 0.3)
    there.train(5, 0.3)
    assert same(here.export(), there.export())


@pytest.mark.parametrize("training", TRAININGS, ids=str)
@pytest.mark.parametrize(("last", "loss"), ENDS)
def test_pypy_computes_the_bits_of_loops(last: str, loss: str, training: impls.Training) -> None:
    try:
        under_pypy = impls.load("loops-pypy")
    except impls.Unavailable as missing:
        pytest.skip(str(missing))
    hidden = ("tanh", "relu") if last == "identity" else ("sigmoid",)
    network = impls.Network((5, *(6, 4)[: len(hidden)], 3), (*hidden, last), loss)
    if training.dropout == (0.3,):
        training = dataclasses.replace(training, dropout=(0.3,) * len(hidden))
    given = problem(network, training=training)
    here, there = impls.load("loops")(given), under_pypy(given)
    for rate in (0.1, 1.0, 0.01):
        here.train(3, rate)
        there.train(3, rate)
        assert same(here.export(), there.export())
        here.forward()
        there.forward()
        assert same(here.export(), there.export())


def test_a_round_of_calls_is_as_many_calls() -> None:
    one, other = (in_child("loops")(problem()) for _ in range(2))
    assert isinstance(one, Child)
    one.repeat("step", 7, 0.3)
    one.repeat("train", 2, 3, 0.1)
    for _ in range(7):
        other.step(0.3)
    other.train(6, 0.1)
    assert same(one.export(), other.export())


def test_the_facts_are_those_of_the_class() -> None:
    here, there = impls.load("numpy"), in_child("numpy")
    for fact in ("idea", "differs_from", "dtypes", "same_order", "fast_math", "layout"):
        assert getattr(here, fact) == getattr(there, fact)


def test_the_process_loads_a_file_that_this_one_does_not() -> None:
    before = set(sys.modules)
    misbehaving()
    assert not [name for name in set(sys.modules) - before if name.startswith("gradrace_outside")]


def test_results_are_copies_that_can_be_written_to() -> None:
    race = in_child("numpy")(problem())
    first = race.export()
    first.output.fill(0)
    assert race.export().output.any()


def test_refusals_come_through_as_they_were_raised() -> None:
    with pytest.raises(impls.Unsupported, match="one thread only, got 2"):
        misbehaving()(problem(), threads=2)
    with pytest.raises(ValueError, match="threads: expected 1 or 2, got 3") as raised:
        misbehaving()(problem(), threads=3)
    assert not isinstance(raised.value, impls.Unsupported)


def test_the_problem_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        misbehaving()(problem()).gradients()


def test_what_is_printed_is_no_answer() -> None:
    misbehaving()(problem()).forward()


def test_a_result_of_another_structure_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"output\[0\]: expected a float64 array of \(3, 4\), got float64 of"):
        misbehaving()(problem()).export()


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (0, r"^ZeroDivisionError: .* \(line \d+ of .*test_child.py\)$"),
        (1, r"^the process was ended by SIGKILL \(out of memory, as a rule\)$"),
        (2, "^the process exited with status 3 instead of answering$"),
        (3, "the process exited with status 3 instead of answering; it printed: x+\n.*x\nthe end of it$"),
        (4, "^the process exited with status 3 instead of answering$"),
        (5, "^SystemExit: no more"),
    ],
)
def test_a_failure_is_reported_with_how_it_came_about(deed: int, words: str) -> None:
    race = misbehaving()(problem())
    with pytest.raises(ChildError, match=f"(?s){words}"):
        race.step(deed)
    misbehaving()(problem()).forward()  # another object is none the worse


def test_the_next_object_is_constructed_in_the_process_of_one_that_is_gone() -> None:
    of = in_child("loops")
    one = of(problem())
    first, second = pid_of(one), of(problem(seed=2))
    assert pid_of(second) != first
    del one
    gc.collect()
    third = of(problem(seed=3))
    assert pid_of(third) == first
    here = impls.load("loops")(problem(seed=3))
    assert same(third.export(), here.export())


def test_a_process_that_owes_an_answer_serves_nobody_else() -> None:
    race = misbehaving()(problem())
    assert isinstance(race, Child)
    pid = pid_of(race)
    race._process.busy = True
    del race
    gc.collect()
    assert gone(pid)


PARENT = """
import subprocess, sys, os
from impls.child import in_child
from tests.impls.test_child import misbehaving, problem, pid_of
race = misbehaving()(problem())
print(pid_of(race), flush=True)
"""


@pytest.mark.parametrize(
    "then",
    [
        "",
        "raise ValueError",
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "race.train(1, 0.1); sys.exit(0)",
        "import signal; signal.signal(signal.SIGALRM, lambda *_: 1 // 0); signal.alarm(1); race.step(6)",
    ],
)
def test_nothing_is_left_behind_however_the_parent_ends(then: str) -> None:
    code = PARENT + then
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert gone(int(done.stdout)), done.stderr


@pytest.fixture
def without_numpy(tmp_path: Path) -> str:
    """This interpreter without what is installed for it."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_loops_run_where_there_is_no_numpy(without_numpy: str) -> None:
    here, there = impls.load("loops")(problem()), impls.load(f"loops@{without_numpy}")(problem())
    here.train(5, 0.3)
    there.train(5, 0.3)
    assert same(here.export(), there.export())


def test_what_needs_numpy_is_unavailable_without_it(without_numpy: str) -> None:
    with pytest.raises(impls.Unavailable, match=r"has no NumPy; install it: .* -m pip install numpy"):
        impls.load(f"loops-ndarray@{without_numpy}")(problem())
    with pytest.raises(impls.Unavailable, match=r"cannot be loaded under .*: .* install what it needs"):
        impls.load(f"numba-loops@{without_numpy}")


def program(path: Path, source: str) -> str:
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
    return str(path)


STAYS = "import sys, time; sys.stdout.flush(); time.sleep(600)"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f"print('hello'); {STAYS}", "expected an answer to order 1 as one line of JSON, got b'hello"),
        (f"print('{{\"id\": 5}}'); {STAYS}", "expected an answer to order 1"),
        (f"print('[]'); {STAYS}", "expected an answer to order 1"),
        ("print('hello')", "exited with status 0 instead of answering; it printed: hello"),
        ("", "exited with status 0 instead of answering"),
        ("import os, time; os.close(1); time.sleep(600)", "closed its connection and went on"),
    ],
)
def test_what_is_no_interpreter_is_one_clear_line(tmp_path: Path, source: str, words: str) -> None:
    python = program(tmp_path / "python", source)
    with pytest.raises(impls.Unavailable, match=words):
        impls.load(f"loops@{python}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loops@no-such-python", "loops under no-such-python: there is no no-such-python here"),
        ("loops@/no/such/python", "give the name or the path"),
        (f"{HERE}:Nothing@{sys.executable}", "has no Nothing"),
        (f"{HERE}.no.py:Misbehaving@{sys.executable}", "there is no file"),
    ],
)
def test_what_cannot_be_loaded_is_unavailable(name: str, words: str) -> None:
    with pytest.raises(impls.Unavailable, match=words):
        impls.load(name)


@pytest.mark.parametrize("name", ["loops@", "nothing@python3", "@python3"])
def test_names_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of loops, .*each with @python behind it or not"):
        impls.load(name)


def test_the_interpreter_is_named_by_the_class() -> None:
    found = impls.load(f"numpy@{sys.executable}")
    assert found.differs_from == "numpy"
    assert "the same file, under CPython 3." in found.idea


def test_a_program_in_any_language_is_a_subclass_with_a_command(tmp_path: Path) -> None:
    class RunsFalse(Child):
        idea = fast_math = layout = "none"
        differs_from = None
        dtypes = ("float64",)
        same_order = False

        @staticmethod
        def command() -> list[str]:
            return [shutil.which("false") or "false"]

    with pytest.raises(ChildError, match="exited with status 1"):
        RunsFalse(problem())


EMPTY = """
import json, sys
for line in sys.stdin.buffer:
    order = json.loads(line)
    sys.stdin.buffer.read(order.get("bytes", 0))
    print(json.dumps({"id": order["id"], "error": "no such network", "bytes": 0}), flush=True)
"""


def test_an_answer_of_no_bytes_is_whole(tmp_path: Path) -> None:
    class Empty(Child):
        idea = fast_math = layout = "none"
        differs_from = None
        dtypes = ("float64",)
        same_order = False

        @staticmethod
        def command() -> list[str]:
            return [sys.executable, "-c", EMPTY]

    with pytest.raises(ChildError, match="no such network"):
        Empty(problem())


def test_the_orders_are_those_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    send = _Process._send

    def kept(process: _Process, message: bytes) -> None:
        sent.append(message.partition(b"\n")[0])
        send(process, message)

    monkeypatch.setattr(_Process, "_send", kept)
    monkeypatch.setattr(socket, "gethostname", lambda: "here")

    class Fresh(in_child("loops")):  # type: ignore[misc]
        """Has no process yet."""

    network = impls.Network((2, 2, 1), ("tanh", "sigmoid"), "mean_squared_error")
    del sent[:]
    race = Fresh(impls.Problem.random(network, 4, 2))
    race.repeat("gradients", 100)
    race.export()
    text = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    assert [order.decode() for order in sent] == re.findall(r"^    > (\{.*\})$", text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler, cc")
def test_the_example_in_c_is_short_and_keeps_every_law() -> None:
    found = impls.load(f"{ROOT / 'examples' / 'loops_c.py'}:LoopsC")
    findings = list(conformance.examine(found))
    assert not [finding for finding in findings if finding.status == "failed"]
    passed = {finding.law for finding in findings if finding.status == "passed"}
    assert set(conformance.LAWS) - passed == {law for law in conformance.LAWS if "every optimizer" in law}
    assert len((ROOT / "examples" / "loops.c").read_text("utf-8").splitlines()) <= 150


def test_the_example_in_c_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = impls.load(f"{ROOT / 'examples' / 'loops_c.py'}:LoopsC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(impls.Unavailable, match="found no cc; apt-get install gcc"):
        found(problem())
