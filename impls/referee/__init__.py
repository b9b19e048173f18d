"""The referee: whether an implementation computes what it should, and how far off it may be."""

from impls.referee.verdict import Verdict, check, held, quantities

__all__ = ["Verdict", "check", "held", "quantities"]
