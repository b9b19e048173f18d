"""The sessions that CI runs, to be run by hand: `nox -s bench`, `nox -s tests`; `nox --list` lists all."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["tests", "lint", "typing"]

PROJECT = nox.project.load_toml("pyproject.toml")
TESTS = nox.project.dependency_groups(PROJECT, "tests")
PEERS = ["jax", "sklearn", "autograd"]
OPTIONAL = [*PEERS, "dask", "slurm", "history", "page"]
# PyTorch is separate from the other peers: its default build for Linux has gigabytes of CUDA. The version
# is named here so that a CPU build of it can be installed beforehand.
TORCH = "torch==2.13.0"
JUNIT = Path("reports/out/junit")


@nox.session
def bench(session: nox.Session) -> None:
    """Race every available implementation on the digits, prove their gradients equal, draw the report."""
    session.install("-e", ".")
    session.run("gradrace", "race", *session.posargs)


def run_tests(session: nox.Session, name: str, *options: str) -> None:
    """Run every test in parallel, with three processes more than cores, as many tests wait for others; then
    run the benchmarks one by one.
    """
    pytest = ("python", "-m", "pytest", *options)
    if session.posargs:
        session.run(*pytest, f"--junitxml={JUNIT}/{name}.xml", *session.posargs)
        return
    session.run(
        *(*pytest, f"--junitxml={JUNIT}/{name}.xml", "tests"),
        *(f"--numprocesses={min((os.cpu_count() or 1) + 3, 8)}", "--dist=worksteal"),
        # whatever the shell says: hundreds of processes read what the first of them compiles
        env={"PYTHONDONTWRITEBYTECODE": None},
    )
    session.run(*pytest, f"--junitxml={JUNIT}/{name}-benchmarks.xml", "benchmarks")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the laws, and every benchmark once without timing."""
    session.install("-e", ".", *TESTS)
    run_tests(session, "tests")


@nox.session
def peers(session: nox.Session) -> None:
    """Run the tests with every optional implementation and report, and PyPy, which it installs as root."""
    if shutil.which("pypy3") is None and os.geteuid() == 0:
        session.run("apt-get", "update", external=True)
        session.run("apt-get", "install", "--yes", "pypy3", external=True)
    session.install(TORCH)
    session.install("-e", f".[{','.join(OPTIONAL)}]", *TESTS)
    run_tests(session, "peers")
    # scikit-learn's perceptron has no sigmoid outputs, which the workload `digits` needs
    session.run(
        *("python", "-m", "pytest", "benchmarks", "--workload", "digits-softmax", "--impl", "sklearn"),
        *("--batch-sizes", "1,16", f"--junitxml={JUNIT}/sklearn.xml"),
    )


