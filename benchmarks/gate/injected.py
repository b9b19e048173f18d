"""The pytest plugin that times a suite's benchmarks in turns: one file, the standard library, and pytest.

A process of a pair runs pytest in the project under test, with this module loaded under a name of its own. It
answers JSON lines, each with the `type` of the message, on the socket that `GRADRACE_GATE` names:

    collects the suite                     ->  Collected: its benchmarks, and what cannot be collected
    RunSuite: these, in this order         ->  Reached, as soon as one calls its `benchmark` fixture
    TakeTurn, Settle, Trace                ->  Timed, Timed, Traced
    Leave                                  ->  Finished: the test goes on to its end
    no more lines                              the process ends

Between its turns the process sleeps in `readline`, while the other process of the pair has its own.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import inspect
import itertools
import json
import math
import os
import platform
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

try:
    from pytest_benchmark.fixture import BenchmarkFixture, FixtureAlreadyUsed
except ImportError:
    BenchmarkFixture, FixtureAlreadyUsed = object, RuntimeError  # type: ignore[assignment, misc]

TimeCalls = Callable[[int], tuple[float, Any]]
"""`time_calls(n)` makes n calls and returns the seconds of all, and the result of the last."""

CONTROLS = ("control interpreter", "control hash", "control memory")
"""Work that no commit changes: if its time differs between the sides, the machine changed."""

COPIED_BYTES = 8 * 2**20
"""The bytes of a copy: more than a second-level cache, or than one core's share of a third-level one."""

SETTLE_SECONDS = 0.1
TURN_SECONDS = 1e-3


