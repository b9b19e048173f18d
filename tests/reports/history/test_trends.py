"""Trends: only like is joined with like, and a step names its commit."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from reports.history.runs import HistoryError
from tests.reports.history.made import DAY, MACHINE, NUMBA, NUMPY, levels, opened, sha, stepping


def test_a_step_names_the_commit_where_it_began_and_what_changed_with_it(db: str) -> None:
    from reports.history import reading, trends

    store = opened(db)
    stepping(store, at=25, factor=1.1)
    points, tracks = reading.tracks(store, reading.choose(store, None, None), {})
    found = {track.series: trends.trend(track) for track in tracks}
    assert found[NUMPY].steps == ()
    (step,) = found[NUMBA].steps
    assert points[step.began].sha == sha(25)
    assert points[step.last].sha == sha(24)
    assert step.change == pytest.approx(0.1, abs=0.01)
    assert trends.changed_versions(points[step.last], points[step.began]) == ["numpy 2.4 -> 2.5"]
    assert trends.by_commit(list(found.values())) == [(25, [step])]


def test_a_commit_is_the_median_of_all_its_processes(db: str) -> None:
    from reports.history import reading

    store = opened(db)
    store.add([levels(0, {NUMPY: [1e-5, 2e-5, 9e-5]})])
    store.add([levels(1, {NUMPY: [4e-5, 1e-5]})])
    points, (track,) = reading.tracks(store, reading.choose(store, None, None), {})
    assert [point.sha for point in points] == [sha(0), sha(1)]
    assert np.exp(track.values) == pytest.approx([2e-5, 2e-5])
    assert track.processes.tolist() == [3, 2]


def test_commits_are_in_the_order_of_their_dates_and_not_of_their_adding(db: str) -> None:
    from reports.history import reading

    store = opened(db)
    for k in (3, 1, 2):
        store.add([levels(k, {NUMPY: [k * 1e-5]})])
    points, (track,) = reading.tracks(store, reading.choose(store, None, None), {})
    assert [point.dated for point in points] == [DAY + datetime.timedelta(days=k) for k in (1, 2, 3)]
    assert np.exp(track.values) == pytest.approx([1e-5, 2e-5, 3e-5])


def test_other_machines_and_branches_are_not_joined(db: str) -> None:
    from reports.history import reading

    store = opened(db)
    other = {**MACHINE, "cpu": "another"}
    for k in range(3):
        store.add([levels(k, {NUMPY: [1e-5]})])
    store.add([levels(3, {NUMPY: [5e-5]}, machine=other)])
    store.add([levels(4, {NUMPY: [7e-5]}, branch="feature")])
    timeline = reading.choose(store, None, None)
    assert (timeline.branch, timeline.machine["cpu"], timeline.commits) == ("main", "a processor", 3)
    _, (track,) = reading.tracks(store, timeline, {})
    assert np.exp(track.values) == pytest.approx([1e-5] * 3)
    _, (track,) = reading.tracks(store, reading.choose(store, None, "feature"), {})
    assert np.exp(track.values) == pytest.approx([7e-5])
    theirs = next(timeline for timeline in reading.timelines(store) if timeline.machine["cpu"] == "another")
    _, (track,) = reading.tracks(store, reading.choose(store, theirs.machine_key[:8], None), {})
    assert np.exp(track.values) == pytest.approx([5e-5])


def test_series_are_chosen_by_their_fields(db: str) -> None:
    from reports.history import reading

    store = opened(db)
    store.add([levels(0, {NUMPY: [1e-5], NUMBA: [2e-5]})])
    timeline = reading.choose(store, None, None)
    _, tracks = reading.tracks(store, timeline, {"implementation": "numba", "batch_size": 16})
    assert [track.series for track in tracks] == [NUMBA]
    assert reading.tracks(store, timeline, {"implementation": "none"})[1] == []


def test_a_lane_that_is_not_there_is_refused_with_those_that_are(db: str) -> None:
    from reports.history import reading

    store = opened(db)
    store.prepare()
    with pytest.raises(HistoryError, match="got an empty history"):
        reading.choose(store, None, None)
    store.add([levels(0, {NUMPY: [1e-5]})])
    with pytest.raises(HistoryError, match=r"branch main; got machine any, branch other"):
        reading.choose(store, None, "other")