@nox.session
def ranks(session: nox.Session) -> None:
    """Run the tests of implementations in ranks, then random problems on 1 to 4 ranks."""
    session.install(TORCH)
    session.install("-e", ".[mpi,jax,torch]", *TESTS)
    if session.posargs:
        session.run("python", "-m", "tests.studies.ranks", *session.posargs)
        return
    tests = (
        "tests/impls",
        "tests/benchmarks/race",
        "-k",
        "ranks or numpy-mpi or numba-mpi or gloo",
        "-m",
        "",
    )
    session.run("python", "-m", "pytest", f"--junitxml={JUNIT}/ranks.xml", *tests)
    session.run("python", "-m", "tests.studies.ranks")
    session.run("mpiexec", "-n", "2", "python", "-m", "tests.studies.overlap", "--batch-sizes", "64")


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest version of every dependency that pyproject.toml allows."""
    session.install("uv")
    session.run(
        *("uv", "pip", "install", "--python", f"{session.bin}/python", "--resolution", "lowest-direct"),
        *("--editable", ".", *TESTS),
        env={"UV_PYTHON_DOWNLOADS": "never"},
    )
    # indirect dependencies are the newest, and deprecate functions that these old versions use
    run_tests(session, "lowest", "-W", "default::DeprecationWarning")


@nox.session
def readme(session: nox.Session) -> None:
    """Run every command of README.md, as a reader types it, in a fresh clone and a fresh environment."""
    session.install("-e", ".", *TESTS)
    session.run("python", "-m", "pytest", "tests/fresh_clone.py", *session.posargs)


@nox.session
def field(session: nox.Session) -> None:
    """Run every trial in the field, which runs real commands; as root, also the trials that need root."""
    session.install("-e", ".[jax,history,page]", *TESTS)
    session.run("python", "-m", "pytest", "-m", "", "tests/field", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "pytest", "-m", "field", "tests/benchmarks")


@nox.session
def skips(session: nox.Session) -> None:
    """Fail if `tests`, `peers` and `ranks` all skipped the same test; run it after them."""
    session.install("-e", ".")
    session.run(
        "python", "-m", "tests.never_run", *(session.posargs or map(str, sorted(JUNIT.glob("*.xml"))))
    )


@nox.session(name="referee-study")
def referee_study(session: nox.Session) -> None:
    """Measure how the referee errs on random problems and mutants; with `-- honesty`, on cheats."""
    session.install(TORCH)
    session.install("-e", f".[{','.join(PEERS)}]", *TESTS)
    honesty = session.posargs[:1] == ["honesty"]
    study = "tests.studies.honesty" if honesty else "tests.studies.referee"
    session.run("python", "-m", study, *session.posargs[honesty:])


def interpreters() -> list[str]:
    """The interpreters, on the PATH or of pyenv, under which `loops` can run, without the one of nox."""
    named = [shutil.which(f"python3.{minor}") for minor in range(9, 20)]
    found: dict[str, str] = {}
    for path in [*filter(None, named), *map(str, Path.home().glob(".pyenv/versions/3.*/bin/python"))]:
        asked = subprocess.run(
            [path, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True
        )
        version = asked.stdout.strip()
        if version and tuple(map(int, version.split(".")[:2])) >= (3, 9):
            found.setdefault(version, path)
    found.pop(platform.python_version(), None)
    return [found[version] for version in sorted(found)]


@nox.session
def figures(session: nox.Session) -> None:
    """Race the ladder against every peer on one core; print factors and shares of a gemm's rate."""
    session.install(TORCH)
    session.install("-e", f".[{','.join(PEERS)}]")
    record = "reports/out/figures/record.json"
    session.run(
        *("gradrace", "race", "--record", record, "--workload", "digits,digits-softmax"),
        *("--dtype", "float64,float32", "--batch-sizes", "1,8,64,256,1024,4096", "--budget", "900"),
        *session.posargs,
    )
    session.run("gradrace", "standings", record)
    wide = "reports/out/figures/mnist-shape.json"
    session.run(
        *("gradrace", "race", "--record", wide, "--workload", "mnist-shape"),
        *("--impl", "numba-blocked", "--dtype", "float32", "--batch-sizes", "256", "--budget", "60"),
    )
    session.run("gradrace", "standings", wide, "--baseline", "numba-blocked")
    wide = "reports/out/figures/wide.json"
    session.run(
        *("gradrace", "race", "--record", wide, "--workload", "wide", "--dtype", "float64,float32"),
        *("--impl", "numpy-inplace,numba,numba-blocked,jax,torch,torch-compile"),
        *("--batch-sizes", "1,8,32,128,1024", "--budget", "600"),
    )
    session.run("gradrace", "standings", wide, "--baseline", "numpy-inplace")
    # The same loops under every interpreter, and the ladder beside them.
    parts = [f"reports/out/figures/{name}.json" for name in ("interpreters", "rungs")]
    asked = ("--batch-sizes", "1,64", "--budget", "150")
    others = [f"loops@{path}" for path in interpreters()]
    session.run(
        *("gradrace", "race", "--record", parts[0], *asked, "--impl", ",".join(["loops,loops-pypy", *others]))
    )
    session.run(
        *("gradrace", "race", "--record", parts[1], *asked),
        *("--impl", "loops,loops-ndarray,numpy-sample,numpy,numba-loops,numba,numba-blocked"),
    )
    merged = "reports/out/figures/loops.json"
    session.run("gradrace", "merge", *parts, "--record", merged)
    session.run("gradrace", "render", merged)
    # A process races at one number of threads: two races, put together.
    by_threads = [f"reports/out/figures/threads-{threads}.json" for threads in (1, 2)]
    for threads, path in enumerate(by_threads, start=1):
        session.run(
            *("gradrace", "race", "--record", path, "--dtype", "float64,float32"),
            *("--impl", "numba-blocked" if threads == 1 else "numba-parallel", "--threads", str(threads)),
            *("--batch-sizes", "4096", "--target", "1", "--budget", "60"),
        )
    merged = "reports/out/figures/threads.json"
    session.run("gradrace", "merge", *by_threads, "--record", merged)
    session.run("gradrace", "standings", merged, "--baseline", "numba-blocked")


