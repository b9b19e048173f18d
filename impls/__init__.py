"""Who races: the contract, the implementations, the referee."""

from impls.interface import Implementation, Network, Problem, Result, Unavailable, Unsupported
from impls.registry import load, names

__all__ = ["Implementation", "Network", "Problem", "Result", "Unavailable", "Unsupported", "load", "names"]
