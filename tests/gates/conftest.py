"""A fresh world for each test of the gates."""

from tests.runtime.conftest import world

__all__ = ["world"]
