"""Names that collide: the command works from anywhere, and a record names its own files' commit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import SMALL, run, statuses

MODULES = ["benchmarks", "impls", "reports", "gradrace", "tests", "conftest"]
MODULES += ["json", "numpy", "random", "signal", "typing", "types", "site", "click", "msgspec", "matplotlib"]
QUICK = ("benchmarks/__init__.py", "json.py")
PLACES = [f"{name}.py" for name in MODULES] + ["benchmarks/__init__.py", "numpy/__init__.py"]


@pytest.mark.parametrize(
    "place", [pytest.param(p, marks=[] if p in QUICK else pytest.mark.field) for p in PLACES]
)
def test_the_command_works_where_a_module_of_that_name_is(place: str, race: Command, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("raise ImportError('the user has this, too')\n")
    race(status=0)
    assert statuses(tmp_path / "record.json") == {"numpy": {"measured"}}


@pytest.mark.field
@pytest.mark.parametrize("name", ["benchmarks", "json"])
@pytest.mark.parametrize("command", ["list", "standings", "render", "history add", "train", "check"])
def test_every_command_works_there(
    name: str, command: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    (tmp_path / f"{name}.py").write_text(f"raise ImportError('the {name} of the user')\n")
    rest = {
        "standings": (raced,),
        "render": (raced, "--out", "out"),
        "history add": (raced,),
        "train": ("--impl", "numpy", "--steps", "5"),
        "check": ("numpy-inplace",),
    }.get(command, ())
    gradrace(*command.split(), *rest, status=0, within=300)


@pytest.mark.field
def test_settings_of_pytest_that_lie_around_are_not_the_races(race: Command, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('of the user')\n")
    (tmp_path / "tox.ini").write_text("[pytest]\naddopts = -n2\n")
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\naddopts = -x\n")
    race(status=0)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def settings(record: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(record.read_text("utf-8"))["settings"]
    return found


@pytest.mark.parametrize("inside", ["untracked", pytest.param("ignored", marks=pytest.mark.field)])
def test_an_archive_inside_another_repository_has_not_that_ones_commit(
    inside: str, checkout: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / ".gitignore").write_text("checkout/\n" if inside == "ignored" else "")
    git(tmp_path, "add", "mine.txt", ".gitignore")
    git(tmp_path, "commit", "-q", "-m", "mine")
    asked = ("race", *SMALL, "--quiet", "--impl", "numpy", "--record", "r.json")
    ended = run(sys.executable, checkout / "gradrace.py", *asked, cwd=tmp_path, status=0)
    assert "commit" not in settings(tmp_path / "r.json")
    assert "commit" in ended.err  # that it is missing


@pytest.mark.field
def test_a_project_inside_another_repository_that_tracks_it_has_its_commit(
    checkout: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "checkout")
    git(tmp_path, "commit", "-q", "-m", "vendored")
    asked = ("race", *SMALL, "--quiet", "--impl", "numpy", "--record", "r.json")
    run(sys.executable, checkout / "gradrace.py", *asked, cwd=tmp_path, status=0)
    assert settings(tmp_path / "r.json")["commit"] == git(tmp_path, "rev-parse", "HEAD")


@pytest.mark.field
@pytest.mark.parametrize("name", ["Rocket", "Loops", "numpy", "Class", "X" * 80, "Ünïcode", "_private"])
def test_a_class_may_have_any_name(name: str, race: Command, gradrace: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"import impls\nclass {name}(impls.load('numpy')): pass\n")
    race("--impl", f"numpy,mine.py:{name}", status=0)
    shown = gradrace("render", "record.json", "--out", "out", status=0)
    assert name[:10] in shown.out


@pytest.mark.field
def test_two_classes_of_one_name_in_two_files_are_two_implementations(race: Command, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("import impls\nclass Mine(impls.load('numpy')): pass\n")
    race("--impl", "a/mine.py:Mine,b/mine.py:Mine", status=0)
    assert set(statuses(tmp_path / "record.json")) == {"a/mine.py:Mine", "b/mine.py:Mine"}
