"""Durable YAML workflows of Python skills."""

__version__ = "0.5.0"
