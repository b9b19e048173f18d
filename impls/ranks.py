"""Implementations in ranks: processes that share each batch.

Rank 0 follows docs/protocol.md with this process and passes orders on (`impls.serve_ranks`). It starts the
others, on its host. If the implementation communicates by MPI, all are an MPI job that `mpiexec` starts:
the one beside this interpreter, or else the first on the PATH, which has to be of the MPI that
mpi4py finds.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from impls.child import Child, served_by
from impls.interface import Implementation, Unavailable

if TYPE_CHECKING:
    from impls.registry import Launcher

VARIABLES = (
    "I_MPI_PIN=0",
    "OMPI_MCA_hwloc_base_binding_policy=none",
    "OMPI_MCA_rmaps_base_oversubscribe=1",
    "PRTE_MCA_hwloc_default_binding_policy=none",
    "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe",
)
"""The variables that make Intel MPI and Open MPI leave the choice of CPUs to the ranks, and start more ranks
than CPUs."""

ROOT_ALLOWED = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
"""The variables that have to be 1 for Open MPI to start as root."""

_SERVE = """
import sys
sys.path[0] = sys.argv.pop(1)
from impls import serve_ranks
serve_ranks.main(*sys.argv[1:])
"""


@functools.cache
def in_ranks(name: str, target: str, ranks: int, launcher: Launcher, remedy: str) -> type[Implementation]:
    """The class whose objects run the implementation at `target`, called `name`, in `ranks` ranks.

    Raises Unavailable, with the `remedy`, if the MPI that it needs is missing or does not start.
    """
    start = _mpiexec(name, ranks, remedy) if launcher == "mpiexec" else ()
    root = str(Path(__file__).parent.parent)
    command = (*start, sys.executable, "-c", _SERVE, root, target, launcher, str(ranks))
    words = f"{name} cannot be loaded in {ranks} ranks (to install all that it needs: {remedy})"
    return cast("type[Implementation]", served_by(command, words, quoted, Ranks))


def _mpiexec(name: str, ranks: int, remedy: str) -> tuple[str, ...]:
    """The command that starts another one in `ranks` ranks; raises Unavailable without a working MPI."""
    if importlib.util.find_spec("mpi4py") is None:
        raise Unavailable(f"{name} needs mpi4py and an MPI, and there is no mpi4py here: {remedy}")
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    mpiexec = beside or shutil.which("mpiexec")
    if mpiexec is None:
        raise Unavailable(f"{name} needs mpi4py and an MPI, and there is no mpiexec here: {remedy}")
    try:
        version = _version(mpiexec)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{name}: {mpiexec} --version gave no answer ({error}): {remedy}") from error
    if "Open" in version and os.geteuid() == 0 and any(os.environ.get(name) != "1" for name in ROOT_ALLOWED):
        raise Unavailable(
            f"{name}: {mpiexec} is Open MPI's, which does not start for root: run as another user, or set "
            f"{' and '.join(ROOT_ALLOWED)} to 1"
        )
    # The ranks end each other and log the reason; hydra, of MPICH and Intel MPI, would kill them before.
    options = ("-disable-auto-cleanup",) if "HYDRA" in version or "Intel" in version else ()
    return ("env", *VARIABLES, mpiexec, *options, "-n", str(ranks))


class Ranks(Child):
    """An implementation in ranks, with methods that measure their communication."""

    def gradients_alone(self) -> None:
        """`gradients` without communication: every rank has those of its own columns, until the next ones."""
        self.repeat("gradients_alone", 1)

    def allreduces(self, sizes: Sequence[int]) -> list[float]:
        """The median of the seconds of one sum over all ranks, of each size in bytes."""
        answer, _ = self._process.ask("allreduces", sizes=list(sizes))
        return [float(seconds) for seconds in answer["seconds"]]


def _version(mpiexec: str) -> str:
    """The output of `mpiexec --version`, which Open MPI prints for root, too."""
    asked = [mpiexec, "--version"]
    return subprocess.run(
        asked, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    ).stdout


def quoted(printed: str) -> str:
    """The messages of the ranks in the output of an MPI job, if there are any, without the lines of
    `mpiexec`.
    """
    words = re.findall(r"^rank \d+: .+", printed, re.MULTILINE)
    return "; ".join(dict.fromkeys(words)) or printed
