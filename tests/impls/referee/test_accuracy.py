"""The accuracy of each implementation, and the command that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gradrace import commands
from impls import Network, Problem
from impls.referee import accuracy

NETWORK = Network((5, 4, 3), ("tanh", "softmax"), "softmax_cross_entropy")


def test_float64_and_float32_have_errors_of_a_few_of_their_own_ulp() -> None:
    found = list(accuracy.rows(NETWORK, ["numpy"], ["float64", "float32"], [1, 7]))
    assert [(one.batch_size, one.dtype) for one in found] == [
        (1, "float64"),
        (1, "float32"),
        (7, "float64"),
        (7, "float32"),
    ]
    for one in found:
        assert one.error_ulp is not None
        assert one.error_ulp_median is not None
        assert one.seconds is not None
        assert 0 <= one.error_ulp_median <= one.error_ulp < 50
        assert one.seconds > 0
        assert one.reason == ""


def test_what_a_implementation_does_not_support_is_reported() -> None:
    (one,) = accuracy.rows(NETWORK, ["loops"], ["float32"], [1])
    assert one.error_ulp is None
    assert one.seconds is None
    assert "float64" in one.reason


def test_a_wrong_implementation_has_no_accuracy() -> None:
    problem = Problem.random(NETWORK, 14, 7)
    one = accuracy.row("tests.impls.mutants:Scaled", problem, "float64")
    assert one.error_ulp is None
    assert "times its bound" in one.reason


def test_the_command_prints_a_table() -> None:
    done = CliRunner().invoke(
        commands, ["accuracy", "--impl", "loops,numpy", "--batch-sizes", "3", "--network", "4-3-2"]
    )
    assert done.exit_code == 0
    for part in ("loops", "numpy", "float32", "largest, ulp", "computes in float64"):
        assert part in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--impl", "nobody"], "expected one of loops"),
        (["--network", "4-x"], "expected widths like 64-32-10, got '4-x'"),
        (["--network", "4"], "at least one layer"),
        (["--activation", "softmax"], "softmax"),
        (["--loss", "none"], "loss: expected one of mean_squared_error"),
        (["--dtypes", "float16"], "--dtypes: expected some of float64, float32, got 'float16'"),
        (["--batch-sizes", "0"], "0 is not in the range"),
    ],
)
def test_bad_options_are_refused(options: list[str], message: str) -> None:
    done = CliRunner().invoke(commands, ["accuracy", *options])
    assert done.exit_code == 2
    assert message in done.output


def test_a_implementation_that_raises_costs_its_row_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from impls.numpy_batch import NumpyBatch\n\n"
        "class Mine(NumpyBatch):\n    def step(self, learning_rate):\n        raise KeyError('momentum')\n"
    )
    network = Network((3, 2), ("sigmoid",), "mean_squared_error")
    mine, honest = accuracy.rows(network, [f"{tmp_path / 'mine.py'}:Mine", "numpy"], ["float64"], [4])
    assert "it raised KeyError: 'momentum'" in mine.reason
    assert honest.error_ulp is not None
