"""The validation study in short: it finds what it looks for."""

from __future__ import annotations

import impls
from tests.impls.mutants import Scaled, Sound
from tests.impls.test_laws import SAME_ORDER
from tests.studies.referee import bit_for_bit, judge, limits, survivors


def test_a_wrong_implementation_is_rejected_and_a_right_one_is_not() -> None:
    tallies = judge({"right": Sound, "wrong": Scaled}, problems=6, start=0)
    for dtype in Sound.dtypes:
        assert tallies["right", dtype].rejected == []
        assert len(tallies["right", dtype].shares) == 3
        assert all(0 <= share <= 1 for share in tallies["right", dtype].shares)
        assert tallies["wrong", dtype].rejected


def test_a_implementation_of_another_order_differs_in_its_bits() -> None:
    assert bit_for_bit({SAME_ORDER[0]: impls.load("loops")}, 3) == {SAME_ORDER[0]: []}
    assert bit_for_bit({SAME_ORDER[0]: impls.load("numpy")}, 3)[SAME_ORDER[0]]


def test_the_largest_share_of_a_limit_is_shown_and_who_exceeds_it_is_named() -> None:
    _, rejected = limits({"right": Sound, "wrong": Scaled}, ["xor"], [4])
    assert len(rejected) == len(Sound.dtypes)
    assert all(message.startswith("xor, 4: wrong: ") for message in rejected)


def test_no_mutant_survives() -> None:
    assert survivors() == []
