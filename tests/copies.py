"""Copies of this checkout, with what was compiled of it."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent

HALF_WRITTEN = ("*.pyc.*", "*.tmp.*", "*.lock")
"""The caches of Python and numba beside their files, which other workers may remove at any time."""


def copied(folder: Path, into: Path, *unwanted: str) -> None:
    """Copy a folder without what is `unwanted`; a file that is not edited there is not compiled again.

    Python and numba know a source by its size and the time of its last change, which a copy keeps.
    """
    shutil.copytree(folder, into, ignore=shutil.ignore_patterns(*HALF_WRITTEN, *unwanted))
