"""Why a gate has no result, with the exit status of each reason."""

from __future__ import annotations

import click


class NoAnswer(click.ClickException):
    """A gate that was asked for rightly, and could not tell."""

    exit_code = 2


class Refusal(click.ClickException):
    """A gate that was asked for in a way in which it cannot run."""

    exit_code = 3
