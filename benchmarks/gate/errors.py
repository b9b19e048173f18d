"""The errors with which a gate ends without a result, and their exit statuses."""

from __future__ import annotations

import click


class NoAnswer(click.ClickException):
    """A gate ran and could not tell."""

    exit_code = 2


class Refusal(click.ClickException):
    """A gate cannot run with these options or settings."""

    exit_code = 3
