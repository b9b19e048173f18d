"""The options of a race, and the errors on wrong ones."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import impls
from benchmarks import options
from benchmarks.race.commands import race

COMMAND = click.Command(
    "test",
    params=[
        *options.RACE,
        options.THREADS_LIST_OPTION,
        options.PHASES_OPTION,
        options.RECORD_OPTION,
    ],
)


def given(*arguments: str) -> dict[str, Any]:
    return COMMAND.make_context("test", [*arguments, "--record=unused/record.json"]).params


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_lists_have_commas_and_no_repetitions() -> None:
    assert given("--impl", "numpy,loops", "--impl=numba, loops", "--impl", ",")["implementations"] == (
        *("numpy", "loops", "numba"),
    )


def test_lists_have_a_plural_and_a_singular_name() -> None:
    for name in ("--workload", "--workloads"):
        assert given(name, "digits,xor")["workloads"] == ("digits", "xor")
    for name in ("--dtype", "--dtypes"):
        assert given(name, "float32")["dtypes"] == ("float32",)


def test_what_is_not_asked_for_has_a_default() -> None:
    asked = given()
    del asked["phases"], asked["record"]
    settings, workloads = options.settings(**asked)
    assert {"loops", "numpy", "numba"} <= set(settings.implementations)
    assert (settings.workloads, settings.batch_sizes) == (("digits",), (1, 4, 16, 64, 256, 1024))
    assert (settings.dtypes, settings.threads) == (("float64",), (1,))
    assert list(workloads) == ["digits"]
    assert options.settings(**asked)[0].seed != settings.seed


def test_a_target_needs_no_registration() -> None:
    assert given("--impl", "mine.py:Mine,loops")["implementations"] == ("mine.py:Mine", "loops")


def test_the_path_of_a_target_may_have_commas(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    (tmp_path / "a,b" / "mine.py").touch()
    (tmp_path / "mine.py").touch()
    found = given("--impl", "numpy,a,b/mine.py:Mine,mine.py:Mine,mine.py:Other,loops")
    assert found["implementations"] == (
        *("numpy", "a,b/mine.py:Mine", "mine.py:Mine", "mine.py:Other", "loops"),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--impl", "loops,nunpy"], "expected one of loops, .*, got 'nunpy'; did you mean 'numpy'?"),
        (["--dtype", "float16"], "expected one of float64, float32, got 'float16'"),
        (["--optimizer", "sgd"], "expected one of gradient_descent, momentum, .*, got 'sgd'"),
        (["--optimizers", "adma"], "got 'adma'; did you mean 'adam'?"),
        *(
            (["--l2", value], f"expected a finite number of 0 or more, got '{value}'")
            for value in ("-1", "nan", "inf", "x")
        ),
        *(
            (["--dropout", value], f"expected a rate from 0 up to, but not, 1, got '{value}'")
            for value in ("-0.1", "1", "2", "nan", "x")
        ),
        (["--phases", "backward"], "expected one of forward, gradients, step, got 'backward'"),
        (["--workload", "digit"], "got 'digit'; did you mean 'digits'?"),
        *(
            (["--threads", value], "not in the range|not a valid integer")
            for value in ("0", "-1", "1.5", "x", "1,x")
        ),
        *((["--seed", value], "not in the range|not a valid integer") for value in ("-1", "1.5", "x", "")),
        *((["--batch-sizes", value], "not in the range|not a valid integer") for value in ("0", "1,x")),
    ],
)
def test_a_wrong_value_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(click.BadParameter, match=message.replace("?", r"\?")) as caught:
        given(*arguments)
    assert caught.value.param is not None
    assert arguments[0] in caught.value.param.opts


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "soon"])
def test_only_positive_finite_numbers_are_seconds(value: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a positive number, got"):
        options.SECONDS.convert(value, None, None)
    assert options.SECONDS.convert("0.5", None, None) == 0.5


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"loss": "mean_squared_error"}, "describe --network"),
        ({"network": "4-2", "workloads": ["xor"]}, "expected it without --workload, got both"),
        ({"network": "64"}, "at least one layer"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises((click.UsageError, ValueError), match=message):
        options.settings(**asked)


def test_every_training_is_a_workload_of_its_own() -> None:
    asked = given("--workload=digits,xor", "--optimizer=gradient_descent,adam", "--l2=0,0.001")
    del asked["phases"], asked["record"]
    settings, workloads = options.settings(**asked)
    assert settings.workloads == tuple(workloads)
    assert settings.workloads == (
        *("digits", "digits+l2=0.001", "digits+adam", "digits+adam+l2=0.001"),
        *("xor", "xor+l2=0.001", "xor+adam", "xor+adam+l2=0.001"),
    )
    assert workloads["xor+adam+l2=0.001"].training == impls.Training("adam", l2=0.001)


def test_a_network_of_ones_own_has_a_training_too() -> None:
    _, workloads = options.settings(network="4-3-2", optimizers=("adam",), dropout=(0.5,))
    assert list(workloads) == ["4-3-2 sigmoid mean_squared_error+adam+dropout=0.5"]
    with pytest.raises(ValueError, match="dropout: expected a network with a hidden layer"):
        options.settings(network="4-2", dropout=(0.0, 0.5))


@pytest.mark.parametrize(
    ("asked", "phases"),
    [
        ({}, ("gradients",)),
        ({"dropout": (0.5,)}, ("gradients",)),
        ({"optimizers": ("gradient_descent", "adam")}, ("gradients", "step")),
        ({"l2": (0.1,)}, ("gradients", "step")),
        ({"workloads": ("digits-adam",)}, ("gradients", "step")),
    ],
)
def test_steps_are_raced_where_the_training_changes_them(
    asked: dict[str, Any], phases: tuple[str, ...]
) -> None:
    assert options.phases(options.settings(**asked)[1]) == phases


def test_batch_sizes_come_in_rising_order() -> None:
    assert options.settings(batch_sizes=(16, 1))[0].batch_sizes == (1, 16)


def test_a_place_that_cannot_be_written_to_is_refused_before_the_race(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(click.BadParameter, match="expected a place that can be written to"):
        options.OutputFile().convert(str(tmp_path / "file" / "record.json"), None, None)
    with pytest.raises(click.BadParameter, match="is a directory"):
        options.OutputFile().convert(str(tmp_path), None, None)


def test_a_device_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/null", str(tmp_path / "pipe")):
        with pytest.raises(click.BadParameter, match="expected a file, got"):
            options.OutputFile().convert(place, None, None)


def test_checking_a_place_leaves_nothing_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    assert options.OutputFile().convert(str(path), None, None) == path
    assert list((tmp_path / "new").iterdir()) == []


SETTINGS = options.RaceSettings(
    implementations=("loops", "numpy", "numpy-sample"),
    workloads=("digits", "xor"),
    batch_sizes=(1, 4, 16),
    dtypes=("float64", "float32"),
    threads=(1, 2),
    ranks=(1,),
    seed=0,
)


def test_every_cell_is_measured_once_whatever_the_seed() -> None:
    one, other = (SETTINGS.cells(("step", "forward"), seed) for seed in (1, 2))
    assert set(one) == set(other)
    assert len(one) == len(set(one)) == 2 * 3 * 2 * 3 * 2 * 2


def test_equal_seeds_shuffle_alike_and_others_do_not() -> None:
    orders = {tuple(SETTINGS.cells(("step",), seed)) for seed in [*range(10), *range(10)]}
    assert len(orders) == 10


def test_the_implementations_of_a_cell_stand_together_and_in_orders_that_differ() -> None:
    cells = SETTINGS.cells(("forward", "step"), 3)
    groups = [cells[k : k + 3] for k in range(0, len(cells), 3)]
    for group in groups:
        assert len({dataclasses.replace(cell, implementation="") for cell in group}) == 1
    assert len({tuple(cell.implementation for cell in group) for group in groups}) > 1
    # All phases of a batch size one after the other: its implementations are constructed once.
    sizes = [(cell.threads, cell.workload, cell.dtype, cell.batch_size) for cell in cells]
    assert len([k for k, size in enumerate(sizes) if k == 0 or size != sizes[k - 1]]) == len(set(sizes))


def test_ranks_are_for_implementations_that_take_them_and_the_others_are_measured_once() -> None:
    asked, _ = options.settings(("numpy", "numpy-mpi"), batch_sizes=(8,), ranks=(4, 2))
    cells = asked.cells(("gradients",), 0)
    assert sorted((cell.implementation, cell.ranks) for cell in cells) == [
        ("numpy", 1),
        ("numpy-mpi", 2),
        ("numpy-mpi", 4),
    ]
    with pytest.raises(
        click.UsageError, match=r"--ranks: expected --impl with .*numpy-mpi.*, got numpy, loops"
    ):
        options.settings(("numpy", "loops"), ranks=(2,))


def test_implementations_that_take_ranks_race_where_ranks_are_asked_for_or_they_are_named() -> None:
    assert not any(map(impls.takes_ranks, options.settings()[0].implementations))
    assert options.settings(ranks=(1,))[0].implementations == impls.names()
    assert options.settings(("numba-mpi",))[0].ranks == (1,)


def test_implementations_run_under_other_interpreters_too() -> None:
    assert options.under(("loops", "a.py:B"), ("python3", "/b/python")) == (
        *("loops", "loops@python3", "loops@/b/python"),
        *("a.py:B", "a.py:B@python3", "a.py:B@/b/python"),
    )
    assert options.under((), ()) == ()
    with pytest.raises(click.UsageError, match="--python: expected --impl with it"):
        options.under((), ("python3",))


def test_an_interpreter_is_one_that_is_there() -> None:
    assert options.Interpreter().convert(sys.executable, None, None) == sys.executable
    for python in ("no-such-python", "/no/such/python", "", str(Path(__file__))):
        with pytest.raises(click.BadParameter, match="expected the name or the path of an interpreter"):
            options.Interpreter().convert(python, None, None)


@pytest.mark.parametrize("name", ["loops@python3", "mine.py:Mine@python3", "loops@/a/b"])
def test_a_name_may_have_an_interpreter(name: str) -> None:
    assert given("--impl", name)["implementations"] == (name,)


@pytest.mark.parametrize("name", ["loops@", "lops@python3", "@python3"])
def test_a_name_of_nothing_has_none(name: str) -> None:
    with pytest.raises(click.BadParameter, match="expected one of loops"):
        given("--impl", name)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--impl", "loops,numpy", "--impl", "numba", "--batch-sizes", "64,1"],
        ["--l2", "0,1e-05", "--dropout", "0.5", "--optimizer", "adam", "--threads", "1,2"],
        ["--survey", "--until", "ranking", "--seed", "0", "--network", "3-2-1", "--budget", "1.5"],
        ["--impl", "a,b.py:Class", "--phases", "step", "--timeout", "3"],
        ["--resume", "--quiet", "--record", "other.json", "--target", "2"],
    ],
)
def test_what_was_given_is_given_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts of a fleet are asked for what this one was asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.py").touch()
    left_out = ("resume", "quiet", "record")
    context = race.make_context("race", list(words))
    again = race.make_context("race", options.given(context, left_out))
    assert all(again.params[name] == value for name, value in context.params.items() if name not in left_out)
    assert not again.params["resume"]
    assert again.params["record"] == options.RECORD
