"""Hypothesis's profile, and every implementation that can be had here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from filelock import FileLock

import impls


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis's profile, where it is installed: a race loads this file, too, and needs no laws.

    deadline: a first call may compile. derandomize: the same tests of the same code have the same outcome.
    """
    if config.pluginmanager.has_plugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("ci", derandomize=True, deadline=None, max_examples=12, database=None)
        settings.load_profile("ci")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Programs that tests start can be interrupted, though a shell has its background ignore that.

    Set here, and not in a child before it runs its program, which takes a fork: JAX's threads bear none.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One worker compiles the numba code that several need; the others find it in numba's cache."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    from numba.core import event

    lock = FileLock(tmp_path_factory.getbasetemp().parent / "numba.lock")

    class OneAtATime(event.Listener):
        def on_start(self, event: object) -> None:
            lock.acquire()

        def on_end(self, event: object) -> None:
            lock.release()

    with event.install_listener("numba:compiler_lock", OneAtATime()):
        yield


@pytest.fixture(params=impls.names(ranks=False), scope="session")
def implementation_name(request: pytest.FixtureRequest) -> str:
    """Every registered implementation; skipped, with the reason, where it cannot be loaded.

    Those in ranks have tests of their own, impls/test_ranks.py.
    """
    name: str = request.param
    try:
        impls.load(name)
    except impls.Unavailable as missing:
        pytest.skip(str(missing))
    return name


@pytest.fixture(scope="session")
def implementation(implementation_name: str) -> type[impls.Implementation]:
    """The class of every implementation that can be loaded."""
    return impls.load(implementation_name)
