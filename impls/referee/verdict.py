"""The referee's verdict, and the comparison with a reference that it is made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impls.interface import Result
from impls.referee.error_bound import COARSEST
from impls.referee.kinks import FIT, ROUNDED
from impls.referee.reference import Exact, Reference
from impls.referee.structure import FoulError, place

Reals = NDArray[np.float64]

Fault = Literal["", "wrong", "unstable", "coarse"]

UPDATED = ("weights", "biases", "state")
"""The arrays that a step updates. Their error is mostly the rounding of the result itself, so that its share
of the bound does not count towards `Verdict.error_of_bound` if they pass, and no limit applies to the array
as a whole.
"""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of the referee.

    `message` is empty if `passed`; otherwise it names the worst error, its place, its bound, and the numbers
    expected and got. `fault` is "wrong", "coarse" (narrower arithmetic than the dtype explains the errors) or
    "unstable" (the formula is right but loses digits where an output saturates).
    `error_of_bound` is the largest error of loss, output, dw and db as a share of its bound (of parameters
    and state too, if they fail), inf if structure or finiteness fails. `error_of_limit` is the largest 2-norm
    of an array's error as a share of its limit (impls/referee/yardstick.py).

    `error_ulp` and `error_ulp_median` are over all elements of dw and db, in ulp of the implementation's
    dtype at the largest magnitude in the element's array: single elements of a gradient may cancel to
    nothing, and an ulp of the remainder would measure the problem's condition, not the implementation. They
    are None if the batch is so large that the reference is no more precise than the implementation.

    `bound_of_norm` is the ratio of the 2-norm of a bound to that of its array, the largest of output, dw and
    db. Where it is large the elementwise bound does not discriminate, and `error_of_limit` is the test.
    """

    passed: bool
    message: str
    error_of_bound: float
    error_ulp: float | None
    error_ulp_median: float | None
    fault: Fault = ""
    error_of_limit: float = 0.0
    bound_of_norm: float = 0.0


