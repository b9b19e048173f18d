"""Having a record drawn: by a command of its own, since the race knows nothing of reports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def render(record: Path) -> str:
    """Have the report drawn beside the record; returns what to tell the user of it."""
    command = [sys.executable, "-m", "reports", "render", str(record.resolve()), "--out"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, str(record.resolve().parent)], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"record: {record}\nthe report could not be drawn: {done.stderr.strip()}"
    return f"{done.stdout.rstrip()}\nrecord: {record}"
