"""`python -m tests.studies.ranks`: random problems over 1, 2, 3 and 4 ranks before the referee.

An export fails where the ranks do not have the same bits, so a problem that passes is equal among them, too.
One that an implementation does not support is drawn anew.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
from collections.abc import Iterator
from typing import Any

import impls

ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity")


def problem(seed: int, ranks: int) -> impls.Problem:
    """A random network, batch size from the number of ranks on, optimizer and dropout."""
    draw = random.Random(seed)
    loss = draw.choice(list(impls.LOSSES))
    hidden = [draw.randint(1, 40) for _ in range(draw.randint(0, 3))]
    last = impls.LOSSES[loss] or draw.choice(ACTIVATIONS)
    widths = (draw.randint(1, 60), *hidden, draw.randint(2, 12))
    network = impls.Network(widths, (*(draw.choice(ACTIVATIONS) for _ in hidden), last), loss)
    m = draw.randint(ranks, 70)
    dropout = draw.choice((0.0, 0.0, 0.3, 0.5)) if hidden else 0.0
    training = impls.Training(
        draw.choice(list(impls.OPTIMIZERS)), draw.choice((0.0, 1e-3)), dropout, seed=seed
    )
    return impls.Problem.random(network, m * draw.randint(1, 3), m, seed, training=training)


def available() -> list[str]:
    """The implementations that take ranks, of those whose packages are here; prints what the others lack."""
    found = []
    for name in impls.names(ranks=True):
        try:
            impls.load(name)
        except impls.Unavailable as missing:
            print(f"left out: {missing}")
        else:
            found.append(name)
    return found


def supported(name: str, ranks: int, dtype: str, seeds: Iterator[int]) -> tuple[int, impls.Problem, Any]:
    """The first of these seeds with a problem that the implementation supports, the problem, and the
    implementation.
    """
    for seed in seeds:
        one = problem(seed, ranks)
        with contextlib.suppress(impls.Unsupported):
            return seed, one, impls.load(name, ranks)(one, dtype)
    raise AssertionError("seeds do not end")


def main() -> int:
    """Print the rejections; 1 where there are any."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--problems", type=int, default=200)
    asked.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4])
    asked.add_argument("--impl", nargs="+")
    given = asked.parse_args()
    names = given.impl or available()
    cells = itertools.cycle(itertools.product(names, given.ranks, impls.DTYPES))
    seeds = itertools.count()
    rejected = 0
    for name, ranks, dtype in itertools.islice(cells, given.problems):
        seed, one, implementation = supported(name, ranks, dtype, seeds)
        verdict = impls.check(implementation, one, dtype)
        if not verdict.passed:
            rejected += 1
            print(f"seed {seed}: {name}, {ranks} ranks, {dtype}: {verdict.message}")
    print(f"{rejected} rejections in {given.problems} problems, ranks {given.ranks}: {', '.join(names)}")
    return 1 if rejected or not names else 0


if __name__ == "__main__":
    sys.exit(main())
