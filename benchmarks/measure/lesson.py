"""The code blocks of docs/lesson.md, run and timed without changes.

`python -m benchmarks.measure.lesson [PATH]` writes a file; `gradrace gallery --lesson PATH` takes it into the
documents.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import clock
from benchmarks.measure.noise import Moments
from benchmarks.measure.threads import limit_threads
from benchmarks.record import lesson_file, machine
from benchmarks.record.statistics import SLOWER

LESSON = Path(__file__).parents[2] / "docs" / "lesson.md"

BLOCKS = ("loops", "loops_on_arrays", "numpy_sample", "numpy_batch", "numba_loops", "numba_arrays")
"""The functions of the lesson that are timed: of layers, X and Y."""

SIZES = (1, 4, 16, 64, 256, 1024)

WIDTHS = (64, 32, 10)

LISTED = 64
"""The largest batch at which the loops on arrays are timed; larger ones take seconds."""

ROUNDS = 7

WAIT_SECONDS = 60.0
"""The seconds that all rounds together wait for undisturbed moments."""

WITHIN = 0.25
"""The largest relative difference between a quoted figure and that of a rerun on the same machine."""

STARTS = ("zeros", "small", "scaled")
"""The trainings of the lesson, by the weights that they begin with."""


def blocks(text: str) -> list[str]:
    """The Python blocks of a page in Markdown."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(text: str) -> dict[str, Any]:
    """The names that the blocks define, run one after the other as a reader would."""
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks(text), start=1):
        exec(compile(block, f"lesson.md, block {number}", "exec"), names)  # noqa: S102 - our own page
    return names


def times(names: Mapping[str, Any], sizes: tuple[int, ...] = SIZES) -> dict[str, dict[int, float]]:
    """The seconds of a call of each block at each batch size: the fastest of rounds that alternate and begin
    in undisturbed moments.
    """
    random = np.random.default_rng(0)
    pairs = zip(WIDTHS[1:], WIDTHS[:-1], strict=True)
    layers = [(random.standard_normal((i, j)) / np.sqrt(j), random.standard_normal(i)) for i, j in pairs]
    as_lists = [(w.tolist(), b.tolist()) for w, b in layers]
    found: dict[str, dict[int, float]] = {name: {} for name in BLOCKS}
    moments = Moments(SLOWER)
    moments.listen()
    moments.wait_budget = WAIT_SECONDS
    for m in sizes:
        X, Y = random.random((WIDTHS[0], m)), random.random((WIDTHS[-1], m))
        rows = X.T.tolist(), Y.T.tolist()
        calls: dict[str, Callable[[], Any]] = {}
        for name in BLOCKS:
            if name != "loops_on_arrays" or m <= LISTED:
                given: tuple[Any, ...] = (as_lists, *rows) if name == "loops" else (layers, X, Y)
                calls[name] = functools.partial(names[name], *given)
        plans = {name: clock.plan(clock.settle(call)) for name, call in calls.items()}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                iterations = plans[name].iterations
                moments.wait()
                seconds = clock.seconds_of(call, iterations) / iterations
                found[name][m] = min(seconds, found[name].get(m, seconds))
    return found


def lesson(text: str, sizes: tuple[int, ...] = SIZES) -> lesson_file.Lesson:
    """The times and results of the lesson `text` on this machine."""
    names = run(text)
    return lesson_file.Lesson(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        machine=machine.machine(),
        versions=machine.versions(),
        seconds=times(names, sizes),
        costs={start: tuple(names[f"{start}_costs"]) for start in STARTS},
        every=names["EVERY"],
        accuracy={start: names["accuracy"](names[start]) for start in STARTS},
    )


def off(found: lesson_file.Lesson, quoted: lesson_file.Lesson) -> list[str]:
    """A line for each time and accuracy of `found` that differs by more than `WITHIN` from that in `quoted`.

    A time that is not quoted is one of them, too.
    """
    pairs = {
        f"{name}, m = {m}": (seconds, quoted.seconds.get(name, {}).get(m, math.nan))
        for name, by_size in found.seconds.items()
        for m, seconds in by_size.items()
    }
    pairs |= {
        f"accuracy of {start}": (share, quoted.accuracy.get(start, math.nan))
        for start, share in found.accuracy.items()
    }
    return [
        f"{what}: quoted {before:.3g}, now {now:.3g} ({now / before - 1:+.0%})"
        for what, (now, before) in pairs.items()
        if not abs(now / before - 1) <= WITHIN
    ]


def main(path: Path) -> int:
    """Measure the lesson, write it to `path`, and compare the figures in the documents with it.

    The exit status is 1 if a figure differs by more than `WITHIN` on the machine of the documents.
    """
    limit_threads(1)
    found = lesson(LESSON.read_text("utf-8"))
    lesson_file.write(found, path)
    quoted = LESSON.parent / "gallery" / "lesson.json"
    if not quoted.exists():
        return 0
    kept = lesson_file.read(quoted)
    lines = off(found, kept)
    print(*lines, sep="\n")
    if dict(found.machine) != dict(kept.machine):
        print("measured on another machine than the quoted figures: this is not an error")
        return 0
    print(f"{len(lines)} figures are further than {WITHIN:.0%} from those quoted")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "reports/out/lesson.json")))
