"""A project's own thresholds: which hold for which benchmark, and what is refused."""

from pathlib import Path

import pytest

from benchmarks.gate import asked
from benchmarks.gate.decision import RULES, Rule
from benchmarks.gate.errors import Refusal
from benchmarks.gate.settings import GateSettings, parse, seconds
from benchmarks.record.pairs_file import Benchmark, Side, Terms
from tests.benchmarks.gate import foreign

SPECIAL = "[[tool.gradrace.gate.benchmarks]]\n"

TABLE = """
[tool.gradrace.gate]
arguments = ["tests/bench"]
minimum-effect = 3
target = 8

[[tool.gradrace.gate.benchmarks]]
match = "*::test_parse*"
target = 20
memory = { target = 50 }
at-most = "20 ms"
without = ["first call"]

[[tool.gradrace.gate.benchmarks]]
group = "slow"
informational = true
speedup = 1.5
fail-on-improvement = true
"""


def terms(name: str, group: str = "") -> Terms:
    return parse(TABLE, "pyproject.toml").terms(Benchmark(name, group))


def test_what_is_asked_of_all_holds_for_each() -> None:
    found = terms("tests/bench/test_x.py::test_other")
    assert found == Terms({**RULES, "median": Rule(0.03, 0.08)})


def test_what_is_asked_of_a_pattern_holds_for_what_matches() -> None:
    found = terms("tests/bench/test_x.py::test_parse[10]")
    rules = {**RULES, "median": Rule(0.03, 0.2), "memory": Rule(0.1, 0.5)}
    rules.pop("first call")
    assert found == Terms(rules, at_most=0.02)


def test_what_is_asked_of_a_group_holds_for_its_benchmarks_beside_what_their_names_have() -> None:
    found = terms("tests/bench/test_x.py::test_parse", group="slow")
    assert (found.informational, found.speedup, found.fail_on_improvement) == (True, 1.5, True)
    assert found.at_most == 0.02


def test_a_later_table_takes_back_what_an_earlier_one_asks() -> None:
    later = """
[[tool.gradrace.gate.benchmarks]]
match = "*"
informational = false
speedup = 1.0
fail-on-improvement = false
without = []
"""
    found = parse(TABLE + later, "pyproject.toml").terms(
        Benchmark("tests/bench/test_x.py::test_parse", "slow")
    )
    assert (found.informational, found.speedup, found.fail_on_improvement) == (False, 1.0, False)
    assert found.rules.keys() == RULES.keys()


def test_without_settings_the_defaults_hold() -> None:
    assert parse("", "pyproject.toml") == GateSettings()
    assert GateSettings().terms(Benchmark("any")) == Terms()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[tool", "expected TOML"),
        ("[tool.gradrace.gate]\nbudgets = 3", "unknown field `budgets`"),
        ("[tool.gradrace.gate]\nbudget = 'long'", "Expected `float`"),
        ("[tool.gradrace.gate]\nminimum-effect = 6", "minimum effect"),
        (SPECIAL + "target = 3", "expected `match` or `group`"),
        (SPECIAL + "match = '*'\ntarget = 1", "minimum effect"),
        (SPECIAL + "match = 'a'\nat-most = '20 minutes'", 'a time like "20 ms"'),
        (
            SPECIAL + "match = 'a'\nspeedup = 0",
            "speedup: expected a positive number",
        ),
        (SPECIAL + "match = 'a'\nwithout = ['median']", "without: expected others"),
        (
            SPECIAL + "match = 'a'\ntail = {target = 120}",
            "tail: expected less than 100",
        ),
        (SPECIAL + "match = 'a'\ntarget = 1", "minimum effect"),
    ],
)
def test_settings_that_are_none_are_refused_before_any_work(content: str, reason: str) -> None:
    with pytest.raises(Refusal, match=r"pyproject\.toml") as caught:
        parse(content, "pyproject.toml")
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("text", "value"), [("20 ms", 0.02), ("1.5s", 1.5), ("300us", 3e-4), ("5e3 ns", 5e-6)]
)
def test_a_time_has_a_unit(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


def test_a_change_cannot_lower_its_own_bar(tmp_path: Path) -> None:
    root = foreign.repository(tmp_path / "repository")
    none = foreign.git(root, "rev-parse", "HEAD")
    base = foreign.commit(root, {"pyproject.toml": "[tool.gradrace.gate]\ntarget = 6\n"})
    head = foreign.commit(root, {"pyproject.toml": "[tool.gradrace.gate]\ntarget = 60\n"})
    said: list[str] = []
    assert asked.settings(root, {"base": base, "head": head}, None, said.append).target == 6
    assert "base's settings are in force" in said[0]
    assert asked.settings(root, {"base": none, "head": base}, None, said.append).target == 6
    (tmp_path / "mine.toml").write_text("[tool.gradrace.gate]\ntarget = 9\n")
    commits: dict[Side, str] = {"base": base, "head": head}
    assert asked.settings(root, commits, tmp_path / "mine.toml", said.append).target == 9


def test_the_command_line_comes_before_the_settings_and_options_go_with_their_paths(tmp_path: Path) -> None:
    root = foreign.repository(tmp_path / "repository")
    table = '[tool.gradrace.gate]\narguments = ["benchmarks"]\nbudget = 7\n'
    base = foreign.commit(root, {"pyproject.toml": table})

    def found(*arguments: str, budget: float | None = None) -> GateSettings:
        commits: dict[Side, str] = {"base": base, "head": base}
        return asked.settings(root, commits, None, lambda _: None, arguments, budget=budget)

    assert (found().arguments, found().budget) == (("benchmarks",), 7)
    assert found(budget=9).budget == 9
    assert found("-k", "some").arguments == ("benchmarks", "-k", "some")
    assert found("benchmarks/test_thing.py::test_work").arguments == ("benchmarks/test_thing.py::test_work",)
