"""The record of pairs of processes, base against head: frozen, versioned, read and written here only.

It keeps the seconds of every turn, so that any statistic can be derived from it later; `differences` derives
those that the gate decides by.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from benchmarks.gate.decision import RULES, Decision, Differences, Measure, Rule, decide
from benchmarks.record import documents, files
from benchmarks.record.documents import Positive, RecordError

FORMAT = "gradrace-pairs"
SCHEMA = 2

Side = Literal["base", "head"]

Lost = Literal["failed", "skipped", "timed out", "vanished", "too slow"]
"""What became of a benchmark that cannot be compared: `failed` raised or crashed, `timed out` hung,
`vanished` is not in head's suite any more, `skipped` skipped itself, `too slow` does not fit into the budget.
"""

TurnSeconds = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]

SLOW_TURN = 1.5
"""A turn is slow that takes so many times as long as the median turn of its process."""

SLOW_PROCESS = 1.25
"""A process is slow whose median turn is so many times as long as that of the other process of its pair."""

FIRST_CALL_SECONDS = 1e-3
MEMORY_BYTES = 4096
"""What is added to both sides' first calls and peaks: changes that are small beside it do not matter."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """What is asked of a benchmark: rules, a limit, and what its outcome means.

    `at_most` limits the seconds of one call of head. `speedup`: head shall take so many times less than base.
    `fail_on_improvement`: a benchmark that is faster fails, too, so that its reference is renewed. One that
    is `informational` is shown, and decides nothing.
    """

    rules: Mapping[Measure, Rule] = dataclasses.field(default_factory=lambda: dict(RULES))
    at_most: float | None = None
    speedup: float = 1.0
    fail_on_improvement: bool = False
    informational: bool = False


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One test, or a control: the same work on both sides, which no change touches.

    `suite` is the side whose file it is from where the sides' files differ, "" where they do not.
    """

    name: str
    group: str = ""
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    suite: Side | Literal[""] = ""
    control: bool = False
    terms: Terms = dataclasses.field(default_factory=Terms)


@dataclasses.dataclass(frozen=True)
class Commit:
    """One side: what was asked for, what that was, and what it ran in."""

    ref: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Incident:
    """Why a benchmark has no (more) readings on one side."""

    benchmark: str
    side: Side
    status: Lost
    reason: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """Seconds of one call, turn by turn, the two processes taking turns; averaged over `iterations` calls.

    `first_calls` are the seconds of the first call of base's process and of head's; `peaks` is the most
    memory that each allocated, in bytes.
    """

    benchmark: str
    iterations: int
    base: TurnSeconds
    head: TurnSeconds
    first_calls: tuple[Positive, Positive] | None = None
    peaks: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two fresh processes, one of each side, and what they measured in turns."""

    started: str
    seconds: float
    first: Side
    base_hash_seed: int
    head_hash_seed: int
    base_padding: int
    head_padding: int
    load_average: float | None
    readings: tuple[Reading, ...]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Everything that was measured to compare head with base, by a gate that was started at `created`.

    `left_out` has the benchmarks that no side can be timed on, with the reasons; `notes` what a reader of the
    verdict must know of the two suites.
    """

    created: str
    command: str
    base: Commit
    head: Commit
    settings: Mapping[str, Any]
    benchmarks: tuple[Benchmark, ...]
    incidents: tuple[Incident, ...]
    pairs: tuple[Pair, ...]
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write(pairs: Pairs, path: Path) -> None:
    """Write `pairs` to `path` as JSON, whole or not at all."""
    files.write(path, documents.encoded(pairs, FORMAT, SCHEMA))


def read(path: Path, content: bytes | None = None) -> Pairs:
    """The pairs at `path`, or what was read there before.

    Raises RecordError for what is no such file, OSError for what cannot be read.
    """
    pairs = documents.read(Pairs, path, FORMAT, SCHEMA, "run `gradrace gate run` again", _renewed, content)
    names = [benchmark.name for benchmark in pairs.benchmarks]
    if len(set(names)) < len(names):
        raise RecordError(f"{path}: benchmarks: expected each once, got {', '.join(names)}")
    for k, incident in enumerate(pairs.incidents):
        if incident.benchmark not in names:
            raise RecordError(f"{path}: incidents[{k}]: no benchmark {incident.benchmark!r}")
    for i, pair in enumerate(pairs.pairs):
        found = [reading.benchmark for reading in pair.readings]
        if len(set(found)) < len(found):
            raise RecordError(f"{path}: pairs[{i}].readings: expected each benchmark once, got {found}")
        for reading in pair.readings:
            place = f"{path}: pairs[{i}] {reading.benchmark}"
            if reading.benchmark not in names:
                raise RecordError(f"{place}: no such benchmark")
            if len(reading.base) != len(reading.head):
                raise RecordError(
                    f"{place}: expected as many turns of both sides, "
                    f"got {len(reading.base)} of base and {len(reading.head)} of head"
                )
    return pairs


