"""The public address of the blueprint: its model, its loader, its checks."""

from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.load import load_blueprint, parse_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.yamlfile import Problem

__all__ = ["Blueprint", "Problem", "load_blueprint", "parse_blueprint", "validate_blueprint"]
