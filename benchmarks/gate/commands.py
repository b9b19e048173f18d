"""Base against head, in pairs of fresh processes: `python -m benchmarks pairs --base main`."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

# Only click is imported up here: --help must answer at once.
if TYPE_CHECKING:
    from benchmarks.gate.decision import Rule
    from benchmarks.gate.process import Process
    from benchmarks.gate.turns import Facts
    from benchmarks.record.pairs_file import Benchmark, Incident, Pair, Pairs, Side

OUT = Path("reports/out/pairs.json")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to compare, in which way, and for how long: within a budget of seconds, or so many pairs."""

    base: str
    head: str
    implementations: tuple[str, ...]
    rule: Rule
    budget: float
    pairs: int | None
    out: Path
    resume: bool
    here: bool

    def settings(self) -> dict[str, Any]:
        """What the runs that fill one file must have in common, besides the commits."""
        from benchmarks.gate import turns

        return {
            "implementations": list(self.implementations),
            "here": self.here,
            "budget": self.budget,
            "turns": turns.TURNS,
            "turn_seconds": turns.TURN_SECONDS,
        }


def run(plan: Plan, root: Path, say: Callable[[str], None]) -> Pairs:
    """Compare the plan's commits of the repository at `root`; `plan.out` is written after every pair.

    Raises Refusal where the plan cannot be followed, and NoAnswer where no pair can be measured.
    """
    import impls
    from benchmarks.gate import worktrees
    from benchmarks.gate.process import Process

    commits: dict[Side, str] = {
        "base": worktrees.commit(root, "--base", plan.base),
        "head": worktrees.commit(root, "--head", plan.head),
    }
    if plan.head == "HEAD":
        worktrees.check_clean(root, besides=plan.out)
    with contextlib.ExitStack() as held:
        held.enter_context(worktrees.lock(root))
        before = _resumed(plan, commits) if plan.resume else None
        folders = held.enter_context(worktrees.worktrees(root, commits["base"], commits["head"]))
        pythons: dict[Side, Path] = dict.fromkeys(worktrees.SIDES, Path(sys.executable))
        if not plan.here:
            say("building the environments of base and head")
            pythons = worktrees.environments(root, folders, impls.extras(plan.implementations))

        def start(side: Side, hash_seed: int, padding: int) -> Process:
            return Process(side, pythons[side], folders[side], hash_seed, padding)

        return Runner(plan, commits, start, say).run(before)


class Runner:
    """Measures pair after pair, as long as the decision asks for more and time is left."""

    def __init__(
        self,
        plan: Plan,
        commits: dict[Side, str],
        start: Callable[[Side, int, int], Process],
        say: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.commits = commits
        self.start = start
        self.say = say
        self.incidents: list[Incident] = []
        self.iterations: dict[str, int] = {}
        self.verified = False

    def run(self, record: Pairs | None) -> Pairs:
        """Go on from `record`, or begin."""
        from benchmarks.gate.turns import Incidents, catalogue, measure
        from benchmarks.gate.worktrees import NoAnswer
        from benchmarks.record import pairs_file

        begun = time.perf_counter()
        benchmarks = catalogue(self.start, self.plan.implementations)
        if record is not None:
            if record.benchmarks != benchmarks:
                _refuse_resuming(self.plan.out, "benchmarks", record.benchmarks, benchmarks)
            self.incidents = list(record.incidents)
            for pair in record.pairs:
                self.iterations |= {reading.benchmark: reading.iterations for reading in pair.readings}
        elif self.plan.out.exists():
            self.plan.out.replace(self.plan.out.with_name(f"{self.plan.out.name}.previous"))
        while True:
            wanted = self.wanted(benchmarks, record)
            last = record.pairs[-1].seconds if record is not None and record.pairs else 0.0
            late = self.plan.pairs is None and time.perf_counter() - begun + last > self.plan.budget
            if record is not None and (late or not wanted):
                return record
            if late and self.incidents:
                raise NoAnswer(
                    f"expected a pair within {self.plan.budget:g} s, got none: "
                    + "; ".join(_lost(incident) for incident in self.incidents)
                )
            try:
                pair, facts = measure(self.start, wanted, self.iterations, verify=record is None)
            except Incidents as lost:
                self.incidents += lost.incidents
                for incident in lost.incidents:
                    self.say(_lost(incident))
                if record is not None:
                    record = dataclasses.replace(record, incidents=tuple(self.incidents))
                    pairs_file.write(record, self.plan.out)
                continue
            record = self.extended(record, benchmarks, pair, facts)
            pairs_file.write(record, self.plan.out)
            self.report(record, time.perf_counter() - begun)

    def wanted(self, benchmarks: Sequence[Benchmark], record: Pairs | None) -> list[Benchmark]:
        """What the next pair is to measure; nothing where there is nothing left to find out."""
        from benchmarks.gate.decision import MOST_PAIRS
        from benchmarks.record import pairs_file

        lost = {incident.benchmark for incident in self.incidents}
        left = [benchmark for benchmark in benchmarks if benchmark.name not in lost]
        if record is None:
            return left
        if self.plan.pairs is not None:
            return left if len(record.pairs) < self.plan.pairs else []
        decision = pairs_file.decision(record)
        gated = [benchmark for benchmark in left if benchmark.name in decision.to_measure]
        controls = [benchmark for benchmark in left if benchmark.implementation == pairs_file.CONTROL]
        # A control that was lost can never settle: more pairs would not help.
        hopeless = any(name in lost for name in decision.controls)
        if len(record.pairs) >= MOST_PAIRS or hopeless or (decision.controls_settled and not gated):
            return []
        return gated + controls

    def extended(
        self, record: Pairs | None, benchmarks: tuple[Benchmark, ...], pair: Pair, facts: dict[Side, Facts]
    ) -> Pairs:
        """The record with one more pair; raises Refusal where that comes from elsewhere than those before."""
        from benchmarks.record.pairs_file import Commit, Pairs

        plan = self.plan
        refs: dict[Side, str] = {"base": plan.base, "head": plan.head}
        sides = {
            side: Commit(ref, self.commits[side], **dataclasses.asdict(facts[side]))
            for side, ref in refs.items()
        }
        if record is None:
            return Pairs(
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
                base=sides["base"],
                head=sides["head"],
                settings=plan.settings(),
                rule=plan.rule,
                benchmarks=benchmarks,
                incidents=tuple(self.incidents),
                pairs=(pair,),
            )
        for was, now in ((record.base, sides["base"]), (record.head, sides["head"])):
            for fact in ("machine", "versions"):
                if getattr(was, fact) != getattr(now, fact):
                    _refuse_resuming(plan.out, fact, getattr(was, fact), getattr(now, fact))
        return dataclasses.replace(record, incidents=tuple(self.incidents), pairs=(*record.pairs, pair))

    def report(self, record: Pairs, elapsed: float) -> None:
        """One line on the pair just measured."""
        from benchmarks.record import pairs_file

        decision = pairs_file.decision(record)
        open_ = len(decision.to_measure)
        slower = sum(finding.outcome == "slower" for finding in decision.findings.values())
        self.say(
            f"pair {len(record.pairs)}: {record.pairs[-1].seconds:.1f} s; {elapsed:.0f} s in all; "
            f"{open_} of {len(decision.findings)} benchmarks open, {slower} slower"
        )


def _lost(incident: Incident) -> str:
    return f"lost: {incident.benchmark} of {incident.side}: {incident.reason}"


def _resumed(plan: Plan, commits: dict[Side, str]) -> Pairs | None:
    """The pairs that `plan` goes on from, None where there are none yet."""
    from benchmarks.gate import worktrees
    from benchmarks.record import pairs_file
    from benchmarks.record.documents import RecordError

    try:
        record = pairs_file.read(plan.out)
    except FileNotFoundError:
        return None
    except (RecordError, OSError) as error:
        raise worktrees.Refusal(f"--resume: {error}") from error
    for what, was, now in (
        ("base", record.base.commit, commits["base"]),
        ("head", record.head.commit, commits["head"]),
        ("settings", record.settings, plan.settings()),
        ("rule", record.rule, plan.rule),
    ):
        if was != now:
            _refuse_resuming(plan.out, what, was, now)
    return record


def _refuse_resuming(out: Path, what: str, was: Any, now: Any) -> NoReturn:
    from benchmarks.gate.worktrees import Refusal

    raise Refusal(f"--resume: {what}: {out} has {was}, got {now}; write to another file with --out")


def _check_targets(implementations: Sequence[str]) -> None:
    """Raises ValueError for a file that both sides would share: nothing in it could ever be slower."""
    for target in implementations:
        path = Path(target.rpartition(":")[0])
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "--impl: expected a file of the repository, by its path from the root, as each side runs its "
                f"own; got {target!r}"
            )


