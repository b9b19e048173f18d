"""The steps that repay construction and compilation, within one panel of cells."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Course(NamedTuple):
    """An implementation's steps: `start` seconds (construction with compilation), then `each` a step.

    `cold`: the start is that of a first construction, without compiled code on disk.
    """

    implementation: str
    start: float
    each: float
    cold: bool = False

    def after(self, steps: Floats) -> Floats:
        """Seconds from the start until `steps` steps are done."""
        return self.start + self.each * steps


def courses(panel: pd.DataFrame, size: int) -> list[Course]:
    """The course of every implementation that was measured at this batch size and has a start on record.

    The start is the cold one if the race surveyed it, else that of the race, which may have found compiled
    code of an earlier process.
    """
    rows = panel[(panel["status"] == "measured") & (panel["batch_size"] == size)]
    found = []
    for row in rows.to_dict("records"):
        surveyed = np.isfinite(row["cold_construct_seconds"])
        start = row["cold_construct_seconds"] if surveyed else row["construct_seconds"]
        if np.isfinite(start):
            cold = bool(surveyed or row["compile_seconds"] == 0)
            found.append(Course(row["implementation"], start, row["seconds"], cold))
    return found


def break_even(one: Course, other: Course) -> float:
    """The steps after which `one` is ahead of `other`: 0 if at once, infinity if it never is."""
    if one.each < other.each:
        return max(0.0, (one.start - other.start) / (other.each - one.each))
    return 0.0 if one.start < other.start and one.each == other.each else math.inf


class Leader(NamedTuple):
    """The implementation that is the first to have done `steps` steps, and more up to the next leader's."""

    steps: float
    implementation: str


def leads(field: list[Course]) -> list[Leader]:
    """The implementations that are the first to have done n steps, as n grows from 1."""
    if not field:
        return []
    now = min(field, key=lambda course: course.start + course.each)
    found = [Leader(1.0, now.implementation)]
    while True:
        ahead = [(break_even(course, now), course) for course in field if course.each < now.each]
        if not ahead:
            return found
        steps, now = min(ahead, key=lambda pair: (pair[0], pair[1].each))
        found.append(Leader(steps, now.implementation))
