"""One self-contained HTML file: the answer, interactive charts, tables, the implementations' code, the
machine.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from benchmarks.record.race_file import Facts, Record
from reports import text
from reports.analysis import Analysis, Panel
from reports.page import charts
from reports.page.data import distinct, neutral, pack, shown
from reports.style import duration

ASSETS = Path(__file__).parent / "assets"

TOKENS = (
    (Keyword, "k"),
    (Operator.Word, "k"),
    (String, "s"),
    (Comment, "c"),
    (Number, "n"),
    (Name.Function, "f"),
    (Name.Class, "f"),
)
"""Kinds of token that are coloured, and the class of each, which the style sheet colours."""


def build(analysis: Analysis, panel: Panel, baseline: str) -> bytes:
    """The page, which begins with `panel` over `baseline`. Nothing in it is fetched from anywhere."""
    record = analysis.record
    told = text.story(analysis, panel, baseline)
    library = charts.library().replace("</script", "<\\/script")
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    packed = {**pack(analysis, panel, baseline), "specs": charts.specifications()}
    content = string.Template((ASSETS / "page.html").read_text(encoding="utf-8")).substitute(
        hashes=" ".join(map(_hash, (library, script))),
        title=html.escape(shown(panel.workload)),
        style=(ASSETS / "page.css").read_text(encoding="utf-8"),
        answer=html.escape(told.answer),
        warnings=_warnings(record),
        table=_table(told.head, told.rows),
        remarks=_items(told.remarks),
        facts=_facts(record),
        tabs=_tabs(analysis),
        command=html.escape(shown(record.command, 2000)),
        machine=_machine(record),
        data=json.dumps(packed, separators=(",", ":")).replace("<", "\\u003c"),
        library=library,
        script=script,
    )
    return content.encode("utf-8", "replace")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8", "replace")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _items(words: Iterable[str]) -> str:
    return "".join(f"<li>{html.escape(each)}</li>" for each in words)


def _warnings(record: Record) -> str:
    words = text.warnings(record)
    if not words:
        return ""
    return f'<div class="warnings" role="note"><ul>{_items(words)}</ul></div>'


def _table(head: list[str], rows: list[list[str]], kind: str = "") -> str:
    """A table of plain words; the first column names its rows."""
    top = "".join(f'<th scope="col">{html.escape(words)}</th>' for words in head)
    body = "".join(
        f'<tr><th scope="row"><bdi>{html.escape(row[0])}</bdi></th>'
        + "".join(f"<td>{html.escape(words)}</td>" for words in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _facts(record: Record) -> str:
    if not record.implementations:
        return "<p>The record holds no fairness sheet.</p>"
    head = [
        "implementation",
        "idea",
        "differs from",
        "dtypes",
        "sums in the order of loops",
        "fast-math",
        "layout",
    ]
    labels = distinct(list(record.implementations))
    rows = []
    for label, facts in zip(labels, record.implementations.values(), strict=True):
        versions = ", ".join(f"{shown(name)} {shown(version)}" for name, version in facts.versions.items())
        rows.append(
            [
                label,
                *(shown(words, 400) for words in (facts.idea, facts.differs_from or "-")),
                shown(", ".join(facts.dtypes), 100),
                "yes: equal bit for bit in float64" if facts.same_order else "no",
                *(shown(words, 400) for words in (facts.fast_math, facts.layout)),
                "-" if facts.lines_of_code is None else str(facts.lines_of_code),
                versions or "-",
            ]
        )
    return _table([*head, "lines of code", "versions"], rows, "facts")


def _tabs(analysis: Analysis) -> str:
    """A tab for each implementation: its code beside what the fairness sheet says of it."""
    names = analysis.implementations
    if not names:
        return "<p>No implementation is on record.</p>"
    tabs, panels = [], []
    for k, (name, label) in enumerate(zip(names, distinct(names), strict=True)):
        chosen = k == 0
        tabs.append(
            f'<button type="button" role="tab" id="tab-{k}" aria-controls="code-{k}" '
            f'aria-selected="{str(chosen).lower()}" tabindex="{0 if chosen else -1}">'
            f"<bdi>{html.escape(label)}</bdi></button>"
        )
        body = _code(analysis.record.implementations.get(name))
        panels.append(
            f'<div class="tabpanel" role="tabpanel" id="code-{k}" aria-labelledby="tab-{k}" tabindex="0"'
            f'{"" if chosen else " hidden"}><div class="figures" data-implementation="{k}"></div>{body}</div>'
        )
    joined = "".join(tabs)
    return f'<div class="tablist" role="tablist" aria-label="Implementations">{joined}</div>{"".join(panels)}'


def _code(facts: Facts | None) -> str:
    if facts is None:
        return "<p>The record holds no facts of this implementation: it was never loaded.</p>"
    idea = f"<p>{html.escape(shown(facts.idea, 400))}</p>"
    if not facts.source:
        return f"{idea}<p>The record holds no source of this implementation.</p>"
    return f'{idea}<pre tabindex="0" aria-label="Source"><code>{highlight(facts.source)}</code></pre>'


def highlight(source: str) -> str:
    """Python source as HTML, in five colours at most: half the bytes of every token in a span of its own."""
    parts = []
    for token, part in PythonLexer(stripnl=False).get_tokens(neutral(source, keep="\n\t")):
        kind = next((name for family, name in TOKENS if token[: len(family)] == family), None)
        words = html.escape(part, quote=False)
        parts.append(f'<span class="{kind}">{words}</span>' if kind and words.strip() else words)
    return "".join(parts).rstrip()


def _machine(record: Record) -> str:
    facts: dict[str, Any] = {"raced": record.created, **record.machine}
    seconds = sum(process.seconds for process in record.processes)
    facts["processes"] = f"{len(record.processes)}, {duration(seconds)} in all"
    inside = {
        str(value) for process in record.processes for value in [_words(process.threads_in_force)] if value
    }
    facts["threads in force"] = "; ".join(sorted(inside)) or "not on record"
    pairs = "".join(
        f"<dt>{html.escape(shown(str(name)))}</dt><dd>{html.escape(shown(_words(value), 400))}</dd>"
        for name, value in [*facts.items(), *record.versions.items(), *record.settings.items()]
    )
    return f"<dl>{pairs}</dl>"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return str(value)
