"""The build hook: it allows only editable installs, which run from the checkout."""

from __future__ import annotations

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableOnly(BuildHookInterface[Any]):
    """Refuses a wheel that would hold copies of the packages, without the checkout that they work on."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Exit with a message that says what to do, unless the wheel is that of an editable install."""
        if version != "editable":
            sys.exit("gradrace runs from its checkout: install it there with pip install -e .")
