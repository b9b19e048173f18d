"""A race ends whatever the process of an implementation does: its cell fails, and the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import EndedCommand, reasons, statuses

MISBEHAVIOUR = {
    "exits with status 0": "sys.exit(0)",
    "exits with status 1": "sys.exit(1)",
    "exits with words": "sys.exit('no licence')",
    "is gone with status 0": "os._exit(0)",
    "is gone with status 1": "os._exit(1)",
    "is gone with the status of an orphan": "os._exit(70)",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "is terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "is interrupted": "os.kill(os.getpid(), signal.SIGINT)",
    "hangs up": "signal.signal(signal.SIGHUP, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGHUP)",
    "faults": "ctypes.string_at(0)",
    "aborts": "os.abort()",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt",
    "raises GeneratorExit": "raise GeneratorExit",
    "recurses": "self.recurse()",
    "runs out of memory": "bytearray(1 << 60)",
    "loops for ever": "exec('while True: pass')",
    "sleeps for ever": "time.sleep(3600)",
    "sleeps and cannot be terminated": "signal.signal(15, signal.SIG_IGN); time.sleep(3600)",
    "prints 10 MB and exits": "print('x' * 10_000_000); sys.exit(1)",
    "prints what is no text and exits": "os.write(1, bytes(range(256))); sys.exit(1)",
    "closes every file": "os.closerange(0, 1024)",
    "leaves a child that holds the line": "os.fork() or time.sleep(3600); os._exit(1)",
    "waits for a thread that never ends": (
        "threading.Thread(target=time.sleep, args=(3600,)).start(); raise ValueError('x')"
    ),
}

CLASS = """
import ctypes, os, signal, sys, threading, time
import impls

class Bad(impls.load("numpy")):
    def recurse(self):
        return self.recurse()

    def {place}(self, *args, **kwargs):
        {code}
        return super().{place}(*args, **kwargs)
"""

PLACES = ("__init__", "gradients", "export")


def trials() -> list[object]:
    found: list[object] = []
    for k, (name, code) in enumerate(MISBEHAVIOUR.items()):
        place = PLACES[k % len(PLACES)]
        quick = name in ("exits with status 0", "is gone with status 1")
        found.append(
            pytest.param(place, code, id=f"{name} in {place}", marks=[] if quick else pytest.mark.field)
        )
    return found


TIMEOUTS = ("3", "12", "48")
"""Seconds, one after the other: on a machine that is busy the first may be too few for anybody."""


def beside_numpy(name: str, race: Command, folder: Path, *asked: str) -> EndedCommand:
    """How a race of numpy and of this one ended, in which numpy was measured."""
    for timeout in TIMEOUTS:
        ended = race("--impl", f"numpy,{name}", *asked, "--timeout", timeout, status=4)
        if statuses(folder / "record.json")["numpy"] == {"measured"}:
            return ended
    raise AssertionError(f"numpy was not measured: {ended}")


@pytest.mark.parametrize(("place", "code"), trials())
def test_a_process_that_misbehaves_is_its_own_cells_failure(
    place: str, code: str, race: Command, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(CLASS.format(place=place, code=code))
    ended = beside_numpy("bad.py:Bad", race, tmp_path)
    found = statuses(tmp_path / "record.json")
    assert found["bad.py:Bad"] <= {"failed", "timed out"}, found
    assert found["bad.py:Bad"]
    assert "bad.py:Bad" in ended.err
    assert len(reasons(tmp_path / "record.json")) < 10_000


INTERPRETERS = {
    "sleeps in a process of its own": "sleep 1000",
    "prints for ever": "yes",
    "prints errors for ever": "yes >&2",
    "prints what is no text": r"printf '\377\376\0'; exec cat",
    "cannot be terminated": "trap '' TERM INT HUP; while :; do sleep 1; done",
    "ends at once": "exit 0",
    "faults": "kill -SEGV $$",
    "leaves a daemon": "setsid sleep 1000 & exec sleep 1000",
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(k, marks=[] if k == "sleeps in a process of its own" else pytest.mark.field)
        for k in INTERPRETERS
    ],
)
def test_an_interpreter_that_is_none_ends_and_leaves_nothing_running(
    kind: str, race: Command, tmp_path: Path
) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\n{INTERPRETERS[kind]}\n")
    (tmp_path / "python").chmod(0o755)
    ended = beside_numpy("loops@./python", race, tmp_path)
    assert "loops@./python" in ended.err


@pytest.mark.field
def test_words_printed_before_the_end_are_the_reason(race: Command, tmp_path: Path) -> None:
    code = "print('the licence server is down'); os._exit(1)"
    (tmp_path / "bad.py").write_text(CLASS.format(place="step", code=code))
    ended = beside_numpy("bad.py:Bad", race, tmp_path, "--phases", "step")
    assert "the licence server is down" in reasons(tmp_path / "record.json")
    assert "the licence server is down" in ended.err


@pytest.mark.field
def test_an_implementation_that_dies_in_one_batch_size_races_in_the_others(
    gradrace: Command, tmp_path: Path
) -> None:
    code = "self.size == 16 and os._exit(0)"
    known = "def __init__(self, problem, *args, **kwargs):\n        self.size = problem.batch_size\n"
    known += "        super().__init__(problem, *args, **kwargs)\n"
    source = CLASS.format(place="gradients", code=code) + f"\n    {known}"
    (tmp_path / "bad.py").write_text(source)
    asked = ("--workload", "xor", "--batch-sizes", "1,16", "--budget", "90", "--target", "99")
    gradrace("race", "--impl", "numpy,bad.py:Bad", *asked, "--record", "record.json", status=4)
    found = statuses(tmp_path / "record.json")
    assert found == {"numpy": {"measured"}, "bad.py:Bad": {"measured", "failed"}}


@pytest.mark.parametrize("level", ["1", pytest.param("2", marks=pytest.mark.field)])
def test_optimized_bytecode_races_like_any_other(level: str, race: Command, tmp_path: Path) -> None:
    race(env={"PYTHONOPTIMIZE": level}, status=0)
    assert statuses(tmp_path / "record.json") == {"numpy": {"measured"}}


@pytest.mark.field
def test_a_file_that_ends_the_process_on_import_is_a_failure_of_its_own(
    race: Command, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text("import os\nos._exit(0)\n")
    race("--impl", "numpy,bad.py:Bad", status=4)
    assert statuses(tmp_path / "record.json")["numpy"] == {"measured"}


@pytest.mark.field
@pytest.mark.parametrize("where", ["headline", "train", "check", "accuracy"])
@pytest.mark.parametrize("code", ["sys.exit(0)", "os._exit(0)"])
def test_no_command_passes_for_an_implementation_that_ends_its_process(
    where: str, code: str, gradrace: Command, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(CLASS.format(place="gradients", code=code))
    asked = {
        "headline": ("headline", "--impl", "bad.py:Bad", "--steps", "10", "--budget", "2"),
        "train": ("train", "--impl", "bad.py:Bad", "--steps", "10"),
        "check": ("check", "bad.py:Bad"),
        "accuracy": ("accuracy", "--impl", "bad.py:Bad"),
    }[where]
    assert gradrace(*asked).status != 0


@pytest.mark.field
def test_accuracy_misses_what_was_named(gradrace: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(CLASS.format(place="gradients", code="os._exit(0)"))
    ended = gradrace("accuracy", "--impl", "numpy,bad.py:Bad", "--batch-sizes", "1", status=4)
    assert "not checked: bad.py:Bad: " in ended.err
