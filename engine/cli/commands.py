"""The base classes of commands. In their help, the option `--help` shows no type, since it takes no value."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command of the command line."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option `--help`."""
        return _without_type(super().get_help_option(ctx))


class Group(TyperGroup):
    """A command with subcommands."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option `--help`."""
        return _without_type(super().get_help_option(ctx))


def _without_type(option: Any) -> Any:
    if option is not None:
        option.metavar = ""
    return option
