"""The numbers that the lesson quotes, compared with a rerun."""

import dataclasses

import pytest

from benchmarks.measure import lesson
from benchmarks.record.lesson_file import Lesson

QUOTED = Lesson(
    created="2026-01-01",
    machine={},
    versions={},
    seconds={"loops": {1: 1e-3, 64: 6e-2}},
    costs={},
    every=1,
    accuracy={"zeros": 0.1},
)


@pytest.mark.parametrize("factor", [0.76, 1.0, 1.24])
def test_a_figure_within_a_quarter_of_the_rerun_stands(factor: float) -> None:
    seconds = {"loops": {1: 1e-3 * factor, 64: 6e-2}}
    assert lesson.off(dataclasses.replace(QUOTED, seconds=seconds), QUOTED) == []


@pytest.mark.parametrize("factor", [0.7, 1.3, float("nan")])
def test_a_figure_that_is_further_off_is_named_with_both_values(factor: float) -> None:
    seconds = {"loops": {1: 1e-3, 64: 6e-2 * factor}}
    (line,) = lesson.off(dataclasses.replace(QUOTED, seconds=seconds), QUOTED)
    assert line.startswith("loops, m = 64: quoted 0.06, now ")
    (line,) = lesson.off(dataclasses.replace(QUOTED, accuracy={"zeros": 0.1 * factor}), QUOTED)
    assert line.startswith("accuracy of zeros: quoted 0.1, now ")


def test_a_figure_that_is_not_quoted_is_named() -> None:
    more = {**QUOTED.seconds, "numba_loops": {1: 1e-6}}
    (line,) = lesson.off(dataclasses.replace(QUOTED, seconds=more), QUOTED)
    assert line.startswith("numba_loops, m = 1: quoted nan")
