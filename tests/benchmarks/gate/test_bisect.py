"""The search for the slow commit, on noise and on a repository."""

import dataclasses
import math
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.gate import runner
from benchmarks.gate.bisect import FirstBad, search
from benchmarks.gate.commands import gate
from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.record.pairs_file import Pairs
from tests.benchmarks.gate import foreign
from tests.benchmarks.gate.foreign import CODE, commit, git
from tests.reports.gate import pairs as by_hand

COMMITS = tuple(f"commit {k}" for k in range(16))


def found(
    guilty: int, share: float, seed: int, spread: float = 0.02, broken: frozenset[str] = frozenset()
) -> FirstBad:
    rng = random.Random(seed)

    def measure(name: str) -> float:
        if name in broken:
            raise NoAnswer("it cannot be built")
        return rng.gauss(0, spread) + (math.log1p(share) if COMMITS.index(name) >= guilty else 0.0)

    return search(COMMITS, measure, lambda _: None)


@pytest.mark.parametrize("guilty", range(16))
def test_the_first_slower_commit_is_found(guilty: int) -> None:
    for seed in range(5):
        assert found(guilty, 0.10, seed).commits == (COMMITS[guilty],)


def test_a_search_keeps_its_error_rate_where_the_noise_is_as_large_as_the_slowdown() -> None:
    wrong = 0
    for seed in range(60):
        try:
            wrong += COMMITS[5] not in found(5, 0.10, seed, spread=0.10).commits
        except NoAnswer:
            continue
    assert wrong <= 6  # 3 expected at most


def test_commits_that_cannot_be_measured_are_passed_over() -> None:
    assert found(5, 0.1, 0, broken=frozenset({COMMITS[7], COMMITS[3]})).commits == (COMMITS[5],)
    # Where the one before the slow one cannot be measured it may be either.
    assert found(5, 0.1, 0, broken=frozenset({COMMITS[4]})).commits == COMMITS[4:6]


def test_ends_that_do_not_differ_have_nothing_to_search_for() -> None:
    with pytest.raises(NoAnswer, match="expected --bad to be slower than --good"):
        found(16, 0.1, 0)


def gradrace(root: Path, *arguments: str) -> foreign.GateOutcome:
    return foreign.ended([*foreign.GATE[:-1], *arguments], root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six commits, the third of which does everything twice."""
    folder = foreign.repository(tmp_path / "repository")
    git(folder, "tag", "good")
    twice = CODE.replace("return sum(", "return sum(math.sqrt(k) for k in range(n)) + sum(")
    for k, code in enumerate((CODE, CODE, twice, twice, twice, twice)):
        commit(folder, {"src/thing.py": f"{code}\n# change {k}\n"})
    return folder


@pytest.mark.field  # a minute
def test_a_slowdown_is_traced_to_its_commit(root: Path) -> None:
    done = gradrace(root, "bisect", "--repo", str(root), "--here", "--good", "good", "benchmarks")
    assert done.code == 0, done.err
    assert done.out.split() == [git(root, "rev-parse", "HEAD~3")]
    assert "is slower than the good end by" in done.err
    assert git(root, "status", "--porcelain") == ""
    assert len(git(root, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("bisect", "--good", "HEAD"), 3, "expected a commit after --good"),
        (("bisect", "--good", "nowhere"), 3, "--good: expected a branch"),
        (("bisect",), 3, "Missing option '--good'"),
        (("bisect", "--good", "HEAD", "--bad", "good"), 3, "expected an ancestor of --bad"),
        (("step",), 128, "Missing option '--good'"),
        (("step", "--good", "nowhere"), 128, "--good: expected a branch"),
        (("step", "--good", "good", "--", "-k", "nothing_like_it"), 125, "expected tests that use"),
    ],
)
def test_what_cannot_be_searched_is_named(
    root: Path, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    first, *others = arguments
    done = gradrace(root, first, "--repo", str(root), "--here", *others)
    assert done.code == code
    assert reason in done.err


SLOWER = [math.log(1.1)] * 12
SHOWN = dataclasses.replace(by_hand.TIMES, informational=True)
"""The terms of an informational benchmark."""


@pytest.mark.parametrize(
    ("measured", "code"),
    [
        (by_hand.made({}), 0),
        (by_hand.made({"numpy": SLOWER}), 1),
        (by_hand.made({"numpy": SLOWER, "loops": [0.0] * 3}), 1),
        (by_hand.made({"numpy": SLOWER}, terms=SHOWN), 0),
        (by_hand.made({"numpy": [0.0] * 3}, terms=SHOWN), 0),
        (by_hand.made({"numpy": [0.0] * 3}), 125),
        (by_hand.control_moved(by_hand.made({"numpy": SLOWER}), 1.5), 125),
        (NoAnswer("it cannot be built"), 125),
        (Refusal("another gate"), 128),
        (KeyError("a mistake of ours"), 128),
        (KeyboardInterrupt(), 130),
    ],
    ids=[
        "same",
        "slower",
        "enough",
        "shown",
        "shown and open",
        "open",
        "moved",
        "none",
        "refused",
        "mistaken",
        "stopped",
    ],
)
def test_git_bisect_run_is_answered_by_0_1_and_125_and_stopped_by_more(
    root: Path, monkeypatch: pytest.MonkeyPatch, measured: Pairs | BaseException, code: int
) -> None:
    def run(*_: object) -> Pairs:
        if isinstance(measured, BaseException):
            raise measured
        return measured

    monkeypatch.setattr(runner, "run", run)
    done = CliRunner().invoke(gate, ["step", "--repo", str(root), "--good", "good"])
    assert done.exit_code == code, done.output


def test_an_end_that_shares_no_history_is_refused_in_words(root: Path) -> None:
    git(root, "checkout", "--quiet", "--orphan", "elsewhere")
    commit(root, {})
    done = gradrace(root, "bisect", "--repo", str(root), "--here", "--good", "good", "--bad", "elsewhere")
    assert done.code == 3, done.err
    assert "expected an ancestor of --bad" in done.err
    assert "shallow" in done.err
    assert "Traceback" not in done.err
