"""The environments of two commits: built together, once for the same dependencies."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.gate import environments
from benchmarks.gate.errors import NoAnswer
from benchmarks.gate.settings import GateSettings
from benchmarks.gate.sides import SIDES
from benchmarks.record.pairs_file import Side

# A build backend of a few lines, so that nothing is fetched: its editable wheel names the worktree.
BACKEND = """
import pathlib, zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    assert "fails = true" not in pathlib.Path("pyproject.toml").read_text()
    name = "probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(directory) / name, "w") as wheel:
        wheel.writestr("probe.pth", str(pathlib.Path.cwd()) + chr(10))
        info = "probe-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: probe\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "probe"
version = "1.0"
"""


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "RUNNERS", ())


@pytest.fixture
def worktrees(tmp_path: Path) -> dict[Side, Path]:
    found: dict[Side, Path] = {}
    for side, speed in zip(SIDES, (1, 2), strict=True):
        found[side] = tmp_path / side
        found[side].mkdir()
        (found[side] / "backend.py").write_text(BACKEND)
        (found[side] / "pyproject.toml").write_text(PROJECT)
        (found[side] / "thing.py").write_text(f"speed = {speed}")
    return found


def speed(python: Path, folder: Path) -> list[str]:
    return subprocess.run(
        [python, "-c", "import thing; print(thing.speed, thing.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    ).stdout.split()


def test_an_environment_is_built_once_for_the_same_dependencies(
    worktrees: dict[Side, Path], tmp_path: Path
) -> None:
    pythons = environments.environments(tmp_path, worktrees, GateSettings())
    for side, python in pythons.items():
        assert speed(python, Path("/")) == [
            {"base": "1", "head": "2"}[side],
            str(worktrees[side] / "thing.py"),
        ]
    built = {side: python.stat().st_ctime_ns for side, python in pythons.items()}
    (worktrees["head"] / "thing.py").write_text("speed = 30")  # not of the size whose bytecode lies there
    again = environments.environments(tmp_path, worktrees, GateSettings())
    assert {side: python.stat().st_ctime_ns for side, python in again.items()} == built
    assert speed(again["head"], Path("/"))[0] == "30"


def test_an_environment_is_built_anew_where_what_it_rests_on_changed(
    worktrees: dict[Side, Path], tmp_path: Path
) -> None:
    for worktree in worktrees.values():
        (worktree / "requirements.txt").write_text("")
    asked = GateSettings(requirements=("requirements.txt",))
    before = environments.environments(tmp_path, worktrees, asked)
    for what in ("pyproject.toml", "requirements.txt", "extras"):
        if what == "extras":
            asked = GateSettings(extras=("fast",), requirements=asked.requirements)
        else:
            with (worktrees["head"] / what).open("a") as file:
                file.write("# a comment\n")
        after = environments.environments(tmp_path, worktrees, asked)
        assert not before["base"].exists(), what
        assert after["base"].exists(), what
        before = after


def test_what_an_install_makes_in_the_worktree_is_made_anew(
    worktrees: dict[Side, Path], tmp_path: Path
) -> None:
    making = BACKEND.replace(
        "    name =", '    pathlib.Path("made.py").write_text("made = True")\n    name ='
    )
    for worktree in worktrees.values():
        (worktree / "backend.py").write_text(making)
        (worktree / "core.c").write_text("")
    for _ in range(2):
        environments.environments(tmp_path, worktrees, GateSettings())
        for worktree in worktrees.values():
            (worktree / "made.py").unlink()


def test_an_install_that_fails_gives_no_answer_and_is_tried_again(
    worktrees: dict[Side, Path], tmp_path: Path
) -> None:
    (worktrees["head"] / "pyproject.toml").write_text(PROJECT + "[tool.backend]\nfails = true\n")
    for _ in range(2):
        with pytest.raises(NoAnswer, match="the environment of head could not be built"):
            environments.environments(tmp_path, worktrees, GateSettings())


def test_a_pyproject_that_is_damaged_gives_no_answer(worktrees: dict[Side, Path], tmp_path: Path) -> None:
    (worktrees["base"] / "pyproject.toml").write_text("not = [toml")
    with pytest.raises(NoAnswer, match=r"base: expected a pyproject\.toml that can be read"):
        environments.environments(tmp_path, worktrees, GateSettings())


@pytest.mark.parametrize("content", [None, "[tool.ruff]\nline-length = 100\n"])
def test_a_folder_of_scripts_is_not_installed(
    worktrees: dict[Side, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(environments, "_carry_out", lambda command, *_: asked.extend(command))
    monkeypatch.setattr(Path, "touch", lambda _: None)
    for worktree in worktrees.values():
        (worktree / "pyproject.toml").unlink()
        if content is not None:
            (worktree / "pyproject.toml").write_text(content)
    environments.environments(tmp_path, worktrees, GateSettings(requirements=("more.txt",)))
    assert "--editable" not in asked
    assert str(worktrees["head"] / "more.txt") in asked


def test_packages_that_only_head_names_are_installed_for_both(
    worktrees: dict[Side, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side, packages in zip(
        SIDES, (["numpy>=2"], ["numpy>=3", "Msg.Spec[x] >= 0.19; a < '1'"]), strict=True
    ):
        project = f'[project]\nname = "a"\ndependencies = {packages}\n'
        (worktrees[side] / "pyproject.toml").write_text(project)
    asked: dict[Side, list[str]] = {side: [] for side in SIDES}
    monkeypatch.setattr(environments, "_carry_out", lambda command, side, _: asked[side].extend(command))
    monkeypatch.setattr(Path, "touch", lambda _: None)
    environments.environments(
        tmp_path, worktrees, GateSettings(extras=("fast",), groups=("bench",), requirements=("more.txt",))
    )
    for side in SIDES:
        folder = worktrees[side]
        wanted = ["--editable", f"{folder}[fast]", "--requirement", str(folder / "more.txt")]
        assert set(wanted) <= set(asked[side])
        assert f"{folder / 'pyproject.toml'}:bench" in asked[side]
        assert ("Msg.Spec[x] >= 0.19; a < '1'" in asked[side]) == (side == "base")
