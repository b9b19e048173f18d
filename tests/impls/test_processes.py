"""Processes that others started count: they are listed, and their CPU time is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import impls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's children")

SPIN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
START = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN!r}])"


@pytest.mark.parametrize("code", [SPIN, START], ids=["a child", "a child's child"])
def test_the_work_of_a_process_is_that_of_all_that_it_started(code: str) -> None:
    others = set(impls.descendants())
    before = impls.cpu_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while_it_lives = impls.cpu_seconds() - before
        started = set(impls.descendants()) - others
        process.communicate(b"\n")
    after = impls.cpu_seconds() - before
    assert process.pid in started
    assert len(started) == (1 if code == SPIN else 2)
    assert 0.3 <= while_it_lives <= after


def test_a_process_that_has_started_none_has_no_descendants() -> None:
    code = "import impls; print(impls.descendants())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert os.getpid() not in impls.descendants()
