"""The file of a fleet: what is right is read, and what is wrong is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fleet import description
from benchmarks.fleet.description import Dask, Environment, Local, Slurm


def read(text: str, folder: Path) -> description.Fleet:
    path = folder / "fleet.yaml"
    path.write_text(text, "utf-8")
    return description.read(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("engine: local", Local()),
        ("engine: dask\naddress: tcp://10.0.0.1:8786", Dask(address="tcp://10.0.0.1:8786")),
        ("engine: dask\naddress: a\nhosts: [b, c]\nwait: 5", Dask(address="a", hosts=("b", "c"), wait=5.0)),
        ("engine: slurm\nhosts: 3\npartition: fast", Slurm(hosts=3, partition="fast")),
        (
            "engine: slurm\nhosts: [n1]\nminutes: 5\nenvironment:\n  python: /p\n  variables: {A: '1'}",
            Slurm(hosts=("n1",), minutes=5, environment=Environment("/p", {"A": "1"})),
        ),
    ],
)
def test_a_fleet_is_read(text: str, expected: description.Fleet, tmp_path: Path) -> None:
    assert read(text, tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("engine: dask\naddress: a\nhosts: [b, 1]", 3, "hosts[1]"),
        ("engine: dask\naddress: a\nhost: [b]", 3, "unknown field `host`"),
        ("engine: dask\naddress: a\n  hosts: [b]", 3, "expected YAML"),
        ("engine: dask\naddress: a\nwait: -1", 3, "wait"),
        ("engine: dask\naddress: a\naddress: b", 3, "'address' twice"),
        ("engine: dask\naddress: a\nhosts: []", 3, "hosts"),
        ("address: a\n\nengine: dusk", 3, "dask, slurm or local"),
        ("engine: dask\nhosts: [b]", 1, "`address`"),
        ("engine: slurm\nhosts: 0", 2, "hosts"),
        ("engine: local\nenvironment:\n  pythonx: x", 3, "unknown field `pythonx`"),
        ("engine: local\nenvironment:\n  variables: {A: 1}", 3, "variables"),
        ("hosts: [a]", 1, "dask, slurm or local"),
        ("- engine: dask", 1, "no mapping"),
        ("", 1, "no mapping"),
        ("engine: local\n\ta: b", 2, "expected YAML"),
        ("engine: local\n? [a]\n: b", 2, "expected YAML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, line: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"fleet\.yaml, line {line}: ") as caught:
        read(text, tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_fleet_or_refused(text: str) -> None:
    tree = f"engine: local\n{text}"
    refused = ""
    try:
        found = description.parse(tree, Path("fleet.yaml"))
    except ValueError as error:
        refused = str(error)
    assert refused.startswith("fleet.yaml") or isinstance(found, Local)
