"""How an implementation, a status and a number look: the same in every chart and table."""

from __future__ import annotations

import functools
import hashlib
import math
import unicodedata
from typing import NamedTuple


class Look(NamedTuple):
    """An implementation's colour, matplotlib marker and line style."""

    colour: str
    marker: str
    dash: str


# Dark and light members of the hues that Paul Tol and Okabe & Ito give as distinct to colour-blind eyes, each
# at 3:1 or more against white and against near-black, so that one colour serves print, light and dark pages.
# Neighbours on the ladder differ in marker too, and lines carry their names: hue is never the only sign.
LOOKS = {
    "loops": Look("#6e6e6e", "o", "-"),
    "loops-pypy": Look("#5f8a3a", "d", ":"),
    "loops-ndarray": Look("#a0723c", "s", "--"),
    "numpy-sample": Look("#4a90c8", "^", "--"),
    "numpy": Look("#2f6fd0", "D", "-"),
    "numpy-inplace": Look("#7a6fe0", "v", "-"),
    "numba-loops": Look("#c48600", "P", "--"),
    "numba": Look("#d55e00", "o", "-"),
    "numba-blocked": Look("#b0413e", "s", "-"),
    "numba-parallel": Look("#d6406a", "X", "-"),
    "numpy-mpi": Look("#5c5aba", "<", ":"),
    "numba-mpi": Look("#b03c68", ">", ":"),
    "jax": Look("#0e9a78", "^", "-."),
    "jax-gloo": Look("#2e8a62", "D", ":"),
    "torch": Look("#b65fc0", "h", "-."),
    "torch-compile": Look("#8f4fb5", "p", "-."),
    "torch-gloo": Look("#9a5a9f", "d", ":"),
    "sklearn": Look("#8a8f1c", "<", "-."),
    "autograd": Look("#2a9aa8", ">", "-."),
    # The rules of gates, in the chart of their validation study.
    "this gate": Look("#d55e00", "D", "-"),
    "pytest-benchmark, min:3%": Look("#c48600", "o", "--"),
    "pytest-benchmark, min:5%": Look("#2f6fd0", "^", "--"),
    "pytest-benchmark, median:5%": Look("#4a90c8", "v", "--"),
    "pytest-benchmark, mean:5%": Look("#7a6fe0", "s", "--"),
    "asv's rule, factor 1.05": Look("#0e9a78", "P", "-."),
    "Welch on rounds, p < 0.05": Look("#6e6e6e", "X", ":"),
}

# An unknown implementation gets one of each by a digest of its name: the same in every chart, with any
# others.
SPARE_COLOURS = ("#c0504d", "#5f8a3a", "#3f7fa6", "#a3609b", "#a87a2a", "#4f8f86", "#8670c8", "#7d7d55")
SPARE_MARKERS = ("*", "d", "8", "H", "s", "^", "v", "D", "P", "X", "<", ">")
SPARE_DASHES = (":", "-.", "--")


def look(name: str) -> Look:
    """The one look of the implementation called `name`."""
    if name in LOOKS:
        return LOOKS[name]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return Look(
        SPARE_COLOURS[digest[0] % len(SPARE_COLOURS)],
        SPARE_MARKERS[digest[1] % len(SPARE_MARKERS)],
        SPARE_DASHES[digest[2] % len(SPARE_DASHES)],
    )


def darker(colour: str) -> str:
    """`colour` mixed with three tenths of black, for text in that colour."""
    parts = (round(int(colour[k : k + 2], 16) * 0.7) for k in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)


PARALLEL = ("numba-parallel",)
"""Implementations that only add threads; charts of one thread leave them out."""


def cores(threads: int, ranks: int = 1) -> str:
    """The threads and ranks in words: "2 threads", "1 thread on each of 2 ranks"."""
    words = f"{threads} thread" + ("" if threads == 1 else "s")
    return words if ranks == 1 else f"{words} on each of {ranks} ranks"


