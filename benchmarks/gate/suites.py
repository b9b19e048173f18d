"""The benchmarks that are compared: with base's files and with head's in turn, if these differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from benchmarks.gate.errors import NoAnswer
from benchmarks.gate.settings import GateSettings
from benchmarks.gate.sides import SIDES, Collected, FoundBenchmark
from benchmarks.record.pairs_file import Benchmark, Incident, Side

_MARK = " (base's file)"
"""The suffix of the name of a benchmark that is taken from base's file, where head's file differs."""


@dataclasses.dataclass(frozen=True)
class Suites:
    """The benchmarks of both sides; `files` are those that differ, and each side's are used in turn.

    `left_out` has the reasons why benchmarks cannot be timed, `lost` the benchmarks of base that head lacks,
    and `new` the names of those that only head has.
    """

    benchmarks: tuple[Benchmark, ...]
    files: tuple[str, ...]
    left_out: Mapping[str, str]
    lost: tuple[Incident, ...]
    notes: tuple[str, ...]
    new: frozenset[str]
    versions: Mapping[Side, Mapping[str, str]]

    @property
    def turns(self) -> tuple[Side, ...]:
        """The sides whose files the pairs use in turn."""
        return ("head", "base") if self.files else ("head",)


def node_id(benchmark: Benchmark) -> str:
    """pytest's own name of a benchmark."""
    return benchmark.name.removesuffix(_MARK) if benchmark.suite == "base" else benchmark.name


def compared(
    own: Mapping[Side, Collected],
    crossed: Mapping[Side, Mapping[Side, Collected]],
    files: tuple[str, ...],
    settings: GateSettings,
) -> Suites:
    """The benchmarks to compare; raises NoAnswer if there are none.

    `own` is each side's suite with its own files; `crossed[side]` has the suites of both sides with the
    `files` of `side`, if they can be collected with them.
    """
    found = {side: {benchmark.name: benchmark for benchmark in own[side].benchmarks} for side in SIDES}
    notes = [
        f"{side}: {file} cannot be collected: {why}"
        for side in SIDES
        for file, why in own[side].broken.items()
    ]
    if files:
        notes.append(
            f"{', '.join(files)}: base and head differ; both are run with base's and with head's in turn"
        )
    benchmarks: list[Benchmark] = []
    left_out = {**own["base"].left_out, **own["head"].left_out}
    lost: list[Incident] = []
    watched = {each.file for side in SIDES for each in found[side].values()}
    for name, each in {**found["base"], **found["head"]}.items():
        differs = _differs(each.file, files, watched)
        listed = _benchmark(each, settings, "head" if differs else "")
        if name not in found["head"]:
            why = own["head"].left_out.get(name) or own["head"].broken.get(each.file, "no such test")
            lost.append(Incident(name, "head", "vanished", f"base watches it, and head does not: {why}"))
        elif differs:
            why = _missing("base", each, crossed.get("head"))
            if name in found["base"]:
                benchmarks.append(_benchmark(each, settings, "base"))
                if not_there := _missing("head", each, crossed.get("base")):
                    lost.append(Incident(benchmarks[-1].name, "head", "failed", not_there))
                if why:  # as for a new function's benchmark in the same file; base's file then decides
                    notes.append(f"{name}: head's file cannot be run on base: {why}; base's is used")
            elif why:
                left_out[name] = f"new in head, and cannot be run on base: {why}"
            if why:
                continue
        benchmarks.append(listed)
    for file, why in own["head"].broken.items():
        if not any(each.file == file for each in found["base"].values()):  # else they are named one by one
            benchmarks.append(Benchmark(file))
            lost.append(Incident(file, "head", "failed", f"it cannot be collected: {why}"))
    if not benchmarks or all(each.name in own["head"].broken for each in benchmarks):
        reasons = "; ".join([*notes, *_grouped(left_out)])
        raise NoAnswer(
            "expected tests that use pytest-benchmark's `benchmark` fixture, got none"
            + (f": {reasons}" if reasons else "; name their files after --")
        )
    versions = {side: own[side].versions for side in SIDES}
    new = frozenset(found["head"].keys() - found["base"].keys())
    return Suites(tuple(benchmarks), files, left_out, tuple(lost), tuple(notes), new, versions)


def _grouped(left_out: Mapping[str, str]) -> Iterator[str]:
    """Each reason once, with its first benchmark and the number of others."""
    names: dict[str, list[str]] = {}
    for name, why in left_out.items():
        names.setdefault(why, []).append(name)
    for why, (first, *others) in names.items():
        more = f" and {len(others)} other{'s' * (len(others) > 1)}" if others else ""
        yield f"{first}{more}: {why}"


def _missing(side: Side, each: FoundBenchmark, collected: Mapping[Side, Collected] | None) -> str:
    """Why a side lacks a benchmark with the other side's files in its worktree; "" if it has it."""
    if collected is None:
        return "the suite cannot be collected"
    if any(benchmark.name == each.name for benchmark in collected[side].benchmarks):
        return ""
    return collected[side].broken.get(each.file, "no such test")


def _benchmark(each: FoundBenchmark, settings: GateSettings, suite: Side | str) -> Benchmark:
    name = each.name + (_MARK if suite == "base" else "")
    plain = Benchmark(name, each.group, each.params, suite)  # type: ignore[arg-type]
    return dataclasses.replace(plain, terms=settings.terms(plain))


def _differs(own: str, files: Iterable[str], watched: Collection[str]) -> bool:
    """Whether a benchmark's file differs, a conftest.py that applies to it, or a file that suites share."""
    for file in files:
        path = PurePosixPath(file)
        shared = path.name != "conftest.py" or PurePosixPath(own).is_relative_to(path.parent)
        if file == own or (file not in watched and shared):
            return True
    return False


def paths(suites: Iterable[Collected], settings: GateSettings) -> set[str]:
    """The files of benchmarks, their conftest.py, and the further files in the settings."""
    found = set(settings.suite)
    for suite in suites:
        for benchmark in suite.benchmarks:
            found.add(benchmark.file)
            found |= {(parent / "conftest.py").as_posix() for parent in PurePosixPath(benchmark.file).parents}
        found |= set(suite.broken)
    return found
