"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

IN_THE_WAY = (errno.EBUSY, errno.EXDEV)
"""The errors of renaming onto a file that is itself a mount point, as in containers."""

OUT = Path("reports/out")
"""The default folder of commands that write, below the current folder, which may be of any repository."""


def ready(folder: Path) -> None:
    """Create `folder` and check that a file can be written there; raises OSError.

    If this creates OUT, a .gitignore in it makes Git ignore it.
    """
    made = not OUT.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if made and OUT.exists():
        (OUT / ".gitignore").write_text("*\n", encoding="utf-8")
    tempfile.TemporaryFile(dir=folder).close()


def aside(path: Path) -> Path:
    """The name to which `put_aside` renames a file or folder."""
    return path.with_name(f"{path.name}.previous")


def put_aside(path: Path) -> None:
    """Rename the file of an earlier run at `path`, if any; it replaces the one put aside before."""
    if path.is_dir():
        shutil.rmtree(aside(path), ignore_errors=True)
    if path.exists():
        path.replace(aside(path))


def write(path: Path, content: bytes) -> Path:
    """Write `content` to `path` and return `path`; if an OSError is raised, its content is unchanged.

    The content goes to a temporary file beside it, which is renamed. A link stays a link, and a file keeps
    its mode. Devices, pipes and files that are mount points cannot be replaced, and are written in place.
    """
    if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return path
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode if target.exists() else 0o644  # mkstemp gives access to its owner alone
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode & 0o777)
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
            target.write_bytes(content)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk has none
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path
