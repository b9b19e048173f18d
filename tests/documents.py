"""The code blocks and commands in the documents, which can be checked without running them."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

import gradrace

ROOT = Path(__file__).parent.parent


def documents() -> list[Path]:
    """Every page that a reader may open."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of one language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> Iterator[str]:
    """Every command of the shell blocks, without comments; those that `&&` joins, one by one."""
    for block in blocks(path, "sh"):
        for line in block.splitlines():
            yield from filter(None, map(str.strip, re.sub(r"(^|\s)#.*", "", line).split("&&")))


def checked_gradrace(arguments: list[str]) -> None:
    """Fails where there is no such command, or no such option of it."""
    command: click.Command = gradrace.commands
    context = click.Context(command)
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command, context = found, click.Context(found, parent=context)
    command.make_parser(context).parse_args(arguments)


def checked_nox(arguments: list[str]) -> None:
    """Fails where noxfile.py has no such session."""
    option, *asked = arguments[: arguments.index("--")] if "--" in arguments else arguments
    noxfile = (ROOT / "noxfile.py").read_text("utf-8")
    named = re.findall(r'^@nox\.session(?:\(.*?name="([\w-]+)".*\)|.*)\ndef (\w+)', noxfile, re.MULTILINE)
    assert option == "--list" or (option == "-s" and set(asked) <= {name or plain for name, plain in named})


def checked_install(arguments: list[str]) -> None:
    """Fails where the project has no such extra, or no such group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-e", dest="editable", default=".")
    parser.add_argument("--group", choices=project["dependency-groups"])
    parser.add_argument("--upgrade", action="store_true")
    parser.add_argument("tools", nargs="*", choices=["nox", "pip", "pre-commit", []])
    found = re.fullmatch(r"\.(?:\[([\w,]+)\])?", parser.parse_args(arguments).editable)
    assert found
    assert set(filter(None, (found[1] or "").split(","))) <= set(project["project"]["optional-dependencies"])


def checked_pre_commit(arguments: list[str]) -> None:
    """Fails where there is nothing that it could run."""
    assert arguments == ["install"]
    assert (ROOT / ".pre-commit-config.yaml").exists()


def checked_pytest(arguments: list[str]) -> None:
    """Fails where pytest does not know an option, or finds nothing to run."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", *arguments]
    # Where this test is one of xdist's, the command is not: pytest-benchmark would refuse to time.
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    done = subprocess.run(command, cwd=ROOT, env=mine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


CHECKS = {
    "gradrace": checked_gradrace,
    "pytest": checked_pytest,
    "pip install": checked_install,
    "python -m pip install": checked_install,
    "python -m nox": checked_nox,
    "pre-commit": checked_pre_commit,
}


def check(command: str) -> None:
    """Fails where a command cannot be run as it stands in a document."""
    begin = max((begin for begin in CHECKS if f"{command} ".startswith(f"{begin} ")), key=len)
    CHECKS[begin](shlex.split(command.removeprefix(begin)))