class Line:
    """The connection to the gate."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._lines = self._socket.makefile("r", encoding="utf-8")

    def send(self, kind: str, **content: Any) -> None:
        """Send one message."""
        try:
            self._socket.sendall(json.dumps({"type": kind, **content}).encode() + b"\n")
        except OSError:
            os._exit(70)

    def receive(self) -> dict[str, Any]:
        """The next order; ends this process if there are no more."""
        line = self._lines.readline()
        if not line.endswith("\n"):
            os._exit(0)
        order: dict[str, Any] = json.loads(line)
        return order


class Statistics(dict[str, Any]):
    """The statistics that tests read from `benchmark.stats`, by the same names as items and as attributes."""

    def __getattr__(self, name: str) -> Any:
        if name == "stats":
            return self
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class OrderedTurns(BenchmarkFixture):
    """The `benchmark` fixture, which calls the function of a test in the turns that the gate orders."""

    def __init__(self, name: str, group: str, gate: Gate) -> None:
        self.name = self.fullname = name
        self.group = group
        self.param = self.params = None
        self.extra_info: dict[str, Any] = {}
        self.has_error = False
        self.skipped = False
        self.stats: Any = None
        self.cprofile_stats = None
        self._gate = gate
        self._mode: str | None = None

    @property
    def enabled(self) -> bool:
        """Always true, as timing cannot be switched off."""
        return True

    def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Time a function; returns what its first call returned."""
        self._use("benchmark(...)", function_to_benchmark)

        def timed(calls: int) -> tuple[float, Any]:
            result = None
            start = time.perf_counter()
            for _ in itertools.repeat(None, calls):
                result = function_to_benchmark(*args, **kwargs)
            return time.perf_counter() - start, result

        return self._gate.turns(self, timed, None)

    def pedantic(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        """Time rounds of a function, and never more than the test sets, as it may not support more."""
        self._use("benchmark.pedantic(...)", target)
        if setup and iterations > 1:
            raise ValueError("Can't use more than 1 `iterations` with a `setup` function.")

        def timed(calls: int) -> tuple[float, Any]:
            spent, result = 0.0, None
            for _ in range(calls):
                given = setup() if setup else None
                arguments, named = given if given is not None else (args, kwargs or {})
                start = time.perf_counter()
                for _ in itertools.repeat(None, iterations):
                    result = target(*arguments, **named)
                spent += time.perf_counter() - start
                if teardown:
                    teardown(*arguments, **named)
            return spent / iterations, result

        return self._gate.turns(self, timed, rounds + warmup_rounds)

    def weave(self, *_: Any, **__: Any) -> None:
        """Not supported, as the calls are the program's own and cannot be made in turns."""
        pytest.skip("benchmark.weave cannot be timed in turns")

    patch = weave

    def _use(self, mode: str, function: Callable[..., Any]) -> None:
        if self._mode:
            self.has_error = True
            raise FixtureAlreadyUsed(
                f"Fixture can only be used once. Previously it was used in {self._mode} mode."
            )
        self._mode = mode
        if inspect.iscoroutinefunction(function):
            pytest.skip("an async function: calling it only makes a coroutine, and does none of its work")


class Gate:
    """The session: collects, runs what is ordered, and times it in turns."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.cpu = 0
        self.broken: dict[str, str] = {}
        self.ends: dict[str, tuple[str, str]] = {}

    # ---- what pytest does

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Disable pytest-benchmark."""
        for name in ("skip", "only", "save", "autosave", "compare", "compare_fail", "histogram", "json"):
            if hasattr(config.option, f"benchmark_{name}"):
                setattr(config.option, f"benchmark_{name}", None)
        config.pluginmanager.register(Fixture(self), "gradrace-fixture")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be collected."""
        if report.failed:
            self.broken[report.nodeid] = last_line(report.longrepr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answer with the suite, and run the benchmarks that are ordered."""
        items = {
            item.nodeid: item for item in session.items if "benchmark" in getattr(item, "fixturenames", ())
        }
        left_out = {name: why for name, item in items.items() if (why := not_timed(item))}
        self.line.send(
            "Collected",
            benchmarks=[described(item) for name, item in items.items() if name not in left_out],
            left_out=left_out,
            broken=self.broken,
            versions=versions(),
        )
        order = self.line.receive()
        self.cpu = order["cpu"]
        for control in order["controls"]:
            self.control(control)
        wanted = order["benchmarks"]
        session.items[:] = [items[name] for name in wanted if name in items]
        following = iter([*session.items[1:], None])
        for name in wanted:
            self.ends[name] = (
                "failed",
                "it never called its benchmark fixture" if name in items else "no such test",
            )
            if name in items:
                item = items[name]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=next(following))
            status, reason = self.ends[name]
            self.line.send("Finished", benchmark=name, status=status, reason=reason)
        self.line.send("SuiteEnded", foreign=foreign())
        self.line.receive()
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note why a test has failed, or been skipped."""
        if report.skipped:
            words = report.longrepr[2] if isinstance(report.longrepr, tuple) else last_line(report.longrepr)
            self.ends[report.nodeid] = ("skipped", words.removeprefix("Skipped: "))
        elif report.failed:
            self.ends[report.nodeid] = ("failed", last_line(report.longrepr))

    # ---- turns

    def control(self, name: str) -> None:
        """Take turns on a control."""
        work = control(name)

        def timed(calls: int) -> tuple[float, Any]:
            start = time.perf_counter()
            for _ in itertools.repeat(None, calls):
                work()
            return time.perf_counter() - start, None

        self.serve(name, timed, None)
        self.line.send("Finished", benchmark=name, status="passed", reason="")

    def turns(self, fixture: OrderedTurns, timed: TimeCalls, rounds: int | None) -> Any:
        """Take the turns of a test's benchmark; returns what its first call returned."""
        result, seconds = self.serve(fixture.name, timed, rounds)
        self.ends[fixture.name] = ("passed", "")
        fixture.stats = summary(seconds)
        return result

    def serve(self, name: str, timed: TimeCalls, rounds: int | None) -> tuple[Any, list[float]]:
        """Take all turns on one CPU; returns the first result, and the seconds of each turn."""
        allowed = affinity({self.cpu})
        gc.collect()
        gc.freeze()  # a collection in a turn examines only the benchmark's objects, not those of pytest
        first: Any = None
        seconds: list[float] = []
        try:
            self.line.send("Reached", benchmark=name, rounds=rounds)
            while (order := self.line.receive())["type"] != "Leave":
                if order["type"] == "Settle":
                    self.line.send("Timed", seconds=settled(timed))
                elif order["type"] == "Trace":
                    self.line.send("Traced", bytes=traced(timed, order["calls"]))
                else:
                    spent, result = timed(order["calls"])
                    if not seconds:
                        first = result
                    seconds.append(spent / order["calls"])
                    self.line.send("Timed", seconds=max(seconds[-1], 1e-9))
            if not seconds:
                first = timed(1)[1]
        finally:
            gc.unfreeze()
            affinity(allowed)
        return first, seconds


