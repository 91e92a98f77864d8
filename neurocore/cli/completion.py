"""`neurocore completion`: the script with which a shell completes commands, options, runs and blueprints."""

from __future__ import annotations

import click

from neurocore.cli.output import out

HELP = """Print the completion script of a shell.

\b
bash:  neurocore completion bash \\
           > ~/.local/share/bash-completion/completions/neurocore
zsh:   neurocore completion zsh > ~/.zfunc/_neurocore
           (with ~/.zfunc in fpath)
fish:  neurocore completion fish > ~/.config/fish/completions/neurocore.fish

Create the folder first if it does not exist.
"""


@click.command(help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = kind(ctx.find_root().command, {}, "neurocore", "_NEUROCORE_COMPLETE")
    out(script.source_template % script.source_vars())
