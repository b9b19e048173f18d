"""The reference: the exact value of each quantity of a batch, and the bound of an implementation's error."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from impls.interface import Problem
from impls.referee.double_double import Number, halves, high
from impls.referee.error_bound import ErrorBound
from impls.referee.kinks import Kinks
from impls.referee.masks import kept
from impls.referee.oracle import Oracle
from impls.referee.yardstick import Yardstick

Reals = NDArray[np.float64]

TILE = 2**16
"""The numbers in the widest layer of one part of a batch, so that a few such arrays fit a core's cache."""

SLICE = 64
"""The samples in a part where the bound uses derivatives, which are matrices for each sample."""

ELEMENT = 400
"""The cost of an activation and its derivative in the doubled oracle, in multiplications of its products."""


@dataclasses.dataclass(frozen=True, eq=False)
class Exact:
    """A quantity as hi + lo, two float64 arrays, with the largest error that rounding explains: `bound`, of
    each element, and `limit`, of the 2-norm of the array (see impls/referee/yardstick.py).
    """

    hi: Reals
    lo: Reals
    bound: Reals
    limit: float = np.inf
    kinks: Kinks | None = None
    """The kinks whose part of the error is subtracted before it is compared with `limit`."""
    coarse: Reals | None = None
    """The bound for arithmetic of unit roundoff COARSEST; of parameters and state only."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The exact quantities of a batch, in the shapes of a `Result`.

    `wider` is True if they were computed in wider arithmetic than the implementation's. Otherwise their own
    error keeps to the same bound, so that the bounds are doubled, and errors in ulp are not measured.
    """

    loss: Exact
    output: Exact
    dw: tuple[Exact, ...]
    db: tuple[Exact, ...]
    wider: bool

    def within(self, times: float) -> Reference:
        """The same quantities, with bounds and limits multiplied by `times`."""

        def wide(q: Exact) -> Exact:
            return dataclasses.replace(q, bound=times * q.bound, limit=times * q.limit)

        return Reference(
            wide(self.loss),
            wide(self.output),
            tuple(map(wide, self.dw)),
            tuple(map(wide, self.db)),
            self.wider,
        )


def reference(
    problem: Problem,
    weights: tuple[Reals, ...],
    biases: tuple[Reals, ...],
    batch: int,
    dtype: str,
    affordable: float,
    lossy: bool = False,
    step: int | None = None,
) -> Reference:
    """The reference of one batch, for an implementation of `dtype` with these parameters.

    For float32 implementations the oracle computes in float64; for float64 implementations in doubled
    arithmetic, or in float64 if that would cost more than `affordable` multiplications (about 0.5 ns each).
    With `lossy`, the bounds are those of formulas that are right but lose digits where an output saturates.
    `step`, the number of steps made before, selects the dropout; without it the pass has none.
    """
    m = problem.batch_size
    size = m * (sum(w.size for w in weights) + ELEMENT * sum(problem.network.widths[1:]))
    doubled = dtype == "float64" and size <= affordable
    wider = dtype != "float64" or doubled
    slack = 1.0 if wider else 2.0
    oracle = Oracle(problem.network, weights, biases, doubled)
    bound = ErrorBound(problem.network, weights, biases, m, dtype, lossy)
    yardstick = Yardstick(problem.network, weights, biases, m, dtype)
    width = SLICE if bound.by_derivatives else int(np.clip(TILE // max(problem.network.widths), 64, 4096))
    start = batch * m
    keeps = [None] * problem.network.layers if step is None else kept(problem, dtype, step)
    cost: tuple[Number, float] | None = None
    outputs: list[tuple[Reals, Reals, Reals]] = []
    sums: list[tuple[Number, Reals]] = []
    for left in range(start, start + m, width):
        columns = slice(left, min(left + width, start + m))
        Y = problem.Y[:, columns]
        own = slice(columns.start - start, columns.stop - start)
        part_keeps = [None if keep is None else keep[:, own] for keep in keeps]
        exact = oracle.propagate(problem.X[:, columns], Y, part_keeps)
        E = bound.of(exact, Y)
        yardstick.add(problem.X[:, columns], Y, exact)
        part = list(zip(exact.dw + exact.db, E.dw + E.db, strict=True))
        if cost is None:
            cost, sums = (exact.cost, E.cost), part
        else:
            cost = (cost[0] + exact.cost, cost[1] + E.cost)
            sums = [(p + q, p_E + q_E) for (p, p_E), (q, q_E) in zip(sums, part, strict=True)]
        outputs.append((*halves(exact.a[-1]), E.output))
    assert cost is not None  # a batch has a sample at least
    L = problem.network.layers
    whole = [high(p) for p, _ in sums]
    limits = yardstick.limits(whole[:L], whole[L:])
    u = bound.rounding.u  # each number is rounded to the dtype at least once
    averages = [
        Exact(
            *halves(p / float(m)),
            slack / m * E,
            slack * limit + u * float(np.linalg.norm(high(p))) / m,
            kinks,
        )
        for (p, E), limit, kinks in zip(
            sums, (*limits.dw, *limits.db), (*limits.kinks_dw, *limits.kinks_db), strict=True
        )
    ]
    loss_hi, loss_lo = (half.reshape(()) for half in halves(cost[0] / float(m)))
    hi, lo, E_output = (np.concatenate(arrays, axis=1) for arrays in zip(*outputs, strict=True))
    return Reference(
        loss=Exact(loss_hi, loss_lo, np.array(slack * cost[1] / m)),
        output=Exact(hi, lo, slack * E_output, slack * limits.output + u * float(np.linalg.norm(hi))),
        dw=tuple(averages[:L]),
        db=tuple(averages[L:]),
        wider=wider,
    )
