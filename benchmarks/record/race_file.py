"""The record of a race: frozen, versioned, read and written here only, with the standard library alone.

A record is one JSON file that explains itself: what was raced, on which machine, with which versions and
settings, and the raw seconds of every measurement. Every ratio is derived from it later, by whoever reads it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import math
import operator
import os
import tempfile
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

FORMAT = "gradrace-record"
SCHEMA = 1

Status = Literal["measured", "skipped", "unsupported", "unavailable", "wrong", "failed", "timed out"]
"""What became of a cell: `skipped` was predicted too slow, `unsupported` is an implementation's own word,
`unavailable` lacks a package, `wrong` did not pass the referee, `failed` raised or crashed, `timed out`
hung."""

SLOWER = 1.3
"""A moment is quiet in which the probe takes no more than so many times its fastest. Work on the other thread
of the core makes it 1.6 to 2 times; the clock's frequency, interrupts and the like some 1.1 times."""

T = TypeVar("T")


class RecordError(ValueError):
    """A file that is no record that this version can read; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """A named network and where its data comes from."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    data: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the fairness sheet says of an implementation: its class's static facts, and what was found in
    force.
    """

    idea: str
    differs_from: str | None
    dtypes: tuple[str, ...]
    same_order: bool
    fast_math: str
    layout: str
    lines_of_code: int | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of a race: the unit of statistics.

    `calibration` is what the machine could do there: `gemm_float64` and `gemm_float32` (operations a second
    of a large product), `triad` (bytes a second), `interpreter` (seconds of an iteration of a plain loop),
    `timer` (its resolution, seconds), `call` (seconds of an empty call, which every timed call carries),
    `probe` (seconds of the loop that tells quiet moments from others, at its fastest). `waited` is how many
    seconds went by in waiting for quiet moments.
    """

    seed: int
    started: str
    seconds: float
    threads_in_force: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    load_average: float | None = None
    calibration: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    waited: float = 0.0


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One cell (workload, phase, batch size, dtype, threads) of one implementation, as one process saw it.

    `seconds` holds one value a round: the time of one call, averaged over the round's `iterations` calls.
    They are those of the rounds that began and ended in quiet moments, if three or more did: when the probe
    (a loop of some 30 us) took no longer than usual. `probe` is what it took around them, as a median, in
    seconds.

    In the phase "headline" a call is one step of training. Where an implementation's rounds hold all of
    `settings["steps"]` steps it ran in full, in one process, and the sum of seconds times iterations is its
    time; otherwise its time is projected from each process's mean. `losses` holds the loss over all samples
    after each round.

    `flops` counts the multiplications and additions of the matrix products, `bytes` the least that a call
    moves. `peak_bytes` is the most that a call had allocated beyond what stood before it, and
    `construct_peak_bytes` that of the construction beyond the problem, each measured in a process of its own;
    `least_bytes` is what any implementation needs for both. `cold_construct_seconds` and
    `cold_compile_seconds` are those of a first construction, with no compiler's cache on disk;
    `cached_compile_seconds` those of the next process, which finds what the first one left.
    """

    workload: str
    phase: str
    implementation: str
    batch_size: int
    dtype: str
    threads: int
    process: int
    status: Status
    reason: str = ""
    seconds: tuple[float, ...] = ()
    probe: float | None = None
    iterations: int = 0
    construct_seconds: float | None = None
    compile_seconds: float | None = None
    predicted_seconds: float | None = None
    flops: int | None = None
    bytes: int | None = None
    peak_bytes: int | None = None
    construct_peak_bytes: int | None = None
    least_bytes: int | None = None
    cold_construct_seconds: float | None = None
    cold_compile_seconds: float | None = None
    cached_compile_seconds: float | None = None
    error_of_bound: float | None = None
    error_ulp: float | None = None
    error_ulp_median: float | None = None
    losses: tuple[float, ...] = ()

    @property
    def fastest(self) -> float:
        """What this process says of the cell, in one number: the fastest of its rounds, in seconds.

        What disturbs a round makes it longer, never shorter: the fastest is what comes out again next time.
        """
        return min(self.seconds)


@dataclasses.dataclass(frozen=True)
class Record:
    """A race: everything that a report needs to know of it."""

    created: str
    command: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    workloads: Mapping[str, Workload]
    implementations: Mapping[str, Facts]
    processes: tuple[Process, ...]
    measurements: tuple[Measurement, ...]


def counting(measurements: Sequence[Measurement]) -> list[bool]:
    """Of each, whether its time counts: that of quiet moments where two processes found some for the cell.

    A moment was quiet if the probe took no more than `SLOWER` times its fastest of the whole race.
    """
    fastest = min((m.probe for m in measurements if m.probe is not None), default=0.0)
    measured = [m.status == "measured" for m in measurements]
    quiet = [m.probe is None or m.probe <= SLOWER * fastest for m in measurements]
    cells = [(m.workload, m.phase, m.implementation, m.batch_size, m.dtype, m.threads) for m in measurements]
    found = collections.Counter(itertools.compress(cells, map(operator.and_, measured, quiet)))
    return [
        done and (calm or found[cell] < 2) for cell, done, calm in zip(cells, measured, quiet, strict=True)
    ]


def partial_of(path: Path) -> Path:
    """Where what there is so far is kept, while it is measured whose record will be at `path`."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def write(record: Record, path: Path) -> None:
    """Write `record` as JSON: all of it or nothing, by way of a temporary file beside `path`."""
    write_document(record, path, FORMAT, SCHEMA)


