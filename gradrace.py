"""The command `gradrace`: the commands of benchmarks, reports and impls under one name, from any folder."""

from __future__ import annotations

import importlib
import importlib.machinery
import io
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click

PACKAGES = ("benchmarks", "reports", "impls")
"""This project's packages; the commands of each are the group `main` of its module `cli`."""

AGAIN_SECONDS = 0.01
"""How soon a dropped exception is raised again: by then a finalizer or a callback has usually ended."""


class Checkout:
    """Finds this project's packages in its checkout, even if others of these names are on the path."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of one of `PACKAGES`; None for all other names, which other finders look up."""
        if path is not None or name not in PACKAGES:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [str(Path(__file__).resolve().parent)], target)


class Refused(click.ClickException):
    """Raised if a request cannot be carried out: the command prints one line and exits with status 2."""

    exit_code = 2


class Commands(click.Group):
    """The commands of several packages; imports a package only if the packages before it lack the command."""

    def __init__(self, *packages: str, **attributes: Any) -> None:
        super().__init__(
            context_settings={"help_option_names": ["-h", "--help"], "show_default": True}, **attributes
        )
        self.packages = packages

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, package by package."""
        return list(dict.fromkeys(name for p in self.packages for name in _group(p).list_commands(ctx)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; a group that is in two packages has the commands of both."""
        found = (_group(package).get_command(ctx, cmd_name) for package in self.packages)
        first = next((command for command in found if command), None)
        groups = [first, *found] if isinstance(first, click.Group) else []
        sources = [group for group in groups if isinstance(group, click.Group)]
        if first is None or len(sources) < 2:
            return first
        return click.CommandCollection(cmd_name, sources=sources, help=first.help)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a user's mistake ends in one line, and only a command's own answer is status 1."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (ValueError, TypeError, ArithmeticError, ImportError, OSError) as error:
            raise Refused(str(error)) from error
        except Exception:  # noqa: BLE001 - a fault of gradrace: shown, with a status of its own
            click.echo(traceback.format_exc(), err=True, nl=False)
            sys.exit(2)  # Python's own 1 would mean "slower" to a caller of the gate
        else:
            return result


class Unbroken(io.FileIO):
    """Standard output or error that discards its data once its reader is gone, as in `| head`.

    It waits for a slow reader, even if the descriptor does not block. A command does the same, and ends the
    same, with any reader.
    """

    def write(self, data: Any, /) -> int:
        """The number of bytes that were written, or dropped."""
        written: int | None
        try:
            while (written := super().write(data)) is None:  # a full pipe that does not block
                select.select([], [self.fileno()], [])
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # for all further output
            if isinstance(error, BrokenPipeError):
                return len(data)
            raise
        return written


def _open_streams() -> None:
    """Prepare the standard streams for closed descriptors, readers that leave, and missing characters."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which no other file shall get
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        text = io.TextIOWrapper(
            io.BufferedWriter(Unbroken(number, "w", closefd=False)),
            encoding=stream.encoding if stream else None,
            errors="replace",
            line_buffering=True,
        )
        setattr(sys, name, text)


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


def _raise_again(dropped: Any) -> None:
    """Raise an exception that ends a command again, `AGAIN_SECONDS` later, if Python had to drop it.

    A signal handler may run inside a finalizer or a callback of a weak reference; every import has some.
    Python drops exceptions that are raised there.
    """
    error = dropped.exc_value
    ends = isinstance(error, (KeyboardInterrupt, SystemExit))
    if not ends or threading.current_thread() is not threading.main_thread():
        sys.__unraisablehook__(dropped)
        return

    def again(*_: object) -> None:
        raise error

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def _group(package: str) -> click.Group:
    group: click.Group = importlib.import_module(f"{package}.cli").main
    return group


commands = Commands(
    *PACKAGES,
    help="Measure what each step away from a Python loop buys on forward and back propagation: race "
    "implementations whose gradients are proved equal, and draw reports.",
)
commands = click.version_option(package_name="gradrace", message="%(prog)s %(version)s")(commands)


def main(package: str | None = None) -> None:
    """Run the command of one package (`python -m PACKAGE`), or `gradrace`, which has all commands."""
    if sys.flags.inspect and os.environ.pop("PYTHONINSPECT", ""):
        # Python would end every command with 0, and show SystemExit as a traceback
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
    _open_streams()
    try:
        here = str(Path.cwd())
    except OSError as error:
        click.echo(f"Error: the current folder: {error.strerror}; change to one that exists", err=True)
        sys.exit(2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the status of a process that ended is lost
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # a terminal of unknown size
    if os.environ.get("TERM") == "":
        os.environ["TERM"] = "dumb"  # a terminal without a name
    os.environ.pop("MPLBACKEND", None)  # pictures go to files here
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has one ignored
            signal.signal(number, _end)  # by an exception, so that context managers clean up
    sys.unraisablehook = _raise_again
    sys.meta_path.insert(0, Checkout)
    sys.path.append(here)  # for a user's package.module:Class; last, so that it shadows nothing
    if package is None:
        commands(prog_name="gradrace")
    else:
        Commands(package, help=_group(package).help)(prog_name=f"python -m {package}")


if __name__ == "__main__":
    main()
