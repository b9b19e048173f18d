"""The options of commands and of pytest, declared once, and the settings of a race.

A list has commas between its items, and may be given in several pieces. A wrong value raises
click.BadParameter, saying what was expected and what was got, before anything is measured.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import itertools
import math
import random
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.record import files
from benchmarks.record.cells import PHASES, Cell

# Libraries that compute are imported where they are needed: --help answers at once.
if TYPE_CHECKING:
    from benchmarks.workloads import Workload

    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # generic in later versions only

BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
ADVISED_BATCH_SIZES = (32,)
RECORD = files.OUT / "record.json"
ADVICE = files.OUT / "advice" / "record.json"


class Name(_Type):
    """A name that `known` returns or, with `targets`, path/to/file.py:Class; @python may follow these."""

    name = "name"

    def __init__(self, known: Callable[[], Sequence[str]], targets: bool = False) -> None:
        self.known = known
        self.targets = targets

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        known, name = self.known(), str(value)
        base, _, python = name.partition("@")
        if name in known or (self.targets and (":" in name or (base in known and python))):
            return name
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise click.BadParameter(f"expected one of {', '.join(known)}, got {name!r}{hint}", ctx, param)


class Interpreter(_Type):
    """The name of an interpreter on the PATH, or its path."""

    name = "python"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name or the path as it was given: implementations are named after it."""
        if shutil.which(str(value)) is None:
            self.fail(f"expected the name or the path of an interpreter, found no {value!r}", param, ctx)
        return str(value)


class Within(_Type):
    """A number from `low` up to `end`, exclusive; `expected` is the range in words."""

    name = "number"

    def __init__(self, expected: str, low: float, end: float) -> None:
        self.expected, self.low, self.end = expected, low, end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not self.low <= found < self.end:
            self.fail(f"expected {self.expected}, got {value!r}", param, ctx)
        return found


class OutputFile(click.Path):
    """A file that can be written; its folder is created if missing."""

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
            # The longest item that is a file's class, as a path may contain commas; else up to the next.
            longest = (k for k in range(len(pieces), 1, -1) if _is_target(",".join(pieces[:k])))
            k = next(longest, 1)
            items.append(",".join(pieces[:k]))
            del pieces[:k]
        return tuple(self.item.convert(item, param, ctx) for item in items if item)


def _is_target(item: str) -> bool:
    path, _, name = item.rpartition(":")
    return name.partition("@")[0].isidentifier() and path.endswith(".py") and Path(path).is_file()


def listed(*names: str, item: _Type, metavar: str = "LIST", **more: Any) -> click.Option:
    """An option that is a list: the tuple of its items without repetitions, () if it is not given."""

    def joined(_: click.Context, __: click.Parameter, pieces: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(item for piece in pieces for item in piece))

    return click.Option(names, multiple=True, type=_Items(item), metavar=metavar, callback=joined, **more)


IMPLEMENTATION = Name(lambda: importlib.import_module("impls").names(), targets=True)
DTYPE = Name(lambda: importlib.import_module("impls").DTYPES)
WORKLOAD = Name(lambda: tuple(importlib.import_module("benchmarks.workloads").WORKLOADS))
COUNT = click.IntRange(1, 2**31 - 1)
SEED = click.IntRange(min=0)
OPTIMIZER = Name(lambda: tuple(importlib.import_module("impls").OPTIMIZERS))
POSITIVE = SECONDS = Within("a positive number", math.ulp(0.0), math.inf)
OUTPUT = OutputFile()


def implementations_option(**more: Any) -> click.Option:
    """The option that names implementations."""
    words = "Implementations: names, path/to/file.py:Class or package.module:Class."
    return listed("--impl", "implementations", item=IMPLEMENTATION, help=words, **more)


