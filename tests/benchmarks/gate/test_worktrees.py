"""Two commits side by side: refs, locks, worktrees, and the side whose files are in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate import worktrees
from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.gate.sides import SIDES
from benchmarks.record.pairs_file import Side
from tests.benchmarks.gate.foreign import commit, git


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, {"impls/implementation.py": "speed = 1\n", "tests/test_only.py": "in = 'base'\n"})
    return folder


def test_the_root_of_a_repository_is_found_from_a_folder_within(root: Path) -> None:
    assert worktrees.repository(root / "impls").resolve() == root.resolve()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected a Git repository"):
        worktrees.repository(tmp_path)


def test_branches_tags_and_revisions_name_commits(root: Path) -> None:
    first = git(root, "rev-parse", "HEAD")
    git(root, "tag", "v1.0")
    second = commit(root, {"impls/implementation.py": "speed = 2\n"})
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
with worktrees.lock(Path(sys.argv[1]), Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_gates_at_once_are_refused_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Refusal, match=f"process id {holder.pid}"), worktrees.lock(tmp_path, tmp_path):
            pytest.fail("the lock was given twice")
        holder.kill()
        holder.wait()
    with worktrees.lock(tmp_path, tmp_path):
        pass


def test_the_state_of_two_repositories_lies_apart_and_outside_of_both(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one, two = worktrees.state(root), worktrees.state(tmp_path / "other" / "repository")
    assert one != two
    assert one.is_dir()
    assert not one.is_relative_to(root)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(Refusal, match="set XDG_CACHE_HOME"):
        worktrees.state(root)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_each_side_has_its_commit(root: Path, state: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    head = commit(root, {"impls/implementation.py": "speed = 2\n"})
    with worktrees.worktrees(root, state, {"base": base, "head": head}) as folders:
        assert [(folders[side] / "impls" / "implementation.py").read_text() for side in SIDES] == [
            "speed = 1\n",
            "speed = 2\n",
        ]
        assert len({len(str(folder)) for folder in folders.values()}) == 1
    assert not any(folder.exists() for folder in folders.values())
    assert len(git(root, "worktree", "list").splitlines()) == 1
    assert git(root, "status", "--porcelain") == ""


def test_either_sides_files_can_lie_in_both_worktrees(root: Path, state: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    head = commit(root, {"tests/test_only.py": "in = 'head'\n", "tests/test_new.py": "new\n"})
    commits: dict[Side, str] = {"base": base, "head": head}
    files = worktrees.differing(root, commits, ["tests/test_only.py", "tests/test_new.py", "nowhere.py"])
    assert files == ("tests/test_new.py", "tests/test_only.py")
    assert worktrees.differing(root, commits, ["tests"]) == files
    assert worktrees.differing(root, commits, ["impls", "conftest.py"]) == ()
    with worktrees.worktrees(root, state, commits) as folders:
        for whose in ("head", "base", "head"):
            worktrees.lay(folders.values(), commits[whose], files)
            for folder in folders.values():
                assert (folder / "tests" / "test_only.py").read_text() == f"in = '{whose}'\n"
                assert (folder / "tests" / "test_new.py").exists() == (whose == "head")


def test_python_never_runs_the_version_of_a_second_ago(root: Path, state: Path) -> None:
    """Python knows a source by its size and the second of its last change."""
    one, two = (commit(root, {"thing.py": f"speed = {speed}\n"}) for speed in (1, 2))
    ends: dict[Side, str] = {"base": one, "head": two}
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = [sys.executable, "-c", "import thing; print(thing.speed)"]
    with worktrees.worktrees(root, state, ends) as found:
        folder, ran = found["head"], []

        def speed() -> str:
            done = subprocess.run(run, cwd=folder, env=variables, capture_output=True, text=True, check=True)
            return done.stdout

        for side in SIDES * 2:
            worktrees.lay([folder], ends[side], ["thing.py"])
            ran.append(speed())
        for side in SIDES * 2:
            worktrees.move(folder, ends[side])
            ran.append(speed())
    assert ran == ["1\n", "2\n"] * 4


def test_worktrees_of_a_killed_gate_are_replaced(root: Path, state: Path) -> None:
    base = git(root, "rev-parse", "HEAD")
    head = commit(root, {"impls/implementation.py": "speed = 2\n"})
    # What a gate that is killed leaves: its worktrees, still known to Git, one of them damaged.
    for side in SIDES:
        git(root, "worktree", "add", "--detach", str(state / side), head)
    (state / "base" / ".git").unlink()
    with worktrees.worktrees(root, state, {"base": base, "head": head}) as folders:
        assert (folders["base"] / "impls" / "implementation.py").read_text() == "speed = 1\n"
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_a_worktree_that_git_was_killed_in_the_middle_of_is_replaced(root: Path, state: Path) -> None:
    head = git(root, "rev-parse", "HEAD")
    git(root, "worktree", "add", "--lock", "--detach", str(state / "base"), head)  # locked while it is made
    shutil.rmtree(state / "base")
    with worktrees.worktrees(root, state, {"base": head, "head": head}) as folders:
        assert (folders["base"] / "impls" / "implementation.py").exists()
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_no_hook_of_the_repository_is_run(root: Path, state: Path, tmp_path: Path) -> None:
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    head = git(root, "rev-parse", "HEAD")
    with worktrees.worktrees(root, state, {"base": head, "head": head}):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("allowed", [True, False])
def test_submodules_are_there_or_named(
    root: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    (tmp_path / "module").mkdir()
    git(tmp_path / "module", "init", "--quiet")
    commit(tmp_path / "module", {"code.py": "there = True\n"})
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", str(tmp_path / "module"), "module")
    head = commit(root, {})
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.file.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always" if allowed else "never")
    commits: dict[Side, str] = {"base": head, "head": head}
    if allowed:
        with worktrees.worktrees(root, state, commits) as folders:
            assert (folders["head"] / "module" / "code.py").read_text() == "there = True\n"
    else:
        with (
            pytest.raises(NoAnswer, match=r"base: git could not check .* out: .*module"),
            worktrees.worktrees(root, state, commits),
        ):
            pytest.fail("a submodule is missing")
    assert len(git(root, "worktree", "list").splitlines()) == 1
    assert git(root, "status", "--porcelain") == ""


def test_a_shallow_clone_compares_what_it_has_and_names_what_it_lacks(
    root: Path, state: Path, tmp_path: Path
) -> None:
    first = git(root, "rev-parse", "HEAD")
    head = commit(root, {"impls/implementation.py": "speed = 2\n"})
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{root}", str(shallow))
    with worktrees.worktrees(shallow, state, {"base": head, "head": head}) as folders:
        assert (folders["base"] / "impls" / "implementation.py").exists()
    with pytest.raises(Refusal, match="fetch it first"):
        worktrees.commit(shallow, "--base", first)
