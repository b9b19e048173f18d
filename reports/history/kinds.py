"""Comparison of kinds of machine by the commits at which the series of each stepped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reports.history.trends import Steps, Timeline, TimelineCommit, Trend, changed_versions
from reports.style import plain


class KindOfMachine(NamedTuple):
    """The history of like machines on a branch: its commits, every series, and the steps by commit.

    With `changed`, only series that changed their level are shown.
    """

    timeline: Timeline
    points: Sequence[TimelineCommit]
    trends: Sequence[Trend]
    steps: Sequence[Steps]
    changed: bool = False

    @property
    def shown(self) -> list[Trend]:
        """The series that are shown."""
        return [one for one in self.trends if one.steps or not self.changed]

    def changed_versions(self, steps: Steps) -> list[str]:
        """The versions that are new at the commit of these steps."""
        return changed_versions(self.points[steps.last], self.points[steps.began])


def table(kinds: Sequence[KindOfMachine]) -> tuple[list[str], list[list[str]]]:
    """One row per commit at which any kind of machine stepped, the newest first; one column per kind.

    A step on all kinds is the code's, or that of a version that all have; one on a single kind is its own.
    """
    stepped = (kind.points[steps.began] for kind in kinds for steps in kind.steps)
    once = {point.sha: point for point in stepped}
    ordered = sorted(once.values(), key=lambda point: point.dated, reverse=True)
    head = ["commit", *(kind.timeline.machine_key[:8] for kind in kinds)]
    rows = [
        [f"{point.sha[:10]} {plain(point.subject, 40) if point.subject else ''}".strip()]
        + [_words(kind, point.sha) for kind in kinds]
        for point in ordered
    ]
    return head, rows


def _words(kind: KindOfMachine, sha: str) -> str:
    """The changes of the series of a kind of machine at this commit."""
    place = next((k for k, point in enumerate(kind.points) if point.sha == sha), None)
    if place is None:
        return "not measured"
    measured = sum(place in one.track.at for one in kind.trends)
    found = next((steps for steps in kind.steps if steps.began == place), None)
    if found is None:
        return f"none of {measured}"
    every = (*found.shared, *found.own)
    change = float(np.median([step.change for step in every]))
    return f"{change:+.1%} in {len(every)} of {measured}"
