"""`gradrace gate run` in the repository of another project: wrong usage, interruptions and failures."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pairs
from gradrace import commands
from tests.benchmarks.gate import foreign
from tests.benchmarks.gate.foreign import CODE, SUITE, commit, git, run, start

WORK = ("benchmarks/test_thing.py::test_work[10]", "benchmarks/test_thing.py::test_work[300]")
TWICE = CODE + "\n\nonce = work\n\n\ndef work(n):\n    return once(n) + once(n)\n"
ONE_PAIR = ("--base", "main~1", "--pairs", "1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return foreign.repository(tmp_path / "repository")


def measured(root: Path, *arguments: str) -> Pairs:
    """The pairs of a gate that measures, and leaves nothing in the tree."""
    out = root.parent / "pairs.json"
    done = run(root, "--out", str(out), *arguments)
    assert (done.code, done.out.strip()) == (0, str(out)), done.err
    assert git(root, "status", "--porcelain") == ""
    assert len(git(root, "worktree", "list").splitlines()) == 1
    return pairs_file.read(out)


def test_pairs_of_fresh_processes_are_measured_in_turns(root: Path) -> None:
    head = commit(root, {"src/thing.py": TWICE})
    record = measured(root, "--base", "main~1", "--pairs", "1")
    assert record.head.commit == head
    assert record.base.commit == git(root, "rev-parse", "main~1")
    assert record.base.machine == record.head.machine
    assert record.base.versions["pytest"]
    assert not record.incidents
    assert [b.name for b in record.benchmarks if not b.control] == list(WORK)
    assert [b.params for b in record.benchmarks if not b.control] == [{"n": 10}, {"n": 300}]
    assert len({seed for p in record.pairs for seed in (p.base_hash_seed, p.head_hash_seed)}) == 2
    for pair, found in zip(record.pairs, pairs_file.series(record), strict=True):
        assert {reading.benchmark for reading in pair.readings} == {b.name for b in record.benchmarks}
        assert all(len(r.base) > 20 for r in pair.readings)
        # A function that does everything twice: no noise hides that.
        assert found[WORK[1]]["median"] > 0.2
        assert found[WORK[1]].keys() == {"median", "mean", "tail", "processes", "first call", "memory"}


LOST_LATER = """
import pathlib
import pytest

STARTS = pathlib.Path({starts!r})


def test_work(benchmark):
    with STARTS.open("a") as file:
        file.write("x")
    if len(STARTS.read_text()) > {most}:
        pytest.fail("later")
    benchmark(sum, range(100))
"""


def test_controls_settle_when_the_last_benchmark_is_lost(root: Path, tmp_path: Path) -> None:
    # one start of the survey, and one of each side a pair
    suite = LOST_LATER.format(starts=str(tmp_path / "starts"), most=3)
    commit(root, {"benchmarks/test_thing.py": suite})
    out = tmp_path / "pairs.json"
    process = start(root, "--base", "main", "--budget", "600", "--out", str(out))
    wait_for(out)
    while len(pairs_file.read(out).pairs) < 3 and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    process.communicate()
    record = pairs_file.read(out)
    assert [incident.reason for incident in record.incidents]
    # one pair with the benchmark, one in which it was lost, and then the controls alone
    assert len(record.pairs) > 2
    assert all(reading.benchmark.startswith("control") for reading in record.pairs[-1].readings)


KINDS = """
import asyncio
import pytest


async def coroutine():
    pass


def test_plain(benchmark):
    assert benchmark(sum, [1, 2]) == 3
    assert benchmark.stats["mean"] > 0 and benchmark.stats.stats.max >= benchmark.stats.min
    benchmark.extra_info["some"] = "thing"


@pytest.mark.benchmark(group="some group", min_rounds=3)
def test_decorated(benchmark):
    @benchmark
    def result():
        return 5

    assert result == 5


def test_pedantic(benchmark):
    assert benchmark.pedantic(sum, args=([1, 2],), rounds=7, iterations=3, warmup_rounds=1) == 3


def test_once(benchmark):
    queue = [1]
    assert benchmark.pedantic(queue.pop) == 1


def test_setup(benchmark):
    made, ended = [], []

    def setup():
        made.append(1)
        return ([3, 1, 2],), {"reverse": True}

    def sort(numbers, reverse):
        numbers.sort(reverse=reverse)

    def teardown(numbers, reverse):
        ended.append(1)

    benchmark.pedantic(sort, setup=setup, teardown=teardown, rounds=9)
    assert len(made) == len(ended) == 9


class TestInClass:
    @pytest.fixture(autouse=True)
    def bound(self, benchmark):
        self.benchmark = benchmark

    def test_method(self):
        self.benchmark(len, "abc")


async def test_async(benchmark):
    pass


