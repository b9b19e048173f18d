"""The fixtures of the trials: the command, a record of one race, a checkout that may be damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.field import trial
from tests.field.trial import GRADRACE, ROOT, SMALL, EndedCommand, run

Command = Callable[..., EndedCommand]


@pytest.fixture
def gradrace(tmp_path: Path) -> Command:
    """`gradrace`, from the test's own folder."""

    def command(*arguments: str | Path, **how: Any) -> EndedCommand:
        return run(*GRADRACE, *arguments, **{"cwd": tmp_path, **how})

    return command


@pytest.fixture
def race(gradrace: Command, tmp_path: Path) -> Command:
    """The smallest race, of numpy unless others are named, with the record `record.json`."""

    def command(*arguments: str | Path, **how: Any) -> EndedCommand:
        asked = ("race", "--quiet", *SMALL, "--record", "record.json")
        if "--impl" in arguments:
            return trial.race(*GRADRACE, *asked, *arguments, **{"cwd": tmp_path, **how})
        return gradrace(*asked, "--impl", "numpy", *arguments, **how)

    return command


@pytest.fixture(scope="session")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a small race of two implementations, with speedups, of any commit."""
    folder = tmp_path_factory.mktemp("raced")
    asked = ("--impl", "loops,numpy", "--workload", "xor", "--batch-sizes", "1,16")
    trial.race(*GRADRACE, "race", "--quiet", *asked, "--record", "record.json", cwd=folder, status=0)
    document = json.loads((folder / "record.json").read_text("utf-8"))
    document["settings"] |= {"commit": "0123456789" * 4, "branch": "main"}
    (folder / "record.json").write_text(json.dumps(document, indent=1), "utf-8")
    return folder / "record.json"


@pytest.fixture(scope="session")
def gallery() -> Path:
    """A large record: every implementation, every batch size."""
    return ROOT / "docs" / "gallery" / "race.json"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout without its repository, to be spoilt."""
    folder = tmp_path / "checkout"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if not name.startswith(("tests/", "docs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trials that change mounts, owners or limits need root."""
    for item in items:
        if item.get_closest_marker("root") and os.geteuid():
            item.add_marker(pytest.mark.skip(reason="needs root"))
