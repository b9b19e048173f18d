"""The study's tasks: what it measures, in which order, and that nothing is done twice."""

import subprocess
from pathlib import Path

import pytest

from tests.studies import injections
from tests.studies.gate import SAME, Task, carry_out, prepare, tasks
from tests.studies.injections import Edit, Injection


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "implementation.py").write_text("speed = 1\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a start")
    slower = Injection(
        base=(Edit("implementation.py", "", "# base\n"),),
        head=(Edit("implementation.py", "speed = 1", "speed = 2"),),
        slowed=("numpy",),
    )
    monkeypatch.setattr(injections, "INJECTIONS", {"slower": slower})
    return folder


def test_each_injection_is_a_commit_of_a_clone(root: Path, tmp_path: Path) -> None:
    clone = prepare(root, tmp_path / "study")
    assert git(clone, "show", "study/slower/base:implementation.py") == "speed = 1\n# base"
    assert git(clone, "show", "study/slower/head:implementation.py") == "speed = 2"
    assert git(clone, "rev-parse", "study/start") == git(root, "rev-parse", "HEAD")
    assert git(root, "tag") == ""
    made = git(clone, "rev-parse", "study/slower/head")
    assert prepare(root, tmp_path / "study") == clone
    assert git(clone, "rev-parse", "study/slower/head") == made


def test_a_clone_that_was_half_made_is_made_anew(root: Path, tmp_path: Path) -> None:
    (tmp_path / "study" / "repository.making" / "rubble").mkdir(parents=True)
    assert git(prepare(root, tmp_path / "study"), "tag", "--list", "study/*").split() == [
        "study/slower/base",
        "study/slower/head",
        "study/start",
    ]


def test_pairs_come_first_and_whole_gates_take_turns(root: Path, tmp_path: Path) -> None:
    found = list(tasks(tmp_path, same=60, injected=24, runs=2))
    assert [(task.kind, task.out.relative_to(tmp_path).as_posix()) for task in found] == [
        (SAME, "same.json"),
        ("slower", "injected/slower.json"),
        ("slower", "runs/slower-00.json"),
        (SAME, "runs/same-00.json"),
        ("slower", "runs/slower-01.json"),
        (SAME, "runs/same-01.json"),
    ]
    assert found[0].arguments[-2:] == ("--pairs", "60")
    assert found[1].arguments[-5:] == ("--pairs", "24", "--", "--impl", "numpy")
    assert "--pairs" not in found[2].arguments
    assert list(tasks(tmp_path, same=60, injected=24, runs=2, kinds=[SAME])) == [found[0], found[3], found[5]]


@pytest.mark.parametrize(("code", "recorded"), [(0, False), (0, True), (2, False)])
def test_what_was_begun_is_gone_on_with_and_only_what_ended_is_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, recorded: bool
) -> None:
    out = tmp_path / "same.json"
    ran = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        ran.append(command)
        Path(command[command.index("--out") + 1]).write_text("{}")
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", run)
    arguments = ("--base", "a", "--head", "a", *(("--pairs", "3") if recorded else ()))
    assert carry_out(Task(SAME, arguments, out), root) == code
    assert out.exists() == (code == 0)
    assert out.with_suffix(".partial").exists() == (code != 0)
    # A recording may be resumed; a whole gate may not: its time is one of its figures.
    assert ("--resume" in ran[0]) == recorded
