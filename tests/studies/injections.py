"""Slowdowns of known kinds, put into a checkout: what the gate is validated on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

SPIN = """

# ---- an injected slowdown: calls take longer by a share of their own time, spent in a loop ----------------

_SHARE = {share}
_SLOWED = {slowed}
_unchanged_load = load


def load(name: str) -> type[Implementation]:
    implementation = _unchanged_load(name)
    return _spinning(implementation) if name in _SLOWED else implementation


def _spinning(implementation):
    from time import perf_counter

    class Spinning(implementation):
        _debt = 0.0
        _inside = False

    def spin(method):
        def spun(self, *arguments):
            if self._inside:
                return method(self, *arguments)
            self._inside = True
            start = perf_counter()
            result = method(self, *arguments)
            now = perf_counter()
            self._inside = False
            self._debt += (now - start) * _SHARE
            if self._debt > 2e-6:  # calls of a microsecond or two save up for a loop that is worth the name
                end = now + self._debt
                while now < end:
                    now = perf_counter()
                self._debt = end - now
            return result

        return spun

    for phase in ("forward", "gradients", "step"):
        setattr(Spinning, phase, spin(getattr(implementation, phase)))
    return Spinning
"""


@dataclasses.dataclass(frozen=True)
class Edit:
    """`old`, which stands once in `file`, becomes `new`; without `old`, `new` is added at the end."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Edit the checkout at `root`; raises ValueError if the file has changed since."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if self.old and text.count(self.old) != 1:
            raise ValueError(
                f"{self.file}: expected {self.old!r} once, got it {text.count(self.old)} times; "
                "bring tests/studies/injections.py up to date"
            )
        path.write_text(text.replace(self.old, self.new) if self.old else text + self.new, encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Injection:
    """The edits of base and of head, and the implementations that these slow down."""

    base: tuple[Edit, ...]
    head: tuple[Edit, ...]
    slowed: tuple[str, ...]


def spin(share: float, *slowed: str) -> Injection:
    """Calls of these implementations take longer by `share`; base has the same two looks at the clock, and no
    loop.
    """
    return Injection(
        base=(Edit("impls/registry.py", "", SPIN.format(share=0.0, slowed=slowed)),),
        head=(Edit("impls/registry.py", "", SPIN.format(share=share, slowed=slowed)),),
        slowed=slowed,
    )


def edited(implementation: str, file: str, old: str, new: str) -> Injection:
    """A change of a source file in head."""
    return Injection(base=(), head=(Edit(file, old, new),), slowed=(implementation,))


GATED_IMPLEMENTATIONS = ("loops", "numpy-sample", "numpy", "numpy-inplace", "numba-blocked")

INJECTIONS: dict[str, Injection] = {
    "spin-2": spin(0.02, "numpy-sample"),
    "spin-5": spin(0.05, "numpy-sample"),
    "spin-10": spin(0.10, "numpy-sample"),
    "spin-20": spin(0.20, "numpy-sample"),
    "uniform-5": spin(0.05, *GATED_IMPLEMENTATIONS),
    "temporary": edited(
        "numpy",
        "impls/numpy_batch.py",
        "self.z = self.w @ x + self.b  # (n_l, m)",
        "self.z = (self.w @ x + self.b).copy()  # (n_l, m)",
    ),
    "not-in-place": edited(
        "numpy-inplace",
        "impls/numpy_inplace.py",
        "            np.exp(a, out=a)  # inf far below zero, and 1 / inf is the 0 that it should be\n"
        "            np.add(a, self.one, out=a)\n",
        "            a[...] = np.exp(a)\n            a[...] = a + self.one\n",
    ),
    "not-vectorized": edited(
        "numba-blocked",
        "impls/numba_blocked.py",
        "            a[i] = sigmoid(a[i], one)\n",
        "            a[i] = sigmoid(a[i], one)\n            if a[i] < 0:\n                break\n",
    ),
}