class Fixture:
    """The plugin of the fixture, registered after pytest-benchmark's own, which it replaces."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> OrderedTurns:
        """The `benchmark` fixture of pytest-benchmark, in turns with another process."""
        return OrderedTurns(request.node.nodeid, group(request.node), self._gate)


def settled(timed: TimeCalls) -> float:
    """The best seconds of one call, once the times have stopped falling: the warm-up."""
    calls, best, steady = 1, math.inf, 0
    deadline = time.perf_counter() + SETTLE_SECONDS
    while time.perf_counter() < deadline and steady < 3:
        spent, _ = timed(calls)
        steady = steady + 1 if spent / calls > 0.98 * best else 0
        best = min(best, spent / calls)
        if spent < TURN_SECONDS / 4:
            calls, steady = 2 * calls, 0
    return max(best, 1e-9)


def traced(timed: TimeCalls, calls: int) -> int:
    """The peak of bytes that `calls` calls allocated by Python's own allocators, beyond those held before."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        timed(calls)
        return max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def summary(seconds: Sequence[float]) -> Statistics:
    """The statistics of a test's own times."""
    ordered = sorted(seconds) or [math.nan]
    mean = math.fsum(ordered) / len(ordered)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in ordered) / max(1, len(ordered) - 1))
    return Statistics(
        min=ordered[0],
        max=ordered[-1],
        mean=mean,
        median=ordered[len(ordered) // 2],
        stddev=deviation,
        rounds=len(ordered),
        iterations=1,
        total=math.fsum(ordered),
        ops=1 / mean if mean else math.inf,
        data=list(seconds),
    )


def control(name: str) -> Callable[[], Any]:
    """The work of a control."""
    if name == "control interpreter":
        numbers = list(range(3000))

        def interpret() -> int:
            total = 0
            for number in numbers:
                total += number & 7
            return total

        return interpret
    if name == "control hash":
        block = bytes(2**18)
        return lambda: hashlib.blake2b(block)
    source, target = bytearray(COPIED_BYTES), memoryview(bytearray(COPIED_BYTES))

    def copy() -> None:
        target[:] = source

    return copy


def not_timed(item: pytest.Item) -> str:
    """Why a test that uses a `benchmark` fixture cannot be timed; "" if it can."""
    if inspect.iscoroutinefunction(getattr(item, "function", None)):
        return "an async test: calling it only makes a coroutine, and does none of its work"
    found = getattr(item, "_fixtureinfo", None)  # pytest has no public way to a test's fixtures
    for definition in reversed(found.name2fixturedefs.get("benchmark", ()) if found else ()):
        if getattr(definition.func, "__module__", "") == __name__:
            return ""
        if "benchmark" not in definition.argnames:  # it does not wrap another one of that name
            where = f" of {definition.baseid}" if definition.baseid else ""
            return f"the project's own `benchmark` fixture{where} replaces that of pytest-benchmark"
    return ""


def described(item: pytest.Item) -> dict[str, Any]:
    """A benchmark, as the content of a message."""
    spec = getattr(item, "callspec", None)
    params = {name: value for name, value in (spec.params if spec else {}).items() if is_plain(value)}
    file = item.nodeid.partition("::")[0]
    return {"name": item.nodeid, "group": group(item), "params": params, "file": file}


def is_plain(value: Any) -> bool:
    """Whether JSON has this value of a parameter."""
    return isinstance(value, str) or (isinstance(value, (int, float)) and math.isfinite(value))


def group(item: pytest.Item) -> str:
    """The group that a test's mark names."""
    mark = item.get_closest_marker("benchmark")
    return str(mark.kwargs.get("group") or "") if mark else ""


def versions() -> dict[str, str]:
    """Python and every package that is installed."""
    found: dict[str, str] = {"python": platform.python_version()}
    for distribution in importlib.metadata.distributions():
        if name := distribution.metadata["Name"]:
            found[name.lower()] = distribution.version
    return found


def foreign() -> list[str]:
    """The files of loaded modules from the repository or its other worktree, which are not of this side."""
    here = (str(Path.cwd()) + os.sep, sys.prefix + os.sep)  # an environment may lie in the repository
    folders = json.loads(os.environ["GRADRACE_ELSEWHERE"])
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    return sorted(
        file
        for file in files
        if not file.startswith(here) and any(file.startswith(folder + os.sep) for folder in folders)
    )[:3]


def affinity(cpus: Iterable[int]) -> Iterable[int]:
    """Limit this thread to some CPUs, if the system can; returns those that it had."""
    try:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
    except (AttributeError, OSError, TypeError):
        return cpus
    return before


def last_line(longrepr: Any) -> str:
    """The message of a failure on one line."""
    crash = getattr(longrepr, "reprcrash", None)
    words = crash.message if crash is not None else str(longrepr)
    lines = [line.removeprefix("E ").strip() for line in words.strip().splitlines() if line.strip()]
    if crash is not None:
        return lines[0] if lines else "it failed"
    return lines[-1] if lines else "it failed"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Disable plugins that affect times: workers, tracing of lines, limits on a test's time."""
    has = early_config.pluginmanager.hasplugin
    for plugin, option in (("xdist", "-n0"), ("pytest_cov", "--no-cov"), ("timeout", "--timeout=0")):
        if has(plugin):
            args.append(option)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Connect to the gate."""
    pluginmanager.register(Gate(Line(int(os.environ.pop("GRADRACE_GATE")))), "gradrace-gate")