class StatusLook(NamedTuple):
    """How a cell that was not measured is shown: its mark in a table and the mark's meaning; where the table
    is in colours, the fill and the hatch behind the mark.
    """

    mark: str
    meaning: str
    fill: str
    hatch: str


UNMEASURED = {
    "skipped": StatusLook("skipped", "predicted too slow, not run", "#ffffff", "..."),
    "unsupported": StatusLook("n/s", "not supported by the implementation", "#ffffff", "///"),
    "unavailable": StatusLook("absent", "a package is not installed", "#ffffff", ""),
    "wrong": StatusLook("WRONG", "did not pass the referee, before or while it was timed", "#f6c7c0", "xxx"),
    "implausible": StatusLook(
        "implausible", "more operations a second than the machine can do, no speedup", "#f6c7c0", "+++"
    ),
    "failed": StatusLook("failed", "raised or crashed", "#fbe3c0", "\\\\\\"),
    "timed out": StatusLook("timeout", "hung", "#fbe3c0", "---"),
}
"""The look of every status but measured."""

UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


def duration(seconds: float) -> str:
    """Three digits and a unit: `276 ms`, `1.53 µs`, `90.0 s`, `9.02 h`."""
    if not math.isfinite(seconds):
        return "-"
    name, unit = _unit(seconds)
    return f"{digits(seconds / unit)} {name}"


def short_duration(seconds: float) -> str:
    """Two digits at most, for the ticks of an axis: `10 ms`, `2.8 h`."""
    name, unit = _unit(seconds)
    return f"{float(digits(seconds / unit, 2).replace(',', '')):g} {name}"


def _unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which the time fills one; of minutes and days, several: 90 s, 40 h."""
    least = {"min": 99.95, "d": 4 * 86400.0}
    return next((pair for pair in UNITS if seconds >= least.get(pair[0], 0.9995 * pair[1])), UNITS[-1])


def digits(value: float, count: int = 3) -> str:
    """`count` significant digits, thousands apart: `1,230`, `12.3`, `0.0123`; below a thousandth `1.2e-5`."""
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.{max(count - 2, 0)}e}".replace("e-0", "e-")
    rounded = round(value, count - 1 - math.floor(math.log10(abs(value))))
    places = count - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(places, 0)}f}"


def factor(value: float) -> str:
    """A speedup: `1,230x`."""
    return f"{digits(value)}x" if math.isfinite(value) else "-"


def size(count: float) -> str:
    """Bytes: `1.50 MiB`."""
    for name in ("B", "KiB", "MiB"):
        if abs(count) < 999.5:
            return f"{count:.0f} B" if name == "B" else f"{digits(count)} {name}"
        count /= 1024
    return f"{digits(count)} GiB"


def plain(text: str, longest: int = 28) -> str:
    """`text` as one short line that any font can draw: for charts and terminals.

    Control and direction marks go, white space becomes a blank, what DejaVu Sans lacks becomes U+FFFD, and
    the middle of a long name becomes an ellipsis.
    """
    kept = " ".join("".join(_drawable(character) for character in text[: 50 * longest]).split())
    if len(text) > 50 * longest:
        kept += "…"
    if len(kept) > longest:
        head = (longest - 1) * 2 // 3
        kept = kept[:head] + "…" + kept[len(kept) - (longest - 1 - head) :]
    return kept or "(no name)"


def _drawable(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
        return ""
    if character.isascii():
        return character  # without matplotlib, which is slow to load
    # Right-to-left scripts are left out: one letter of them turns a whole line.
    drawn = ord(character) < 0x0590 or 0x2010 <= ord(character) <= 0x22FF
    return character if drawn and ord(character) in _covered() else "\N{REPLACEMENT CHARACTER}"


@functools.cache
def _covered() -> frozenset[int]:
    """The code points of DejaVu Sans, which matplotlib carries."""
    from matplotlib import font_manager, ft2font

    font = ft2font.FT2Font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())
