"""`python -m tests.never_run REPORT...`: tests that every session skipped, by the sessions' JUnit reports.

A test that needs an optional backend is skipped where that is absent; skipped everywhere, it tests nothing.
A test is its function and, where it has one, its implementation: an implementation may refuse one network, as
long as it ran another. A file that was skipped whole has run if any of its tests has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import impls


def implementation_of(parameters: str) -> str:
    """The implementation among a test's parameters, "" where there is none; the longest name that fits."""
    words = f"-{parameters}-"
    return max((name for name in impls.names() if f"-{name}-" in words), key=len, default="")


def never_run(reports: Iterable[str]) -> dict[tuple[str, str], str]:
    """Function and implementation of every test that no report ran, with a reason that was given for it."""
    skipped: dict[tuple[str, str], str] = {}
    ran = set()
    for report in reports:
        for case in ElementTree.fromstring(report).iter("testcase"):
            name, _, parameters = case.attrib["name"].partition("[")
            function = f"{case.attrib['classname']}.{name}".lstrip(".")  # a file has no class name
            key = (function, implementation_of(parameters.rstrip("]")))
            skip = case.find("skipped")
            if skip is None:
                ran.add(key)
            else:
                skipped[key] = re.sub(r"\s+", " ", skip.attrib.get("message", ""))
    files = {function.rpartition(".")[0] for function, _ in ran}
    return {key: reason for key, reason in skipped.items() if key not in ran and key[0] not in files}


def main(paths: list[str]) -> int:
    """Print them; 1 where there are any."""
    if not paths:
        sys.exit("expected the JUnit reports of the sessions, got none; run the sessions first")
    found = never_run(Path(path).read_text(encoding="utf-8") for path in paths)
    for (function, implementation), reason in sorted(found.items()):
        print(f"never run: {function} {implementation}: {reason}")
    print(f"{len(found)} tests were skipped in each of {len(paths)} sessions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
