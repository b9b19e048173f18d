"""A call in a process of its own."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Died(RuntimeError):
    """A process that ended before its call did: out of memory, or a fault in compiled code."""


def fresh(call: Callable[..., T], *arguments: Any, variables: Mapping[str, str] | None = None) -> T:
    """`call(*arguments)` in a new interpreter, with what it returns or raises; Died where that dies.

    `variables` stand in the environment of that interpreter.
    """
    spawn = multiprocessing.get_context("spawn")
    with _environment(variables or {}), concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            return pool.submit(call, *arguments).result()
        except concurrent.futures.BrokenExecutor as error:
            raise Died("its process died (out of memory, or a fault in compiled code)") from error


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
