"""The program's side of docs/protocol.md for implementations in Python, under any interpreter from 3.9 on,
with NumPy or without.
"""

from __future__ import annotations

import builtins
import functools
import gc
import inspect
import json
import os
import platform
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

if sys.version_info < (3, 10):  # noqa: UP036 - of PyPy: `zip` has no `strict`, and compares no lengths
    _zip = builtins.zip
    builtins.zip = lambda *sequences, **_: _zip(*sequences)  # type: ignore[misc,assignment]

try:
    import numpy as np
except ImportError:
    from impls import without_numpy

    np = without_numpy.install()

from impls import registry
from impls.interface import OPTIMIZERS, Network, Problem, Result, Training, Unavailable, Unsupported

FACTS = ("idea", "differs_from", "dtypes", "same_order", "fast_math", "layout")

CALLS = {
    "forward": (),
    "gradients": (),
    "gradients_alone": (),
    "step": ("learning_rate",),
    "train": ("steps", "learning_rate"),
}
"""Every method that may be repeated, with its arguments."""


def main(name: str) -> None:
    """Answer the orders on the standard input for the implementation `name`, until there are no more."""
    orders, answers = streams()
    served = Served(name)
    for order, data in read(orders):
        write(answers, order, *answer(functools.partial(served.carry_out, order, data)))


def streams() -> tuple[IO[bytes], IO[bytes]]:
    """The streams of orders and answers; the output of an implementation goes to the standard error."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.path.append(os.getcwd())  # noqa: PTH109 - last: a user's folder shadows nothing of ours
    return orders, answers


def read(orders: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each order with its data, until there are no more."""
    while line := orders.readline():
        order = json.loads(line)
        yield order, orders.read(order["bytes"]) if "bytes" in order else b""


def write(answers: IO[bytes], order: dict[str, Any], answer: dict[str, Any], content: bytes) -> None:
    """The answer to an order, with its content."""
    if content:
        answer["bytes"] = len(content)
    answers.write(json.dumps({"id": order["id"], **answer}).encode() + b"\n" + content)
    answers.flush()


class Served:
    """One implementation, and its current object, which carries out the orders."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.race: Any = None

    def carry_out(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """The answer to an order, with its content."""
        if order["kind"] == "start":
            return self.start(), b""
        if order["kind"] == "construct":
            return self.construct(order, data), b""
        if order["kind"] == "export":
            return {}, numbers(self.race.export(), self.problem)
        return self.call(order), b""

    def start(self) -> dict[str, Any]:
        """The facts of the class, its file's source and the interpreter."""
        self.implementation = registry.load(self.name)
        facts = {fact: getattr(self.implementation, fact) for fact in FACTS}
        facts["source"] = inspect.getsource(sys.modules[self.implementation.__module__])
        interpreter = f"{platform.python_implementation()} {platform.python_version()}"
        return {"facts": facts, "interpreter": interpreter}

    def construct(self, order: dict[str, Any], data: bytes) -> dict[str, Any]:
        self.race = None
        self.problem = _problem(order, data)
        self.race = self.implementation(self.problem, order["dtype"], order["threads"])
        return {"compile_seconds": self.race.compile_seconds}

    def call(self, order: dict[str, Any]) -> dict[str, Any]:
        method = getattr(self.race, order["kind"])
        arguments = [order[name] for name in CALLS[order["kind"]]]
        collecting = gc.isenabled() and sys.implementation.name == "cpython"
        if collecting:  # as it is inside the clock where there is no other process
            gc.disable()
        try:
            for _ in range(order["times"]):
                method(*arguments)
        finally:
            if collecting:
                gc.enable()
        return {}


def answer(what: Callable[[], tuple[dict[str, Any], bytes]]) -> tuple[dict[str, Any], bytes]:
    """The answer to an order, with its content; a refusal or an error is an answer, too."""
    try:
        return what()
    except Unsupported as reason:
        return {"unsupported": str(reason)}, b""
    except Unavailable as reason:
        return {"unavailable": str(reason)}, b""
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an implementation may raise anything
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        place = f" (line {lines[-1].lineno} of {lines[-1].filename})" if lines else ""
        kind = type(error).__name__
        text = str(error) if kind in ("ValueError", "TypeError") else f"{kind}: {error}"
        return {"error": text + place, "type": kind}, b""


def _problem(order: dict[str, Any], data: bytes) -> Problem:
    """The problem of an order, in read-only arrays; it was checked where it was made."""
    n, samples = order["widths"], order["samples"]
    w, b = _shapes(n)
    flat, arrays, at = np.frombuffer(data), [], 0
    for shape in (*w, *b, (n[0], samples), (n[-1], samples)):
        size = shape[0] * shape[1]
        arrays.append(flat[at : at + size].reshape(shape))
        at += size
    problem = object.__new__(Problem)
    for name, value in (
        ("network", Network(tuple(n), tuple(order["activations"]), order["loss"])),
        ("weights", tuple(arrays[: len(w)])),
        ("biases", tuple(arrays[len(w) : -2])),
        ("X", arrays[-2]),
        ("Y", arrays[-1]),
        ("batch_size", order["batch_size"]),
        ("training", Training(**order["training"])),
    ):
        object.__setattr__(problem, name, value)
    return problem


def _shapes(n: Sequence[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The shapes of the weights and of the biases, layer by layer."""
    return list(zip(n[1:], n[:-1], strict=True)), [(width, 1) for width in n[1:]]


def numbers(result: Result, problem: Problem) -> bytes:
    """The numbers of a result; raises TypeError if it does not have the problem's structure."""
    n, m = problem.network.widths, problem.batch_size
    w, b = _shapes(n)
    if not isinstance(result.loss, (float, np.floating)):
        raise TypeError(f"loss: expected a float, got {type(result.loss).__name__}")
    parts = [
        struct.pack("d", result.loss),
        *_flat("output", (result.output,), [(n[-1], m)]),
        *_flat("dw", result.dw, w),
        *_flat("db", result.db, b),
        *_flat("weights", result.weights, w),
        *_flat("biases", result.biases, b),
    ]
    if result.state:
        *arrays, steps = result.state
        parts += _flat("state", tuple(arrays), (w + b) * OPTIMIZERS[problem.training.optimizer])
        parts.append(struct.pack("d", steps))
    return b"".join(parts)


def _flat(name: str, arrays: Any, shapes: Sequence[tuple[int, int]]) -> list[bytes]:
    if not isinstance(arrays, tuple) or len(arrays) != len(shapes):
        got = f"{len(arrays)} of them" if isinstance(arrays, Sequence) else type(arrays).__name__
        raise TypeError(f"{name}: expected a tuple of {len(shapes)} arrays, got {got}")
    for k, (one, shape) in enumerate(zip(arrays, shapes, strict=True)):
        dtype = getattr(one, "dtype", None)
        if dtype != "float64" or one.shape != shape:
            got = type(one).__name__ if dtype is None else f"{dtype} of {one.shape}"
            raise TypeError(f"{name}[{k}]: expected a float64 array of {shape}, got {got}")
    return [one.tobytes() for one in arrays]
