"""numba's cache on disk, used by several processes at once."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest
from numba.core.caching import IndexDataCacheFile

from impls import compiled


def test_what_is_compiled_is_kept_somewhere_where_nothing_usual_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    compiled.keep_compiled()
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    compiled.keep_compiled()
    assert "NUMBA_CACHE_DIR" not in os.environ
    monkeypatch.setattr(compiled, "_can_be_written", lambda folder: False)
    compiled.keep_compiled()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).is_dir()


def at_once(*calls: Callable[[], object]) -> None:
    """The calls, each in a thread of its own, begun together."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        together.wait()
        call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between an index and its file pass 50 ms."""
    save_index = IndexDataCacheFile._save_index

    def slow(self: IndexDataCacheFile, overloads: object) -> None:
        time.sleep(0.05)
        save_index(self, overloads)
        time.sleep(0.05)

    monkeypatch.setattr(IndexDataCacheFile, "_save_index", slow)


def test_two_that_compile_at_once_find_each_their_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled.share_compiled()
    slowly(monkeypatch)
    caches = [IndexDataCacheFile(str(tmp_path), "forward", "of this source") for _ in range(2)]
    at_once(
        *(
            lambda cache=cache, dtype=dtype: cache.save(dtype, dtype)
            for cache, dtype in zip(caches, ("float64", "float32"), strict=True)
        )
    )
    assert [caches[0].load(dtype) for dtype in ("float64", "float32")] == ["float64", "float32"]


def test_who_looks_while_another_writes_finds_no_older_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled.share_compiled()
    IndexDataCacheFile(str(tmp_path), "forward", "older source").save("float64", "older code")
    slowly(monkeypatch)
    cache = IndexDataCacheFile(str(tmp_path), "forward", "this source")
    found: list[object] = []

    def look() -> None:
        for _ in range(20):
            found.append(cache.load("float64"))
            time.sleep(0.01)

    at_once(lambda: cache.save("float64", "code"), look)
    assert set(found) <= {None, "code"}
    assert cache.load("float64") == "code"


def test_where_no_lock_can_be_had_the_cache_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: filelock.FileLock, *_: object, **__: object) -> None:
        raise PermissionError

    compiled.share_compiled()
    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    cache = IndexDataCacheFile(str(tmp_path), "forward", "this source")
    cache.save("float64", "code")
    assert cache.load("float64") == "code"
    assert [path.suffix for path in tmp_path.glob("*.lock")] == []


def test_without_filelock_the_cache_is_used_as_numba_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("save", "load"):
        method = getattr(IndexDataCacheFile, name)
        monkeypatch.setattr(IndexDataCacheFile, name, getattr(method, "__wrapped__", method))
    numbas_own = IndexDataCacheFile.save, IndexDataCacheFile.load
    monkeypatch.setitem(sys.modules, "filelock", None)
    compiled.share_compiled()
    assert (IndexDataCacheFile.save, IndexDataCacheFile.load) == numbas_own
    monkeypatch.undo()
    compiled.share_compiled()
    assert IndexDataCacheFile.save is not numbas_own[0]
