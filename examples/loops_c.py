"""`loops` in C: a program that implements docs/protocol.md, compiled when it is first used."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import impls


class LoopsC(impls.Child):
    idea, differs_from = "the same loops, compiled by a C compiler", "loops"
    dtypes, same_order, fast_math, layout = ("float64",), True, "none", "samples in columns, one at a time"

    @staticmethod
    @functools.cache
    def command():
        compiler = shutil.which("cc")
        if compiler is None:
            raise impls.Unavailable("loops in C needs a C compiler, found no cc; apt-get install gcc")
        folder = tempfile.mkdtemp(prefix="gradrace-c-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        source, program = Path(__file__).with_name("loops.c"), f"{folder}/loops"
        subprocess.run([compiler, "-O2", "-ffp-contract=off", "-o", program, source, "-lm"], check=True)
        return [program]
