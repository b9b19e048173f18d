"""The documents name what is there: every link, every path, every name of ours."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.documents import ROOT, documents

PATH = re.compile(r"`((?:impls|benchmarks|reports|tests|docs|examples)/[\w./-]*)[^`]*`")
NAME = re.compile(r"`((?:impls|benchmarks|reports|tests)(?:\.\w+)+)[^`]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")

WRITTEN = ("reports/out", "impls/numpy_einsum.py")
"""The files that a command, or a reader of CONTRIBUTING.md, creates."""


def text(page: Path) -> str:
    return page.read_text("utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def has(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something that its file, or a class there, defines."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:k])
        path = place.with_suffix(".py") if place.with_suffix(".py").exists() else place / "__init__.py"
        if path.exists():
            return defines(ast.parse(text(path)).body, parts[k:])
        if place.is_dir():
            return k == len(parts)
    return False


def defines(body: list[ast.stmt], names: list[str]) -> bool:
    if not names:
        return True
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == names[0]:
            return defines(node.body, names[1:])
        if isinstance(node, ast.If) and defines(node.body, names):
            return True
        imported = [alias for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        bound = [alias.asname or alias.name for alias in imported]
        targets = [*getattr(node, "targets", []), getattr(node, "target", None)]
        bound += [target.id for target in targets if isinstance(target, ast.Name)]
        if names[0] in bound:
            return True
    return False


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(text(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


# CHANGELOG.md names what was
@pytest.mark.parametrize(
    "page", [p for p in documents() if p.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_every_path_and_every_name_is_there(page: Path) -> None:
    for path in PATH.findall(text(page)):
        assert path.startswith(WRITTEN) or (ROOT / path).exists(), path
    for name in NAME.findall(text(page)):
        assert has(name), name


def test_a_name_that_is_not_there_is_found() -> None:
    assert has("impls.registry.load")
    assert has("impls.Unsupported")
    assert has("impls.check")
    assert has("impls.interface.Problem.random")
    assert has("benchmarks.record")
    assert not has("impls.registry.loads")
    assert not has("impls.interface.Problem.randomly")
    assert not has("benchmarks.records")