def test_coroutine(benchmark):
    benchmark(coroutine)


def test_woven(benchmark):
    benchmark.weave(sum)


@pytest.mark.skip(reason="not today")
def test_skipped(benchmark):
    benchmark(sum, [1])


def test_unused(benchmark):
    pass


def test_twice(benchmark):
    benchmark(sum, [1])
    benchmark(sum, [1])


def test_raises(benchmark):
    benchmark(int, "x")


def test_no_benchmark():
    raise RuntimeError("nobody runs me")
"""


def test_every_way_to_use_the_fixture_is_timed_or_named(root: Path) -> None:
    commit(
        root, {"benchmarks/test_thing.py": KINDS, "pytest.ini": "[pytest]\naddopts = --benchmark-only -x\n"}
    )
    record = measured(root, "--base", "main", "--pairs", "1")

    def short(name: str) -> str:
        return name.removeprefix("benchmarks/test_thing.py::")

    (pair,) = record.pairs
    turns = {short(r.benchmark): len(r.base) for r in pair.readings if "control" not in r.benchmark}
    assert turns.keys() == {
        *(
            "test_plain",
            "test_decorated",
            "test_pedantic",
            "test_once",
            "test_setup",
            "TestInClass::test_method",
        )
    }
    assert (turns["test_pedantic"], turns["test_once"], turns["test_setup"]) == (7, 1, 8)
    assert {short(b.name): b.group for b in record.benchmarks if b.group} == {"test_decorated": "some group"}
    left_out = {short(name): why for name, why in record.left_out.items()}
    assert left_out.keys() == {"test_async", "test_coroutine", "test_woven", "test_skipped"}
    assert left_out["test_skipped"] == "not today"
    lost = {(short(i.benchmark), i.status): i.reason for i in record.incidents}
    assert lost.keys() == {("test_unused", "failed"), ("test_twice", "failed"), ("test_raises", "failed")}
    assert "never called" in lost["test_unused", "failed"]
    assert "only be used once" in lost["test_twice", "failed"]
    assert lost["test_raises", "failed"].startswith("ValueError: invalid literal")


REPLACED = """
import pytest


@pytest.fixture
def benchmark():
    return lambda function, *arguments: function(*arguments)
"""

WRAPPED = """
import pytest


@pytest.fixture
def benchmark(benchmark):
    benchmark.extra_info["some"] = "thing"
    return benchmark
"""


def test_a_fixture_of_the_projects_own_is_told_from_one_that_wraps_ours(root: Path) -> None:
    commit(root, {"benchmarks/conftest.py": WRAPPED, "pytest.ini": "[pytest]\nfilterwarnings = error\n"})
    record = measured(root, "--base", "main", "--pairs", "1")
    assert not record.incidents
    assert not record.left_out
    commit(root, {"benchmarks/conftest.py": REPLACED})
    done = run(root, "--base", "main", "--pairs", "1")
    assert done.code == 2
    assert "and 1 other: the project's own `benchmark` fixture" in done.err


def test_a_fixture_that_head_replaces_watches_nothing(root: Path) -> None:
    commit(root, {"benchmarks/conftest.py": REPLACED})
    done = run(root, *ONE_PAIR, "--out", str(root.parent / "pairs.json"))
    assert done.code == 2, done.err
    assert "base watches it, and head does not: the project's own `benchmark` fixture" in done.err


ENDS = """
import os
import pytest
import thing

HOW = ["raising", "exiting", "crashing"]


@pytest.mark.parametrize("how", HOW)
def test_end(benchmark, how):
    benchmark(getattr(thing, how))
"""


def test_what_head_cannot_run_is_put_on_record(root: Path) -> None:
    fine = "raising = exiting = crashing = print\n"
    commit(root, {"src/thing.py": fine, "benchmarks/test_thing.py": ENDS})
    broken = """
import os


def raising():
    raise KeyError("gone")


def exiting():
    os._exit(9)


