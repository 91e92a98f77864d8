"""The public address of blueprints: their model, their loader, their checks."""

from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.load import load_blueprint, parse_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.yamlfile import Problem

__all__ = ["Blueprint", "Problem", "load_blueprint", "parse_blueprint", "validate_blueprint"]
