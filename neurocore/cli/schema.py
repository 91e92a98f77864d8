"""`neurocore schema`: the JSON Schemas with which editors complete and check files."""

from __future__ import annotations

import click

from neurocore.cli.output import emit


@click.command()
@click.argument("what", type=click.Choice(["blueprint", "config"]))
def schema(what: str) -> None:
    """Print the JSON Schema of blueprints, or of neurocore.yaml.

    Save it and name it in the first line of a file. Then your editor completes and checks the file while you write:

        # yaml-language-server: $schema=blueprint.schema.json
    """
    if what == "blueprint":
        from neurocore.blueprint.schema import blueprint_schema

        emit(blueprint_schema())
    else:
        from neurocore.config import config_schema

        emit(config_schema())