def read(path: Path) -> Record:
    """The record at `path`; raises RecordError for what is none, OSError for what cannot be read."""
    record = read_document(Record, path, FORMAT, SCHEMA, again="race again")
    for k, measurement in enumerate(record.measurements):
        if not 0 <= measurement.process < len(record.processes):
            raise RecordError(f"{path}: measurements[{k}].process: no process {measurement.process}")
        if measurement.workload not in record.workloads:
            raise RecordError(f"{path}: measurements[{k}].workload: no workload {measurement.workload!r}")
        if any(value <= 0 for value in measurement.seconds):
            raise RecordError(f"{path}: measurements[{k}].seconds: expected positive numbers")
    return record


def write_document(content: Any, path: Path, form: str, schema: int) -> None:
    """Write a dataclass as a JSON document of the format `form`: all of it or nothing."""
    document = {"format": form, "schema": schema, **dataclasses.asdict(content)}
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # as any file: mkstemp makes it its owner's alone
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def read_document(kind: type[T], path: Path, form: str, schema: int, again: str) -> T:
    """The JSON document of the format `form` at `path` as the dataclass `kind`, strictly.

    Raises RecordError, with the remedy (`again` says how a new one is made), and OSError.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.strip():
        raise RecordError(f"{path}: expected a {form}, got an empty file; {again} to write a new one")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{path}: expected a {form}, got a truncated or damaged file, no whole JSON document ({error})"
        ) from error
    if not isinstance(document, dict) or document.get("format") != form:
        raise RecordError(f"{path}: expected a {form}, got the file of another tool; {again} to write one")
    found = document.get("schema")
    if found != schema:
        newer = isinstance(found, int) and found > schema
        remedy = "update gradrace to read it" if newer else f"{again} to write a new one"
        raise RecordError(f"{path}: expected schema {schema}, got {found!r}; {remedy}")
    del document["format"], document["schema"]
    try:
        return _build(kind, document, form.removeprefix("gradrace-"))
    except _Misfit as misfit:
        raise RecordError(f"{path}: {misfit}") from None


def parse(kind: type[T], document: Any, place: str) -> T:
    """A part of a record, as JSON gave it, as the dataclass `kind`; raises RecordError naming the `place`."""
    try:
        return _build(kind, document, place)
    except _Misfit as misfit:
        raise RecordError(str(misfit)) from None


class _Misfit(ValueError):
    """A value that does not fit the type of its field."""


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _build(kind: type[T], value: Any, place: str) -> T:
    """`value`, as JSON gave it, as the dataclass `kind`; field by field, by their types."""
    if not isinstance(value, dict):
        raise _Misfit(f"{place}: expected an object, got {type(value).__name__}")
    hints, fields = _fields(typing.cast("Any", kind))
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise _Misfit(f"{place}: unknown field {unknown[0]!r}")
    given = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _convert(hints[name], value[name], f"{place}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Misfit(f"{place}: the field {name!r} is missing")
    return kind(**given)


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    return typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}


def _convert(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is types.UnionType:
        if value is None:
            return None
        return _convert(arguments[0], value, place)
    if origin is Literal:
        if value not in arguments:
            raise _Misfit(f"{place}: expected one of {', '.join(arguments)}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _Misfit(f"{place}: expected a list, got {type(value).__name__}")
        if arguments[0] is float and all(type(item) is float and math.isfinite(item) for item in value):
            return tuple(value)  # the rounds: most of a record
        return tuple(_convert(arguments[0], item, f"{place}[{k}]") for k, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _Misfit(f"{place}: expected an object, got {type(value).__name__}")
        return {
            _convert(str, key, f"{place}: a name"): _convert(arguments[1], item, f"{place}[{key!r}]")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, place)
    accepted = (int, float) if hint is float else (hint,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise _Misfit(f"{place}: expected {hint.__name__}, got {value!r}")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Misfit(f"{place}: expected text, got half of a surrogate pair: {value!a:.60}") from None
    if hint is float:
        value = float(value)
        if not math.isfinite(value):
            raise _Misfit(f"{place}: expected a finite number, got {value}")
    return value
