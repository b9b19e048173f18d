"""Counts compilations, to show that nothing compiles inside the clock."""

from __future__ import annotations

import sys
from typing import Any

JAX_COMPILES = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts what numba and JAX compile, from when each is first seen loaded."""

    def __init__(self) -> None:
        self._numba: Any = None
        self._jax_watched = False
        self._jax = 0

    def count(self) -> int:
        """Compilations so far; watches libraries that were loaded since the last count."""
        if "numba" in sys.modules and self._numba is None:
            from numba.core import event

            self._numba = event.RecordingListener()  # type: ignore[no-untyped-call]
            event.register("numba:compile", self._numba)  # type: ignore[no-untyped-call]
        if "jax" in sys.modules and not self._jax_watched:
            import jax.monitoring

            jax.monitoring.register_event_duration_secs_listener(self._heard)
            self._jax_watched = True
        return self._jax + (len(self._numba.buffer) if self._numba else 0)

    def _heard(self, event: str, *_: Any, **__: Any) -> None:
        self._jax += event == JAX_COMPILES
