"""Other people's settings change nothing that matters, are on record, or are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import ROOT, run, statuses

HARMLESS = {
    "PYTEST_ADDOPTS": "-n2",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "no_such_plugin",
    "PYTHONIOENCODING": "ascii",
    "PYTHONWARNINGS": "error",
    "PYTHONSAFEPATH": "1",
    "PYTHONINSPECT": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPROFILEIMPORTTIME": "1",
    "PYTHONTRACEMALLOC": "5",
    "PYTHONMALLOC": "debug",
    "PYTHONDEVMODE": "1",
    "OMP_NUM_THREADS": "64",
    "OPENBLAS_NUM_THREADS": "64",
    "MKL_NUM_THREADS": "many",
    "NUMBA_NUM_THREADS": "64",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MPLCONFIGDIR": "/proc/nowhere",
    "COLUMNS": "wide",
    "TERM": "no-such-terminal",
    "FORCE_COLOR": "1",
    "NO_COLOR": "1",
    "TZ": "Mars/Olympus",
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "C",
    "TMPDIR": "/proc/nowhere",
    "HOME": "/proc/nowhere",
    "XDG_CACHE_HOME": "/proc/nowhere",
    "GIT_DIR": "/proc/nowhere",
    "GIT_INDEX_FILE": "/proc/nowhere/index",
    "GIT_TRACE": "1",
    "JAX_PLATFORMS": "cuda",
}
QUICK = ("PYTEST_ADDOPTS", "PYTHONIOENCODING", "MPLBACKEND", "GIT_INDEX_FILE")


@pytest.mark.parametrize(
    "variables", [QUICK, *(pytest.param((v,), marks=pytest.mark.field) for v in HARMLESS)], ids=" ".join
)
def test_a_race_is_the_same_whatever_is_set(
    variables: tuple[str, ...], race: Command, tmp_path: Path
) -> None:
    race(env={variable: HARMLESS[variable] for variable in variables}, status=0)
    document = json.loads((tmp_path / "record.json").read_text("utf-8"))
    assert statuses(tmp_path / "record.json") == {"numpy": {"measured"}}
    assert set(document["processes"][0]["threads_in_force"].values()) == {1}
    assert not [w for p in document["processes"] for w in p["warnings"] if "asked for" in w]


REPORTED = ("MPLBACKEND", "MPLCONFIGDIR", "PYTHONIOENCODING", "COLUMNS", "TERM", "LC_ALL", "TMPDIR", "HOME")


@pytest.mark.parametrize(
    "variables",
    [("MPLBACKEND", "PYTHONIOENCODING"), *(pytest.param((v,), marks=pytest.mark.field) for v in REPORTED)],
    ids=" ".join,
)
def test_a_report_is_drawn_whatever_is_set(
    variables: tuple[str, ...], gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    env = {variable: HARMLESS[variable] for variable in variables}
    gradrace("render", raced, "--out", "out", env=env, status=0)
    assert (tmp_path / "out" / "speedup.svg").is_file()


MATPLOTLIBRC = [
    "text.usetex: True",
    "savefig.bbox: nonsense",
    "svg.fonttype: none",
    "backend: nonsense",
    "font.family: No Such",
]


@pytest.mark.parametrize(
    "setting", [pytest.param(s, marks=[] if "usetex" in s else pytest.mark.field) for s in MATPLOTLIBRC]
)
def test_a_matplotlibrc_changes_no_picture(
    setting: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    here = tmp_path / "matplotlibrc"
    here.write_text(f"{setting}\nfigure.figsize: 1, 1\n")
    gradrace("render", raced, "--out", "spoilt", status=0)
    here.unlink()
    gradrace("render", raced, "--out", "clean", status=0)
    spoilt, clean = ((tmp_path / k / "speedup.png").read_bytes() for k in ("spoilt", "clean"))
    assert spoilt == clean


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NUMBA_DISABLE_JIT", "1"),
        pytest.param("NUMBA_OPT", "0", marks=pytest.mark.field),
        pytest.param("NUMBA_ENABLE_CUDASIM", "1", marks=pytest.mark.field),
        pytest.param("NUMBA_CPU_NAME", "generic", marks=pytest.mark.field),
        pytest.param("NUMBA_BOUNDSCHECK", "1", marks=pytest.mark.field),
        pytest.param("NUMBA_DEBUGINFO", "1", marks=pytest.mark.field),
    ],
)
def test_a_setting_that_makes_a_figure_untrue_is_refused_or_on_record(
    variable: str, value: str, race: Command, tmp_path: Path
) -> None:
    ended = race("--impl", "numba-loops", env={variable: value})
    if ended.status == 0:
        assert f'"{variable}"' in (tmp_path / "record.json").read_text("utf-8")
    else:
        assert ended.status in (2, 4)
        assert variable in ended.err


@pytest.mark.field
@pytest.mark.parametrize("missing", [("avx512",), ("avx", "fma", "f16c", "v")], ids=["avx512", "avx"])
def test_products_are_as_right_with_narrower_vectors(missing: tuple[str, ...], tmp_path: Path) -> None:
    host = pytest.importorskip("llvmlite.binding").get_host_cpu_features()
    features = {name: has and not name.startswith(missing) for name, has in host.items()}
    if features == dict(host):
        pytest.skip(f"this processor has no {missing[0]} to do without")
    value = ",".join("-+"[has] + name for name, has in features.items())
    env = {"NUMBA_CPU_FEATURES": value, "NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/impls/kernels")
    run(*tests, cwd=ROOT, env=env, within=600, status=0)


def test_plain_python_is_never_timed_under_the_name_of_numba(race: Command, tmp_path: Path) -> None:
    ended = race("--impl", "numba-loops", env={"NUMBA_DISABLE_JIT": "1"})
    assert ended.status in (2, 4)
    assert "NUMBA_DISABLE_JIT" in ended.err


@pytest.mark.field
@pytest.mark.parametrize("variable", ["JAX_DISABLE_JIT", "JAX_ENABLE_X64"])
def test_what_a_library_is_told_by_others_is_refused_or_on_record(
    variable: str, race: Command, tmp_path: Path
) -> None:
    ended = race("--impl", "numpy,jax", env={variable: "1"})
    assert (ended.status == 4 and variable in ended.err) or (
        f'"{variable}"' in (tmp_path / "record.json").read_text("utf-8")
    )


@pytest.mark.field
def test_races_under_different_settings_are_not_merged(
    race: Command, gradrace: Command, tmp_path: Path
) -> None:
    race("--record", "a.json", "--seed", "1", status=0)
    race("--record", "b.json", "--seed", "1", env={"OPENBLAS_CORETYPE": "Nehalem"}, status=0)
    ended = gradrace("merge", "a.json", "b.json", "--record", "c.json", status=2)
    assert "Nehalem" in ended.err
    assert not (tmp_path / "c.json").exists()


@pytest.mark.field
def test_a_race_does_not_go_on_under_different_settings(race: Command) -> None:
    race(status=0)
    ended = race("--resume", env={"OPENBLAS_CORETYPE": "Nehalem"}, status=2)
    assert "Nehalem" in ended.err


def test_a_status_is_the_same_for_whoever_inspects(race: Command) -> None:
    race("--threads", "0", env={"PYTHONINSPECT": "1"}, status=2)


PLUGIN = """
import warnings

