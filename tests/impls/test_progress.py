"""The console for the progress bars of commands."""

import io
import sys

import pytest

from impls.progress import progress_console


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_log_is_no_terminal_whatever_is_forced(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not progress_console().is_terminal


def test_a_terminal_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen())
    assert progress_console().is_terminal
