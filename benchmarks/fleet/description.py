"""The file that describes a fleet: its engine, its hosts, and the environment of a race there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from benchmarks.record.documents import Positive

Number = Annotated[int, msgspec.Meta(ge=1)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Names = Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]

ENGINES = "dask, slurm or local"


class Environment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment of a race on a host: the Python that has the project, and variables for it.

    The default Python is that of Dask's worker, or otherwise the one that runs this command.
    """

    python: NonEmpty | None = None
    variables: dict[str, str] = {}


class Common(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="engine", kw_only=True):
    """The settings of every fleet. After `wait` seconds it gives a missing host or scheduler up."""

    environment: Environment = Environment()
    wait: Positive = 60.0


class Local(Common, tag="local", frozen=True):
    """Only this host."""


class Dask(Common, tag="dask", frozen=True, kw_only=True):
    """The workers of a Dask scheduler: `hosts` are addresses or names of workers; all of them by default."""

    address: NonEmpty
    hosts: Names | None = None


class Slurm(Common, tag="slurm", frozen=True, kw_only=True):
    """The nodes of a Slurm cluster: `hosts` are their names, or the number of any nodes of the partition.

    `minutes` is the time limit of a job. The nodes share the folder of the record with this machine.
    """

    hosts: Names | Number
    partition: NonEmpty | None = None
    minutes: Number = 60


Fleet = Local | Dask | Slurm


def read(path: Path) -> Fleet:
    """The fleet that the YAML file at `path` describes.

    Raises ValueError with the line, what was expected and what was got; OSError where there is no file.
    """
    try:
        return parse(path.read_text("utf-8"), path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected YAML in UTF-8, got: {error}") from None


def parse(text: str, path: Path) -> Fleet:
    """The fleet that the text describes, which is the content of the file at `path`; raises ValueError."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ValueError(f"{path}, line {line}: expected YAML, got: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError means an invalid date
        raise ValueError(f"{path}: expected YAML, got: {' '.join(str(error).split())}") from None
    if not isinstance(tree, yaml.MappingNode):
        raise ValueError(  # noqa: TRY004 - a wrong file, as any other
            f"{path}, line 1: expected `engine: ...` ({ENGINES}), got no mapping"
        )
    for key, line in _twice(tree):
        raise ValueError(f"{path}, line {line}: expected each key once, got {key!r} twice")
    try:
        found: Fleet = msgspec.convert(content, type=Fleet)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at ")
        place = place.strip("`").removeprefix("$")
        line = _line(tree, place, words)
        if place == ".engine" or "`engine`" in words:
            words = f"Expected an engine ({ENGINES}), got {content.get('engine')!r}"
        of = place.removeprefix(".")
        raise ValueError(f"{path}, line {line}: {of}{': ' * bool(of)}{words}") from None
    return found


def _line(tree: yaml.Node, place: str, words: str) -> int:
    """The line of the value at msgspec's `place`, like .hosts[1]; of a key that its `words` complain of."""
    node = tree
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", place):
        if isinstance(node, yaml.MappingNode) and key:
            node = next((value for name, value in node.value if name.value == key), node)
        elif isinstance(node, yaml.SequenceNode) and index:
            node = node.value[int(index)]
    unknown = re.search(r"unknown field `(.*)`", words)
    if unknown and isinstance(node, yaml.MappingNode):
        node = next((name for name, _ in node.value if name.value == unknown[1]), node)
    return int(node.start_mark.line) + 1


def _twice(node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Repeated keys of a mapping, with their lines: YAML would silently take the last one."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for name, value in node.value:
            if name.value in seen:
                yield name.value, name.start_mark.line + 1
            seen.add(name.value)
            yield from _twice(value)
