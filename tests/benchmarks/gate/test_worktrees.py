"""Two commits side by side: refs, locks, worktrees, environments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate import worktrees
from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.gate.turns import SIDES
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


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.hooksPath=/dev/null"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(root: Path, **files: str) -> str:
    """Commit so named files, with `__` for a slash and `_` for a dot; returns the hash."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "a change")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(
        folder,
        _gitignore=".gradrace/\n",
        backend_py=BACKEND,
        pyproject_toml=PROJECT,
        impls__implementation_py="speed = 1\n",
        benchmarks__only_py="in = 'base'\n",
    )
    return folder


def test_the_root_of_a_repository_is_found_from_a_folder_within(root: Path) -> None:
    assert worktrees.repository(root / "impls").resolve() == root.resolve()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected a Git repository"):
        worktrees.repository(tmp_path)


def test_branches_tags_and_revisions_name_commits(root: Path) -> None:
    first = git(root, "rev-parse", "HEAD")
    git(root, "tag", "v1.0")
    second = commit(root, impls__implementation_py="speed = 2\n")
    assert worktrees.commit(root, "--base", "v1.0") == first
    assert worktrees.commit(root, "--base", "main~1") == first
    assert worktrees.commit(root, "--base", first[:10]) == first
    assert worktrees.commit(root, "--base", "HEAD") == second


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=x",
        "-h",
        "$(touch x)",
        "`touch x`",
        "main; touch x",
        "",
        "main..v1",
        "no-such-branch",
        "a b",
    ],
)
def test_a_ref_that_names_no_commit_is_refused(root: Path, ref: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(Refusal, match="--base: expected a branch, a tag or a commit"):
        worktrees.commit(root, "--base", ref)
    assert not (root / "x").exists()


@pytest.mark.parametrize("ref", ["--upload-pack=x", "$(touch x)", "main..v1"])
def test_git_never_sees_a_ref_that_looks_unsafe(
    root: Path, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worktrees, "git", lambda *_: pytest.fail("git was called"))
    with pytest.raises(Refusal):
        worktrees.commit(root, "--base", ref)


def test_a_tree_with_changes_is_refused_by_name(root: Path) -> None:
    worktrees.check_clean(root)
    (root / "out").mkdir()
    (root / "out" / "pairs.json").write_text("")
    (root / "out" / "pairs.json.previous").write_text("")
    worktrees.check_clean(root, besides=root / "out" / "pairs.json")
    with pytest.raises(Refusal, match=r"\(out/pairs.json, out/pairs.json.previous\)"):
        worktrees.check_clean(root)
    (root / "out" / "pairs.json").unlink()
    (root / "out" / "pairs.json.previous").unlink()
    (root / "impls" / "implementation.py").write_text("speed = 3\n")
    (root / "impls" / "new.py").write_text("")
    with pytest.raises(Refusal, match=r"\(impls/implementation.py, impls/new.py\)"):
        worktrees.check_clean(root)


HOLDER = """
import sys
from pathlib import Path
from benchmarks.gate import worktrees
with worktrees.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_gates_at_once_are_refused_and_a_dead_one_holds_nothing(root: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Refusal, match=f"process id {holder.pid}"), worktrees.lock(root):
            pytest.fail("the lock was given twice")
        holder.kill()
        holder.wait()
    with worktrees.lock(root):
        pass


def test_each_side_has_its_commit_and_both_have_heads_benchmarks(root: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    (root / "benchmarks" / "only.py").unlink()
    head = commit(root, impls__implementation_py="speed = 2\n", benchmarks__other_py="in = 'head'\n")
    with worktrees.worktrees(root, {"base": base, "head": head}) as folders:
        assert [(folders[side] / "impls" / "implementation.py").read_text() for side in SIDES] == [
            "speed = 1\n",
            "speed = 2\n",
        ]
        for folder in folders.values():
            assert [file.name for file in (folder / "benchmarks").iterdir()] == ["other.py"]
        assert len({len(str(folder)) for folder in folders.values()}) == 1
    assert not any(folder.exists() for folder in folders.values())
    assert len(git(root, "worktree", "list").splitlines()) == 1
    assert git(root, "status", "--porcelain") == ""


def test_worktrees_of_a_killed_gate_are_replaced(root: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    head = commit(root, impls__implementation_py="speed = 2\n")
    # What a gate that is killed leaves: its worktrees, still known to Git, one of them damaged.
    for side in SIDES:
        git(root, "worktree", "add", "--detach", str(root / ".gradrace" / side), head)
    (root / ".gradrace" / "base" / ".git").unlink()
    with worktrees.worktrees(root, {"base": base, "head": head}) as folders:
        assert (folders["base"] / "impls" / "implementation.py").read_text() == "speed = 1\n"
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_no_hook_of_the_repository_is_run(root: Path, tmp_path: Path) -> None:
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    head = git(root, "rev-parse", "HEAD")
    with worktrees.worktrees(root, {"base": head, "head": head}):
        pass
    assert not (tmp_path / "ran").exists()


def test_a_head_without_benchmarks_gives_no_answer(root: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    git(root, "rm", "-r", "--quiet", "benchmarks")
    head = commit(root)
    with pytest.raises(NoAnswer, match="benchmarks"), worktrees.worktrees(root, {"base": base, "head": head}):
        pytest.fail("there is nothing to measure with")
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_an_environment_is_built_once_for_the_same_dependencies(root: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    head = commit(root, impls__implementation_py="speed = 2\n")
    with worktrees.worktrees(root, {"base": base, "head": head}) as folders:
        pythons = worktrees.environments(root, folders, ())
        for side, python in pythons.items():
            seen = subprocess.run(
                [
                    python,
                    "-c",
                    "import impls.implementation as i; print(i.speed, i.__file__)",
                ],
                capture_output=True,
                text=True,
                check=True,
                cwd=root.parent,
                env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            ).stdout
            assert seen.split()[0] == {"base": "1", "head": "2"}[side]
            assert str(folders[side]) in seen
        built = {side: python.stat().st_ctime_ns for side, python in pythons.items()}
    later = commit(root, impls__implementation_py="speed = 3\n")
    with worktrees.worktrees(root, {"base": head, "head": later}) as folders:
        pythons = worktrees.environments(root, folders, ())
        assert {side: python.stat().st_ctime_ns for side, python in pythons.items()} == built


def test_an_environment_is_built_anew_where_the_project_file_changed(root: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    with worktrees.worktrees(root, {"base": base, "head": base}) as folders:
        worktrees.environments(root, folders, ())
    head = commit(root, pyproject_toml=PROJECT + "[tool.backend]\nfails = true\n")
    with (
        worktrees.worktrees(root, {"base": base, "head": head}) as folders,
        pytest.raises(NoAnswer, match="the environment of head could not be built"),
    ):
        worktrees.environments(root, folders, ())


def test_a_commit_whose_install_fails_gives_no_answer_and_is_tried_again(root: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    head = commit(
        root, backend_py="def build_editable(*arguments):\n    raise SystemExit('this cannot be built')\n"
    )
    with worktrees.worktrees(root, {"base": head, "head": base}) as folders:
        for _ in range(2):
            with pytest.raises(NoAnswer, match="the environment of base could not be built"):
                worktrees.environments(root, folders, ())


@pytest.mark.parametrize("content", ["not = [toml", ""])
def test_what_an_install_depends_on_must_be_readable(root: Path, content: str, tmp_path: Path) -> None:
    folders: dict[Side, Path] = {}
    for side in SIDES:
        folders[side] = tmp_path / side
        folders[side].mkdir()
        if content:
            (folders[side] / "pyproject.toml").write_text(content)
    with pytest.raises(NoAnswer, match=r"expected a pyproject\.toml"):
        worktrees.environments(root, folders, ())


def test_packages_that_only_head_names_are_installed_for_both(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: dict[Side, Path] = {}
    for side, packages in zip(
        SIDES, (["numpy>=2"], ["numpy>=3", "Msg.Spec[x] >= 0.19; a < '1'"]), strict=True
    ):
        folders[side] = root / side
        folders[side].mkdir()
        project = f'[project]\nname = "a"\ndependencies = {packages}\n'
        (folders[side] / "pyproject.toml").write_text(project)
    asked = {}

    def build(_: Path, side: Side, wanted: list[str]) -> Path:
        asked[side] = wanted
        return Path(side)

    monkeypatch.setattr(worktrees, "_environment", build)
    worktrees.environments(root, folders, ["jax"])
    assert asked == {
        "base": ["--editable", f"{root}/base[jax]", "Msg.Spec[x] >= 0.19; a < '1'"],
        "head": ["--editable", f"{root}/head[jax]"],
    }
