"""The fairness sheet: what each implementation is, and which threads and BLAS are in force when it runs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import json
import subprocess
import sys
import time
import tokenize
from pathlib import Path

from impls import registry
from impls.interface import Implementation, Network, Problem, Unavailable

MEASURED_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class InForce:
    """What a process found that ran this implementation alone, with one thread asked for.

    `threads` is the size of each pool of threads, as the libraries report it; `busy` is CPU time by elapsed
    time: at most 1 if one thread is in force, whatever the libraries report. `blas` are the libraries that
    its products can come from.
    """

    threads: dict[str, int]
    busy: float
    blas: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """An implementation's line of the fairness sheet; `unavailable` says what to install, if anything."""

    name: str
    unavailable: str = ""
    implementation: type[Implementation] | None = None
    lines: int = 0


def sheet(name: str) -> Sheet:
    """The line of the implementation `name`, which may be a target outside the registry."""
    try:
        implementation = registry.load(name)
    except Unavailable as missing:
        return Sheet(name, unavailable=str(missing))
    return Sheet(
        name,
        implementation=implementation,
        lines=lines_of_code(Path(inspect.getfile(implementation)).read_text("utf-8")),
    )


def lines_of_code(source: str) -> int:
    """How many lines of a Python source hold code: no blank lines, comments or docstrings."""
    lines: set[int] = set()
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in idle and token.string:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            assert node.end_lineno is not None
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def in_force(name: str) -> InForce | str:
    """What is in force for the implementation `name`, measured in its own process; or why that failed."""
    done = subprocess.run(
        [sys.executable, "-m", "impls.facts", name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
    return InForce(**json.loads(done.stdout.splitlines()[-1]))


def _measure(name: str) -> InForce:
    import threadpoolctl

    implementation = registry.load(name)
    # A network that every implementation can run, and a batch wide enough for a library to want all its
    # threads.
    network = Network((256, 128, 10), ("tanh", "softmax"), "softmax_cross_entropy")
    m = 8 if implementation.same_order else 512
    race = implementation(Problem.random(network, m, m), threads=1)
    begun, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < MEASURED_SECONDS:
        race.gradients()
    busy = (time.process_time() - used) / (time.perf_counter() - begun)

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
    elif torch is None and not _multiplies_matrices(Path(inspect.getfile(implementation)).read_text("utf-8")):
        blas = ["none: its own loops"]
    return InForce(threads, busy, ", ".join(blas))


def _multiplies_matrices(source: str) -> bool:
    """Whether an implementation's file asks a library for a product of matrices anywhere."""
    return any(
        isinstance(node, ast.MatMult) or (isinstance(node, ast.Attribute) and node.attr in {"dot", "matmul"})
        for node in ast.walk(ast.parse(source))
    )


def _owner(library: str) -> str:
    """The package that a shared library came with."""
    parts = Path(library).parts
    if "site-packages" not in parts:
        return parts[-1]
    return parts[parts.index("site-packages") + 1].removesuffix(".libs")


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_measure(sys.argv[1]))))
