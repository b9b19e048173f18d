"""Files of a report: whole or not at all, and the same bytes for the same record."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from reports.charts.canvas import settings

DPI = 160


def ready(folder: Path) -> None:
    """Make `folder` and prove that a file can be written there; raises OSError, before any work is done."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".probe.")
    os.close(handle)
    Path(name).unlink()


def write(path: Path, content: bytes) -> Path:
    """Write `content` to a temporary file beside `path`, then rename it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    return path


def picture(figure: Figure, path: Path, kinds: tuple[str, ...] = ("svg", "png")) -> list[Path]:
    """Write `figure` as `path` with each ending of `kinds`; no date is in them, so that bytes repeat."""
    written = []
    with settings():
        for kind in kinds:
            buffer = io.BytesIO()
            metadata = {"Date": None, "Creator": "gradrace"} if kind == "svg" else {"Software": "gradrace"}
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
            written.append(write(path.with_name(f"{path.name}.{kind}"), buffer.getvalue()))
    return written
