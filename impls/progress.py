"""The console for the progress bars of commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def progress_console() -> Console:
    """A console on standard error, where something moves only if that is a terminal.

    To rich a log is a terminal where its colours are forced.
    """
    from rich.console import Console  # --help answers without it

    forced = None if sys.stderr.isatty() else False
    return Console(stderr=True, highlight=False, markup=False, force_terminal=forced)