IMPLEMENTATIONS_OPTION = implementations_option(show_default="all; those with ranks only beside --ranks")
RANKS_OPTION = listed(
    "--ranks",
    item=COUNT,
    help="Number of processes that share each batch, for implementations with ranks.",
    show_default="1",
)
THREADS_OPTION = click.Option(
    ["--threads"], type=COUNT, default=1, metavar="N", help="Threads and CPUs of every implementation."
)
THREADS_LIST_OPTION = listed(
    "--threads",
    item=COUNT,
    help="Threads and CPUs of every implementation; each process uses one number.",
    show_default="1",
)
TRAINING = (
    listed(
        "--optimizers",
        "--optimizer",
        item=OPTIMIZER,
        help="Optimizers: gradient_descent, momentum, nesterov, rmsprop, adam, adamw.",
        show_default="the workload's",
    ),
    listed(
        "--l2",
        item=Within("a finite number of 0 or more", 0.0, math.inf),
        help="L2 regularization of the weights: g = dw + l2 w.",
        show_default="the workload's",
    ),
    listed(
        "--dropout",
        item=Within("a rate from 0 up to, but not, 1", 0.0, 1.0),
        help="Shares of hidden activations that are set to 0.",
        show_default="the workload's",
    ),
)
"""The options of training: every combination of the values in the lists (`trainings`)."""


def _batch_sizes(default: Sequence[int]) -> click.Option:
    words = ",".join(map(str, default))
    return listed("--batch-sizes", item=COUNT, help="Samples per batch.", show_default=words)


_DTYPES = listed("--dtypes", "--dtype", item=DTYPE, help="Dtypes: float64, float32.", show_default="float64")
_ACTIVATION = click.Option(["--activation"], help="Activation: one for all layers, or one per layer.")
_LOSS = click.Option(["--loss"], help="Loss of the network.")
_SEED = click.Option(
    ["--seed"],
    type=SEED,
    metavar="N",
    help="Seed that shuffles the implementations within each cell.",
    show_default="drawn",
)

RACE = (
    IMPLEMENTATIONS_OPTION,
    listed("--workloads", "--workload", item=WORKLOAD, help="Workloads to race.", show_default="digits"),
    _batch_sizes(BATCH_SIZES),
    _DTYPES,
    click.Option(["--network"], metavar="WIDTHS", help="A network like 784-128-10, on random data."),
    _ACTIVATION,
    _LOSS,
    *TRAINING,
    _SEED,
)
"""The options of a race, for a command and for pytest: the arguments of `settings`, except threads."""

ADVISE = (
    click.Argument(["network"]),
    implementations_option(show_default="all but the interpreted loops"),
    _batch_sizes(ADVISED_BATCH_SIZES),
    _DTYPES,
    THREADS_OPTION,
    _ACTIVATION,
    _LOSS,
    *TRAINING,
    _SEED,
)
"""The options of advice, which are arguments of `settings`, too."""

PYTHON_OPTION = listed(
    "--python",
    "pythons",
    item=Interpreter(),
    metavar="PATH",
    help="Interpreter under which to race each of --impl, too, as NAME@PATH.",
)
PHASES_OPTION = listed(
    "--phases",
    item=Name(lambda: PHASES),
    help="Phases to time: forward, gradients, step.",
    show_default="gradients; with an optimizer or L2, step too; of pytest, all",
)


def record_option(default: Path) -> click.Option:
    """The option that names the record to write."""
    return click.Option(["--record"], type=OUTPUT, default=default, metavar="PATH", help="Record to write.")


RECORD_OPTION = record_option(RECORD)


