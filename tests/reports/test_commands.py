"""`python -m reports`: what it writes and prints, and how it refuses."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.record import race_file
from gradrace import commands
from reports.tables import exports
from tests.reports.records import LADDER, cell, race, record

ROOT = Path(__file__).parents[2]

VERBS = ("render", "export", "page")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    """The message of a command that ends with 2 and no traceback."""
    found = run(*arguments)
    assert found.exit_code == 2, found.output
    assert isinstance(found.exception, SystemExit)
    assert found.output.startswith(("Error: ", "Usage: "))
    return found.output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of three implementations in a file."""
    place = tmp_path / "record.json"
    race_file.write(race(LADDER[:3], processes=2), place)
    return place


def test_render_writes_pictures_and_a_summary_and_prints_their_paths(path: Path, tmp_path: Path) -> None:
    found = run("render", path, "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    for name in (
        "time.svg",
        "time.png",
        "speedup.svg",
        "speedup.png",
        "heat.svg",
        "ladder.svg",
        "summary.md",
    ):
        assert (tmp_path / "out" / name).stat().st_size > 500
        assert str(tmp_path / "out" / name) in found.output
    assert "numpy-sample" in found.output
    assert "x as fast as loops at m = " in found.output
    leftovers = [each.name for each in (tmp_path / "out").iterdir() if each.name.startswith(".")]
    assert leftovers == []


