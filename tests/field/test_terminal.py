"""In any terminal, figures are whole or absent, and an exit status does not depend on the reader."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import GRADRACE, SMALL, race, run

WIDTHS = [40, 60, 80, 100, 200]
SHOWS = ["standings", "render", "list", "history"]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def shown(command: str, gradrace: Command, record: Path, folder: Path, **how: object) -> str:
    """The output of a command that shows a report."""
    asked: tuple[str | Path, ...] = {
        "standings": ("standings", record),
        "render": ("render", record, "--out", folder / "out"),
        "list": ("list",),
        "history": ("history", "show", "--db", folder / "h.sqlite"),
    }[command]
    if command == "history":
        gradrace("history", "add", record, "--db", folder / "h.sqlite", status=0)
    return gradrace(*asked, status=0, **how).out


@pytest.mark.parametrize(
    "width", [pytest.param(w, marks=[] if w == 80 else pytest.mark.field) for w in WIDTHS]
)
@pytest.mark.parametrize(
    "command", [pytest.param(s, marks=[] if s == "standings" else pytest.mark.field) for s in SHOWS]
)
def test_figures_are_whole_or_absent(
    command: str, width: int, gradrace: Command, gallery: Path, tmp_path: Path
) -> None:
    text = shown(command, gradrace, gallery, tmp_path, env={"COLUMNS": str(width)})
    assert "…" not in text
    assert not re.search(r"±\s*(\.\.\.|…|$)", text, re.MULTILINE)
    if command == "list":
        whole = shown(command, gradrace, gallery, tmp_path, env={"COLUMNS": "400"})
        words = set(re.findall(r"[a-z]{4,}", whole))
        assert set(re.findall(r"[a-z]{4,}", text)) <= words, "a word was broken"


@pytest.mark.parametrize(
    "command", [pytest.param(s, marks=[] if s == "standings" else pytest.mark.field) for s in SHOWS]
)
@pytest.mark.parametrize("reader", ["head -n 1", pytest.param("true", marks=pytest.mark.field)])
def test_a_reader_that_stops_early_changes_no_status_and_sees_no_error(
    command: str, reader: str, gradrace: Command, gallery: Path, tmp_path: Path
) -> None:
    asked = {
        "standings": ("standings", gallery),
        "render": ("render", gallery, "--out", "out"),
        "list": ("list",),
        "history": ("history", "show", "--db", "h.sqlite"),
    }[command]
    if command == "history":
        gradrace("history", "add", gallery, "--db", "h.sqlite", status=0)
    script = f'"$@" 2>error | {reader} >/dev/null; echo "${{PIPESTATUS[0]}}"; cat error >&2'
    ended = run("bash", "-c", script, "bash", *GRADRACE, *asked, cwd=tmp_path, within=600)
    assert ended.out.strip() == "0", ended
    assert "BrokenPipe" not in ended.err
    assert "Exception ignored" not in ended.err


@pytest.mark.parametrize(
    "columns", ["0", pytest.param("-5", marks=pytest.mark.field), pytest.param("", marks=pytest.mark.field)]
)
def test_a_width_that_is_none_hides_nothing(columns: str, gradrace: Command, gallery: Path) -> None:
    shown = gradrace("standings", gallery, env={"COLUMNS": columns}, status=0).out
    assert shown == gradrace("standings", gallery, unset=("COLUMNS",), status=0).out
    assert "numba-blocked" in shown


MOVES = re.compile(r"\x1b\[[0-9;?]*[A-HJKl]")
"""The sequences that move the cursor of a terminal, or hide it."""


@pytest.mark.field
@pytest.mark.parametrize(
    "asked",
    [("check", "numpy"), ("accuracy", "--impl", "numpy", "--batch-sizes", "1", "--network", "2-2")],
    ids=["check", "accuracy"],
)
def test_a_log_of_what_is_checked_has_no_moving_bar(asked: tuple[str, ...], gradrace: Command) -> None:
    ended = gradrace(*asked, env={"FORCE_COLOR": "1"}, status=0)
    assert not MOVES.search(ended.text)


@pytest.mark.field
@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CLICOLOR_FORCE"])
def test_a_log_has_no_moving_bar(variable: str, tmp_path: Path) -> None:
    asked = ("race", "--workload", "xor", "--batch-sizes", "1", "--impl", "numpy", "--record", "r.json")
    ended = race(*GRADRACE, *asked, cwd=tmp_path, env={variable: "1"}, status=0)
    assert not MOVES.search(ended.text)


@pytest.mark.field
def test_a_pipe_that_is_full_and_does_not_wait_gets_everything(gallery: Path, tmp_path: Path) -> None:
    code = (
        "import fcntl, os, select, subprocess, sys, time\n"
        "out, into = os.pipe()\n"
        "os.set_blocking(into, False)\n"
        "fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)\n"
        "with subprocess.Popen(sys.argv[1:], stdout=into) as process:\n"
        "    while select.select([], [into], [], 0)[1]:\n"  # there is room
        "        time.sleep(0.1)\n"
        "    os.close(into)\n"
        "    time.sleep(1)\n"
        "    while read := os.read(out, 1 << 16):\n"
        "        os.write(1, read)\n"
        "sys.exit(process.returncode)\n"
    )
    asked = (*GRADRACE, "standings", gallery)
    whole = run(*asked, cwd=tmp_path, status=0)
    slow = run(sys.executable, "-c", code, *asked, cwd=tmp_path, status=0)
    assert slow.out == whole.out


@pytest.mark.field
def test_a_race_whose_reader_is_gone_ends_as_any_other(tmp_path: Path) -> None:
    script = '"$@" 2>error | true; echo "${PIPESTATUS[0]}"; cat error >&2'
    asked = ("race", *SMALL, "--impl", "numpy", "--record", "r.json")
    ended = run("bash", "-c", script, "bash", *GRADRACE, *asked, cwd=tmp_path)
    assert ended.out.strip() == "0", ended
    assert (tmp_path / "r.json").is_file()


@pytest.mark.field
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_status(closed: str, tmp_path: Path) -> None:
    asked = ("race", *SMALL, "--impl", "numpy", "--record", "r.json")
    run("bash", "-c", f'"$@" {closed}', "bash", *GRADRACE, *asked, cwd=tmp_path, status=0)
    assert (tmp_path / "r.json").is_file()


@pytest.mark.field
def test_a_screen_that_is_full_is_an_error_in_words(gallery: Path, tmp_path: Path) -> None:
    ended = run("bash", "-c", '"$@" >/dev/full', "bash", *GRADRACE, "standings", gallery, cwd=tmp_path)
    assert ended.status not in (0, 1)
    assert "No space left on device" in ended.err


def typescript(tmp_path: Path, env: dict[str, str], *command: str | Path) -> str:
    """The output of a command in a terminal of its own."""
    words = " ".join(f"'{word}'" for word in command)
    script = f'exec script -qec "{words} $*" /dev/null'
    return race("sh", "-c", script, "sh", cwd=tmp_path, env=env, status=0).out


@pytest.mark.field
@pytest.mark.parametrize(
    "env",
    [
        {"TERM": "dumb"},
        {"TERM": "xterm-256color"},
        {"TERM": "xterm", "NO_COLOR": "1"},
        {"TERM": "xterm", "COLUMNS": "40"},
        {"TERM": "linux", "LC_ALL": "C"},
        {"TERM": ""},
    ],
    ids=str,
)
def test_a_live_race_on_any_terminal(env: dict[str, str], tmp_path: Path) -> None:
    asked = ("race", *SMALL, "--impl", "loops,numpy", "--record", "r.json")
    text = typescript(tmp_path, env, *GRADRACE, *asked)
    if env["TERM"] in ("dumb", ""):
        assert "\x1b[" not in text
    if "NO_COLOR" in env:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)
    for percent in re.findall(r"±([0-9.]+) ?%", text):
        assert float(percent) <= 100, "a width that says nothing"


@pytest.mark.field
def test_progress_shows_no_width_that_says_nothing(tmp_path: Path) -> None:
    asked = ("race", "--workload", "xor", "--batch-sizes", "1", "--impl", "loops,numpy")
    ended = race(*GRADRACE, *asked, "--record", "r.json", cwd=tmp_path, status=0)
    for percent in re.findall(r"±([0-9.]+) ?%", ended.text):
        assert float(percent) <= 100, ended.text


@pytest.mark.field
@pytest.mark.parametrize("place", ["mine.py", ":smile:.py", "[bold]x[bold].py", "[/].py"])
def test_a_name_is_printed_as_it_is(place: str, race: Command, gradrace: Command, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("import impls\nclass Rocket(impls.load('numpy')): pass\n")
    race("--impl", f"numpy,{place}:Rocket", status=0)
    text = gradrace("render", "record.json", "--out", "out", env={"COLUMNS": "200"}, status=0).text
    assert not [character for character in text if ord(character) > 0x1F000]
    assert f"{place}:Rocket" in text


def test_an_emoji_is_not_made_of_a_class_name(gradrace: Command, raced: Path, tmp_path: Path) -> None:
    text = raced.read_text("utf-8").replace('"numpy"', '"mine.py:Rocket"').replace('"loops"', '":rocket:"')
    (tmp_path / "r.json").write_text(text, "utf-8")
    ended = gradrace("render", "r.json", "--out", "out", env={"COLUMNS": "120"}, status=0)
    assert "\U0001f680" not in ended.text
    assert ":rocket:" in ended.text
    assert "mine.py:Rocket" in ended.text


@pytest.mark.field
@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("command", SHOWS)
def test_a_screen_without_unicode_shows_the_same_figures(
    env: dict[str, str], command: str, gradrace: Command, gallery: Path, tmp_path: Path
) -> None:
    text = shown(command, gradrace, gallery, tmp_path, env=env)
    assert text


def test_help_on_a_screen_without_unicode(gradrace: Command) -> None:
    gradrace("race", "--help", env={"PYTHONIOENCODING": "ascii", "COLUMNS": "40"}, status=0)
