"""One batch over ranks: the gradients of the whole batch, equal to the bit, and jobs that end as one."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import impls
from impls import shares
from impls.child import ChildError
from impls.ranks import in_ranks, quoted
from impls.referee import conformance

NETWORK = impls.Network((5, 7, 6, 3), ("tanh", "relu", "softmax"), "softmax_cross_entropy")
HERE = Path(__file__)


@given(st.integers(1, 9), st.integers(0, 40))
def test_every_column_of_a_batch_has_one_rank_and_no_rank_two_more_than_another(P: int, more: int) -> None:
    m = P + more
    columns = [shares.columns_of("it", m, rank, P) for rank in range(P)]
    assert [column for own in columns for column in range(m)[own]] == list(range(m))
    assert {own.stop - own.start for own in columns} <= {m // P, m // P + 1}


def test_a_share_has_its_columns_of_every_batch() -> None:
    problem = impls.Problem.random(NETWORK, samples=14, batch_size=7)
    share = shares.share_of(problem, slice(2, 5))
    assert (share.batch_size, share.batches) == (3, 2)
    assert np.array_equal(share.X, problem.X[:, [2, 3, 4, 9, 10, 11]])
    assert np.array_equal(share.Y, problem.Y[:, [2, 3, 4, 9, 10, 11]])


def test_ranks_are_for_implementations_that_take_them() -> None:
    with pytest.raises(ValueError, match=r"ranks: expected an implementation .*numpy-mpi.*, got numpy"):
        impls.load("numpy", ranks=2)
    with pytest.raises(ValueError, match="ranks: expected 1 or more, got 0"):
        impls.load("numpy-mpi", ranks=0)


def test_without_an_mpi_there_is_a_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(impls.Unavailable, match=r"there is no (mpi4py|mpiexec) here: pip install"):
        in_ranks.__wrapped__("it", "module:It", 2, "mpiexec", "pip install it")


def test_without_what_it_imports_there_is_a_line_that_says_what_to_install() -> None:
    words = r"cannot be loaded in 2 ranks .*pip install it\): .*No module named 'no_such_package'"
    with pytest.raises(impls.Unavailable, match=words):
        in_ranks.__wrapped__("it", "no_such_package:It", 2, "python", "pip install it")


def test_an_mpi_that_does_not_start_for_root_is_named_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mpi4py")
    mpiexec = tmp_path / "mpiexec"
    mpiexec.write_text("#!/bin/sh\necho 'mpiexec (Open MPI) 5.0.8'\n")
    mpiexec.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(impls.Unavailable, match=r"does not start for root: .* OMPI_ALLOW_RUN_AS_ROOT"):
        in_ranks.__wrapped__("it", "module:It", 2, "mpiexec", "")


def test_of_a_job_the_words_of_its_ranks_are_quoted_where_there_are_any() -> None:
    assert quoted("=== BAD ===\nrank 1: ValueError: why\n= EXIT STATUS: 1\n") == "rank 1: ValueError: why"
    assert quoted("no such host") == "no such host"


@pytest.fixture(
    params=[
        # JAX compiles everything anew in each process
        pytest.param(name, marks=pytest.mark.field) if name == "jax-gloo" else name
        for name in impls.names(ranks=True)
    ],
    scope="module",
)
def name(request: pytest.FixtureRequest) -> str:
    """Every implementation that takes ranks; skipped, with the reason, where what it needs is not there."""
    found: str = request.param
    try:
        impls.load(found, ranks=2)
    except impls.Unavailable as missing:
        pytest.skip(str(missing))
    return found


EVEN = ("jax-gloo",)
"""The implementations that need equally many samples on each rank."""


def trained(optimizer: str = "adam", dropout: float = 0.4, batch_size: int = 6) -> impls.Problem:
    training = impls.Training(optimizer, l2=1e-3, dropout=dropout, seed=3)
    return impls.Problem.random(NETWORK, 2 * batch_size, batch_size, seed=batch_size, training=training)


@pytest.mark.parametrize("P", [2, 3])
@pytest.mark.parametrize("dtype", impls.DTYPES)
def test_gradients_and_steps_are_those_of_the_whole_batch(name: str, P: int, dtype: str) -> None:
    for problem in (trained(), trained("gradient_descent", 0.0), trained(batch_size=7)):
        if name in EVEN and problem.batch_size % P:
            with pytest.raises(impls.Unsupported, match=f"as many samples on each rank, got {P} ranks"):
                impls.load(name, ranks=P)(problem, dtype)
            continue
        verdict = impls.check(impls.load(name, ranks=P)(problem, dtype), problem, dtype)
        assert verdict.passed, verdict.message


def test_more_ranks_than_samples_are_unsupported(name: str) -> None:
    with pytest.raises(impls.Unsupported, match="a sample for each rank, got 2 ranks and batch_size 1"):
        impls.load(name, ranks=2)(trained(batch_size=1))


@pytest.mark.parametrize(
    "laws",
    [("two calls agree", "train(n) is n steps"), pytest.param(None, marks=pytest.mark.field)],
    ids=["some", "all"],
)
def test_a_job_obeys_the_laws_of_one_process(name: str, laws: tuple[str, ...] | None) -> None:
    ranks = 1 if name in EVEN else 2  # the batches of the laws are odd
    findings = list(conformance.examine(impls.load(name, ranks), laws))
    assert any(finding.status == "passed" for finding in findings)
    assert [finding for finding in findings if finding.status == "failed"] == []


def test_communication_is_timed_and_leaves_the_gradients_whole(name: str) -> None:
    problem = trained()
    race = impls.load(name, ranks=2)(problem)
    race.gradients_alone()  # type: ignore[attr-defined]
    with pytest.raises(ChildError, match="ranks 0 and 1 have different bits"):
        race.export()
    assert all(seconds > 0 for seconds in race.allreduces([8, 1024]))  # type: ignore[attr-defined]
    race.gradients()
    assert impls.check(race, problem, "float64").passed


class MisbehavingRank:
    """The actions of one of two ranks that the other does not share."""

    idea = layout = "none"
    differs_from = None
    dtypes = ("float64",)
    same_order = False
    fast_math = "none"
    compile_seconds = 0.0

    def __init__(self, problem: impls.Problem, dtype: str = "float64", threads: int = 1) -> None:
        if "RANK" in os.environ:
            self.rank, self.barrier = int(os.environ["RANK"]), functools.partial(time.sleep, 600)
        else:
            from mpi4py import MPI

            self.rank, self.barrier = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.Barrier

    def forward(self) -> None:
        """A barrier that only rank 0 is at."""
        if self.rank:
            raise ArithmeticError("a rank of its own mind")
        self.barrier()

    def gradients(self) -> None:
        if self.rank:
            os._exit(0)
        self.barrier()

    def step(self, learning_rate: float) -> None:
        if self.rank:
            sys.exit("enough")
        self.barrier()

    def train(self, steps: int, learning_rate: float) -> None:
        """Says which processes there are, and hangs."""
        Path(os.environ["GRADRACE_TEST_RANKS"], str(os.getpid())).touch()
        time.sleep(600)

    def export(self) -> impls.Result:
        raise ArithmeticError("alike on every rank")


@pytest.fixture(params=["mpiexec", "python"])
def job(request: pytest.FixtureRequest) -> Iterator[impls.Implementation]:
    """A job of two ranks that misbehave, by each launcher."""
    if sys.platform != "linux":
        pytest.skip("a job's processes are looked up in /proc")
    try:
        found = in_ranks.__wrapped__("it", f"{HERE}:MisbehavingRank", 2, request.param, "pip install it")
    except impls.Unavailable as missing:
        pytest.skip(str(missing))
    yield found(trained())
    for process in cast("type[impls.Child]", found).idle:
        process.close()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("forward", "rank 1: ArithmeticError: a rank of its own mind"),
        ("gradients", "rank 1: ended"),
        ("step", "rank 1: SystemExit: enough"),
    ],
)
def test_a_rank_that_fails_ends_the_job_with_its_words(
    job: impls.Implementation, method: str, words: str
) -> None:
    process = job._process  # type: ignore[attr-defined]
    with pytest.raises(ChildError, match=words):
        job.repeat(method, 1, *((0.1,) if method == "step" else ()))  # type: ignore[attr-defined]
    assert impls.descendants(process._popen.pid) == []


def test_what_every_rank_raises_is_an_answer_and_the_job_goes_on(job: impls.Implementation) -> None:
    for _ in range(2):
        with pytest.raises(ChildError, match="ArithmeticError: alike on every rank"):
            job.export()


@pytest.mark.parametrize("launcher", ["mpiexec", "python"])
def test_a_job_that_hangs_leaves_no_process_behind_whatever_ends_its_parent(
    tmp_path: Path, launcher: str
) -> None:
    if launcher == "mpiexec":
        pytest.importorskip("mpi4py")
    code = f"""
import impls
from impls.ranks import in_ranks
problem = impls.Problem.random(impls.Network((2, 2), ("tanh",), "mean_squared_error"), 4, 4)
in_ranks("it", {f"{HERE}:MisbehavingRank"!r}, 2, {launcher!r}, "")(problem).train(1, 0.1)
"""
    variables = {**os.environ, "GRADRACE_TEST_RANKS": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=variables, cwd=HERE.parents[2])
    deadline = time.monotonic() + 60
    while len(found := [int(path.name) for path in tmp_path.iterdir()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert len(found) == 2
    while any(map(alive, found)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, found))


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
