"""Tools that falsify times are found and named."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.measure import instruments
from benchmarks.record import machine


def under(start: Callable[[], object], stop: Callable[[], object]) -> str:
    """The tools that are found while one runs."""
    start()
    try:
        return instruments.active()
    finally:
        stop()


def test_an_unwatched_process_has_no_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "gettrace", lambda: None)  # these tests may run under coverage themselves
    assert instruments.active() == ""


def test_a_tracer_and_a_profiler_are_named() -> None:
    tracer, profiler = sys.gettrace(), sys.getprofile()
    assert "a tracer" in under(lambda: sys.settrace(lambda *_: None), lambda: sys.settrace(tracer))
    assert "a profiler" in under(lambda: sys.setprofile(lambda *_: None), lambda: sys.setprofile(profiler))


def test_what_traces_memory_is_named() -> None:
    assert "tracemalloc" in under(tracemalloc.start, tracemalloc.stop)


@pytest.mark.parametrize(
    ("groups", "counted"),
    [
        ("0::/", {""}),
        ("0::/user/one", {"", "user", "user/one"}),
        ("2:memory:/a\n1:cpu,cpuacct:/docker/b", {"", "docker", "docker/b"}),
        ("", set()),
    ],
)
def test_quotas_are_those_of_a_processs_own_groups_and_of_those_around_them(
    groups: str, counted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cpu,cpuacct" if "cpuacct" in groups else tmp_path
    for number, name in enumerate(("", "user", "user/one", "user/other", "docker", "docker/b")):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "cpu.stat").write_text(f"nr_periods 9\nnr_throttled {10**number}\nthrottled_time 3\n")
    read = machine.text
    monkeypatch.setattr(instruments, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "text", lambda path: groups if path.name == "cgroup" else read(path))
    expected = ("", "user", "user/one", "user/other", "docker", "docker/b")
    assert instruments.throttled() == sum(10**k for k, name in enumerate(expected) if name in counted)
