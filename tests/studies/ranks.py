"""`python -m tests.studies.ranks`: random problems over 1, 2, 3 and 4 ranks before the referee.

An export fails where the ranks do not have the same bits, so a problem that passes is equal among them, too.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys

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


def main() -> int:
    """Print the rejections; 1 where there are any."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--problems", type=int, default=200)
    asked.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4])
    asked.add_argument("--impl", nargs="+", default=[n for n in impls.names() if impls.takes_ranks(n)])
    given = asked.parse_args()
    cells = list(itertools.product(given.impl, given.ranks, impls.DTYPES))
    rejected = 0
    for seed in range(given.problems):
        name, ranks, dtype = cells[seed % len(cells)]
        one = problem(seed, ranks)
        verdict = impls.check(impls.load(name, ranks)(one, dtype), one, dtype)
        if not verdict.passed:
            rejected += 1
            print(f"seed {seed}: {name}, {ranks} ranks, {dtype}: {verdict.message}")
    print(f"{rejected} rejections in {given.problems} problems, ranks {given.ranks}: {', '.join(given.impl)}")
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
