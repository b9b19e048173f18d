"""Git's answers depend on the repository, and not on the user or the environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.record.git import GitError, git

IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository of one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=folder, check=True)
    git(folder, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message", "a sübject")
    return folder


def test_the_variables_of_a_hook_lead_to_no_other_repository(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(root, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "of the hook"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index of the hook"))
    assert git(root, "rev-parse", "HEAD") == head
    assert git(root, "status", "--porcelain") == ""


def test_the_settings_of_the_user_change_no_answer(root: Path, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    sign.write_text("#!/bin/sh\ncat >/dev/null\nprintf '\\n[GNUPG:] SIG_CREATED x\\n' >&2\necho signed\n")
    sign.chmod(0o755)
    git(root, "config", "gpg.program", str(sign))
    git(root, "config", "log.showSignature", "true")
    git(root, "config", "i18n.logOutputEncoding", "latin-1")
    git(root, *IDENTITY, "commit", "--quiet", "--allow-empty", "--gpg-sign", "--message", "a sübject")
    assert git(root, "show", "--no-patch", "--format=%s") == "a sübject"


def test_no_program_of_the_repository_is_run(root: Path, tmp_path: Path) -> None:
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    hook.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(hook))
    git(root, "status")
    git(root, "checkout", "--quiet", "--detach")
    assert not (tmp_path / "ran").exists()


def test_a_failure_is_told_on_one_line_in_english(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(GitError, match=r"^fatal: [^\n]*nowhere") as caught:
        git(root, "rev-parse", "nowhere")
    assert "\n" not in str(caught.value)


def test_without_git_the_error_says_so(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="expected Git to be installed"):
        git(root, "status")
