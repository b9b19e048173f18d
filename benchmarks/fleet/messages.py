"""The task that a fleet gives to a host, and the host's answer."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

REFUSED = 2
"""The exit status of a race with wrong options, and of a host that cannot run the race."""


class FleetTask(msgspec.Struct, frozen=True):
    """The task of a host: the arguments of `gradrace race`, the folder where they were given, variables.

    `name` is the task's own, `software` what the host must have: versions by name.
    """

    name: str
    arguments: tuple[str, ...]
    folder: str
    variables: Mapping[str, str]
    software: Mapping[str, str]


class HostOutcome(msgspec.Struct, frozen=True):
    """How the race ended on a host: its exit status, what it printed as errors, its record's file if any."""

    status: int
    words: str
    record: str | None = None
