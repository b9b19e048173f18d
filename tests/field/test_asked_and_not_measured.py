"""An implementation that was named and not measured is an error with a status of its own and the reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import BUDGETS, ROOT, run, statuses

FILES = {
    "does not parse": ("class X(:\n", "X", "SyntaxError"),
    "lacks the class": ("class Y:\n    pass\n", "X", "it defines Y"),
    "has no class at all": ("", "X", "no class at all"),
    "is no implementation": ("class X:\n    pass\n", "X", "is no implementation"),
    "has a function of that name": ("def X(): pass\n", "X", "is no implementation"),
    "imports what is not installed": ("import nonexistent_library\n", "X", "nonexistent_library"),
    "is no text": ("\xff\x00", "X", ""),
    "imports itself": ("import bad\nclass X: pass\n", "X", "is no implementation"),
    "raises on import": ("raise RuntimeError('no GPU')\n", "X", "no GPU"),
    "exits on import": ("import sys\nsys.exit(0)\n", "X", "SystemExit"),
    "is wrong": (
        "import impls\nclass X(impls.load('numpy')):\n"
        "    def gradients(self):\n        super().gradients()\n        self.dw[0][...] *= 1.01\n",
        "X",
        "",
    ),
    "cannot run the problem": (
        "import impls\nclass X(impls.load('numpy')):\n"
        "    def __init__(self, *args, **kwargs):\n        raise impls.Unsupported('GPUs only')\n",
        "X",
        "GPUs only",
    ),
    "raises when constructed": (
        "import impls\nclass X(impls.load('numpy')):\n"
        "    def __init__(self, *args, **kwargs):\n        raise RuntimeError('out of registers')\n",
        "X",
        "out of registers",
    ),
}
SLOW = """
import time
from impls.numpy_batch import NumpyBatch

class Slow(NumpyBatch):
    def gradients(self):
        time.sleep(0.1)
        return super().gradients()
"""

QUICK = ("does not parse", "is wrong", "cannot run the problem")


@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=[] if f in QUICK else pytest.mark.field) for f in FILES]
)
def test_a_file_that_cannot_race_ends_the_command_in_4_with_the_reason(
    fault: str, race: Command, tmp_path: Path
) -> None:
    text, name, reason = FILES[fault]
    (tmp_path / "bad.py").write_text(text, encoding="latin-1")
    ended = race("--impl", f"numpy,./bad.py:{name}", status=4)
    assert statuses(tmp_path / "record.json")["numpy"] == {"measured"}
    assert f"./bad.py:{name}" in ended.err
    assert reason in ended.err


@pytest.mark.parametrize("asked", ["./nofile.py:X", "nomodule:X", "./:X", ".:X", "nomodule.sub:X", "bad.py:"])
def test_a_target_that_is_nowhere_never_ends_in_0(asked: str, race: Command) -> None:
    ended = race("--impl", asked)
    assert ended.status in (2, 4)
    assert asked.partition(":")[0] in ended.err


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH in which torch and jax are as if they were not installed."""
    for package in ("torch", "jax"):
        (tmp_path / "path" / package).mkdir(parents=True)
        text = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')\n"
        (tmp_path / "path" / package / "__init__.py").write_text(text)
    return tmp_path / "path"


@pytest.mark.parametrize("name", ["torch", pytest.param("jax", marks=pytest.mark.field)])
def test_a_library_that_is_not_installed_ends_in_4_with_what_to_install(
    name: str, race: Command, without: Path
) -> None:
    ended = race("--impl", f"numpy,{name}", env={"PYTHONPATH": str(without)}, status=4)
    assert f"pip install -e '.[{name}]'" in ended.err


@pytest.mark.field
def test_a_library_that_is_not_installed_ends_a_race_of_it_alone(race: Command, without: Path) -> None:
    ended = race("--impl", "torch", env={"PYTHONPATH": str(without)}, status=4)
    assert "pip install -e '.[torch]'" in ended.err


@pytest.mark.field
@pytest.mark.parametrize(
    "asked",
    [
        ("train", "--impl", "torch", "--steps", "1"),
        ("headline", "--impl", "torch", "--steps", "1", "--budget", "1"),
        ("check", "torch"),
        ("accuracy", "--impl", "torch"),
    ],
    ids=lambda asked: asked[0],
)
def test_every_command_says_what_to_install(asked: tuple[str, ...], gradrace: Command, without: Path) -> None:
    ended = gradrace(*asked, env={"PYTHONPATH": str(without)})
    assert ended.status not in (0, 1)
    assert "pip install -e '.[torch]'" in ended.text


