"""Signals at any moment: nothing that was kept is lost, nothing is left running, everything goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.test_names import git
from tests.field.trial import GRADRACE, SMALL, race, run, started, statuses

TIMES = int(os.environ.get("GRADRACE_FIELD_SIGNALS", "5"))
"""Signals of each kind to each command, at moments of their own; the study in the documentation sent 50."""

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


def interrupted(
    command: tuple[str | Path, ...], cwd: Path, number: signal.Signals, after: float, *, stopped: int = 130
) -> tuple[int, str]:
    """The status and the errors of a command that gets a signal after `after` seconds; `stopped` is its
    status for that.
    """
    with started(*command, cwd=cwd) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err, err
    if process.returncode not in (0, 4):
        expected = {
            signal.SIGKILL: (-9,),
            signal.SIGTERM: (-15, 143, stopped),
            signal.SIGINT: (-2, 130, stopped),
        }
        assert process.returncode in expected[number], err
    return process.returncode, err


def moments(seed: int, longest: float) -> list[float]:
    return [random.Random(f"{seed} {k}").uniform(0.5, longest) for k in range(TIMES)]


@pytest.mark.parametrize("after", [0.3, pytest.param(1.5, marks=pytest.mark.field)])
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.field),
        pytest.param(signal.SIGKILL, marks=pytest.mark.field),
        pytest.param(signal.SIGHUP, marks=pytest.mark.field),
    ],
)
def test_a_race_that_is_ended_leaves_nothing_running(
    number: signal.Signals, after: float, tmp_path: Path
) -> None:
    command = (*GRADRACE, "race", *SMALL, "--budget", "20", "--target", "0.001", "--impl", "numpy")
    with started(*command, "--record", "r.json", cwd=tmp_path) as process:
        time.sleep(after)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode not in (0, 1), err
    assert "Traceback" not in out + err


ENDS = """
import os
import impls

class Ends(impls.load("numpy")):
    def gradients(self):
        os._exit(7)
"""


def test_how_a_process_ended_is_known_to_who_ignores_its_children(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    asked = ("race", *SMALL, "--impl", "numpy,ends.py:Ends", "--record", "r.json")
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    code += "os.execv(sys.argv[1], sys.argv[1:])"
    ended = race(sys.executable, "-c", code, *GRADRACE, *asked, cwd=tmp_path, status=4)
    assert "exited with status 7" in ended.err


@pytest.mark.field
def test_a_race_that_is_stopped_and_continued_goes_on(tmp_path: Path) -> None:
    asked = ("race", "--workload", "xor", "--batch-sizes", "1", "--impl", "numpy", "--budget", "20")
    with started(*GRADRACE, *asked, "--record", "r.json", cwd=tmp_path) as process:
        for _ in range(3):
            time.sleep(0.7)
            process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert statuses(tmp_path / "r.json") == {"numpy": {"measured"}}


@pytest.mark.field
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_race_goes_on_after_a_signal_at_any_moment(number: signal.Signals, tmp_path: Path) -> None:
    asked = ("race", "--quiet", "--workload", "xor", "--batch-sizes", "1,2,4", "--budget", "6", "--seed", "1")
    command = (*GRADRACE, *asked, "--impl", "loops,numpy", "--record", "r.json")
    seen = 0
    for after in moments(number, 7):
        resume = ("--resume",) if kept(tmp_path) else ()
        interrupted((*command, *resume), tmp_path, number, after)
        now = kept(tmp_path)
        assert now >= seen, "measurements were lost"
        seen = now
        if (tmp_path / "r.json").exists():
            (tmp_path / "r.json").unlink()
            seen = kept(tmp_path)
    resume = ("--resume",) if kept(tmp_path) else ()
    race(*command, *resume, cwd=tmp_path, status=0)
    assert statuses(tmp_path / "r.json")["numpy"] == {"measured"}


def kept(folder: Path) -> int:
    """Measurements that stand beside the record, in a journal or a part of a record, or in the record."""
    found = 0
    for path in folder.glob("*r.json*"):
        if path.suffix != ".lock" and not path.name.endswith((".previous", ".lock")):
            found = max(found, path.read_bytes().count(b'"measured"'))
    return found


@pytest.mark.field
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_headline_goes_on_after_a_signal_at_any_moment(number: signal.Signals, tmp_path: Path) -> None:
    asked = ("headline", "--impl", "loops,numpy", "--steps", "100", "--batch-size", "4", "--budget", "1")
    command = (*GRADRACE, *asked, "--record", "h.json")
    partial, seen = tmp_path / "h.partial.json", 0

    def kept() -> int:
        return len(json.loads(partial.read_text("utf-8"))["measurements"]) if partial.exists() else 0

    for after in moments(number, 6):
        interrupted((*command, *(("--resume",) if kept() else ())), tmp_path, number, after)
        if (tmp_path / "h.json").exists():
            assert json.loads((tmp_path / "h.json").read_text("utf-8"))["measurements"]
            (tmp_path / "h.json").unlink()
            seen = 0
        assert kept() >= seen, "measurements were lost"
        seen = kept()
    run(*command, *(("--resume",) if kept() else ()), cwd=tmp_path, status=0)
    assert json.loads((tmp_path / "h.json").read_text("utf-8"))["measurements"]


@pytest.mark.field
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_gate_goes_on_after_a_signal_at_any_moment(
    number: signal.Signals, checkout: Path, tmp_path: Path
) -> None:
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "one")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "two")
    asked = ("gate", "run", "--base", "HEAD~1", "--here", "--pairs", "3")
    impl = ("--", "--impl", "numpy")
    command = (sys.executable, checkout / "gradrace.py", *asked, "--out", tmp_path / "pairs.json")
    seen = 0
    for after in moments(number, 15):
        resume = ("--resume",) if (tmp_path / "pairs.json").exists() else ()
        interrupted((*command, *resume, *impl), checkout, number, after, stopped=2)
        now = pairs(tmp_path / "pairs.json")
        assert now >= seen, "pairs were lost"
        seen = now
    resume = ("--resume",) if (tmp_path / "pairs.json").exists() else ()
    run(*command, *resume, *impl, cwd=checkout, status=0, within=300)
    assert pairs(tmp_path / "pairs.json") >= 3
    assert git(checkout, "status", "--porcelain", "--untracked-files=no") == ""


def pairs(path: Path) -> int:
    return len(json.loads(path.read_text("utf-8"))["pairs"]) if path.exists() else 0


@pytest.mark.field
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_history_is_whole_after_a_signal_at_any_moment(
    number: signal.Signals, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    document = json.loads(raced.read_text("utf-8"))
    added: list[str] = []

    def show() -> str:
        shown = gradrace("history", "show", "--limit", "1000", "--db", "h.sqlite", env={"COLUMNS": "300"})
        assert shown.status == 0
        return shown.out

    for k, after in enumerate(moments(number, 3)):
        commit = f"{k + 1:02x}" * 20
        document["created"] = f"2026-03-01T00:00:{k % 60:02d}+00:00"
        document["settings"]["commit"] = commit
        (tmp_path / f"{k}.json").write_text(json.dumps(document))
        command = (*GRADRACE, "history", "add", f"{k}.json", "--db", "h.sqlite")
        status, _ = interrupted(command, tmp_path, number, after)
        if status == 0:
            added.append(commit)
        if added:
            shown = show()
            assert all(each[:7] in shown for each in added), "a run was lost"
    for k in range(TIMES):
        gradrace("history", "add", f"{k}.json", "--db", "h.sqlite", status=0)
    shown = show()
    assert all(f"{k + 1:02x}" * 3 in shown for k in range(TIMES))
