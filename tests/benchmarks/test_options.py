"""What a race is asked for, and what a wrong request is told."""

from pathlib import Path

import pytest

from benchmarks import options


def test_repeated_options_and_lists_are_one() -> None:
    assert options.items(["a,b", "c", "b, d", ","]) == ["a", "b", "c", "d"]


def test_nothing_asked_for_is_everything_known() -> None:
    assert options.choices("--dtype", [], ["float64", "float32"]) == ("float64", "float32")
    assert options.implementations("--impl", [], ["loops"]) == ("loops",)


def test_a_wrong_choice_is_told_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"--impl: expected one of loops, numpy, got 'nunpy'; did you mean 'numpy'\?"
    ):
        options.implementations("--impl", ["loops,nunpy"], ["loops", "numpy"])


def test_a_target_needs_no_registration() -> None:
    assert options.implementations("--impl", ["mine.py:Mine,loops"], ["loops"]) == ("mine.py:Mine", "loops")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "", "nan"])
def test_only_whole_numbers_of_one_and_up_are_positive(value: str) -> None:
    with pytest.raises(ValueError, match="--threads: expected a whole number of 1 or more"):
        options.positive("--threads", value)


@pytest.mark.parametrize("value", ["-1", "1.5", "x", ""])
def test_only_whole_numbers_of_zero_and_up_are_seeds(value: str) -> None:
    with pytest.raises(ValueError, match="--seed: expected a whole number of 0 or more"):
        options.whole("--seed", value)


def test_numbers_come_in_rising_order_and_once() -> None:
    assert options.positives("--batch-sizes", ["16", "1", "16"]) == (1, 16)


def test_a_place_that_cannot_be_written_to_is_refused_before_the_race(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="--record: expected a place that can be written to"):
        options.check_writable("--record", file / "record.json")


def test_a_folder_is_no_place_for_a_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--record: expected a file that can be written, got the folder"):
        options.check_writable("--record", tmp_path)


def test_checking_a_place_leaves_nothing_there(tmp_path: Path) -> None:
    options.check_writable("--record", tmp_path / "new" / "record.json")
    assert list((tmp_path / "new").iterdir()) == []
