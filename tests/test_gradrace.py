"""The command `gradrace`: the union of three, from any folder, and its install."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import editables
import pytest
from click.testing import CliRunner

import gradrace

ROOT = Path(__file__).parent.parent


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of the group itself and of everything below it."""
    yield path
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name)


def test_the_command_is_the_union_of_the_three() -> None:
    whole = set(every_command(gradrace.commands))
    parts = [every_command(gradrace.Commands(package)) for package in gradrace.PACKAGES]
    assert whole == set(itertools.chain(*parts))
    assert {("race",), ("train",), ("headline",), ("merge",)} <= whole
    assert {("render",), ("page",), ("compare",), ("standings",), ("export",), ("gallery",)} <= whole
    assert {("list",), ("check",), ("accuracy",), ("history", "add"), ("history", "trend")} <= whole


@pytest.mark.parametrize("path", list(every_command(gradrace.commands)), ids=" ".join)
def test_help_fits_80_columns_and_says_something_of_every_option(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(gradrace.commands, [*path, "--help"], prog_name="gradrace", terminal_width=80)
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not re.search(r"[a-z,]\.\.\.", done.stdout)  # no sentence is cut short
    command: click.Command = gradrace.commands
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    assert command.help
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


def test_a_group_that_is_in_two_packages_has_the_commands_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def package(group: str, command: str) -> click.Group:
        return click.Group(commands=[click.Group(group, commands=[click.Command(command)])])

    made = {"benchmarks": package("gate", "run"), "reports": package("gate", "judge")}
    monkeypatch.setattr("gradrace._group", made.__getitem__)
    whole = gradrace.Commands("benchmarks", "reports")
    assert set(every_command(whole)) == {(), ("gate",), ("gate", "run"), ("gate", "judge")}


def test_the_version_is_that_of_the_project() -> None:
    done = CliRunner().invoke(gradrace.commands, ["--version"], prog_name="gradrace")
    assert f'version = "{done.stdout.split()[1]}"' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (ValueError("expected this, got that"), 2, "Error: expected this, got that\n"),
        (ImportError("it is not installed"), 2, "Error: it is not installed\n"),
        (FileNotFoundError(2, "No such file", "a.json"), 2, "Error: [Errno 2] No such file: 'a.json'\n"),
        (KeyError("ours"), 2, "Traceback"),  # a mistake of ours is shown whole
        (SystemExit(1), 1, ""),
    ],
)
def test_nothing_but_a_commands_own_answer_ends_in_1(
    raised: BaseException, status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def fails() -> None:
        raise raised

    monkeypatch.setattr("gradrace._group", lambda package: click.Group(commands={"fails": fails}))
    done = CliRunner().invoke(gradrace.Commands("any"), ["fails"])
    assert done.exit_code == status
    assert words in done.stderr
    assert words == "Traceback" or done.stderr == words


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_order(number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as ended:
        gradrace._end(number, None)
    assert ended.value.code == 128 + number


DROPS = """
import os, signal, time
import click, gradrace


class Drops:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})


@click.command()
def commands():
    Drops()
    Drops()
    time.sleep(60)


gradrace.commands = commands
gradrace.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_reaches_a_finalizer_ends_the_command(number: signal.Signals) -> None:
    code = DROPS.format(name=number.name)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode != 0
    assert "ignored" not in done.stderr


def test_a_reader_that_leaves_is_not_missed() -> None:
    out, into = os.pipe()
    with gradrace.Unbroken(into, "w") as stream:
        assert stream.write(b"read") == 4
        os.close(out)
        assert stream.write(b"not read") == 8
        assert stream.write(b"nor this") == 8


def a_folder_of_its_own(folder: Path) -> Path:
    """A user's folder with packages of our names that cannot be imported, and an implementation."""
    for package in gradrace.PACKAGES:
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f"raise ImportError('{package} of the user')\n")
    (folder / "outside.py").write_bytes((ROOT / "examples" / "outside.py").read_bytes())
    return folder


def gradrace_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradrace", *arguments]  # the folder comes first on the path
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_reader_that_is_slow_is_waited_for_where_the_pipe_does_not_block() -> None:
    out, into = os.pipe()
    os.set_blocking(into, False)
    read: list[bytes] = []

    def reader() -> None:
        while select.select([], [into], [], 0)[1]:  # until the pipe is full
            time.sleep(0.01)
        with os.fdopen(out, "rb") as stream:
            read.append(stream.read())

    thread = threading.Thread(target=reader)
    thread.start()
    text = b"some words of a table\n" * 20_000  # more than a pipe holds
    with gradrace.Unbroken(into, "w") as raw, io.BufferedWriter(raw) as stream:
        stream.write(text)
    thread.join()
    assert read == [text]


def test_it_works_from_a_folder_that_has_packages_of_our_names(tmp_path: Path) -> None:
    folder = a_folder_of_its_own(tmp_path)
    asked = "--workload xor --batch-sizes 1 --phases step --target 1e9 --quiet --record mine/record.json"
    done = gradrace_in(folder, "race", "--impl", "numpy,outside.py:Outside", *asked.split())
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "mine" / "record.json").read_text("utf-8"))
    measured = {each["implementation"] for each in record["measurements"]}
    assert measured == {"numpy", "outside.py:Outside"}
    done = gradrace_in(folder, "export", "mine/record.json", "--format", "csv", "--out", "tables")
    assert done.returncode == 0, done.stderr
    assert (folder / "tables" / "cells.csv").exists()


BUILD = "import sys; from hatchling.build import {0}; print({0}(sys.argv[1]))"


def build(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = BUILD.format(what)
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_editable_install_brings_exactly_our_names(tmp_path: Path) -> None:
    done = build("build_editable", tmp_path)
    assert done.returncode == 0, done.stderr
    python = tmp_path / "environment" / "bin" / "python"
    venv.create(python.parent.parent, symlinks=True)
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    with zipfile.ZipFile(tmp_path / done.stdout.strip()) as wheel:
        wheel.extractall(packages)
    # pip would have brought what the finder of an editable install needs
    (packages / "editables").symlink_to(Path(editables.__file__).parent)
    code = "from importlib.util import find_spec; print([n for n in {!r} if find_spec(n)])"
    names = ["gradrace", "impls", "benchmarks", "reports", "tests", "conftest", "noxfile", "hatch_build"]
    command = [str(python), "-c", code.format(names)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['gradrace', 'impls', 'benchmarks', 'reports']"


def test_any_other_install_fails_with_what_to_do(tmp_path: Path) -> None:
    done = build("build_wheel", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "gradrace runs from its checkout: install it there with pip install -e .\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["accuracy", "--help"]])
def test_help_loads_nothing_that_computes(arguments: list[str]) -> None:
    code = (
        f"import sys, gradrace; gradrace.commands({arguments!r}, standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"numpy", "pandas", "matplotlib", "numba", "rich", "sqlalchemy"}
