"""Trends: only like is joined with like, and a step names its commit."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from reports.history.runs import HistoryError
from tests.reports.history.made import DAY, MACHINE, NUMBA, NUMPY, levels, opened, sha, stepping

if TYPE_CHECKING:
    from reports.history import trends
else:
    trends = pytest.importorskip("reports.history.trends", reason="an extra", exc_type=ImportError)


def test_a_step_names_the_commit_where_it_began_and_what_changed_with_it(db: str) -> None:
    from reports.history import reading

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
    (steps,) = trends.by_commit(list(found.values()))
    assert (steps.began, steps.last, steps.shared, steps.own, steps.measured) == (25, 24, (), (step,), 2)


def stepped(implementation: str, batch_size: int, factor: float, at: int = 10) -> trends.Trend:
    """A series of 20 commits, a hundredth of noise, that takes `factor` as long from one commit on."""
    series = dataclasses.replace(NUMPY, implementation=implementation, batch_size=batch_size)
    noise = 0.01 * np.random.default_rng(batch_size).standard_normal(20)
    values = np.log(1e-5) + noise + np.log(factor) * (np.arange(20) >= at)
    return trends.trend(trends.Track(series, np.arange(20), values, np.full(20, 5)))


def test_a_step_that_every_implementation_shares_is_the_machines() -> None:
    everyone = [stepped(name, m, 1.5) for name in ("loops", "numpy") for m in (1, 4, 16)]
    (steps,) = trends.by_commit(everyone)
    assert (len(steps.shared), steps.own, steps.measured) == (6, (), 6)
    assert steps.change == pytest.approx(0.5, abs=0.02)


def test_what_differs_from_the_machines_step_stays_its_own() -> None:
    everyone = [stepped(name, m, 1.5) for name in ("loops", "numpy") for m in (1, 4, 16, 64, 256)]
    (steps,) = trends.by_commit([*everyone, stepped("numpy", 1024, 3.0)])
    assert len(steps.shared) == 10
    assert [step.track.series.batch_size for step in steps.own] == [1024]


@pytest.mark.parametrize("untouched", [1.0, 1 / 1.5])
def test_a_step_that_one_implementation_does_not_share_is_no_machines(untouched: float) -> None:
    changed = [stepped("numpy", m, 1.5) for m in (1, 4, 16, 64, 256, 1024)]
    (steps,) = trends.by_commit([*changed, stepped("loops", 1, untouched)])
    assert steps.shared == ()
    assert len(steps.own) == 6 + (untouched != 1)


def test_a_kernel_that_older_runs_did_not_name_is_none_that_changed() -> None:
    def point(versions: dict[str, str]) -> trends.TimelineCommit:
        return trends.TimelineCommit(sha(0), "", DAY, versions)

    older, old, new = point({}), point({"kernel": "6.1"}), point({"kernel": "6.2", "numpy": "2.4"})
    assert trends.changed_versions(older, new) == ["numpy absent -> 2.4"]
    assert trends.changed_versions(old, new) == ["kernel 6.1 -> 6.2", "numpy absent -> 2.4"]


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
