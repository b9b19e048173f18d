"""The fairness sheet: the facts of each implementation, and what is in force while it runs alone."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rich.console
import threadpoolctl
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table

import impls
from benchmarks.measure.process import Message, Parent, ProcessError, PythonProcess

MEASURED_SECONDS = 0.2
TIMEOUT_SECONDS = 300.0


class Inspect(Message):
    """The order to run the implementation `name` briefly, on one thread."""

    name: str


class Inspected(Message):
    """The answer to the order."""


class InForce(Inspected):
    """What was in force in a process that ran an implementation alone, on one thread.

    `threads` is the size of each pool of threads, as the libraries report it. `busy` is CPU time over elapsed
    time while it ran, which is at most 1 if it really ran on one thread. `blas` are the libraries that its
    products may come from.
    """

    threads: Mapping[str, int]
    busy: float
    blas: str


class Lacking(Inspected):
    """The reason why the implementation could not be run."""

    reason: str


def in_force(name: str) -> InForce | Lacking:
    """What is in force for the implementation `name`, measured in a separate process."""
    try:
        with PythonProcess(serve, threads=1) as process:
            process.send(Inspect(name))
            answer = process.receive(Inspected, TIMEOUT_SECONDS)
    except ProcessError as error:
        return Lacking(str(error))
    assert isinstance(answer, InForce | Lacking)
    return answer


def serve(parent: Parent) -> None:
    """Answer the one order."""
    order = parent.receive(Inspect)
    assert order is not None
    try:
        parent.send(_measure(order.name))
    except (impls.Unavailable, impls.Unsupported) as error:
        parent.send(Lacking(str(error)))


def _measure(name: str) -> InForce:
    implementation_class = impls.load(name)
    # A network that every implementation can run, and a batch for which a library would want all threads.
    network = impls.Network((256, 128, 10), ("tanh", "softmax"), "softmax_cross_entropy")
    m = 8 if implementation_class.same_order else 512
    implementation = implementation_class(impls.Problem.random(network, m, m), threads=1)
    begun, used = time.perf_counter(), impls.cpu_seconds()
    while time.perf_counter() - begun < MEASURED_SECONDS:
        implementation.gradients()
    busy = (impls.cpu_seconds() - used) / (time.perf_counter() - begun)
    pools = threadpoolctl.threadpool_info()
    threads = {f"{pool['internal_api']} of {_owner(pool['filepath'])}": pool["num_threads"] for pool in pools}
    blas = [
        f"{pool['internal_api']} {pool['version']} of {_owner(pool['filepath'])}"
        for pool in pools
        if pool["user_api"] == "blas"
    ]
    torch, jaxlib, numba = (sys.modules.get(module) for module in ("torch", "jaxlib", "numba"))
    if numba is not None:
        threads["numba"] = numba.get_num_threads()
    if torch is not None:
        threads["torch"] = torch.get_num_threads()
        built = [line.strip(" -") for line in torch.__config__.show().splitlines()]
        mkl = [line.split(" for ")[0] for line in built if "Math Kernel Library" in line]
        blas = mkl or [f"what torch {torch.__version__} was built with"]
    if jaxlib is not None:
        tasks = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
        threads["XLA"] = tasks.count("tf_XLAEigen")
        blas = [f"XLA's own, of jaxlib {jaxlib.version.__version__}"]
    elif torch is None and not _multiplies_matrices(inspect.getfile(implementation_class)):
        blas = ["none: its own loops"]
    return InForce(threads, busy, ", ".join(blas))


def _multiplies_matrices(path: str) -> bool:
    """Whether an implementation's file asks a library for a product of matrices anywhere."""
    return any(
        isinstance(node, ast.MatMult) or (isinstance(node, ast.Attribute) and node.attr in {"dot", "matmul"})
        for node in ast.walk(ast.parse(Path(path).read_text("utf-8")))
    )


def _owner(library: str) -> str:
    """The package that a shared library came with."""
    parts = Path(library).parts
    if "site-packages" not in parts:
        return parts[-1]
    return parts[parts.index("site-packages") + 1].removesuffix(".libs")


def main() -> None:
    """Print the sheet: a table of ideas, one of ways to compute, and one of what is in force."""
    console = rich.console.Console()
    ideas = Table(_names(), "idea", "differs from", "available", title="Implementations")
    ideas.add_column("lines of code", justify="right")
    ways = Table(_names(), "dtypes", "order of sums", "fast-math", "layout", title="How they compute")
    force = Table(
        _names(),
        "threads in force, asked for 1",
        "BLAS",
        title="What is in force",
        caption="Cores busy: CPU time divided by elapsed time; at most 1 if one thread is really in force.",
    )
    force.add_column("cores busy", justify="right")
    classes = {}
    for each in impls.names():
        try:
            classes[each] = found = impls.load(each)
        except impls.Unavailable as error:
            ideas.add_row(each, "", "", f"no: {escape(str(error))}", "")
            continue
        lines = impls.lines_of_code(Path(inspect.getfile(found)).read_text("utf-8"))
        ideas.add_row(each, escape(found.idea), escape(found.differs_from or "-"), "yes", str(lines))
        order = "that of loops" if found.same_order else "its own"
        ways.add_row(each, ", ".join(found.dtypes), order, escape(found.fast_math), escape(found.layout))
    words = f"running each of {len(classes)} implementations for a moment, in a separate process"
    with console.status(words), ThreadPoolExecutor(os.cpu_count()) as pool:
        for each, answer in zip(classes, pool.map(in_force, classes), strict=True):
            if isinstance(answer, Lacking):
                force.add_row(each, escape(answer.reason), "", "")
            else:
                threads = ", ".join(f"{pool} {count}" for pool, count in answer.threads.items())
                force.add_row(each, threads, answer.blas, f"{answer.busy:.2f}")
    for table in (ideas, ways, force):
        _show(console, table)


def _names() -> Column:
    """A column of names, which are not wrapped; a table holds the cells in its own."""
    return Column("name", no_wrap=True)


def _show(console: rich.console.Console, table: Table) -> None:
    """Print a table if its words fit the terminal, else a paragraph for each of its rows."""
    with console.capture() as printed:
        console.print(table)
    if "…" not in printed.get():  # rich cuts what it cannot wrap
        console.print(table)
        return
    console.print(f"\n{table.title}")
    for name, *cells in zip(*(column.cells for column in table.columns), strict=True):
        console.print(name)
        for column, cell in zip(table.columns[1:], cells, strict=True):
            if cell:
                console.print(Padding(f"{column.header}: {cell}", (0, 0, 0, 2)))
    if table.caption:
        console.print(table.caption)