crashing = os.abort
"""
    commit(root, {"src/thing.py": broken})
    done = run(root, "--base", "main~1", "--pairs", "1", "--out", str(root.parent / "pairs.json"))
    assert done.code == 2, done.err
    reasons = {"raising": "KeyError: 'gone'", "exiting": "status 9", "crashing": "SIGABRT"}
    for how, reason in reasons.items():
        assert re.search(rf"test_end\[{how}\] of head: .*{reason}", done.err), done.err


def test_a_suite_that_head_cannot_import_is_no_answer(root: Path) -> None:
    commit(root, {"src/thing.py": "raise ImportError('no such thing')"})
    done = run(root, *ONE_PAIR, "--out", str(root.parent / "pairs.json"))
    assert done.code == 2, done.err
    for name in WORK:
        assert f"{name} of head: base watches it, and head does not" in done.err
    assert "no such thing" in done.err


def test_what_a_side_does_not_have_is_lost_and_the_rest_is_measured(root: Path) -> None:
    more = SUITE + "\n\ndef test_sum(benchmark):\n    benchmark(sum, range(100))\n"
    broken = {"benchmarks/test_broken.py": "import no_such_package\n"}
    commit(root, {"benchmarks/test_more.py": more.replace("test_work", "test_other"), **broken})
    commit(root, {"benchmarks/test_more.py": None})
    record = measured(root, *ONE_PAIR)
    lost = {(i.benchmark.partition("[")[0], i.side, i.status) for i in record.incidents}
    vanished = {(name, side, status) for name, side, status in lost if status == "vanished"}
    assert vanished == {
        ("benchmarks/test_more.py::test_other", "head", "vanished"),
        ("benchmarks/test_more.py::test_sum", "head", "vanished"),
    }
    # a file that neither side can collect
    ((name, _, status),) = lost - vanished
    assert (name, status) == ("benchmarks/test_broken.py", "failed")
    (reason,) = (incident.reason for incident in record.incidents if incident.benchmark == name)
    assert "No module named 'no_such_package'" in reason
    assert set(WORK) <= {reading.benchmark for reading in record.pairs[0].readings}


def test_files_that_differ_are_taken_from_both_sides_in_turn(root: Path) -> None:
    easier = SUITE.replace("benchmark(work, n)", "benchmark(work, 1)")
    new = "\n\ndef test_new(benchmark):\n    from thing import more\n\n    benchmark(more, 9)\n"
    code = TWICE + "\n\nmore = work\n"
    commit(root, {"src/thing.py": code, "benchmarks/test_thing.py": easier + new})
    record = measured(root, "--base", "main~1", "--pairs", "2")
    assert not record.incidents
    # a new benchmark of new code is named, and decides nothing
    assert "cannot be run on base" in record.left_out["benchmarks/test_thing.py::test_new"]
    assert any("benchmarks/test_thing.py: base and head differ" in note for note in record.notes)
    read = [{r.benchmark for r in pair.readings if "control" not in r.benchmark} for pair in record.pairs]
    theirs = f"{WORK[1]} (base's file)"
    assert read == [set(WORK), {f"{WORK[0]} (base's file)", theirs}]
    assert pairs_file.series(record)[1][theirs]["median"] > 0.2  # head's easier file does not hide it
    calls = {reading.benchmark: reading.iterations for pair in record.pairs for reading in pair.readings}
    assert calls[theirs] < calls[WORK[1]]  # of an easier one it takes more to fill a turn


def test_a_tree_whose_own_code_runs_on_both_sides_is_no_answer(root: Path) -> None:
    commit(root, {"benchmarks/conftest.py": f"import sys\nsys.path.insert(0, {str(root / 'src')!r})\n"})
    done = run(root, "--base", "main", "--pairs", "1", "--out", str(root.parent / "pairs.json"))
    assert done.code == 2
    assert "expected code of its own worktree" in done.err


def test_what_does_not_fit_into_the_budget_is_named(root: Path) -> None:
    slow = SUITE + "\n\ndef test_slow(benchmark):\n    import time\n\n    benchmark(time.sleep, 0.5)\n"
    commit(root, {"benchmarks/test_thing.py": slow})
    record = measured(root, "--base", "main", "--budget", "0.01")
    assert len(record.pairs) == 1  # one is always tried
    lost = {(i.benchmark, i.status) for i in record.incidents}
    assert ("benchmarks/test_thing.py::test_slow", "too slow") in lost


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_gate_that_is_stopped_is_no_answer_and_cleans_up(root: Path, how: signal.Signals) -> None:
    out = root.parent / "pairs.json"
    process = start(root, "--base", "main", "--pairs", "30", "--out", str(out))
    wait_for(out)
    second = run(root, "--base", "main", "--out", str(root.parent / "others.json"))
    assert second.code == 3
    assert "expected no other gate" in second.err
    process.send_signal(how)
    _, err = process.communicate()
    assert process.returncode == 2
    assert "stopped; continue with --resume" in err
    assert "Traceback" not in err
    assert pairs_file.read(out).pairs
    assert len(git(root, "worktree", "list").splitlines()) == 1


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 300
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_no_process_outlives_a_killed_gate(root: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    endless = f"""
import os, pathlib


def work(n):
    pathlib.Path({str(tmp_path / "part")!r}).write_text(str(os.getpid()))
    os.rename({str(tmp_path / "part")!r}, {str(mark)!r})
    while True:
        pass
