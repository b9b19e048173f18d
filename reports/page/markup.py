"""HTML from the templates in the folder beside this file, where every value is escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from reports.charts.canvas import drawn
from reports.style import digits, duration

FOLDER = Path(__file__).parent / "templates"


def shown(value: object, longest: int = 60) -> str:
    """`value` in words for a page: shortened, control and direction marks as U+FFFD."""
    text = words(value)
    kept = neutral(text[: longest + 1])
    return (kept[: longest - 1] + "…" if len(text) > longest else kept) or "(no name)"


def words(value: object) -> str:
    """A value of a record as text: lists with commas, mappings with colons."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {words(inner)}" for key, inner in value.items())
    return ", ".join(map(words, value)) if isinstance(value, list | tuple) else str(value)


def neutral(text: str, keep: str = "") -> str:
    """`text` with control and direction marks, but for those in `keep`, as U+FFFD."""
    marks = ("Cc", "Cf", "Cs", "Co")
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if c not in keep and unicodedata.category(c) in marks else c for c in text
    )


def distinct(names: list[str], longest: int = 60) -> dict[str, str]:
    """The label of each name; those that would look alike are numbered."""
    labels = [shown(name, longest) for name in names]
    return {
        name: f"{label} ({k})" if labels.count(label) > 1 else label
        for k, (name, label) in enumerate(zip(names, labels, strict=True), 1)
    }


def svg(figure: Figure) -> Markup:
    """A figure as an element of a page: without an XML declaration."""
    text = drawn(figure, "svg").decode()
    return Markup(text[text.index("<svg") :])  # noqa: S704


def render(name: str, **values: Any) -> str:
    """The page that a template makes of `values`."""
    return ENVIRONMENT.get_template(name).render(values)


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(shown=shown, duration=duration, digits=digits)
