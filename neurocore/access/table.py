"""The whole table of rights as a page of the docs: `python -m neurocore.access.table > docs/permissions.md`."""

from __future__ import annotations

from neurocore.access.permission_names import Action
from neurocore.access.roles import FOR_ALL, Grant, Role

_HEAD = """# Permissions

Made by `python -m neurocore.access.table` from what the code asks. Each row is an action, each column a role. Every
verb of `neurocore.runs` and `neurocore.accounts` asks for the right, and the dashboard asks before every page: the
rights are the same in the dashboard, in the API and in the library. On the command line, whoever owns the files may do
everything except `answer`.
"""


def table() -> str:
    """Return the page, in Markdown."""
    roles = list(Role)
    lines = [
        _HEAD,
        f"| action | {' | '.join(role.value for role in roles)} | for |",
        f"|---|{'---|' * (len(roles) + 1)}",
    ]
    for action in Action:
        if action is Action.OWN:
            cells, about = ["yes"] * len(roles), "one's own account, without any role too"
        elif action is Action.IDENTIFY:
            cells, about = ["yes"] * len(roles), "oneself, without any role and with any token too"
        else:
            cells = ["yes" if Grant(role).allows(action, None) else "" for role in roles]
            about = "everything" if action in FOR_ALL else "the blueprints of the grant"
        lines.append(f"| {action.value} | {' | '.join(cells)} | {about} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201 - the page goes to a file