"""
    commit(root, {"src/thing.py": endless})
    process = start(root, "--base", "main", "--pairs", "1", "--out", str(tmp_path / "pairs.json"))
    wait_for(mark)
    worker = int(mark.read_text())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)
    assert git(root, "status", "--porcelain") == ""


def alive(process_id: int) -> bool:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"  # a process that has ended may be left as a zombie


def test_a_killed_gate_keeps_its_pairs_and_goes_on_from_them(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.json"
    asked = ("--base", "main", "--pairs", "2", "--out", str(out))
    process = start(root, *asked)
    wait_for(out)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = pairs_file.read(out)
    assert len(kept.pairs) == 1
    done = run(root, *asked, "--resume")
    assert done.code == 0, done.err
    record = pairs_file.read(out)
    assert len(record.pairs) == 2
    assert record.pairs[:1] == kept.pairs
    assert len(git(root, "worktree", "list").splitlines()) == 1
    # Other thresholds are another comparison, as is another head.
    done = run(root, *asked, "--resume", "--target", "30")
    assert done.code == 3
    assert "--resume: what is asked of" in done.err
    commit(root, {"src/thing.py": TWICE})
    done = run(root, *asked, "--resume")
    assert done.code == 3
    assert "--resume: " in done.err
    assert pairs_file.read(out) == record
    # Without --resume the file is kept beside the new one.
    measured(root, "--base", "main", "--pairs", "1")
    assert pairs_file.read(out.with_name("pairs.json.previous")) == record


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Missing option '--base'"),
        (("--base", "nowhere"), "--base: expected a branch, a tag or a commit"),
        (("--base", "--upload-pack=x"), "--base: expected a branch, a tag or a commit"),
        (("--base", "$(touch x)"), "--base: expected a branch, a tag or a commit"),
        (("--base", "main", "--head", "`touch x`"), "--head: expected a branch, a tag or a commit"),
        (("--base", "main", "--budget", "0"), "'--budget': expected a positive number"),
        (("--base", "main", "--budget", "inf"), "'--budget': expected a positive number"),
        (("--base", "main", "--target", "inf"), "minimum effect and target: expected"),
        (("--base", "main", "--minimum-effect", "6"), "minimum effect"),
        (("--base", "main", "--out", "/dev/null/pairs.json"), "'--out': expected a place"),
        (("--base", "main", "--config", "nowhere.toml"), "--config: expected a TOML file"),
        (("--base", "main", "--repo", "/nowhere"), "'--repo'"),
        (("--base", "main", "--repo", "/dev"), "expected a Git repository"),
        (("--base", "main", "--requirements", "../x.txt"), "expected a path from the root"),
        (("--base", "main", "--", "/tests"), "expected paths from the root"),
        (("--base", "main", "--", "../tests"), "expected paths from the root"),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(root: Path, arguments: tuple[str, ...], reason: str) -> None:
    terminated = signal.getsignal(signal.SIGTERM)  # which a gate, in this process for once, takes for itself
    try:
        asked = ["gate", "run", "--repo", str(root), "--here", *arguments]
        done = CliRunner(env=foreign.environment(root.parent / "cache")).invoke(commands, asked)
    finally:
        signal.signal(signal.SIGTERM, terminated)
    assert done.exit_code == 3
    assert reason in done.stderr
    assert not (root / "x").exists()


def test_changes_that_are_not_committed_are_refused(root: Path) -> None:
    (root / "src" / "thing.py").write_text("")
    done = run(root, "--base", "main")
    assert done.code == 3
    assert "expected a clean working tree" in done.err
    assert "src/thing.py" in done.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("--", "-k", "nothing_of_that_name"),
            "expected tests that use pytest-benchmark's `benchmark` fixture",
        ),
        (("--", "--no-such-option"), "unrecognized arguments: --no-such-option"),
        (("--", "no_such_folder"), "file or directory not found: no_such_folder"),
    ],
)
def test_a_suite_that_has_nothing_to_measure_is_no_answer(
    root: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = run(root, "--base", "main", "--out", str(root.parent / "pairs.json"), *arguments)
    assert done.code == 2
    assert reason in done.err
    assert "Traceback" not in done.err


def test_a_commit_whose_install_fails_is_no_answer(root: Path, tmp_path: Path) -> None:
    commit(root, {"pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'nothing_here'\n"})
    command = [*foreign.GATE, "--repo", str(root), "--base", "main", "--out", str(tmp_path / "pairs.json")]
    done = foreign.ended(command, root)
    assert done.code == 2
    assert "the environment of base could not be built" in done.err
    assert git(root, "status", "--porcelain") == ""


def test_a_place_without_space_is_no_answer(root: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists() or os.geteuid() != 0:
        pytest.skip("needs /dev/full")
    done = run(root, "--base", "main", "--pairs", "1", "--out", "/dev/full")
    assert done.code in (2, 3)
    assert "Traceback" not in done.err
