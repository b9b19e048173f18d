"""Compares the losses of trainings, which have to agree, to roundings, after the same steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from benchmarks.record.race_file import Measurement

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

OWN, EACH_STEP = 100.0, 1.0
"""The roundings by which the losses of two right implementations may differ: those of the loss itself, and of
each step. They are stated, not derived: the losses of the gallery's trainings differ by less than a tenth of
them, which tests check for float64 and for float32.
"""


def tolerance(dtype: str, steps: int) -> float:
    """The relative difference of the losses of two right implementations after `steps` steps."""
    return (OWN + EACH_STEP * steps) * ROUNDOFF[dtype]


def agree(one: float, other: float, dtype: str, steps: int) -> bool:
    """Whether two losses agree after `steps` steps of the same training."""
    return abs(one - other) <= tolerance(dtype, steps) * max(abs(one), abs(other))


def held(found: Sequence[Measurement], seeds: Sequence[int]) -> list[Measurement]:
    """The trainings, each begun from its seed. If its loss differs from those of the same workload and
    seed after the same number of steps, a training is `wrong`, with the reason and without its times.
    """
    reasons = dict(_others(found, seeds))
    return [
        Measurement.without_times(each.cell, "wrong", f"{each.implementation}: {reasons[k]}", each.process)
        if k in reasons
        else each
        for k, each in enumerate(found)
    ]


def _others(found: Sequence[Measurement], seeds: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The index of each training whose loss differs, and the reason, from the first steps where it does."""
    alike: dict[tuple[object, int], list[tuple[int, float]]] = {}
    for place, (one, seed) in enumerate(zip(found, seeds, strict=True)):
        start = dataclasses.replace(one.cell, implementation="", ranks=1), seed
        for k, loss in enumerate(one.losses if one.status == "measured" else (), start=1):
            alike.setdefault((start, k * one.iterations), []).append((place, loss))
    out: set[int] = set()
    for (_, steps), losses in sorted(alike.items(), key=lambda item: item[0][1]):
        left = [(place, loss) for place, loss in losses if place not in out]
        dtype = found[losses[0][0]].dtype
        count = {place: sum(agree(loss, other, dtype, steps) for _, other in left) for place, loss in left}
        # the loss of the majority; in a tie, that of the implementation named first
        most = max(count, key=lambda place: count[place], default=None)
        if most is None or len(left) < 2:
            continue
        right = dict(left)[most]
        for place, loss in left:
            if not agree(loss, right, dtype, steps):
                out.add(place)
                names = dict.fromkeys(
                    found[p].implementation for p, own in left if agree(own, right, dtype, steps)
                )
                yield (
                    place,
                    f"the loss is {loss!r} after {steps} steps, and {right!r} with {', '.join(names)}",
                )
