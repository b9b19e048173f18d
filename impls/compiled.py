"""The folder of numba's cache, with a lock that lets one process at a time read or write it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def keep_compiled() -> None:
    """Let numba keep what it compiles in a scratch folder of this process and of those that it starts.

    This happens only if numba has no other place and would fail: without a home, in a checkout of another
    user.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    usual = (Path(__file__).parent / "__pycache__", Path(home) / "numba")
    if "NUMBA_CACHE_DIR" in os.environ or any(map(_can_be_written, usual)):
        return
    folder = tempfile.mkdtemp(prefix="gradrace-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def share_compiled() -> None:
    """Make processes take turns with the files of numba's cache, once numba is loaded.

    Two that compile for two dtypes at once may take the same file, which the index then names for the wrong
    one; and one that looks between the writes of index and file finds older code there. Both have given wrong
    gradients (numba takes no lock: https://github.com/numba/numba/issues/10128).
    """
    caching: Any = sys.modules.get("numba.core.caching")
    if caching is None or hasattr(caching.IndexDataCacheFile.save, "__wrapped__"):
        return
    try:
        import filelock  # noqa: F401 - now, and not inside a construction that is timed
    except ImportError:  # another interpreter may have numba without it
        return
    for name in ("save", "load"):
        setattr(caching.IndexDataCacheFile, name, _in_turn(getattr(caching.IndexDataCacheFile, name)))


def _in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def in_turn(cache: Any, *arguments: Any) -> Any:
        with _alone_at(cache._index_path):  # noqa: SLF001 - numba has no public name for it
            return method(cache, *arguments)

    return in_turn


@contextlib.contextmanager
def _alone_at(path: str) -> Iterator[None]:
    from filelock import FileLock

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, NotImplementedError):  # not writable: nothing changes there
            stack.enter_context(FileLock(f"{path}.lock"))
        yield