class Comparison:
    """Collects the largest error as a share of its bound, of its limit, and the gradients' errors in ulp."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.eps = float(np.finfo(dtype).eps)
        self.normal = float(np.finfo(dtype).smallest_normal)
        self.share = 0.0
        self.message = ""
        self.limit_share = 0.0
        self.limit_message = ""
        self.bound_of_norm = 0.0
        self.beyond_coarse = False
        self.ulps: list[Reals] = []

    @property
    def passed(self) -> bool:
        """Whether every error so far is within its bound, and every array within its limit."""
        return self.share <= 1 and self.limit_share <= 1

    def compare(self, when: str, name: str, got: Any, exact: Exact, ulps: bool = False) -> None:
        """Compare `got` with the exact value, element by element and as a whole."""
        got, E = np.asarray(got), exact.bound
        difference = (got - exact.hi) - exact.lo
        error = np.abs(difference)
        if ulps:
            self.ulps.append((error / self.ulp(exact.hi)).ravel())
        if not (np.isfinite(E) & (E >= 0)).all():
            raise FoulError(
                f"{name} {when}: the error bound is not finite: numbers come too close to the end of the "
                "dtype's range or too many are summed; scale the problem down or use smaller batches"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(error == 0, 0.0, error / E)
        share = np.where(np.isnan(share), np.inf, share)
        worst = np.unravel_index(np.argmax(share), share.shape)
        sound = bool(error[worst] <= E[worst])
        self.compare_norms(when, name, difference, exact, sound)
        if sound and name.startswith(UPDATED):
            return
        if share[worst] > self.share:
            self.share = float(share[worst])
            if not sound:
                at = "" if share.ndim == 0 else f" at {place([int(i) for i in worst])}"
                self.message = (
                    f"{name}{at}, {when}: the error {error[worst]:.3g} is {self.share:.3g} times its "
                    f"bound {E[worst]:.3g}; expected {float(exact.hi[worst])!r}, got {float(got[worst])!r}"
                )

    def compare_norms(self, when: str, name: str, error: Reals, exact: Exact, sound: bool) -> None:
        """Compare the 2-norm of an array's error with its limit."""
        size, norm, limit = float(np.linalg.norm(exact.hi)), float(np.linalg.norm(error)), exact.limit
        if sound and exact.kinks is not None and norm > limit:
            left = exact.kinks.taken_from(error)
            norm = float(np.linalg.norm(left))
            limit += (ROUNDED * self.eps / 2 + FIT) * float(np.linalg.norm(error - left))
        if name.startswith(UPDATED):
            self.beyond_coarse |= not (
                sound or (exact.coarse is not None and bool((np.abs(error) <= exact.coarse).all()))
            )
            return
        if name == "loss":
            self.beyond_coarse |= not (sound or norm <= COARSEST * size)
            return
        if size > 0:
            self.bound_of_norm = max(self.bound_of_norm, float(np.linalg.norm(exact.bound)) / size)
        share = 0.0 if norm == 0 else norm / limit if limit > 0 else np.inf
        self.beyond_coarse |= not norm <= limit * COARSEST / (self.eps / 2)
        if share > self.limit_share:
            self.limit_share = share
            if share > 1:
                relative = norm / size if size else np.inf
                self.limit_message = (
                    f"{name}, {when}: the 2-norm of its error is {relative:.3g} of its "
                    f"own, {share:.3g} times that of {self.dtype} sums in any order; "
                    f"it is right to {digits(norm, size)} digits: was it computed in narrower arithmetic?"
                )

    def ulp(self, exact: Reals) -> float:
        """The spacing of the implementation's dtype at the largest magnitude of an array."""
        top = max(float(np.abs(exact).max()), self.normal)
        return float(self.eps * 2.0 ** np.floor(np.log2(top)))

    def compare_pass(self, when: str, result: Result, exact: Reference) -> None:
        """Compare loss and output."""
        self.compare(when, "loss", result.loss, exact.loss)
        self.compare(when, "output", result.output, exact.output)

    def compare_gradients(self, when: str, result: Result, exact: Reference) -> None:
        """Compare dw and db of every layer."""
        for name, got, want in (("dw", result.dw, exact.dw), ("db", result.db, exact.db)):
            for k, (g, e) in enumerate(zip(got, want, strict=True)):
                self.compare(when, f"{name}[{k}]", g, e, ulps=exact.wider)

    def compare_kept(self, when: str, name: str, got: Sequence[Reals], want: Sequence[Reals]) -> None:
        """Compare arrays bit for bit."""
        for k, (g, p) in enumerate(zip(got, want, strict=True)):
            zero = np.zeros_like(p)
            self.compare(when, f"{name}[{k}]", g, Exact(p, zero, zero))

    def verdict(self, unstable: str = "") -> Verdict:
        """The verdict on all comparisons; `unstable` is the message of an unstable result, or empty."""
        ulps = np.concatenate(self.ulps) if self.ulps else np.empty(0)
        fault: Fault = ""
        message = ""
        if not self.passed:
            fault = "unstable" if unstable else "wrong" if self.beyond_coarse else "coarse"
            message = unstable or self.message or self.limit_message
            if fault == "coarse":
                message = f"coarser than {self.dtype}: {message}"
        return Verdict(
            passed=not fault,
            message=message,
            error_of_bound=self.share,
            error_ulp=float(ulps.max()) if len(ulps) else None,
            error_ulp_median=float(np.median(ulps)) if len(ulps) else None,
            fault=fault,
            error_of_limit=self.limit_share,
            bound_of_norm=self.bound_of_norm,
        )


def digits(error: float, size: float) -> int:
    """The number of leading decimal digits that are right in a number of this size with this error."""
    if error == 0:
        return 17
    return max(0, int(np.floor(np.log10(size / error)))) if size > 0 else 0
