"""The record of pairs of processes, base against head: frozen, versioned, read and written here only.

It keeps the seconds of every turn, so that any statistic can be derived later; `differences` derives those
that the gate uses.
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
"""Why a benchmark cannot be compared: it `failed` (raised or crashed), `timed out` (hung), `vanished` from
head's suite, was `skipped` by its test, or is `too slow` for the budget.
"""

TurnSeconds = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]

SLOW_TURN = 1.5
"""A slow turn is one that takes this many times as long as the median turn of its process."""

SLOW_PROCESS = 1.25
"""A slow process is one whose median turn is this many times the other's in its pair."""

FIRST_CALL_SECONDS = 1e-3
MEMORY_BYTES = 4096
"""The amounts that are added to both sides' first calls and peaks, so that smaller changes do not count."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """The terms of a benchmark: its rules, its limit, and the effect of its outcome.

    `at_most` limits the seconds of one call of head. `speedup`: head has to be faster than base by this
    factor. `fail_on_improvement`: a benchmark that is faster fails, too, so that its reference is renewed. An
    `informational` benchmark is shown and does not affect the verdict.
    """

    rules: Mapping[Measure, Rule] = dataclasses.field(default_factory=lambda: dict(RULES))
    at_most: float | None = None
    speedup: float = 1.0
    fail_on_improvement: bool = False
    informational: bool = False


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One test, or a control, which is work that no commit changes.

    `suite` is the side whose file it is from if the sides' files differ, and "" if they do not.
    """

    name: str
    group: str = ""
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    suite: Side | Literal[""] = ""
    control: bool = False
    terms: Terms = dataclasses.field(default_factory=Terms)


@dataclasses.dataclass(frozen=True)
class Commit:
    """One side: the ref of the request, its commit, and the machine and versions that it ran with."""

    ref: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Incident:
    """Why a benchmark has no readings, or no further ones, on one side."""

    benchmark: str
    side: Side
    status: Lost
    reason: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """Seconds of one call in each turn of the two processes, averaged over `iterations` calls.

    `first_calls` are the seconds of the first call in base's process and in head's; `peaks` are the largest
    amounts of memory that each allocated, in bytes.
    """

    benchmark: str
    iterations: int
    base: TurnSeconds
    head: TurnSeconds
    first_calls: tuple[Positive, Positive] | None = None
    peaks: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two fresh processes, one of each side, and their readings."""

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
    """All measurements of head against base, by a gate that was started at `created`.

    `left_out` has the benchmarks that cannot be timed on any side, with the reasons; `notes` are remarks on
    the two suites for the reader of the verdict.
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

    Raises RecordError for a file of another kind, OSError for one that cannot be read.
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
    """The content of schema 1, in which benchmarks were cells of this suite and had one rule, as schema 2."""
    terms = {"rules": {"median": content.pop("rule")}}

    def name(cell: Mapping[str, Any]) -> str:
        if cell["implementation"] == "control":
            return f"control {cell['phase']}"
        where = f"m={cell['batch_size']} {cell['workload']} {cell['dtype']}"
        return f"{cell['implementation']} {cell['phase']} {where}"

    content["benchmarks"] = [
        {"name": name(cell), "params": cell, "control": cell["implementation"] == "control", "terms": terms}
        for cell in content["benchmarks"]
    ]
    for incident in content["incidents"]:
        if incident["status"] not in get_args(Lost):  # as "wrong", which is a failure here
            incident["status"] = "failed"
    return content


def differences(reading: Reading, terms: Terms | None = None) -> dict[Measure, float]:
    """The d of every measure of a reading: 0 if base and head are alike, positive if head is worse.

    If both sides are the same code, d is as likely to be -x as x, which is all that the decision needs.
    The median is over ratios of a turn of head and the turn of base beside it, which are milliseconds apart,
    so that a disturbance of the machine affects both. Base goes first in every other turn. The process that
    goes first has just worked and may find its data in a cache; so the median is taken separately over the
    turns with either order, and the two are averaged. The mean is over the same turns, and includes
    occasional slow ones.
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
    """The share of slow turns of a process (SLOW_TURN)."""
    line = SLOW_TURN * statistics.median(seconds)
    return sum(turn > line for turn in seconds) / len(seconds)


def _log_ratio(base: float, head: float, least: float) -> float:
    return math.log((head + least) / (base + least))


def series(pairs: Pairs) -> list[Differences]:
    """The d of every benchmark and measure, for each pair."""
    terms = {benchmark.name: benchmark.terms for benchmark in pairs.benchmarks}
    return [
        {each.benchmark: differences(each, terms[each.benchmark]) for each in pair.readings}
        for pair in pairs.pairs
    ]


def family(pairs: Pairs) -> dict[str, dict[Measure, Rule]]:
    """The rules of all gated benchmarks."""
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
