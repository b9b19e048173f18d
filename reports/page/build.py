"""A self-contained HTML file: the answer, interactive charts, tables, implementations' code, the machine."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from benchmarks.record.race_file import Facts, Record
from reports import text
from reports.analysis import Analysis, Panel
from reports.page import charts, markup
from reports.page.data import pack
from reports.page.markup import distinct, neutral
from reports.style import duration

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


DOCUMENTS = "https://github.com/gradrace/gradrace/blob/main/docs"
"""The address of the documents for a reader of the page."""


def build(
    analysis: Analysis,
    panel: Panel,
    baseline: str,
    machines: Sequence[text.Section] = (),
    machine_remarks: Sequence[str] = (),
) -> bytes:
    """The page, which begins with `panel` over `baseline`; it fetches nothing.

    `machines` are sections that set this record beside those of other machines, with remarks on them.
    """
    record, names, facts = analysis.record, analysis.implementations, analysis.record.implementations
    code = (markup.FOLDER / "page.js").read_text(encoding="utf-8")
    scripts = charts.library().replace("</script", "<\\/script"), code
    packed = {**pack(analysis, panel, baseline), "specs": charts.specifications()}
    content = markup.render(
        "page.html",
        title=panel.workload,
        story=text.story(analysis, panel, baseline),
        warnings=text.warnings(record),
        sheet=_sheet(analysis),
        code=[
            (label, facts.get(name), highlight(facts[name].source) if name in facts else "")
            for name, label in distinct(names).items()
        ],
        largest_error=analysis.cells["error_of_bound"].max(),
        sections=[(each, markup.svg(each.figure) if each.figure else "") for each in machines],
        machine_remarks=machine_remarks,
        processes=len(record.processes),
        documents=DOCUMENTS,
        command=record.command,
        machine=_machine(record),
        data=Markup(json.dumps(packed, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        hashes=[_hash(script) for script in scripts],
    )
    return content.encode("utf-8", "replace")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8", "replace")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def highlight(source: str) -> Markup:
    """Python source as HTML, in five colours at most: half the bytes of every token in a span of its own."""
    parts = []
    for token, part in PythonLexer(stripnl=False).get_tokens(neutral(source, keep="\n\t")):
        kind = next((name for family, name in TOKENS if token[: len(family)] == family), None)
        coloured = kind and part.strip()
        parts.append(Markup('<span class="{}">{}</span>').format(kind, part) if coloured else escape(part))
    return Markup("").join(parts).rstrip()


def _sheet(analysis: Analysis) -> list[tuple[str, Facts, str]]:
    """The label, facts and compile time of each implementation with known facts, in the ladder's order."""
    facts = analysis.record.implementations
    names = [name for name in analysis.implementations if name in facts]
    longest = analysis.cells.groupby("implementation")[
        ["cold_compile_seconds", "cached_compile_seconds", "compile_seconds"]
    ].max()
    return [
        (label, facts[name], _compiling(*longest.loc[name]) if name in longest.index else "-")
        for name, label in distinct(names).items()
    ]


def _compiling(cold: float, cached: float, raced: float) -> str:
    if cold > 0:
        return f"{duration(cold)} at first, {duration(cached)} from a cache"
    if cold == 0 or raced == 0:
        return "none"
    return f"{duration(raced)} in the race, perhaps from a cache" if raced > 0 else "-"


def _machine(record: Record) -> list[tuple[str, Any]]:
    seconds = sum(process.seconds for process in record.processes)
    inside = {markup.words(process.threads_in_force) for process in record.processes}
    facts = {
        "raced": record.created,
        **record.machine,
        "processes": f"{len(record.processes)}, {duration(seconds)} in all",
        "threads in force": "; ".join(sorted(inside - {""})) or "not on record",
    }
    return [*facts.items(), *record.versions.items(), *record.settings.items()]
