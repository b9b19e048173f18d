"""Devices, pipes, links and mounted files are written to or through, or refused before any work."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import GRADRACE, NAMESPACE, SMALL, EndedCommand, as_nobody, run, statuses


def device(folder: Path) -> Path:
    """A device like /dev/null of the trial's own."""
    os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    return folder / "null"


WRITES: dict[str, Callable[[str | Path, Path], tuple[str | Path, ...]]] = {
    "race": lambda place, record: ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", place),
    "merge": lambda place, record: ("merge", record, "--record", place),
    "headline": lambda place, record: (
        *("headline", "--impl", "numpy", "--steps", "10", "--batch-size", "1", "--budget", "1"),
        *("--record", place),
    ),
}
COMMANDS = [
    "merge",
    pytest.param("race", marks=pytest.mark.field),
    pytest.param("headline", marks=pytest.mark.field),
]


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("command", WRITES)
def test_a_device_stays_a_device(command: str, gradrace: Command, raced: Path, tmp_path: Path) -> None:
    place = device(tmp_path)
    assert gradrace(*WRITES[command](place, raced)).status in (0, 2)
    assert stat.S_ISCHR(place.stat().st_mode)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_stays_a_link_and_its_target_is_the_record(
    command: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target.json", tmp_path / "link.json"
    target.write_text("")
    link.symlink_to(target)
    gradrace(*WRITES[command](link, raced), status=0)
    assert link.is_symlink()
    assert target.read_text("utf-8").startswith('{\n "format"')


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_to_nothing_is_written_through(
    command: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    link.symlink_to(target)
    gradrace(*WRITES[command](link, raced), status=0)
    assert link.is_symlink()
    assert target.is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_written_to_or_refused(
    command: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    ended = gradrace(*WRITES[command](pipe, raced))
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    if ended.status:
        assert ended.status == 2
    else:
        reader.join(10)
        assert found
        assert found[0].startswith(b"{")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", [".", "file/record.json", pytest.param("", marks=pytest.mark.field)])
def test_what_cannot_be_a_file_is_refused_before_any_work(
    command: str, name: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    ended = gradrace(*WRITES[command](name, raced), status=2)
    assert "--record" in ended.err or "record" in ended.err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("command", WRITES)
def test_a_file_that_is_mounted_by_itself_is_written_in_place(
    command: str, raced: Path, tmp_path: Path
) -> None:
    (tmp_path / "inside.json").write_text("")
    (tmp_path / "outside.json").write_text("")
    script = 'mount --bind outside.json inside.json; exec "$@"'
    asked = WRITES[command](tmp_path / "inside.json", raced)
    run(*NAMESPACE, script, "sh", *GRADRACE, *asked, cwd=tmp_path, status=0)
    assert (tmp_path / "outside.json").read_text("utf-8").startswith('{\n "format"')
    assert (tmp_path / "inside.json").read_text() == ""


def full(tmp_path: Path, size: str, *command: str | Path) -> EndedCommand:
    """A command whose folder `disk` has no more than `size`."""
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o size={size} none disk; "$@"; s=$?; ls -la disk; exit $s'
    return run(*NAMESPACE, script, "sh", *command, cwd=tmp_path)


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("command", WRITES)
def test_a_full_disk_is_an_error_with_its_reason(command: str, gallery: Path, tmp_path: Path) -> None:
    ended = full(tmp_path, "4k", *GRADRACE, *WRITES[command](Path("disk") / "record.json", gallery))
    assert ended.status not in (0, 1)
    assert "No space left on device" in ended.err


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("command", ["render", "export", "page"])
def test_a_full_disk_is_an_error_of_every_report(command: str, gallery: Path, tmp_path: Path) -> None:
    ended = full(tmp_path, "16k", *GRADRACE, command, gallery, "--out", "disk")
    assert ended.status not in (0, 1)
    assert "No space left on device" in ended.err


@pytest.mark.root
@pytest.mark.field
def test_a_disk_that_is_full_for_the_history_is_an_error(raced: Path, tmp_path: Path) -> None:
    ended = full(tmp_path, "16k", *GRADRACE, "history", "add", raced, "--db", "disk/history.sqlite")
    assert ended.status not in (0, 1)
    assert any(words in ended.err for words in ("full", "No space left", "disk I/O error"))


@pytest.mark.field
@pytest.mark.parametrize("command", ["render", "export", "page"])
def test_a_report_into_a_file_is_refused(
    command: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    ended = gradrace(command, raced, "--out", "file", status=2)
    assert "--out" in ended.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_record_keeps_its_mode(gradrace: Command, raced: Path, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("")
    (tmp_path / "record.json").chmod(0o640)
    gradrace("merge", raced, "--record", "record.json", status=0)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.field
@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/null", "/dev/fd/1"])
def test_the_devices_that_everyone_knows_can_be_named(place: str, gradrace: Command, raced: Path) -> None:
    ended = gradrace("merge", raced, "--record", place)
    assert ended.status in (0, 2)
    assert Path("/dev/null").is_char_device()


READS = {
    "standings": ("standings", "/dev/zero"),
    "render": ("render", "/dev/zero", "--out", "out"),
    "compare": ("compare", "record.json", "/dev/zero", "--out", "out"),
    "merge": ("merge", "/dev/zero", "--record", "merged.json"),
    "gate judge": ("gate", "judge", "/dev/zero"),
    "history add": ("history", "add", "/dev/zero", "--db", "h.sqlite"),
}


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=[] if c == "standings" else pytest.mark.field) for c in READS]
)
def test_a_device_without_an_end_is_not_read(command: str, raced: Path, tmp_path: Path) -> None:
    shutil.copyfile(raced, tmp_path / "record.json")
    ended = run("prlimit", "--as=4000000000", *GRADRACE, *READS[command], cwd=tmp_path)
    assert ended.status in (2, 3)
    assert "a device" in ended.err


@pytest.mark.field
def test_a_race_to_the_end_of_a_full_device_says_so(race: Command) -> None:
    ended = race("--record", "/dev/full")
    assert ended.status not in (0, 1)
    assert "No space left on device" in ended.err or "--record" in ended.err
    assert Path("/dev/full").is_char_device()


@pytest.mark.root
@pytest.mark.field
def test_whoever_may_not_write_is_told_before_any_work(tmp_path: Path) -> None:
    asked = ("race", *SMALL, "--impl", "numpy", "--record", tmp_path / "r.json")
    ended = run(*as_nobody(tmp_path), *GRADRACE, *asked, cwd=tmp_path)
    assert ended.status == 2
    assert "--record" in ended.err


@pytest.mark.field
def test_a_race_does_not_follow_a_link_in_a_circle(race: Command, tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    assert race("--record", "a.json").status == 2


def test_what_stands_beside_the_record_stays(race: Command, tmp_path: Path) -> None:
    (tmp_path / "neighbour.json").write_text("mine")
    race(status=0)
    assert (tmp_path / "neighbour.json").read_text() == "mine"
    assert statuses(tmp_path / "record.json") == {"numpy": {"measured"}}
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "neighbour.json",
        "record.json",
    ]
