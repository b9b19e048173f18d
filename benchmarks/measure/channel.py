"""What the conductor of a race and the process that races say to each other: lines of JSON over a socket.

The conductor sends one request; the process answers with what it found, as it finds it, so that nothing is
lost with a process that dies. One whose conductor is gone ends at its next word.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

ORPHANED = 70
"""Exit status of a process whose conductor is gone."""


class Channel:
    """One end of the line."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = b""

    def send(self, **message: Any) -> None:
        """Send one message; ends this process where nobody listens any more."""
        try:
            self._end.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")
        except OSError:
            os._exit(ORPHANED)

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message; None where the other end is closed. Raises TimeoutError after `timeout` s."""
        self._end.settimeout(timeout)
        while b"\n" not in self._buffer:
            try:
                received = self._end.recv(1 << 16)
            except ConnectionError:
                received = b""
            if not received:
                return None
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
