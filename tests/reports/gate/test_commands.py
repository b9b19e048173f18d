"""`gradrace gate judge`: exit statuses, the table, the page's summary."""

import dataclasses
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Incident, Pairs
from gradrace import commands as gradrace
from reports.gate import commands, verdicts
from tests.reports.gate import pairs as by_hand

LOOPS, NUMPY, NUMBA = by_hand.names()
SLOWER = {NUMPY: [math.log(1.1)] * 12}
Judge = Callable[..., Result]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Judges pairs in an empty folder; returns click's result."""
    monkeypatch.chdir(tmp_path)

    def run(measured: Pairs, *arguments: str) -> Result:
        pairs_file.write(measured, tmp_path / "pairs.json")
        return CliRunner().invoke(gradrace, ["gate", "judge", "pairs.json", *arguments])

    return run


def same(pairs: int = 40, **changed: Any) -> Pairs:
    rng = random.Random(0)
    columns = {name: [rng.gauss(0, 0.004) for _ in range(pairs)] for name in by_hand.names()}
    columns[NUMBA] = [25 * d for d in columns[NUMBA]]
    return by_hand.made(columns, pairs, head="a" * 40, **changed)


def test_exit_codes(judge: Judge) -> None:
    assert judge(by_hand.made({})).exit_code == 0
    assert judge(by_hand.made(SLOWER)).exit_code == 1
    assert judge(by_hand.made({NUMPY: []})).exit_code == 2


def test_the_table_names_every_benchmark_with_its_verdict(judge: Judge) -> None:
    lines = judge(by_hand.made(SLOWER)).output.splitlines()
    assert lines[0].split() == [
        "benchmark",
        "verdict",
        "measure",
        "head",
        "/",
        "base",
        "95",
        "%",
        "interval",
        "pairs",
        "detectable",
    ]
    row = next(line for line in lines if line.startswith(NUMPY))
    assert row.removeprefix(NUMPY).split()[:3] == ["slower", "median", "1.100"]
    assert row.endswith("unknown")
    assert any(line.startswith("control hash") and "steady" in line for line in lines)
    assert lines[-1] == f"slower: {NUMPY}"


def test_a_narrow_terminal_has_the_figures_below_the_names(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Incident(LOOPS, "head", "failed", "it never called its benchmark fixture " * 5)
    judgement = verdicts.judge(by_hand.made(SLOWER, incidents=[lost]), {})
    narrow = commands.text(judgement, 80).splitlines()
    assert max(map(len, narrow)) <= 80
    assert narrow[0] == "benchmark"
    below = narrow[narrow.index(NUMPY) + 1].split()
    assert below[:3] == ["slower", "median", "1.100"]
    assert "    head: failed: it never called" in "\n".join(narrow)
    wide = commands.text(judgement)
    assert len(wide.splitlines()) < len(narrow)
    assert commands.text(judgement, max(map(len, wide.splitlines()))) == wide


def test_detectable_effects_are_printed_beside_the_verdicts(judge: Judge, tmp_path: Path) -> None:
    pairs_file.write(same(), tmp_path / "same.json")
    result = judge(by_hand.made(SLOWER), "--same-commit", "same.json")
    assert result.exit_code == 1
    row = {line[:30].split()[0]: line for line in result.output.splitlines() if line}
    assert row["numpy"].endswith("%")
    assert row["numba"].endswith("informational")
    assert "minimum detectable effects are from 40 pairs of one commit" in result.output


@pytest.mark.parametrize("place", commands.SAME_COMMIT, ids=str)
def test_the_pairs_of_one_commit_are_looked_for_in_their_places(
    judge: Judge, tmp_path: Path, place: Path
) -> None:
    pairs_file.write(same(), tmp_path / place)
    assert "effects are from 40 pairs" in judge(by_hand.made({})).output


def on_machine(measured: Pairs, machine: dict[str, Any]) -> Pairs:
    base, head = (dataclasses.replace(side, machine=machine) for side in (measured.base, measured.head))
    return dataclasses.replace(measured, base=base, head=head)


def test_pairs_of_one_commit_of_another_machine_are_not_used(judge: Judge, tmp_path: Path) -> None:
    pairs_file.write(on_machine(same(), {}), tmp_path / "same.json")
    result = judge(by_hand.made({}), "--same-commit", "same.json")
    assert "is from another machine" in result.output
    assert "informational" not in result.output


def test_pairs_of_one_commit_of_a_like_machine_are_used(judge: Judge, tmp_path: Path) -> None:
    pairs_file.write(on_machine(same(), {**by_hand.MACHINE, "memory_bytes": 1}), tmp_path / "same.json")
    assert "effects are from 40 pairs" in judge(by_hand.made({}), "--same-commit", "same.json").output


def test_pairs_of_one_commit_from_a_machine_that_was_not_steady_are_not_used(
    judge: Judge, tmp_path: Path
) -> None:
    pairs_file.write(by_hand.control_moved(same(), 1.1), tmp_path / "same.json")
    control = by_hand.CONTROLS[0].name
    result = judge(by_hand.made(SLOWER), "--same-commit", "same.json")
    assert result.exit_code == 1
    assert f"effects are unknown: {control} was not steady in same.json" in result.output
    assert "informational" not in result.output


def test_pairs_of_one_commit_from_two_commits_are_misuse(judge: Judge, tmp_path: Path) -> None:
    pairs_file.write(by_hand.made({}), tmp_path / "two.json")
    result = judge(by_hand.made({}), "--same-commit", "two.json")
    assert result.exit_code == 3
    assert "expected pairs of a commit with itself" in result.output


def test_the_summary_is_a_table_in_markdown(judge: Judge, tmp_path: Path) -> None:
    lost = Incident(NUMBA, "head", "failed", "a | b\nc")
    result = judge(by_hand.made(SLOWER, incidents=[lost]), "--summary", "summary.md")
    assert result.exit_code == 1
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert lines[0] == f"**slower: {NUMPY}**"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3 + 2
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_other_programs_read_the_verdict(judge: Judge, tmp_path: Path) -> None:
    lost = Incident(NUMBA, "head", "failed", "a < b & \x00 c")
    result = judge(by_hand.made(SLOWER, incidents=[lost]), "--json", "v.json", "--junit", "v.xml")
    assert result.exit_code == 1
    document = json.loads((tmp_path / "v.json").read_text())
    assert document["exit_code"] == 1
    rows = {row["name"]: row for row in document["rows"]}
    assert rows[NUMPY]["measures"][0]["value"] == pytest.approx(1.1)
    assert {row["verdict"] for row in rows.values()} == {"same", "slower", "incomparable"}
    suite = ElementTree.parse(tmp_path / "v.xml").getroot()[0]
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "1", "errors": "1", "skipped": "0"}
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [NUMPY]