@pytest.mark.field
def test_what_comes_along_by_default_may_be_absent(gradrace: Command, without: Path, tmp_path: Path) -> None:
    asked = ("--workload", "xor", "--batch-sizes", "1", "--record", "r.json")
    found: dict[str, set[str]] = {}
    for budget in BUDGETS:  # a busy machine may come to few of them
        if "numpy" not in found:
            env = {"PYTHONPATH": str(without)}
            gradrace("race", *asked, "--budget", str(budget), env=env, status=0, within=300)
            found = statuses(tmp_path / "r.json")
    assert found["numpy"] == {"measured"}
    assert "measured" not in found.get("torch", set())


@pytest.mark.field
@pytest.mark.parametrize(
    "asked", [("--impl", "numpy,numpy"), ("--batch-sizes", "1,1"), ("--dtype", "float64,float64")]
)
def test_what_is_asked_for_twice_is_measured_once_or_refused(
    asked: tuple[str, str], race: Command, tmp_path: Path
) -> None:
    ended = race(*asked)
    if ended.status:
        assert ended.status == 2
        assert "twice" in ended.err or "once" in ended.err or "different" in ended.err, ended.err
        return
    document = json.loads((tmp_path / "record.json").read_text("utf-8"))
    cells = [(m["phase"], m["process"]) for m in document["measurements"]]
    assert len(cells) == len(set(cells))


@pytest.mark.field
def test_a_dtype_that_an_implementation_lacks_is_not_measured(race: Command) -> None:
    ended = race("--impl", "loops,numpy", "--dtype", "float32", status=4)
    assert "float64" in ended.err


@pytest.mark.field
@pytest.mark.parametrize("asked", ["./nofile.py:X", "./bad.py:X"])
def test_pytest_fails_for_a_target_that_cannot_race(asked: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("class X(:\n")
    target = str(tmp_path / asked)
    command = (
        "pytest",
        "--benchmark-only",
        "--workload=xor",
        "--batch-sizes=1",
        f"--record={tmp_path}/r.json",
    )
    ended = run(sys.executable, "-m", *command, f"--impl=numpy,{target}", cwd=ROOT)
    assert ended.status not in (0, 5)
    assert "bad.py" in ended.text or "nofile.py" in ended.text


MISTAKES = [
    "race --impl nunpy",
    "race --workload nowhere",
    "race --batch-sizes 1,,x",
    "race --batch-sizes 99999999999999999999",
    "race --network 4",
    "race --network 4-x",
    "race --network 4-0-1",
    "race --threads 4096",
    "race --budget nan",
    "race --target -5",
    "race --phases backward",
    "race --dtype float16",
    "train --impl nunpy",
    "train --impl numpy --learning-rate nan",
    "train --impl numpy --batch-size 100000000",
    "headline --impl nunpy",
    "check nunpy",
    "check ./nofile.py:X",
    "accuracy --impl nunpy",
    "render nowhere.json",
    "page nowhere.json",
    "standings nowhere.json",
    "compare nowhere.json elsewhere.json",
    "export nowhere.json",
    "merge nowhere.json",
    "history add nowhere.json",
    "history show --db nowhere/there.sqlite",
    "gate judge nowhere.json",
    "gate run --base nowhere",
    "gate run --base -n",
    "no-such-command",
    "race --no-such-option",
]
QUICKLY = {f"{m}" for k, m in enumerate(MISTAKES) if k % 4 == 0}


@pytest.mark.parametrize(
    "mistake", [pytest.param(m, marks=[] if m in QUICKLY else pytest.mark.field) for m in MISTAKES]
)
def test_a_mistake_ends_at_once_with_words(mistake: str, gradrace: Command, tmp_path: Path) -> None:
    ended = gradrace(*mistake.split())
    assert ended.status in (2, 3, 4)
    assert ended.err
    assert not list(tmp_path.glob("**/*.json"))


@pytest.mark.field
@pytest.mark.parametrize(
    ("option", "values", "words"),
    [
        ("--dtype", "float64,float32", "dtype float32: not reached within the budget"),
        ("--batch-sizes", "1,2", "batch size 2: not reached within the budget"),
        ("--optimizer", "gradient_descent,adam", "workload xor+adam: not reached within the budget"),
    ],
)
def test_a_value_that_the_budget_ended_before_is_missing(
    option: str, values: str, words: str, gradrace: Command, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    asked = {"--workload": "xor", "--batch-sizes": "1", option: values}
    ended = gradrace(
        *("race", "--impl", "slow.py:Slow", "--phases", "gradients", "--budget", "1"),
        *(word for pair in asked.items() for word in pair),
        status=4,
    )
    assert words in ended.err