def test_the_summary_shows_the_table_and_its_pictures(path: Path, tmp_path: Path) -> None:
    run("render", path, "--out", tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert "![Speedup against batch size](speedup.svg)" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "|  | m = 1 | m = 4 | m = 16 | m = 64 | m = 256 | m = 1024 |"
    assert len(rows) == 2 + 3
    assert "95 % interval over 2 processes" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty file"),
        ("  \n", "empty file"),
        ('{"format": "gradrace-record", "sch', "truncated"),
        ('{"machine_info": {}, "benchmarks": []}', "another tool"),
        ("[1, 2]", "another tool"),
        ('{"format": "gradrace-record", "schema": 999}', "update gradrace"),
        ('{"format": "gradrace-record", "schema": 1}', "missing required field"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "truncated or damaged"),
        ('{"format": "gradrace-record", "schema": 1, "created": NaN}', "damaged"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_record_is_refused(verb: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    place = tmp_path / "record.json"
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    message = refused(verb, place, "--out", tmp_path / "out")
    assert words in message
    assert "record.json" in message
    assert not (tmp_path / "out").exists()


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused("render", tmp_path / "none.json")
    assert "Is a directory" in refused("render", tmp_path)


def test_half_of_a_surrogate_pair_is_refused(path: Path) -> None:
    document = json.loads(path.read_text())
    document["measurements"][0]["implementation"] = "\ud800"
    path.write_text(json.dumps(document))
    assert "surrogate" in refused("render", path)


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    verb: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.analysis.Analysis.cells", None)  # any work raises
    for out in (path / "below", Path("/proc/nobody")):
        assert "expected a folder that can be written" in refused(verb, path, "--out", out)


def test_an_unknown_choice_is_refused_with_those_there_are(path: Path, tmp_path: Path) -> None:
    message = refused("render", path, "--baseline", "jax", "--out", tmp_path)
    assert "loops, loops-ndarray, numpy-sample" in message
    for option, value in (("workload", "mnist"), ("phase", "step"), ("dtype", "float16"), ("threads", "7")):
        message = refused("render", path, f"--{option}", value, "--out", tmp_path)
        assert f"{option}: expected one of" in message
    assert "not a valid integer" in refused("render", path, "--threads", "two")


def test_an_empty_race_is_refused(tmp_path: Path) -> None:
    race_file.write(record([]), tmp_path / "record.json")
    for verb in ("render", "page"):
        assert "no measurement" in refused(verb, tmp_path / "record.json", "--out", tmp_path)


def test_other_workloads_are_drawn_too_under_names_of_their_own(tmp_path: Path) -> None:
    names = ("digits", "a/b", "a b", "../..", "c")
    race_file.write(race(LADDER[:2], processes=1, workloads=names), tmp_path / "record.json")
    found = run("render", tmp_path / "record.json", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    pictures = sorted(path.name for path in (tmp_path / "out").glob("speedup*.svg"))
    assert pictures == [
        "speedup-3.svg",
        "speedup-a-b-1.svg",
        "speedup-a-b-2.svg",
        "speedup-c.svg",
        "speedup.svg",
    ]


def test_compare_sets_records_side_by_side(path: Path, tmp_path: Path) -> None:
    faster = tmp_path / "faster.json"
    race_file.write(
        race(LADDER[:3], processes=2, scale=0.5, versions={"python": "3.13", "numpy": "2.4"}), faster
    )
    found = run("compare", path, faster, "--out", tmp_path)
    assert found.exit_code == 0, found.output
    text = (tmp_path / "compare.md").read_text()
    assert "| python | 3.11 | 3.13 |" in text
    assert "| numpy |" not in text  # the same in both
    assert "not a regression test" in text
    assert "2.00x" in text
    assert (tmp_path / "compare-1.png").exists()
    assert "two records or more" in refused("compare", path, "--out", tmp_path)
    assert "expected both records to hold" in refused("compare", path, other(tmp_path), "--out", tmp_path)


def other(folder: Path) -> Path:
    """The record of another workload."""
    race_file.write(race(LADDER[:2], processes=1, workloads=("xor",)), folder / "xor.json")
    return folder / "xor.json"


def test_an_export_that_lacks_a_library_writes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(table: object) -> bytes:
        raise ImportError("pyarrow")

    monkeypatch.setattr(exports, "parquet", lacking)
    text = refused("export", path, "--out", tmp_path / "out")
    assert "pip install -e '.[page]', or choose --format csv" in text
    assert list((tmp_path / "out").iterdir()) == []
    assert run("export", path, "--out", tmp_path / "out", "--format", "action").exit_code == 0


def test_trainings_are_printed_side_by_side(path: Path, tmp_path: Path) -> None:
    message = refused("trainings", path)
    assert "expected a record with steps in it, got none; race with --phases gradients,step" in message
    made = race(LADDER[:4], (1, 64), 2, workloads=("digits", "digits+adam"), phases=("gradients", "step"))
    adam = dataclasses.replace(made.workloads["digits"], training=race_file.RecordedTraining("adam"))
    workloads = {"digits": made.workloads["digits"], "digits+adam": adam}
    race_file.write(dataclasses.replace(made, workloads=workloads), tmp_path / "trainings.json")
    found = run("trainings", tmp_path / "trainings.json")
    assert found.exit_code == 0, found.output
    for words in ("adam, numpy, m = 64", "beyond its gradients", "numpy, m = 1", "as that of loops"):
        assert words in found.output
    unknown = refused("trainings", tmp_path / "trainings.json", "--dtype", "float32")
    assert "dtype: expected one of float64" in unknown


def test_warnings_of_the_race_are_shown(tmp_path: Path) -> None:
    processes = tuple(
        race_file.Process(k, "now", 1.0, warnings=("the machine was busy | <b>",)) for k in range(2)
    )
    race_file.write(
        record([cell("loops", 1), cell("loops", 1, 1)], processes=processes), tmp_path / "record.json"
    )
    found = run("render", tmp_path / "record.json", "--out", tmp_path)
    assert "warning: the machine was busy | <b> (2 of 2 processes)" in found.output
    assert "the machine was busy \\| \\<b\\>" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("lacking", ["gradients", "calibration"])
def test_standings_have_no_figure_of_what_was_not_measured(lacking: str, tmp_path: Path) -> None:
    made = race(LADDER[:3], processes=2)
    if lacking == "gradients":
        steps = tuple(dataclasses.replace(m, phase="step") for m in made.measurements)
        made = dataclasses.replace(made, measurements=steps)
    else:
        bare = tuple(dataclasses.replace(process, calibration={}) for process in made.processes)
        made = dataclasses.replace(made, processes=bare)
    race_file.write(made, tmp_path / "record.json")
    found = run("standings", tmp_path / "record.json")
    assert found.exit_code == 0
    assert "digits" in found.output
    assert "nan" not in found.output


def test_a_reader_who_has_seen_enough_ends_it_in_silence(path: Path) -> None:
    command = [sys.executable, "-m", "reports", "standings", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_answers_without_pandas_or_matplotlib() -> None:
    code = (
        "import sys; from reports.cli import main; main(['--help'], standalone_mode=False);"
        "assert not {'pandas', 'matplotlib', 'numpy', 'scipy', 'altair'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "render" in found.stdout
