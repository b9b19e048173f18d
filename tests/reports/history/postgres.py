"""A PostgreSQL server of the tests' own: in a temporary folder, on a socket in it, with a password."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PASSWORD = "s3cret/&?%"
"""With characters that a URL must escape: none of it may be printed, in either form."""

ESCAPED = "s3cret%2F%26%3F%25"


def programs() -> Path | None:
    """The folder of the newest server that is installed; Debian keeps it off the path."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).parent if on_path else None


class Server:
    """A server that can be stopped and started; raises OSError or SubprocessError where none can run."""

    def __init__(self) -> None:
        folder = programs()
        if folder is None:
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
        self.programs = folder
        # A short path: a socket's may have about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="gradrace-pg-"))
        # The server refuses to run as root; the package brings a user of its own.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        try:
            self._run(
                "initdb",
                "-D",
                "data",
                "-U",
                "implementation",
                "-A",
                "scram-sha-256",
                "--pwfile=secret",
                "-E",
                "UTF8",
                "-N",
            )
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    @property
    def url(self) -> str:
        return f"postgresql://implementation:{ESCAPED}@/postgres?host={self.folder}"

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Stop the server as in a crash, without waiting for transactions."""
        self._run("pg_ctl", "stop", "-w", "-D", "data", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        # Nothing of the server's may keep this process's pipes open.
        subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            user=self.user,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            env={**os.environ, "LC_ALL": "C"},
        )
