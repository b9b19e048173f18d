"""Instruments that make a figure untrue are refused, or warned of with their cause."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import GRADRACE, ROOT, SMALL, run, statuses

INSTRUMENTS = {
    "sys.settrace": "import sys\nsys.settrace(lambda *_: None)\n",
    "sys.setprofile": "import sys\nsys.setprofile(lambda *_: None)\n",
    "cProfile": "import cProfile\nkept = cProfile.Profile()\nkept.enable()\n",
    "tracemalloc": "import tracemalloc\ntracemalloc.start()\n",
}
MONITORING = (
    "import sys\nif hasattr(sys, 'monitoring'):\n    sys.monitoring.use_tool_id(1, 'watcher')\n"
    "    sys.monitoring.set_events(1, sys.monitoring.events.LINE)\n"
)


def told(record: Path) -> str:
    """The warnings of a record."""
    document = json.loads(record.read_text("utf-8"))
    return "\n".join(warning for process in document["processes"] for warning in process["warnings"])


def site(folder: Path, code: str) -> dict[str, str]:
    """The environment in which every Python runs `code` first, as coverage's own subprocess hook does."""
    (folder / "path").mkdir()
    (folder / "path" / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder / "path")}


@pytest.mark.parametrize(
    "instrument",
    [pytest.param(i, marks=[] if i == "sys.settrace" else pytest.mark.field) for i in INSTRUMENTS],
)
def test_an_instrument_that_watches_every_process_is_named(
    instrument: str, race: Command, tmp_path: Path
) -> None:
    ended = race(env=site(tmp_path, INSTRUMENTS[instrument]))
    words = ended.err if ended.status else told(tmp_path / "record.json")
    assert ended.status in (0, 1, 2, 4)
    assert any(word in words for word in ("tracer", "profiler", "monitoring tool", "tracemalloc")), words


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring came with 3.12")
@pytest.mark.field
def test_a_monitoring_tool_is_named(race: Command, tmp_path: Path) -> None:
    ended = race(env=site(tmp_path, MONITORING))
    words = ended.err if ended.status else told(tmp_path / "record.json")
    assert "watcher" in words


@pytest.mark.field
@pytest.mark.parametrize("runner", ["cProfile", "trace"])
def test_pytest_under_an_instrument_names_it(runner: str, tmp_path: Path) -> None:
    flags = ("--count", f"--coverdir={tmp_path}") if runner == "trace" else ("-o", str(tmp_path / "profile"))
    asked = ("--benchmark-only", "--impl=numpy", "--workload=xor", "--batch-sizes=1")
    record = tmp_path / "r.json"
    command = (
        (sys.executable, "-m", runner, *flags, "--module", "pytest")
        if runner == "trace"
        else (sys.executable, "-m", runner, *flags, "-m", "pytest")
    )
    ended = run(*command, *asked, f"--record={record}", "--no-report", cwd=ROOT)
    assert "distorts every time" in ended.text
    assert not record.exists() or "measured" not in statuses(record)["numpy"]


@pytest.mark.field
@pytest.mark.parametrize("runner", ["cProfile", "trace"])
def test_an_instrument_of_the_command_alone_spoils_nothing(runner: str, tmp_path: Path) -> None:
    # The race's own process times nothing: what is timed runs in fresh processes.
    flags = ("--count", f"--coverdir={tmp_path}") if runner == "trace" else ("-o", str(tmp_path / "profile"))
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", str(tmp_path / "r.json"))
    run(sys.executable, "-m", runner, *flags, ROOT / "gradrace.py", *asked, cwd=tmp_path, status=0)
    assert "tracer" not in told(tmp_path / "r.json")


CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def quota(tmp_path: Path) -> Iterator[Path]:
    """A control group that gets a tenth of one CPU."""
    version_2 = (CGROUPS / "cgroup.controllers").exists()
    group = (CGROUPS if version_2 else CGROUPS / "cpu") / f"gradrace-{tmp_path.name}"
    try:
        group.mkdir()
        if version_2:
            (group / "cpu.max").write_text("10000 100000")
        else:
            (group / "cpu.cfs_quota_us").write_text("10000")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    for _ in range(50):  # its processes may still be ending
        try:
            return group.rmdir()
        except OSError:
            time.sleep(0.1)


@pytest.mark.root
@pytest.mark.field
def test_a_quota_that_throttles_is_named(quota: Path, tmp_path: Path) -> None:
    script = 'echo $$ > "$0"/cgroup.procs; exec "$@"'
    asked = ("race", "--quiet", *SMALL, "--impl", "numpy", "--record", "r.json", "--budget", "30")
    run("sh", "-c", script, quota, *GRADRACE, *asked, cwd=tmp_path, status=0, within=300)
    assert "quota" in told(tmp_path / "r.json")


@pytest.mark.field
def test_a_clean_race_names_no_instrument(race: Command, tmp_path: Path) -> None:
    race(status=0)
    for word in ("tracer", "profiler", "monitoring", "quota", "tracemalloc"):
        assert word not in told(tmp_path / "record.json")


@pytest.mark.field
def test_figures_under_a_tracer_are_not_written_into_a_readers_eyes(race: Command, tmp_path: Path) -> None:
    env = site(tmp_path, INSTRUMENTS["sys.settrace"])
    ended = race("--impl", "loops,numpy", env=env)
    if ended.status == 0:  # warned of, also where the record is shown
        shown = run(*GRADRACE, "render", tmp_path / "record.json", "--out", "out", cwd=tmp_path, status=0)
        assert "tracer" in shown.text