class _Command(click.Command):
    """A command whose usage errors are refusals, too: the exit code of click's own means "could not tell".

    So does a gate that is stopped: no slowdown was shown, and none was ruled out.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        from benchmarks.gate.worktrees import Refusal

        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Refusal(error.format_message()) from error

    def invoke(self, ctx: click.Context) -> Any:
        from benchmarks.gate.worktrees import NoAnswer

        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise NoAnswer("stopped; go on with --resume from the pairs that there are") from interrupt


@click.command(cls=_Command)
@click.option("--base", required=True, metavar="REF", help="Branch, tag or commit to compare with.")
@click.option(
    "--head", default="HEAD", metavar="REF", show_default=True, help="Branch, tag or commit to judge."
)
@click.option(
    "--impl",
    multiple=True,
    metavar="LIST",
    help="Implementations, with commas; repeatable.  [default: the gate's]",
)
@click.option(
    "--minimum-effect",
    type=float,
    default=2.0,
    show_default=True,
    help="Slower is slower by more than this, %.",
)
@click.option(
    "--target", type=float, default=5.0, show_default=True, help="Same is slower by less than this, %."
)
@click.option("--budget", default="300", metavar="S", show_default=True, help="Seconds.")
@click.option("--pairs", "fixed", type=click.IntRange(min=1), help="So many pairs, no matter what they say.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=OUT,
    show_default=True,
    help="Pairs file.",
)
@click.option("--resume", is_flag=True, help="Go on from the pairs in --out.")
@click.option("--here", is_flag=True, help="Run both sides in this environment instead of building two.")
def pairs(
    base: str,
    head: str,
    impl: tuple[str, ...],
    minimum_effect: float,
    target: float,
    budget: str,
    fixed: int | None,
    out: Path,
    resume: bool,
    here: bool,
) -> None:
    """Measure head against base in pairs of fresh processes; `python -m reports gate` judges them.

    Exit codes: 0 measured, 2 could not measure, 3 asked for in a way that cannot be followed.
    """
    import impls
    from benchmarks import options
    from benchmarks.gate import worktrees
    from benchmarks.gate.decision import Rule

    try:
        asked = tuple(options.items(impl))
        options.implementations("--impl", asked, impls.names())
        _check_targets(asked)
        seconds = options.number("--budget", budget)
        rule = Rule(minimum_effect / 100, target / 100)
        options.check_writable("--out", out)
    except ValueError as error:
        raise worktrees.Refusal(str(error)) from error
    plan = Plan(base, head, asked, rule, seconds, fixed, out, resume, here)
    run(plan, worktrees.repository(Path.cwd()), lambda line: click.echo(line, err=True))
    click.echo(out)
