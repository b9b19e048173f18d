"""The program on a host: one race at a time, with the same versions, until its reader has ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fleet import host, tasks
from benchmarks.fleet.tasks import REFUSED, FleetTask, HostOutcome
from tests.field.trial import SMALL


def task(*arguments: str, **software: str) -> FleetTask:
    return FleetTask(
        "a task", ("--impl", "numpy", *arguments), "/nowhere", {}, {**host.software(), **software}
    )


def carry_out(asked: FleetTask) -> HostOutcome | tasks.LostTask:
    return tasks.answer(subprocess.run(tasks.command(asked, sys.executable), **tasks.OPTIONS))


@pytest.fixture
def taken() -> Iterator[None]:
    """A host whose turn is taken."""
    with host.turn():
        yield


def test_other_versions_are_refused_by_name() -> None:
    found = carry_out(task(numpy="0.1"))
    assert isinstance(found, HostOutcome)
    assert (found.status, found.record) == (REFUSED, None)
    assert "numpy 0.1, got " in found.words


def test_a_host_waits_for_its_turn_and_leaves_when_nobody_awaits_it(taken: None) -> None:
    process = subprocess.Popen(
        tasks.command(task(*SMALL), sys.executable), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 1


@pytest.mark.parametrize(
    ("python", "words"), [("-c", "No module named"), ("-S", "No module named")], ids=["here", "no packages"]
)
def test_a_host_without_the_project_is_told_what_to_do(python: str, words: str, tmp_path: Path) -> None:
    module = ("-m", "benchmarks.fleet.host") if python == "-S" else ("-c", "import benchmarks")
    command = [sys.executable, "-I", "-S", *module]
    found = tasks.answer(subprocess.run(command, cwd=tmp_path, **tasks.OPTIONS))
    assert isinstance(found, HostOutcome)
    assert found.status == REFUSED
    assert "expected gradrace" in found.words
    assert words in found.words


def test_a_command_that_is_killed_is_lost_and_may_be_tried_again() -> None:
    done = subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **tasks.OPTIONS)
    found = tasks.answer(done)
    assert isinstance(found, tasks.LostTask)
    assert found.again


@pytest.mark.field
def test_a_race_is_carried_out_and_its_record_comes_back() -> None:
    found = carry_out(task(*SMALL))
    assert isinstance(found, HostOutcome)
    assert (found.status, found.words) == (0, "")
    assert found.record is not None
    assert '"gradrace-record"' in found.record


@pytest.mark.field
@pytest.mark.parametrize("how", ["nobody awaits it", "its task is ended"])
def test_a_race_is_ended_with_all_its_processes(how: str) -> None:
    cells = ("--workload", "mnist-shape", "--batch-sizes", "1,16,256")
    asked = task(*cells, "--budget", "60", "--target", "0.0001")
    process = subprocess.Popen(
        tasks.command(asked, sys.executable), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        time.sleep(6)
        assert process.poll() is None
        subprocess.run([*tasks.ending(asked, sys.executable)[:-1], "another task"], check=True)
        time.sleep(1)
        assert process.poll() is None
        if how == "nobody awaits it":
            assert process.stdout is not None
            process.stdout.close()
        else:
            subprocess.run(tasks.ending(asked, sys.executable), check=True)
        assert process.wait(30) == 1
        with host.turn():
            pass