def given(ctx: click.Context, without: Sequence[str]) -> list[str]:
    """The options of the command line as words for another command, except those named in `without`."""
    words: list[str] = []
    for option in ctx.command.params:
        name, value = option.name or "", ctx.params.get(option.name or "")
        typed = ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if not typed or name in without:
            continue
        if value is True:
            words.append(option.opts[0])
        else:
            words += [option.opts[0], ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words


@dataclasses.dataclass(frozen=True)
class RaceSettings:
    """The checked settings of a race, as on record: the implementations and their cells."""

    implementations: tuple[str, ...]
    workloads: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    dtypes: tuple[str, ...]
    threads: tuple[int, ...]
    ranks: tuple[int, ...]
    seed: int

    def cells(self, phases: Sequence[str], seed: int) -> list[Cell]:
        """Every cell, the cheap ones first; the implementations of each in an order drawn with `seed`."""
        import impls

        found = []
        for threads, workload, dtype, batch_size, phase in itertools.product(
            self.threads, self.workloads, self.dtypes, self.batch_sizes, phases
        ):
            names = list(self.implementations)
            key = f"{seed} {workload} {dtype} {batch_size} {phase}"
            random.Random(key).shuffle(names)  # noqa: S311 - an order, no secret
            found += [
                Cell(workload, phase, batch_size, dtype, threads, name, ranks)
                for name in names
                for ranks in (self.ranks if impls.takes_ranks(name) else (1,))
            ]
        return found


def settings(
    implementations: Sequence[str] = (),
    workloads: Sequence[str] = (),
    batch_sizes: Sequence[int] = (),
    dtypes: Sequence[str] = (),
    threads: Sequence[int] = (),
    ranks: Sequence[int] = (),
    network: str | None = None,
    activation: str | None = None,
    loss: str | None = None,
    optimizers: Sequence[str] = (),
    l2: Sequence[float] = (),
    dropout: Sequence[float] = (),
    seed: int | None = None,
) -> tuple[RaceSettings, dict[str, Workload]]:
    """The settings with every default filled in, and the workloads by name.

    Raises click.UsageError, ValueError or TypeError for options that do not go together, and for a network
    that is none.
    """
    from benchmarks.workloads import WORKLOADS, ad_hoc

    if network is None:
        if activation or loss:
            raise click.UsageError("--activation and --loss describe --network: expected it, got none")
        known = {name: WORKLOADS[name] for name in workloads or ["digits"]}
    elif workloads:
        raise click.UsageError("--network defines a workload: expected it without --workload, got both")
    else:
        activation, loss = activation or "sigmoid", loss or "mean_squared_error"
        known = {f"{network} {activation} {loss}": ad_hoc(network, activation, loss)}
    known = trainings(known, optimizers, l2, dropout)
    check_ranks(ranks, implementations)
    chosen = RaceSettings(
        implementations=tuple(implementations) or by_default(ranks),
        workloads=tuple(known),
        batch_sizes=tuple(sorted(batch_sizes or BATCH_SIZES)),
        dtypes=tuple(dtypes) or ("float64",),
        threads=tuple(sorted(threads)) or (1,),
        ranks=tuple(sorted(ranks)) or (1,),
        seed=secrets.randbelow(2**31) if seed is None else seed,
    )
    return chosen, known


def check_ranks(ranks: Sequence[int], implementations: Sequence[str]) -> None:
    """Raise click.UsageError for ranks where none of the implementations that were named takes any."""
    import impls

    if ranks and implementations and not any(map(impls.takes_ranks, implementations)):
        known = ", ".join(impls.names(ranks=True))
        raise click.UsageError(
            f"--ranks: expected --impl with one that takes them ({known}), got {', '.join(implementations)}"
        )


def by_default(ranks: Sequence[int]) -> tuple[str, ...]:
    """Every implementation; those that take ranks only if ranks are given."""
    import impls

    return impls.names(ranks=None if ranks else False)


def under(implementations: Sequence[str], pythons: Sequence[str]) -> tuple[str, ...]:
    """The implementations, each followed by those that run it under the interpreters.

    Raises click.UsageError for interpreters without an implementation to run.
    """
    if pythons and not implementations:
        raise click.UsageError("--python: expected --impl with it, the implementations to run under it")
    return tuple(name + at for name in implementations for at in ("", *(f"@{python}" for python in pythons)))


def trainings(
    known: Mapping[str, Workload],
    optimizers: Sequence[str] = (),
    l2: Sequence[float] = (),
    dropout: Sequence[float] = (),
) -> dict[str, Workload]:
    """Each workload with each of the given trainings, by name; unchanged if none is given.

    Raises ValueError for dropout in a network that has no hidden layer.
    """
    from benchmarks.workloads import trained

    lists: list[Any] = [known.items(), *((each or (None,)) for each in (optimizers, l2, dropout))]
    return dict(trained(*workload, *training) for workload, *training in itertools.product(*lists))


def phases(known: Mapping[str, Workload]) -> tuple[str, ...]:
    """The default phases of a race: those that the trainings of its workloads change."""
    plain = all(w.training.optimizer == "gradient_descent" and not w.training.l2 for w in known.values())
    return ("gradients",) if plain else ("gradients", "step")
