"""The console for the progress bars of commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def progress_console() -> Console:
    """A console on standard error, which animates only if that is a terminal.

    rich treats a log as a terminal if colours are forced.
    """
    from rich.console import Console  # --help answers without it

    forced = None if sys.stderr.isatty() else False
    return Console(stderr=True, highlight=False, markup=False, force_terminal=forced)
