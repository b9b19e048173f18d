"""The options of commands and of pytest, declared once, and what a race is asked for.

A list has commas between its items, and may be given in several pieces. A wrong value raises
click.BadParameter, saying what was expected and what was got, before anything is measured.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import math
import random
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.record import files
from benchmarks.record.cells import PHASES, Cell

# What computes is imported where it is needed: --help answers at once.
if TYPE_CHECKING:
    from benchmarks.workloads import Workload

    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # generic in later versions only

BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
RECORD = Path("reports/out/record.json")


class Name(_Type):
    """One of the names that `known` returns when it is asked; or, of `targets`, path/to/file.py:Class."""

    name = "name"

    def __init__(self, known: Callable[[], Sequence[str]], targets: bool = False) -> None:
        self.known = known
        self.targets = targets

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        known, name = self.known(), str(value)
        if name in known or (self.targets and ":" in name):
            return name
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise click.BadParameter(f"expected one of {', '.join(known)}, got {name!r}{hint}", ctx, param)


class Positive(_Type):
    """A positive, finite number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not 0 < found < math.inf:
            self.fail(f"expected a positive number, got {value!r}", param, ctx)
        return found


class OutputFile(click.Path):
    """A file that can be written; its folder is made where there is none."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; fails before anything is measured, not after it."""
        path = Path(str(super().convert(value, param, ctx)))
        try:
            if path.resolve().exists() and not path.is_file():
                self.fail(f"expected a file, got {path}, a device or a pipe", param, ctx)
            files.ready(path.parent)
        except (OSError, RuntimeError) as error:  # a RuntimeError, before Python 3.13: links in a circle
            self.fail(f"expected a place that can be written to, got {path} ({error})", param, ctx)
        return path


class _Items(_Type):
    """Items with commas between them."""

    name = "list"

    def __init__(self, item: _Type) -> None:
        self.item = item

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """The items."""
        pieces = [piece.strip() for piece in str(value).split(",")]
        items = []
        while pieces:
            # The longest that is a file's class, as a path may have commas of its own; or up to the next.
            longest = (k for k in range(len(pieces), 1, -1) if _is_target(",".join(pieces[:k])))
            k = next(longest, 1)
            items.append(",".join(pieces[:k]))
            del pieces[:k]
        return tuple(self.item.convert(item, param, ctx) for item in items if item)


def _is_target(item: str) -> bool:
    path, _, name = item.rpartition(":")
    return name.isidentifier() and path.endswith(".py") and Path(path).is_file()


def listed(*names: str, item: _Type, metavar: str = "LIST", **more: Any) -> click.Option:
    """An option that is a list: the tuple of its items without repetitions, () where it is not given."""

    def joined(_: click.Context, __: click.Parameter, pieces: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(item for piece in pieces for item in piece))

    return click.Option(names, multiple=True, type=_Items(item), metavar=metavar, callback=joined, **more)


IMPLEMENTATION = Name(lambda: importlib.import_module("impls").names(), targets=True)
DTYPE = Name(lambda: importlib.import_module("impls").DTYPES)
WORKLOAD = Name(lambda: tuple(importlib.import_module("benchmarks.workloads").WORKLOADS))
COUNT = click.IntRange(1, 2**31 - 1)
SEED = click.IntRange(min=0)
POSITIVE = SECONDS = Positive()
OUTPUT = OutputFile()

IMPLEMENTATIONS_OPTION = listed(
    "--impl",
    "implementations",
    item=IMPLEMENTATION,
    help="Names, path/to/file.py:Class, package.module:Class.",
    show_default="all",
)
THREADS_OPTION = click.Option(
    ["--threads"], type=COUNT, default=1, metavar="N", help="Threads and CPUs of every implementation."
)
RACE = (
    IMPLEMENTATIONS_OPTION,
    listed("--workloads", "--workload", item=WORKLOAD, help="Workloads.", show_default="digits"),
    listed(
        "--batch-sizes",
        item=COUNT,
        help="Samples of a batch.",
        show_default=",".join(map(str, BATCH_SIZES)),
    ),
    listed("--dtypes", "--dtype", item=DTYPE, help="float64, float32.", show_default="float64"),
    THREADS_OPTION,
    click.Option(["--network"], metavar="WIDTHS", help="A network like 784-128-10, on random data."),
    click.Option(["--activation"], help="Of --network: one for all layers, or one each."),
    click.Option(["--loss"], help="Of --network."),
    click.Option(
        ["--seed"],
        type=SEED,
        metavar="N",
        help="Shuffles the implementations within each cell.",
        show_default="drawn",
    ),
)
"""What a race can be asked for, by a command or by pytest: the arguments of `settings`."""

PHASES_OPTION = listed(
    "--phases",
    item=Name(lambda: PHASES),
    help="forward, gradients, step.",
    show_default="gradients; of pytest, all",
)
RECORD_OPTION = click.Option(["--record"], type=OUTPUT, default=RECORD, metavar="PATH", help="The record.")


@dataclasses.dataclass(frozen=True)
class Settings:
    """A checked request, as the record has it: which implementations are measured in which cells."""

    implementations: tuple[str, ...]
    workloads: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    dtypes: tuple[str, ...]
    threads: int
    seed: int

    def cells(self, phases: Sequence[str], seed: int) -> list[Cell]:
        """Every cell, the cheap ones first; the implementations of each in an order drawn with `seed`."""
        found = []
        for workload in self.workloads:
            for dtype in self.dtypes:
                for batch_size in self.batch_sizes:
                    for phase in phases:
                        names = list(self.implementations)
                        key = f"{seed} {workload} {dtype} {batch_size} {phase}"
                        random.Random(key).shuffle(names)  # noqa: S311 - an order, no secret
                        found += [
                            Cell(workload, phase, batch_size, dtype, self.threads, name) for name in names
                        ]
        return found


def settings(
    implementations: Sequence[str] = (),
    workloads: Sequence[str] = (),
    batch_sizes: Sequence[int] = (),
    dtypes: Sequence[str] = (),
    threads: int = 1,
    network: str | None = None,
    activation: str | None = None,
    loss: str | None = None,
    seed: int | None = None,
) -> tuple[Settings, dict[str, Workload]]:
    """What was asked for, with every default filled in, and the workloads by name.

    Raises click.UsageError, ValueError or TypeError for options that do not go together, and for a network
    that is none.
    """
    import impls
    from benchmarks.workloads import WORKLOADS, ad_hoc

    if network is None:
        if activation or loss:
            raise click.UsageError("--activation and --loss describe --network: expected it, got none")
        known = {name: WORKLOADS[name] for name in workloads or ["digits"]}
    elif workloads:
        raise click.UsageError("--network is a workload of its own: expected it without --workload, got both")
    else:
        activation, loss = activation or "sigmoid", loss or "mean_squared_error"
        known = {f"{network} {activation} {loss}": ad_hoc(network, activation, loss)}
    chosen = Settings(
        implementations=tuple(implementations) or impls.names(),
        workloads=tuple(known),
        batch_sizes=tuple(sorted(batch_sizes or BATCH_SIZES)),
        dtypes=tuple(dtypes) or ("float64",),
        threads=threads,
        seed=secrets.randbelow(2**31) if seed is None else seed,
    )
    return chosen, known