def _renewed(content: Any) -> Any:
    """A file of schema 1, whose benchmarks were cells of this suite and had one rule, as one of today."""
    terms = {"rules": {"median": content.pop("rule")}}

    def name(cell: Mapping[str, Any]) -> str:
        if cell["implementation"] == "control":
            return f"control {cell['phase']}"
        where = f"m={cell['batch_size']} {cell['workload']} {cell['dtype']}"
        return f"{cell['implementation']} {cell['phase']} {where}"

    content["benchmarks"] = [
        {
            "name": name(cell),
            "params": cell,
            "control": cell["implementation"] == "control",
            "terms": terms,
        }
        for cell in content["benchmarks"]
    ]
    for incident in content["incidents"]:
        if incident["status"] not in get_args(Lost):  # as "wrong", which is a failure here
            incident["status"] = "failed"
    return content


def differences(reading: Reading, terms: Terms | None = None) -> dict[Measure, float]:
    """d of every measure that a reading has: 0 where base and head are alike, positive where head is worse.

    Where both sides are the same code d is as likely to be -x as x, which is all that the decision needs.
    The median is over the turns, each turn of head against the turn of base beside it: the two are
    milliseconds apart, and what other tenants of the machine do to both is no difference. Base goes first in
    every other turn; the median is that of those turns and that of the others, averaged: whoever goes first
    has just worked, and may find its data in a cache, which is no difference either. The mean is that of the
    same turns: whatever is slow now and then is in it.
    """
    terms = terms or Terms()
    base, head = reading.base, reading.head
    gained = math.log(terms.speedup)
    ratios = [math.log(h / b) for b, h in zip(base, head, strict=True)]
    median = statistics.fmean(statistics.median(turns) for turns in (ratios[::2], ratios[1::2]) if turns)
    process = math.log(SLOW_PROCESS)
    found: dict[Measure, float] = {
        "median": median + gained,
        "mean": math.log(math.fsum(head) / math.fsum(base)) + gained,
        "tail": slow_turns(head) - slow_turns(base),
        "processes": (median > process) - (median < -process),
    }
    if reading.first_calls is not None:
        found["first call"] = _log_ratio(*reading.first_calls, FIRST_CALL_SECONDS)
    if reading.peaks is not None:
        found["memory"] = _log_ratio(*reading.peaks, MEMORY_BYTES)
    if terms.at_most is not None:
        found["limit"] = math.log(statistics.median(head) / terms.at_most)
    return found


def slow_turns(seconds: tuple[float, ...]) -> float:
    """The share of the turns of a process that are slow beside its median turn."""
    line = SLOW_TURN * statistics.median(seconds)
    return sum(turn > line for turn in seconds) / len(seconds)


def _log_ratio(base: float, head: float, least: float) -> float:
    return math.log((head + least) / (base + least))


def series(pairs: Pairs) -> list[Differences]:
    """d of everything that was measured, pair by pair."""
    terms = {benchmark.name: benchmark.terms for benchmark in pairs.benchmarks}
    return [
        {each.benchmark: differences(each, terms[each.benchmark]) for each in pair.readings}
        for pair in pairs.pairs
    ]


def family(pairs: Pairs) -> dict[str, dict[Measure, Rule]]:
    """The rules of all that is gated."""
    found = {}
    for benchmark in pairs.benchmarks:
        if not benchmark.control:
            rules = dict(benchmark.terms.rules)
            if benchmark.terms.at_most is not None:
                rules["limit"] = Rule()
            found[benchmark.name] = rules
    return found


def decision(pairs: Pairs) -> Decision:
    """The gate's decision on the pairs so far."""
    controls = [benchmark.name for benchmark in pairs.benchmarks if benchmark.control]
    return decide(series(pairs), family(pairs), controls)
