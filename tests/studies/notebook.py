"""The lesson as a notebook: `python -m tests.studies.notebook` writes docs/lesson.ipynb, `--run` executes it.

The notebook is docs/lesson.md, cell by cell, and one cell more, which times the blocks on the reader's
machine and draws them beside the times that are printed in the lesson.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat

DOCS = Path(__file__).parents[2] / "docs"
EXECUTED = Path("reports/out/lesson.ipynb")

YOURS = """
## On your machine

The next cell times the blocks above, here and now, and draws them (dots) beside the printed times (lines).
It takes a minute.
"""

TIMED = """
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.measure import lesson
from benchmarks.record import lesson_file

printed = lesson_file.read(Path("gallery/lesson.json"))
yours = lesson.times(globals())
for k, (name, by_size) in enumerate(yours.items()):
    plt.loglog(*zip(*printed.seconds[name].items()), color=f"C{k}", label=name)
    plt.loglog(*zip(*by_size.items()), "o", color=f"C{k}")
plt.xlabel("samples of a batch")
plt.ylabel("seconds")
plt.legend();
"""


def notebook() -> Any:
    """The lesson's cells, and that of the reader's own times; the same bytes for the same lesson."""
    made = jupytext.reads((DOCS / "lesson.md").read_text("utf-8"), "md")
    made.cells += [
        nbformat.v4.new_markdown_cell(YOURS.strip()),
        nbformat.v4.new_code_cell(TIMED.strip()),
    ]
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return made


def main(run: bool) -> None:
    """Write the notebook, or run what is there."""
    path = DOCS / "lesson.ipynb"
    if not run:
        nbformat.write(notebook(), path)
        return
    kept = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(kept, timeout=600, resources={"metadata": {"path": str(DOCS)}}).execute()
    EXECUTED.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(kept, EXECUTED)
    print(f"{sum(cell.cell_type == 'code' for cell in kept.cells)} cells ran: {EXECUTED}")


if __name__ == "__main__":
    main("--run" in sys.argv[1:])
