"""The judgement for other programs: JSON, and the XML of JUnit that CI systems read."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import msgspec

from reports.gate.verdicts import Judgement, VerdictRow, figures


def as_json(judgement: Judgement, notes: list[str]) -> bytes:
    """The judgement as a JSON object; what is not known, or has no bound, is null."""
    finite = msgspec.json.decode(msgspec.json.encode(judgement))  # NaN and infinity become null
    return f"{json.dumps({**finite, 'notes': notes}, indent=1)}\n".encode()


def as_junit(judgement: Judgement) -> bytes:
    """A test case for each benchmark and control: slower fails, incomparable is an error, and what could not
    be told, or decides nothing, is skipped.
    """
    suite = ElementTree.Element("testsuite", name="gradrace gate")
    for row in (*judgement.rows, *judgement.controls):
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name=_valid(row.name))
        kind = _kind(row)
        if kind:
            found = f"{row.verdict}: {row.shown.measure} {figures(row.shown)[0]}".rstrip()
            words = f"{found}; {row.reason}" if row.reason else found
            ElementTree.SubElement(case, kind, message=_valid(words))
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _kind(row: VerdictRow) -> str:
    if row.informational:
        return "skipped"
    kinds = {"slower": "failure", "incomparable": "error", "moved": "error", "inconclusive": "skipped"}
    return kinds.get(row.verdict, "")


def _valid(text: str) -> str:
    """The text without the characters that no XML can hold."""
    return "".join(c if c.isprintable() or c in "\t\n" else "?" for c in text)
