"""The caches of this machine, which determine the blocks of products."""

from __future__ import annotations

from pathlib import Path

PLACE = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20}
"""The units in which the system gives the size of a cache."""


def caches(place: Path = PLACE) -> dict[str, int]:
    """The bytes of each cache for data: `L1`, `L2` and so on; empty if the system does not report them."""
    found = {}
    for index in sorted(place.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except (OSError, ValueError):
            continue
        if kind != "Instruction" and size[:-1].isdecimal() and size[-1:] in UNITS:
            found[f"L{level}"] = int(size[:-1]) * UNITS[size[-1]]
    return found
