"""A call in a process of its own."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Died(RuntimeError):
    """A process that ended before its call did: out of memory, or a fault in compiled code."""


def fresh(call: Callable[..., T], *arguments: Any) -> T:
    """`call(*arguments)` in a new interpreter, with what it returns or raises; Died where that dies."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            return pool.submit(call, *arguments).result()
        except concurrent.futures.BrokenExecutor as error:
            raise Died("its process died (out of memory, or a fault in compiled code)") from error
