"""`python -m tests.studies.referee`: the validation study of the referee, and its figures.

Random problems of full size (1 to 6 layers, widths 1 to 65, batches of 1 to 257, pre-activations to +-1000)
before every implementation that can be had here and every accepted formula: how many were rejected, and how
tight the bound is. Then bit for bit equality with `loops`, the mutants, narrower arithmetic at every place of
every workload, implementations that are wrong only later or save work. With `--part training` random problems
with random optimizers, L2 and dropout, and their mutants; with `--part bound` how large the bounds are beside
the arrays that they hold, with `--part limit` how near to its limit as a whole every implementation comes in
any array of any workload. Exits with 1 where an implementation is rejected, a mutant survives, or the largest
error is far below its bound.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
import unittest.mock
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import impls
from benchmarks import workloads
from benchmarks.measure import clock
from benchmarks.measure.threads import limit_threads
from impls import Implementation, Network, Problem, Training, Unavailable, Unsupported, referee
from impls.interface import DTYPES
from impls.referee import conformance, error_bound, honesty
from impls.referee.judgement import learning_rate, reference_of
from tests.impls.accepted import ACCEPTED
from tests.impls.cheats import CHEATS
from tests.impls.later import LATER
from tests.impls.mutants import MUTANTS, Sound, battery
from tests.impls.narrow import LayerOfZeros, SinglePass, narrow, places
from tests.impls.problems import SMALL, random_problem, random_trained_problem
from tests.impls.test_laws import RATE, SAME_ORDER, bits
from tests.impls.trained import ACCEPTED as TRAINED
from tests.impls.training_mutants import MUTANTS as TRAINING_MUTANTS

STRIDE = {"loops": 20, "loops-ndarray": 20, "autograd": 2, "jax": 100, "torch-compile": 500}
"""The strides of slow implementations, which get only every n-th problem."""

TURNS = {"jax": 4, "torch-compile": 40}
"""The strides for trainings."""

RATES = (0.1, 0.02, 0.003)
"""Learning rates of the steps of a random training, at most: pre-activations stay within the contract."""

COSTLY = (
    Network((64, 32, 10), ("sigmoid", "sigmoid"), "mean_squared_error"),
    Network((784, 128, 10), ("relu", "softmax"), "softmax_cross_entropy"),
    Network((*[64] * 9, 10), (*["tanh"] * 8, "softmax"), "softmax_cross_entropy"),
)
LOOSEST = 1000
"""The largest error of all is at least this small a part of its bound: 1 / LOOSEST."""

console = Console(width=None if sys.stdout.isatty() else 140)


@dataclasses.dataclass
class ProblemTally:
    """One implementation's problems in one dtype."""

    shares: list[float] = dataclasses.field(default_factory=list)
    limits: list[float] = dataclasses.field(default_factory=list)
    unsupported: int = 0
    rejected: list[str] = dataclasses.field(default_factory=list)


def available(names: tuple[str, ...]) -> dict[str, type[Implementation]]:
    """The implementations that can be loaded; prints why others cannot."""
    found = {}
    for name in names or impls.names(ranks=False):  # those have a study
        try:
            found[name] = impls.load(name)
        except Unavailable as missing:
            console.print(str(missing), markup=False)
    return found


def judge(
    implementations: dict[str, type[Implementation]], problems: int, start: int
) -> dict[tuple[str, str], ProblemTally]:
    """Each implementation on its share of the seeds `start`, `start` + 1, ...; dtypes by turns."""
    tallies: dict[tuple[str, str], ProblemTally] = {}
    with Progress(console=console, transient=True) as progress:
        for seed in progress.track(range(start, start + problems), description="judging"):
            problem, dtype = random_problem(seed), DTYPES[seed % len(DTYPES)]
            for name, implementation in implementations.items():
                if dtype not in implementation.dtypes or seed // len(DTYPES) % STRIDE.get(name, 1):
                    continue
                tally = tallies.setdefault((name, dtype), ProblemTally())
                try:
                    verdict = referee.check(implementation(problem, dtype), problem, dtype)
                except Unsupported:
                    tally.unsupported += 1
                    continue
                tally.shares.append(verdict.error_of_bound)
                tally.limits.append(verdict.error_of_limit)
                if not verdict.passed:
                    tally.rejected.append(f"{name}, {dtype}, seed {seed}: {verdict.message}")
    return tallies