@nox.session
def flagship(session: nox.Session) -> None:
    """Run the gallery's race: three networks, two dtypes, one and two threads, and the peers; 35 minutes."""
    session.install(TORCH)
    session.install("-e", f".[{','.join(PEERS)}]")
    folder = "reports/out/flagship"
    both = ("--dtype", "float64,float32")
    threaded = "numpy,numpy-inplace,numba,numba-parallel,jax,torch,torch-compile"
    raced = "loops,numpy-sample,numpy,numpy-inplace,numba,numba-blocked,jax,torch,torch-compile,autograd"
    races = {
        "digits": (*both, "--survey", "--budget", "600"),
        "networks": (
            *(*both, "--workload", "mnist-shape,wide", "--impl", raced),
            *("--batch-sizes", "1,64,1024", "--budget", "760"),
        ),
        # Weak scaling needs sizes that are twice as large as others.
        "threads": (
            *(*both, "--threads", "2", "--impl", threaded),
            *("--batch-sizes", "16,64,128,256,512,1024,2048", "--budget", "400"),
        ),
    }
    paths = [f"{folder}/{name}.json" for name in races]
    for path, asked in zip(paths, races.values(), strict=True):
        # 4: an implementation that was named was not measured; the other cells are worth keeping.
        session.run("gradrace", "race", *asked, "--record", path, success_codes=[0, 4])
    session.run("gradrace", "merge", *paths, "--record", f"{folder}/race.json")
    session.run("gradrace", "gallery", "--race", f"{folder}/race.json")


@nox.session
def trainings(session: nox.Session) -> None:
    """Race and train every optimizer, L2 and dropout; writes records for `nox -s gallery`."""
    session.install("-e", ".")
    folder = "reports/out/trainings"
    asked = {
        "optimizers": ("--optimizer", "gradient_descent,momentum,nesterov,rmsprop,adam,adamw"),
        "regularizers": ("--l2", "0,0.001", "--dropout", "0,0.2"),
    }
    sizes = {
        "64": ("--phases", "gradients,step", "--budget", "90"),
        "1,1024": ("--phases", "step", "--budget", "200"),
    }
    names = ("--impl", "loops,numpy,numba-blocked")
    paths = []
    for what, values in asked.items():
        for size, more in sizes.items():
            paths.append(f"{folder}/{what}-{size}.json")
            race = ("gradrace", "race", *names, *values, "--batch-sizes", size, *more)
            session.run(*race, "--record", paths[-1])
    session.run("gradrace", "merge", *paths, "--record", f"{folder}/trainings.json")
    session.run("gradrace", "trainings", f"{folder}/trainings.json")
    train = ("gradrace", "train", *names, *asked["optimizers"], "--steps", "1500", "--budget", "2")
    session.run(*train, "--record", f"{folder}/accuracy.json")


@nox.session(name="timing-study")
def timing_study(session: nox.Session) -> None:
    """Measure the race itself: against a copy, known extra costs, its predictions, and pyperf."""
    session.install("-e", ".", *nox.project.dependency_groups(PROJECT, "timing-study"))
    session.run("python", "-m", "tests.studies.timing", *session.posargs)


@nox.session(name="training-study")
def training_study(session: nox.Session) -> None:
    """Measure the time and memory of optimizers, L2 and dropout beyond plain descent, and draw them."""
    session.install(TORCH)
    session.install("-e", f".[{','.join(PEERS)}]", *TESTS)
    session.run("python", "-m", "tests.studies.training", *session.posargs)
    session.run("python", "-m", "tests.studies.masks")


