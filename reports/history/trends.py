"""Series along the commits of a branch, their steps, and the commit where each step began."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.history import changes
from reports.history.runs import Series


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The runs of like machines on one branch, which may form one history."""

    machine_id: int
    machine_key: str
    machine: Mapping[str, Any]
    branch: str
    commits: int
    newest: datetime.datetime

    def __str__(self) -> str:
        return (
            f"machine {self.machine_key[:8]} ({self.machine.get('cpu')}, {self.machine.get('cores')} cores), "
            f"branch {self.branch}"
        )


@dataclasses.dataclass(frozen=True)
class TimelineCommit:
    """A commit of a timeline."""

    sha: str
    subject: str
    dated: datetime.datetime
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Track:
    """One series along the commits of a timeline.

    `at`, `values`, `processes` (n,): the index of each commit that has measurements, the median over its
    processes of the logarithm of their quartile (in seconds), and how many processes that is.
    """

    series: Series
    at: NDArray[np.intp]
    values: NDArray[np.float64]
    processes: NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class LevelChange:
    """A lasting change of one series: first seen at `began`; `last` is the commit measured before it."""

    track: Track
    began: int
    last: int
    before: float
    after: float

    @property
    def change(self) -> float:
        """The change as a share: 0.05 if a call takes 5 % longer than before."""
        return self.after / self.before - 1


MOST, FEWEST = 0.8, 3
"""The share and the fewest of the series measured there that take a step of the machine, among them some of
every implementation. A commit that changes one implementation leaves the series of others alone.
"""

ALIKE = 0.1
"""The largest difference between the series' steps in a step of the machine."""

SINCE = ("kernel", "microcode")
"""Versions that older runs do not have; they are compared if both are known."""


@dataclasses.dataclass(frozen=True)
class Trend:
    """One series: its track, its steps, and its levels as (first and last commit, seconds)."""

    track: Track
    steps: tuple[LevelChange, ...]
    levels: tuple[tuple[int, int, float], ...]
    noise: float


def trend(track: Track) -> Trend:
    """The trend of a track."""
    at = changes.steps(track.values)
    seconds = np.exp(changes.levels(track.values, at)).tolist()
    commits = track.at.tolist()
    steps = (
        LevelChange(track, commits[k], commits[k - 1], before, after)
        for k, (before, after) in zip(at, itertools.pairwise(seconds), strict=True)
    )
    levels = (
        (commits[start], commits[stop - 1], level)
        for start, stop, level in zip([0, *at], [*at, len(commits)], seconds, strict=True)
    )
    spread = changes.noise(track.values) if len(commits) > 1 else float("nan")
    return Trend(track, tuple(steps), tuple(levels), spread)


@dataclasses.dataclass(frozen=True)
class Steps:
    """The changes at one commit: the step that most series share, if there is one, and all the others.

    `shared` are the steps of the machine, `measured` the number of series measured there; `own` are the steps
    of single series, the largest first.
    """

    began: int
    shared: tuple[LevelChange, ...]
    own: tuple[LevelChange, ...]
    measured: int

    @property
    def last(self) -> int:
        """The newest commit that still shows all of the levels before, as series may lack some commits."""
        return min(step.last for step in (*self.shared, *self.own))

    @property
    def change(self) -> float:
        """The median change of the shared steps."""
        return float(np.median([step.change for step in self.shared]))


def by_commit(trends: Sequence[Trend]) -> list[Steps]:
    """All steps by the commit where they began, the newest first."""
    found: dict[int, list[LevelChange]] = {}
    for one in trends:
        for step in one.steps:
            found.setdefault(step.began, []).append(step)
    return [_apart(began, steps, trends) for began, steps in sorted(found.items(), reverse=True)]


def _apart(began: int, steps: Sequence[LevelChange], trends: Sequence[Trend]) -> Steps:
    there = [one.track for one in trends if one.track.at[0] < began and began in one.track.at]
    middle = float(np.median([np.log1p(step.change) for step in steps]))
    alike = [step for step in steps if abs(np.log1p(step.change) - middle) <= ALIKE]
    everyone = {track.series.implementation for track in there}
    of_machine = (
        len(alike) >= max(FEWEST, MOST * len(there))
        and len(everyone) > 1
        and {step.track.series.implementation for step in alike} == everyone
    )
    shared = alike if of_machine else []
    own = sorted(
        (step for step in steps if step not in shared),
        key=lambda step: abs(np.log1p(step.change)),
        reverse=True,
    )
    return Steps(began, tuple(shared), tuple(own), len(there))


def changed_versions(before: TimelineCommit, after: TimelineCommit) -> list[str]:
    """The versions that are new at `after`: `numpy 2.3 -> 2.4`."""
    old, new = before.versions, after.versions
    return [
        f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name) and (name not in SINCE or (name in old and name in new))
    ]
