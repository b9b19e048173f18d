"""The settings of a project's gate: `[tool.gradrace.gate]` of its pyproject.toml."""

from __future__ import annotations

import fnmatch
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gate.decision import RULES, Measure, Rule
from benchmarks.gate.errors import Refusal
from benchmarks.record.documents import content_of
from benchmarks.record.git import GitError, git
from benchmarks.record.pairs_file import Benchmark, Terms

PLACE = "[tool.gradrace.gate]"

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class _Table(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, frozen=True):
    """A table whose keys have hyphens."""


class Thresholds(_Table, frozen=True):
    """The minimum effect and the target of a measure, in percent (see `Rule`)."""

    minimum_effect: float | None = None
    target: float | None = None


class Special(_Table, frozen=True):
    """The settings of the benchmarks whose names match a pattern, or that are in a group."""

    match: str | None = None
    group: str | None = None
    minimum_effect: float | None = None
    target: float | None = None
    mean: Thresholds = Thresholds()
    tail: Thresholds = Thresholds()
    processes: Thresholds = Thresholds()
    first_call: Thresholds = Thresholds()
    memory: Thresholds = Thresholds()
    without: tuple[Measure, ...] | None = None
    at_most: str | None = None
    speedup: float | None = None
    fail_on_improvement: bool | None = None
    informational: bool | None = None


class GateSettings(_Table, frozen=True):
    """The settings of a gate; options of the command line override them."""

    arguments: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    suite: tuple[str, ...] = ()
    minimum_effect: float = 2.0
    target: float = 5.0
    budget: float = 300.0
    benchmarks: tuple[Special, ...] = ()

    def terms(self, benchmark: Benchmark) -> Terms:
        """The terms of a benchmark; for each key, the last table that it matches applies."""
        rules = {**RULES, "median": self._rule("median", self.minimum_effect, self.target)}
        found: dict[str, Any] = {}
        without: tuple[Measure, ...] = ()
        for special in self.benchmarks:
            if not _matches(special, benchmark):
                continue
            asked = {"median": Thresholds(special.minimum_effect, special.target)}
            for measure in rules:
                own = asked.get(measure) or getattr(special, measure.replace(" ", "_"))
                was = rules[measure]
                rules[measure] = self._rule(
                    measure,
                    100 * was.minimum_effect if own.minimum_effect is None else own.minimum_effect,
                    100 * was.target if own.target is None else own.target,
                )
            if special.without is not None:
                without = special.without
            if special.at_most is not None:
                found["at_most"] = seconds(special.at_most)
            for key in ("speedup", "fail_on_improvement", "informational"):
                if (value := getattr(special, key)) is not None:
                    found[key] = value
        return Terms({measure: rule for measure, rule in rules.items() if measure not in without}, **found)

    @staticmethod
    def _rule(measure: str, minimum_effect: float, target: float) -> Rule:
        try:
            return Rule(minimum_effect / 100, target / 100)
        except ValueError as error:
            raise Refusal(f"{measure}: {error} (as shares)") from error


def _matches(special: Special, benchmark: Benchmark) -> bool:
    named = special.match is None or fnmatch.fnmatchcase(benchmark.name, special.match)
    return named and special.group in (None, benchmark.group)


def seconds(text: str) -> float:
    """The seconds of a time like "20 ms"; raises Refusal for any other text."""
    match = re.fullmatch(r"\s*([0-9.e+-]+)\s*(s|ms|us|ns)\s*", text)
    try:
        found = float(match[1]) * UNITS[match[2]] if match else math.nan
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise Refusal(f'at-most: expected a time like "20 ms" (s, ms, us, ns), got {text!r}')
    return found


def parse(content: str, place: str) -> GateSettings:
    """The settings in the text of a pyproject.toml; raises Refusal if they are invalid."""
    try:
        tables: Mapping[str, Any] = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise Refusal(f"{place}: expected TOML, got: {error}") from error
    asked = tables.get("tool", {}).get("gradrace", {}).get("gate", {})
    try:
        found = msgspec.convert(asked, GateSettings)
    except msgspec.ValidationError as error:
        raise Refusal(f"{place}: {PLACE}: {error}") from error
    try:
        for special in found.benchmarks:
            _check(special)
            everywhere = msgspec.structs.replace(special, match="*", group=None)
            msgspec.structs.replace(found, benchmarks=(everywhere,)).terms(Benchmark("any"))
        found.terms(Benchmark("any"))
    except Refusal as error:
        raise Refusal(f"{place}: {PLACE}: {error.message}") from error
    return found


def _check(special: Special) -> None:
    """Raise Refusal for a table of benchmarks with invalid values."""
    if special.match is None and special.group is None:
        raise Refusal("benchmarks: expected `match` or `group` in each, got neither")
    if special.speedup is not None and not 0 < special.speedup < math.inf:
        raise Refusal(f"speedup: expected a positive number, got {special.speedup:g}")
    if "median" in (special.without or ()):
        raise Refusal("without: expected others than the median, which is always judged")
    for name in ("tail", "processes"):
        target = getattr(special, name).target
        if target is not None and target >= 100:
            raise Refusal(f"{name}: expected less than 100 %, got a target of {target:g}")


def of_commit(root: Path, commit: str) -> GateSettings:
    """The settings of a commit; the defaults if it has no pyproject.toml."""
    try:
        content = git(root, "show", f"{commit}:pyproject.toml")
    except GitError:
        content = ""
    return parse(content, f"pyproject.toml of {commit[:10]}")


def of_file(path: Path) -> GateSettings:
    """The settings in a file; raises Refusal if it cannot be read."""
    try:
        return parse(content_of(path).decode("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"--config: expected a TOML file, got {path}: {error}") from error