@nox.session
def history(session: nox.Session) -> None:
    """Test the history on SQLite and PostgreSQL, then print its figures as Markdown."""
    session.install("-e", ".[history]", *TESTS)
    session.run("python", "-m", "pytest", "tests/reports/history", *session.posargs)
    session.run("python", "-m", "tests.studies.history")


@nox.session
def fleet(session: nox.Session) -> None:
    """Test races on many machines, under Dask and Slurm, and kill hosts and schedulers; needs root."""
    needed = ["slurmctld", "slurmd", "slurm-client", "munge", "iproute2"]
    if os.geteuid() == 0 and not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged", "ip"))):
        session.run("apt-get", "update", external=True)
        session.run("apt-get", "install", "--yes", *needed, external=True)
    session.install("-e", ".[dask,slurm]", "mpich", "mpi4py", *TESTS)
    session.run("python", "-m", "pytest", "-m", "", "tests/benchmarks/fleet", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, spelling and workflows; `.pre-commit-config.yaml` runs the same."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("zizmor", "--offline", ".")
    workflows = map(str, Path(".github/workflows").glob("*.yml"))
    for schema, files in (("workflows", workflows), ("actions", ["action.yml"])):
        session.run("check-jsonschema", "--builtin-schema", f"vendor.github-{schema}", *files)


@nox.session
def typing(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install("-e", ".[history,page]", *nox.project.dependency_groups(PROJECT, "typing"))
    session.run(
        *("mypy", "gradrace.py", "impls", "benchmarks", "reports", "tests"),
        *("conftest.py", "hatch_build.py", "noxfile.py"),
    )


@nox.session
def report(session: nox.Session) -> None:
    """Draw the report of a record again: `nox -s report -- RECORD`."""
    session.install("-e", ".")
    session.run("gradrace", "render", *(session.posargs or ["reports/out/record.json"]))


@nox.session
def gate(session: nox.Session) -> None:
    """Judge the last commit against another: `nox -s gate -- main`; options as for `gate run`, but --out."""
    session.install("-e", ".")
    out = "reports/out/pairs.json"
    asked = session.posargs or ["main"]
    session.run("gradrace", "gate", "run", "--base", *asked, "--out", out)
    session.run("gradrace", "gate", "judge", out)


@nox.session(name="gate-study")
def gate_study(session: nox.Session) -> None:
    """Measure the gate itself, for hours, and draw a report; continues where it was stopped."""
    session.install("-e", ".")
    folder = ".gradrace/study"
    session.run("python", "-m", "tests.studies.gate", *session.posargs, "--folder", folder)
    session.run("python", "-m", "tests.studies.gate_report", folder)


@nox.session
def browser(session: nox.Session) -> None:
    """Test the page in chromium with axe-core; installs Debian's chromium if needed (as root)."""
    session.install("-e", ".[page]", *TESTS, "playwright>=1.49", "axe-playwright-python>=0.1.4")
    if shutil.which("chromium") is None:
        session.run("apt-get", "update", external=True)
        session.run("apt-get", "install", "--yes", "chromium", external=True)
    session.run("python", "-m", "pytest", "tests/reports/page/browser.py", *session.posargs)


@nox.session
def lesson(session: nox.Session) -> None:
    """Run the lesson and its notebook, and time its blocks for `gradrace gallery --lesson`."""
    session.install("-e", ".", "jupytext", "nbclient", "ipykernel")
    session.run("python", "-m", "benchmarks.measure.lesson", *session.posargs)
    session.run("python", "-m", "tests.studies.notebook", "--run")


@nox.session
def scale(session: nox.Session) -> None:
    """Draw a record of 20,000 measurements; fails if that takes 20 s or 1 GiB."""
    session.install("-e", ".[page]", *TESTS)
    session.run("python", "-m", "tests.studies.scale")


@nox.session
def gallery(session: nox.Session) -> None:
    """Redraw every chart of docs/gallery; `-- --race RECORD --trainings RECORD ...` adds new records."""
    session.install("-e", ".")
    session.run("gradrace", "gallery", *session.posargs)
