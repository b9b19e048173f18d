"""Pruning: what is chosen goes, with what only it needed, and nothing else."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.reports.history.made import DAY, MACHINE, NUMBA, NUMPY, levels, opened, run


def counts(db: str) -> dict[str, int | None]:
    import sqlalchemy as sa

    from reports.history import schema

    with opened(db).engine.connect() as connection:
        return {
            name.removeprefix("gradrace_"): connection.scalar(sa.select(sa.func.count()).select_from(table))
            for name, table in schema.metadata.tables.items()
        }


@pytest.mark.parametrize(
    "choice",
    [{"before": DAY + datetime.timedelta(days=2)}, {"branch": "gone"}, {"run_ids": (1, 2)}],
    ids=lambda choice: next(iter(choice)),
)
def test_what_is_chosen_goes_with_what_only_it_needed(db: str, choice: dict[str, Any]) -> None:
    from reports.history import pruning

    store = opened(db)
    for k in range(4):
        gone = k < 2
        machine = {**MACHINE, "cpu": "another"} if gone else MACHINE
        series = {NUMPY: [1e-5, 2e-5]} | ({NUMBA: [1e-5]} if gone else {})
        store.add([levels(k, series, branch="gone" if gone else "main", machine=machine)])
    assert counts(db) == {"run": 4, "document": 4, "machine": 2, "series": 2, "measurement": 10}
    assert pruning.count(store, pruning.choice(**choice)) == 2
    assert pruning.prune(store, pruning.choice(**choice)) == 2
    assert counts(db) == {"run": 2, "document": 2, "machine": 1, "series": 1, "measurement": 4}


def test_a_file_that_cannot_shrink_now_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reports.history import pruning
    from reports.history.runs import HistoryError

    monkeypatch.setattr("reports.history.store.BUSY_SECONDS", 0.01)
    db = tmp_path / "history.sqlite"
    store = opened(str(db))
    store.add([run()])
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match=r"are dropped, but the file keeps its size: .*locked"):
            pruning.shrink(store)


def test_a_pruned_run_can_be_added_again(db: str) -> None:
    from reports.history import pruning

    store = opened(db)
    (added,) = store.add([run()])
    assert pruning.prune(store, pruning.choice(run_ids=(added.run_id,))) == 1
    assert store.add([run()])[0].new
    assert counts(db)["measurement"] == 8
