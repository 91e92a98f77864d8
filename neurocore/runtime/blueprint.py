"""The public address of the blueprint: its model, its loader, its checks."""

from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.load import load_blueprint, parse_blueprint
from neurocore.blueprint.model import Blueprint

__all__ = ["Blueprint", "load_blueprint", "parse_blueprint", "validate_blueprint"]
