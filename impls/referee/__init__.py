"""The referee: whether an implementation computes what it should, and how far off it may be."""

from impls.referee.judgement import (
    State,
    check,
    first_state,
    judge_forward,
    judge_gradients,
    judge_step,
    judge_train,
    judge_unseen_step,
)
from impls.referee.structure import held, quantities
from impls.referee.tampering import changed, snapshot
from impls.referee.verdict import Verdict

__all__ = [
    "State",
    "Verdict",
    "changed",
    "check",
    "first_state",
    "held",
    "judge_forward",
    "judge_gradients",
    "judge_step",
    "judge_train",
    "judge_unseen_step",
    "quantities",
    "snapshot",
]
