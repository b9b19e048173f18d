"""Draws a record by a separate command, because the race does not depend on reports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

GRADRACE = Path(__file__).parents[2] / "gradrace.py"


def draw(command: str, *records: Path) -> str:
    """Have records drawn beside them, by `render` or `compare`; returns what to tell the user of it."""
    names = ", ".join(map(str, records))
    done = subprocess.run(
        [sys.executable, str(GRADRACE), command, *map(str, records), "--out", str(records[0].parent)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        return f"record: {names}\nthe report could not be drawn: {done.stderr.strip()}"
    return f"{done.stdout.rstrip()}\nrecord: {names}"


def ranking(record: Path) -> None:
    """Have the record's rankings printed, at the width of the user's own terminal."""
    sys.stdout.flush()
    subprocess.run(
        [sys.executable, str(GRADRACE), "ranking", str(record)], stdin=subprocess.DEVNULL, check=False
    )
