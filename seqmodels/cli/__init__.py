"""The subcommands that need Lightning: fit, validate, test and predict."""

from seqmodels.cli.command import run

__all__ = ["run"]