def judge_trainings(
    implementations: dict[str, type[Implementation]], problems: int, start: int
) -> dict[tuple[str, str], ProblemTally]:
    """The seeds `start`, `start` + 1, ... with a random training each, one implementation after the other."""
    tallies: dict[tuple[str, str], ProblemTally] = {}
    names = list(implementations)
    with Progress(console=console, transient=True) as progress:
        for seed in progress.track(range(start, start + problems), description="judging trainings"):
            turn, name = seed // len(names), names[seed % len(names)]
            if turn % TURNS.get(name, 1):
                continue
            implementation = implementations[name]
            dtype = implementation.dtypes[turn // TURNS.get(name, 1) % len(implementation.dtypes)]
            tally = tallies.setdefault((name, dtype), ProblemTally())
            try:
                verdicts = trained(implementation, random_trained_problem(seed), dtype)
            except Unsupported:
                tally.unsupported += 1
                continue
            tally.shares.append(max(verdict.error_of_bound for verdict in verdicts))
            tally.limits.append(max(verdict.error_of_limit for verdict in verdicts))
            if not verdicts[-1].passed:
                tally.rejected.append(f"{name}, {dtype}, seed {seed}: {verdicts[-1].message}")
    return tallies


def trained(implementation: type[Implementation], problem: Problem, dtype: str) -> list[referee.Verdict]:
    """The verdicts on gradients, a step at each of RATES, and a forward pass, up to the first that fails, or
    to where a training has diverged so far that the squares of its gradients leave the dtype.
    """
    race, state = implementation(problem, dtype), referee.first_state(problem, dtype)
    verdicts = [referee.judge_gradients(state, race.export())]
    most_of_gradient = float(np.sqrt(np.finfo(dtype).max))
    for most in RATES:
        exact = reference_of(state)
        if max(np.abs(q.hi).max() for q in (*exact.dw, *exact.db)) > most_of_gradient:
            return verdicts
        rate = min(most, learning_rate(state.weights, exact))
        race.step(rate)
        result = race.export()
        verdicts.append(referee.judge_step(state, result, rate))
        if not verdicts[-1].passed:
            return verdicts
        state = state.after_step(result)
    race.forward()
    return [*verdicts, referee.judge_forward(state, race.export())]


def training_survivors() -> list[str]:
    """The mutants of training that keep every law, in a dtype of theirs."""
    cases = [
        holds
        for law in ("every optimizer, L2 and dropout", "train(n) is n steps, with every optimizer")
        for _, holds in conformance.LAWS[law]
    ]
    return [
        f"{mutant.__name__}, {dtype}"
        for mutant in TRAINING_MUTANTS
        for dtype in mutant.dtypes
        if not any(breaks(mutant, dtype, holds) for holds in cases)
    ]


def breaks(mutant: type[Sound], dtype: str, holds: Callable[[Any, str], None]) -> bool:
    """Whether a mutant breaks a case of a law."""
    try:
        holds(mutant, dtype)
    except conformance.BrokenLawError:
        return True
    return False


def bit_for_bit(implementations: dict[str, type[Implementation]], problems: int) -> dict[str, list[int]]:
    """The seeds at which an implementation of the same order of sums differs from `loops` in any bit of
    float64.
    """
    loops = impls.load("loops")
    differ: dict[str, list[int]] = {name: [] for name in SAME_ORDER if name in implementations}
    with Progress(console=console, transient=True) as progress:
        for seed in progress.track(range(problems), description="bit for bit"):
            problem = random_problem(seed, SMALL)
            spec = loops(problem)
            before = bits(spec.export())
            spec.step(RATE)
            after = bits(spec.export())
            for name, seeds in differ.items():
                race = implementations[name](problem)
                same = bits(race.export()) == before
                race.step(RATE)
                if not (same and bits(race.export()) == after):
                    seeds.append(seed)
    return differ


def survivors() -> list[str]:
    """The mutants that pass every problem of the battery, in a dtype of theirs."""
    given = battery()
    return [
        f"{mutant.__name__}, {dtype}"
        for mutant in MUTANTS
        for dtype in mutant.dtypes
        if all(referee.check(mutant(problem, dtype), problem, dtype).passed for problem in given)
    ]


def narrower(names: Sequence[str], sizes: Sequence[int]) -> tuple[Table, list[str]]:
    """Narrower arithmetic at every single place of every workload, and the cases that passed; also zeros for
    each layer, and a float32 pass inside float64.
    """
    shown = Table("workload", "batch", title="Narrower arithmetic, at one place each, before the referee")
    for heading in ("tried", "rejected", "mildest", "times what is allowed"):
        shown.add_column(heading, justify="right")
    passed = []
    plain = [name for name in names if workloads.named(name).training == Training()]  # as the candidates are
    for name, m in itertools.product(plain, sizes):
        given = workloads.problem(workloads.named(name), m)
        candidates: list[tuple[str, type[Sound], str]] = [
            (str(place), narrow(place), "float32") for place in places(given.network)
        ]
        for k in range(given.network.layers):
            zeros = type("Zeros", (LayerOfZeros,), {"layer": k})
            candidates += [(f"zeros for dw[{k}]", zeros, dtype) for dtype in DTYPES]
        candidates.append(("a float32 pass inside float64", SinglePass, "float64"))
        candidates.sort(key=lambda candidate: candidate[2])  # a reference serves all of a dtype
        tried, rejected, mildest = 0, 0, (np.inf, "")
        for what, implementation_class, dtype in candidates:
            implementation = implementation_class(given, dtype)
            if not getattr(implementation, "changed", True):
                continue  # numbers of no more bits than that to begin with
            # after construction, by a reference that all of them share; else on a second batch, too
            state = referee.first_state(given, dtype)
            verdict = referee.judge_gradients(state, implementation.export())
            if verdict.passed:
                verdict = referee.check(implementation, given, dtype)
            tried += 1
            rejected += not verdict.passed
            if verdict.passed:
                passed.append(f"{name}, {m}: {what}")
            mildest = min(mildest, (max(verdict.error_of_bound, verdict.error_of_limit), what))
        shown.add_row(name, str(m), str(tried), str(rejected), mildest[1], f"{mildest[0]:.3g}")
    return shown, passed


def bound_of_norm(problem: Problem, dtype: str) -> float:
    """The 2-norm of a bound as a share of its array's own, the largest of output, dw and db."""
    exact = reference_of(referee.first_state(problem, dtype))
    norms = ((np.linalg.norm(q.bound), np.linalg.norm(q.hi)) for q in (exact.output, *exact.dw, *exact.db))
    return max(float(bound / own) for bound, own in norms if own > 0)


def bounds(names: Sequence[str], sizes: Sequence[int]) -> Table:
    """The largest bound as a share of its array, by norms of weights alone and as the referee judges."""
    shown = Table("workload", "batch", title="The 2-norm of a bound, of its array's own, at most")
    for heading in (f"{dtype}, {how}" for dtype in DTYPES for how in ("by norms", "as judged")):
        shown.add_column(heading, justify="right")
    for name, m in itertools.product(names, sizes):
        found = []
        for dtype, affordable in itertools.product(DTYPES, (0.0, error_bound.AFFORDABLE)):
            with unittest.mock.patch.object(error_bound, "AFFORDABLE", affordable):
                found.append(bound_of_norm(workloads.problem(workloads.named(name), m), dtype))
        shown.add_row(name, str(m), *(f"{share:.2g}" for share in found))
    return shown


def limits(
    implementations: dict[str, type[Implementation]], names: Sequence[str], sizes: Sequence[int]
) -> tuple[Table, list[str]]:
    """The largest 2-norm of an array's error as a share of its limit, after construction, with its array, and
    the implementations that were rejected.
    """
    shown = Table("workload", "batch", title="The 2-norm of an error, of its limit, at most")
    for heading in (f"{dtype}{of}" for dtype in DTYPES for of in ("", ", of")):
        shown.add_column(heading, justify="right")
    rejected: list[str] = []
    largest = dict.fromkeys(DTYPES, (0.0, ""))
    for workload, m in itertools.product(names, sizes):
        given = workloads.problem(workloads.named(workload), m)
        row: list[str] = []
        for dtype in DTYPES:
            state = referee.first_state(given, dtype)
            shares = [(0.0, "")]
            for name, implementation in implementations.items():
                try:
                    verdict = referee.judge_gradients(state, implementation(given, dtype).export())
                except Unsupported:
                    continue
                shares.append((verdict.error_of_limit, name))
                if not verdict.passed:
                    rejected.append(f"{workload}, {m}: {name}: {verdict.message}")
            most = max(shares)
            largest[dtype] = max(largest[dtype], most)
            row += [f"{most[0]:.3f}", most[1]]
        shown.add_row(workload, str(m), *row)
    shown.add_section()
    shown.add_row("largest", "", *(q for share, name in largest.values() for q in (f"{share:.3f}", name)))
    return shown, rejected


def spared() -> list[str]:
    """The implementations wrong only later, and those that save work, that keep every law."""
    laws = (
        conformance.LAWS[law]
        for law in ("every call is right, from the state before it", "train(n) is n steps")
    )
    cases = [holds for law in laws for _, holds in law]
    alive = [
        mutant.__name__ for mutant in LATER if not any(breaks(mutant, "float64", holds) for holds in cases)
    ]
    honest = honesty.NETWORKS[0]
    return alive + [cheat.__name__ for cheat in CHEATS if not honesty.broken(cheat, honest, "float64")]


def cost() -> Table:
    """Seconds of process time: a whole check, a second one of the same problem, and the timing they guard.

    The timing is that of one cell, with its warm-up. One check serves three cells of an implementation
    (forward, gradients, step), and its first reference every implementation.
    """
    shown = Table("network", "dtype", title="Seconds to verify numpy, and to time one cell of it")
    for heading in ("batch", "first check", "further implementations' checks", "timing"):
        shown.add_column(heading, justify="right")
    for network, m in itertools.product(COSTLY, (1024, 4096)):
        problem = Problem.random(network, 2 * m, m)
        for dtype in DTYPES:
            implementation, further = (impls.load("numpy")(problem, dtype) for _ in range(2))
            seconds = []
            for work in (
                lambda: referee.check(implementation, problem, dtype),  # noqa: B023 - called at once
                lambda: referee.check(further, problem, dtype),  # noqa: B023
                lambda: _time(implementation.gradients),  # noqa: B023
            ):
                before = time.process_time()
                work()
                seconds.append(time.process_time() - before)
            shown.add_row(
                "-".join(map(str, network.widths)),
                dtype,
                str(m),
                *(f"{s:.2f}" for s in seconds),
            )
    return shown


def _time(call: Callable[[], Any]) -> None:
    """Time a call as a race times a cell."""
    plan = clock.plan(clock.settle(call))
    for _ in range(plan.rounds):
        clock.seconds_of(call, plan.iterations)


def table(tallies: dict[tuple[str, str], ProblemTally]) -> Table:
    """Problems, rejections and the share of the bound that errors took."""
    shown = Table("name", "dtype", title="Random problems before the referee")
    for heading in ("problems", "not supported", "rejected", "largest share", "median share"):
        shown.add_column(heading, justify="right")
    for (name, dtype), tally in sorted(tallies.items()):
        shares = (
            (f"{np.max(tally.shares):.3f}", f"{np.median(tally.shares):.4f}") if tally.shares else ("", "")
        )
        counts = len(tally.shares), tally.unsupported, len(tally.rejected)
        shown.add_row(name, dtype, *map(str, counts), *shares)
    return shown


def show(tallies: dict[tuple[str, str], ProblemTally], problems: int) -> bool:
    """Whether any was rejected; prints the table, how many, and how tight the bound is."""
    console.print(table(tallies))
    rejected = [message for tally in tallies.values() for message in tally.rejected]
    checks = sum(len(tally.shares) for tally in tallies.values())
    console.print(
        f"random problems: {problems}, checks of an implementation: {checks}, rejections: {len(rejected)}"
    )
    for message in rejected:
        console.print(message, markup=False)
    loose = False
    for dtype in DTYPES:
        shares = [share for (_, kind), tally in tallies.items() if kind == dtype for share in tally.shares]
        if not shares:
            continue
        largest = max(shares)
        loose |= not 1 / LOOSEST <= largest <= 1
        console.print(
            f"tightness, {dtype}: over {len(shares)} checks the largest error is {largest:.3f} of its bound, "
            f"the median of each check's largest {np.median(shares):.4f}"
        )
        limits = [share for (_, kind), tally in tallies.items() if kind == dtype for share in tally.limits]
        console.print(
            f"whole arrays, {dtype}: the largest 2-norm of an error is {max(limits):.3f} of its limit, "
            f"the median of each check's largest {np.median(limits):.4f}"
        )
    return bool(rejected) or loose


def plain(implementations: dict[str, type[Implementation]], problems: int, start: int) -> bool:
    """The study of passes and plain descent; whether any of it failed."""
    variants = {f"({variant.__name__})": variant for variant in (Sound, *ACCEPTED)}
    with np.errstate(all="ignore"):
        tallies = judge(implementations | variants, problems, start)
    return show(tallies, problems)


def training(implementations: dict[str, type[Implementation]], problems: int, start: int) -> bool:
    """The study of trainings; whether any of it failed."""
    variants = {f"({variant.__name__})": variant for variant in TRAINED}
    with np.errstate(all="ignore"):
        failed = show(judge_trainings(implementations | variants, problems, start), problems)
        alive = training_survivors()
    killed = len(TRAINING_MUTANTS) - len({name.split(",")[0] for name in alive})
    console.print(
        f"mutants of training killed: {killed} of {len(TRAINING_MUTANTS)}, in each of their dtypes", *alive
    )
    return failed or bool(alive)


def same_order(implementations: dict[str, type[Implementation]], problems: int) -> bool:
    """Whether any that sums in the order of `loops` has other bits."""
    found = bit_for_bit(implementations, problems)
    for name, seeds in found.items():
        equal = problems - len(seeds)
        console.print(f"bit for bit: {name} equals loops in {equal} of {problems} problems {seeds or ''}")
    return any(found.values())


def mutants() -> bool:
    """Whether any wrong implementation survived, or any that saves work was not found out."""
    alive, kept = survivors(), spared()
    killed = len(MUTANTS) - len({name.split(",")[0] for name in alive})
    console.print(f"mutants killed: {killed} of {len(MUTANTS)}, in each of their dtypes", *alive)
    console.print(
        f"wrong only later: {len(LATER)}, work saved: {len(CHEATS)}; not found out: {len(kept)}", *kept
    )
    return bool(alive or kept)


def narrow_places(names: Sequence[str], sizes: Sequence[int]) -> bool:
    """Whether any narrower arithmetic passed."""
    shown, passed = narrower(names, sizes)
    console.print(shown)
    console.print(f"narrower arithmetic that passed: {len(passed)}", *passed)
    return bool(passed)


def shares_of_limits(
    implementations: dict[str, type[Implementation]], names: Sequence[str], sizes: Sequence[int]
) -> bool:
    """Whether any implementation was rejected in a workload."""
    shown, rejected = limits(implementations, names, sizes)
    console.print(shown)
    console.print(f"rejected: {len(rejected)}", *rejected)
    return bool(rejected)


PARTS = ("training", "plain", "order", "mutants", "narrow", "bound", "limit", "cost")


@click.command()
@click.option(
    "--part", default="all", show_default=True, type=click.Choice(("all", *PARTS)), help="What to run."
)
@click.option("--problems", default=2000, show_default=True, type=click.IntRange(2))
@click.option(
    "--same-order",
    "small",
    default=500,
    show_default=True,
    type=click.IntRange(1),
    help="Problems in small.",
)
@click.option("--start", default=0, show_default=True, help="The first seed.")
@click.option("--impl", "names", multiple=True, help="An implementation; repeat it for more. [all]")
@click.option("--workload", multiple=True, help="Of narrow, bound and limit; repeat it for more. [all]")
@click.option(
    "--sizes",
    default="1,4,16,64,256,1024,4096",
    show_default=True,
    help="Batch sizes of narrow, bound and limit, with commas.",
)
def main(
    part: str,
    problems: int,
    small: int,
    start: int,
    names: tuple[str, ...],
    workload: tuple[str, ...],
    sizes: str,
) -> None:
    """Put every implementation through random problems, and the referee through every mutant."""
    limit_threads(1)  # as in a race; and on a busy machine the threads of a BLAS wait for each other
    began = time.perf_counter()
    cells = workload or tuple(workloads.WORKLOADS), [int(m) for m in sizes.split(",")]
    asked = PARTS if part == "all" else (part,)
    implementations = available(names) if {"training", "plain", "order", "limit"} & set(asked) else {}
    work: dict[str, Callable[[], bool | None]] = {
        "training": lambda: training(implementations, problems, start),
        "plain": lambda: plain(implementations, problems, start),
        "order": lambda: same_order(implementations, small),
        "mutants": mutants,
        "narrow": lambda: narrow_places(*cells),
        "bound": lambda: console.print(bounds(*cells)),
        "limit": lambda: shares_of_limits(implementations, *cells),
        "cost": lambda: console.print(cost()),
    }
    failed = [name for name in asked if work[name]()]
    console.print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(prog_name="python -m tests.studies.referee")
