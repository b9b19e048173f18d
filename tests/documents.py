"""What the documents hold: code blocks, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def documents() -> list[Path]:
    """Every page that a reader may open."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of one language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> Iterator[str]:
    """Every command of the shell blocks, without comments; those that `&&` joins, one by one."""
    for block in blocks(path, "sh"):
        for line in block.splitlines():
            yield from filter(None, map(str.strip, re.sub(r"(^|\s)#.*", "", line).split("&&")))