def test_what_is_not_known_is_null_in_json(judge: Judge, tmp_path: Path) -> None:
    assert judge(by_hand.made({}, pairs=0), "--json", "v.json").exit_code == 2
    shown = json.loads((tmp_path / "v.json").read_text())["rows"][0]["measures"][0]
    assert (shown["pairs"], shown["value"], shown["high"]) == (0, None, None)


def test_the_folder_of_the_summary_is_made(judge: Judge, tmp_path: Path) -> None:
    assert judge(by_hand.made(SLOWER), "--summary", "out/new/summary.md").exit_code == 1
    assert (tmp_path / "out/new/summary.md").exists()


def test_a_summary_that_cannot_be_written_is_misuse(judge: Judge) -> None:
    assert judge(by_hand.made({}), "--summary", "/dev/null/summary.md").exit_code == 3


def test_versions_that_differ_are_named(judge: Judge) -> None:
    measured = by_hand.made({})
    newer = dataclasses.replace(measured.head, versions={"numpy": "2.1", "scipy": "1.14"})
    output = judge(dataclasses.replace(measured, head=newer)).output
    assert "versions differ: numpy: base 2.0, head 2.1" in output
    assert "versions differ: scipy: base none, head 1.14" in output


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "gradrace-record"}', "\x00\xff" * 40, "[" * 100_000]
)
def test_a_damaged_file_is_no_pass(content: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(content)
    result = CliRunner().invoke(gradrace, ["gate", "judge", str(path)])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_half_a_file_is_no_pass(judge: Judge, tmp_path: Path) -> None:
    judge(by_hand.made({}))
    text = (tmp_path / "pairs.json").read_text()
    (tmp_path / "pairs.json").write_text(text[: len(text) // 2])
    assert CliRunner().invoke(gradrace, ["gate", "judge", "pairs.json"]).exit_code == 2


def test_a_newer_schema_is_no_pass(judge: Judge, tmp_path: Path) -> None:
    judge(by_hand.made({}))
    document = json.loads((tmp_path / "pairs.json").read_text())
    document["schema"] += 1
    (tmp_path / "pairs.json").write_text(json.dumps(document))
    result = CliRunner().invoke(gradrace, ["gate", "judge", "pairs.json"])
    assert result.exit_code == 2
    assert "update gradrace" in result.output


@pytest.mark.parametrize("arguments", [[], ["missing.json"], ["--colour", "pairs.json"], ["a", "b"]])
def test_misuse_has_a_code_of_its_own(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(gradrace, ["gate", "judge", *arguments])
    assert result.exit_code == 3
    assert "Traceback" not in result.output


@pytest.mark.parametrize("raised", [ZeroDivisionError, KeyboardInterrupt, BrokenPipeError])
def test_a_mistake_of_ours_does_not_read_as_a_slowdown(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    def fail(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(verdicts, "judge", fail)
    assert judge(by_hand.made({})).exit_code == 2


def test_the_command_is_there(tmp_path: Path) -> None:
    pairs_file.write(by_hand.made(SLOWER), tmp_path / "pairs.json")
    command = [sys.executable, "-m", "reports", "gate", "judge", str(tmp_path / "pairs.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"slower: {NUMPY}"