def pytest_configure(config):
    warnings.warn("this plugin is old", DeprecationWarning)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with an installed pytest plugin that warns when it is configured."""
    folder = tmp_path / "path"
    (folder / "old_plugin-1.0.dist-info").mkdir(parents=True)
    (folder / "old_plugin.py").write_text(PLUGIN)
    (folder / "old_plugin-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: old-plugin\nVersion: 1.0\n"
    )
    (folder / "old_plugin-1.0.dist-info" / "entry_points.txt").write_text("[pytest11]\nold = old_plugin\n")
    return folder


def timed_by_pytest(tmp_path: Path, *asked: str, env: dict[str, str], status: int | None = 0) -> str:
    """The output of `pytest --benchmark-only` for numpy in the smallest cell."""
    command = (
        "pytest",
        "--benchmark-only",
        "--impl=numpy",
        "--workload=xor",
        "--batch-sizes=1",
        "--no-report",
    )
    record = f"--record={tmp_path / 'record.json'}"
    return run(sys.executable, "-m", *command, record, *asked, cwd=ROOT, env=env, status=status).text


@pytest.mark.parametrize("through", [pytest.param("race", marks=pytest.mark.field), "pytest"])
def test_a_plugin_that_warns_stops_no_race(through: str, race: Command, plugin: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(plugin)}
    if through == "race":
        race(env=env, status=0)
    else:
        timed_by_pytest(tmp_path, env=env)
    assert statuses(tmp_path / "record.json") == {"numpy": {"measured"}}


@pytest.mark.field
@pytest.mark.parametrize(
    ("variable", "value"),
    [("PYTEST_ADDOPTS", "-n2"), ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"), ("PYTHONOPTIMIZE", "1")],
)
def test_pytest_measures_or_says_why_not(variable: str, value: str, tmp_path: Path) -> None:
    text = timed_by_pytest(tmp_path, env={variable: value}, status=None)
    measured = (tmp_path / "record.json").exists()
    assert measured or variable in text or "xdist" in text or "-p pytest_benchmark" in text, text
