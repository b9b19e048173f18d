"""`python -m tests.studies.honesty`: the validation study of what holds a race to honest times.

Honest implementations in random cells, measured as a race does, also while another program keeps a second
CPU busy: how many are accused of anything. Then every cheat of the table: by what it is caught. Exits with 1
where an honest one is accused, or a cheat that is not named as outside the promise gets away.
"""

from __future__ import annotations

import contextlib
import random
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
    """A block in which so many other programs want a CPU."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(programs)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def accusations(count: int, seed: int, names: tuple[str, ...]) -> tuple[Counter[str], list[str]]:
    """What became of so many random cells of honest implementations, and each accusation."""
    import impls
    from benchmarks import workloads
    from benchmarks.measure.session import Session

    draw = random.Random(seed)
    session = Session(workloads.WORKLOADS, threads=1)
    found, accused = Counter[str](), []
    names = names or tuple(name for name in impls.names() if name != "torch-compile")
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
    return found, accused


@click.command()
@click.option("--cells", default=2000, show_default=True, help="Random cells of honest implementations.")
@click.option("--busy", "programs", default=1, show_default=True, help="Programs that run beside.")
@click.option("--seed", default=0, show_default=True)
@click.option("--impl", "names", multiple=True, help="An implementation; repeat it for more. [all]")
def main(cells: int, programs: int, seed: int, names: tuple[str, ...]) -> None:
    """Measure honest implementations, and cheats."""
    limit_threads(1)
    began = time.perf_counter()
    failed = False
    for beside, share in ((0, cells // 2), (programs, cells - cells // 2)):
        with busy(beside):
            found, accused = accusations(share, seed + beside, names)
        counts = ", ".join(f"{count} {status}" for status, count in found.most_common())
        console.print(f"honest implementations, {beside} other programs: {share} cells ({counts})")
        console.print(f"accused: {len(accused)}")
        for words in accused:
            console.print(words, markup=False)
        failed |= bool(accused)
    console.print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main(prog_name="python -m tests.studies.honesty")
