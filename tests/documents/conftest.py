"""The command line that prints the documents."""

from tests.cli.conftest import runner

__all__ = ["runner"]
