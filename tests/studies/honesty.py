"""`python -m tests.studies.honesty`: the validation study of what holds a race to honest times.

Honest implementations in random cells, measured as a race does, also while another program keeps a second
CPU busy: how many are accused of anything. Then every cheat of the table: by what it is caught. Exits with 1
where an honest one is accused, or a cheat that is not named as outside the promise gets away.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import Progress

from benchmarks.measure.threads import limit_threads
from benchmarks.record.cells import PHASES, Cell

console = Console(width=None if sys.stdout.isatty() else 140)

BUSY = "while True: pass"

SIZES = (1, 2, 4, 7, 16, 33, 64, 128, 256, 512, 1024)

ACCUSED = ("wrong", "implausible")


@contextlib.contextmanager
def busy(programs: int) -> Iterator[None]:
    """A block in which `programs` other programs use a CPU."""
    # of a shell that ends: what this process starts counts as its own work
    start = f"{shlex.quote(sys.executable)} -c {shlex.quote(BUSY)} >/dev/null & echo $!"
    others = [int(subprocess.check_output(["/bin/sh", "-c", start])) for _ in range(programs)]
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGKILL)


def accusations(count: int, seed: int, names: tuple[str, ...]) -> tuple[Counter[str], list[str]]:
    """The outcomes of `count` random cells of honest implementations, and each accusation."""
    import impls
    from benchmarks import workloads
    from benchmarks.measure.session import Session

    draw = random.Random(seed)
    session = Session(workloads.WORKLOADS, threads=1)
    found, accused = Counter[str](), []
    left_out = ("torch-compile", *impls.names(ranks=True))
    names = names or tuple(name for name in impls.names() if name not in left_out)
    with Progress(console=console, transient=True) as progress:
        for _ in progress.track(range(count), description="measuring honest ones"):
            cell = Cell(
                draw.choice(list(workloads.WORKLOADS)),
                draw.choice(PHASES),
                draw.choice(SIZES),
                draw.choice(impls.DTYPES),
                1,
                draw.choice(names),
            )
            measured = session.measure(cell)
            found[measured.status] += 1
            if measured.status in ACCUSED or measured.status == "failed":
                accused.append(f"{cell}: {measured.status}: {measured.reason}")
                progress.console.print(accused[-1], markup=False)
    return found, accused


WAYS = ("race", "check", "check --isolated")
"""By what a cheat may be caught, the first of these that does."""

LAWS = (
    "every call is right, from the state before it",
    "nothing is owed to a later call, nothing kept from an earlier one",
    "train(n) is n steps",
    "repeat(n) is n calls",
    "clocks, NumPy and the referee are left alone",
    "every activation and cost",
)
"""Laws of the conformance test, those first by which cheats are caught."""


def by_race(target: str) -> str:
    """A session's reason against an implementation; empty if it is measured in every cell."""
    from benchmarks import workloads
    from benchmarks.measure.session import Session

    session = Session(workloads.WORKLOADS, threads=1)
    for m in (64, 1024):
        for phase in ("gradients", "step", "forward"):
            found = session.measure(Cell("digits", phase, m, "float64", 1, target))
            if found.status in ACCUSED:
                return f"{phase}, m = {m}: {found.reason.removeprefix(f'{target}: ')}"
    return ""


def by_check(target: str, isolated: bool) -> str:
    """The first failure in the conformance test; empty if there is none."""
    import impls
    from impls import child
    from impls.referee import conformance

    implementation = child.in_child(target) if isolated else impls.load(target)
    for finding in conformance.examine(implementation, LAWS):
        if finding.status == "failed":
            return f"{finding.law}: {finding.reason}"
    return ""


def caught(name: str) -> tuple[str, str]:
    """By what a cheat is caught, each way in a process of its own, and how; nothing if it is not."""
    for way in WAYS:
        order = [sys.executable, "-m", "tests.studies.honesty", "--cheat", name, "--by", way]
        done = subprocess.run(order, capture_output=True, text=True, check=False)
        if words := done.stdout.strip():
            return way, words
        if done.returncode:
            return "", f"{way}: {done.stderr.strip()[-200:]}"
    return "", ""


def cheats(chosen: str) -> bool:
    """Whether every cheat of the chosen kinds is caught; prints by what, and how."""
    from tests.impls.cheats import TABLE

    count = Counter[str]()
    for kind, found in TABLE.items():
        for cheat in found if chosen in kind else ():
            way, how = caught(f"{cheat.__module__}:{cheat.__name__}")
            count[way] += 1
            console.print(f"{kind}: {cheat.__name__}: {way or 'NOT CAUGHT'}: {how}", markup=False)
    whole = sum(count.values())
    ways = ", ".join(f"{count[way]} by {way}" for way in WAYS)
    console.print(f"cheats caught: {whole - count['']} of {whole} ({ways})")
    return not count[""]


@click.command()
@click.option("--cells", default=2000, show_default=True, help="Random cells of honest implementations.")
@click.option("--busy", "programs", default=1, show_default=True, help="Programs that run beside.")
@click.option("--seed", default=0, show_default=True)
@click.option("--impl", "names", multiple=True, help="An implementation; repeat it for more. [all]")
@click.option("--kind", default="", help="Cheats of these kinds, by a part of the name. [all]")
@click.option("--cheat", help="Print what is found against one, by `--by`, and end.")
@click.option("--by", type=click.Choice(WAYS), default="race", show_default=True)
def main(
    cells: int, programs: int, seed: int, names: tuple[str, ...], kind: str, cheat: str | None, by: str
) -> None:
    """Measure honest implementations, and cheats."""
    limit_threads(1)
    if cheat is not None:
        print(by_race(cheat) if by == "race" else by_check(cheat, "isolated" in by))
        return
    began = time.perf_counter()
    failed = not cheats(kind)
    for beside, share in ((0, cells // 2), (programs, cells - cells // 2)):
        with busy(beside):
            found, accused = accusations(share, seed + beside, names)
        counts = ", ".join(f"{count} {status}" for status, count in found.most_common())
        console.print(f"honest implementations, {beside} other programs: {share} cells ({counts})")
        console.print(f"accused: {len(accused)}")
        failed |= bool(accused)
    console.print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main(prog_name="python -m tests.studies.honesty")
