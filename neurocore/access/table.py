"""The whole table of rights as a page of the docs: `python -m neurocore.access.table > docs/permissions.md`."""

from __future__ import annotations

from neurocore.access.actor import Face
from neurocore.access.permission_names import Action
from neurocore.access.roles import FOR_ALL, Grant, Role

#: The interfaces that offer each action. Tests compare this with the routes, the commands and the verbs there are.
OFFERED: dict[Action, tuple[Face, ...]] = {
    Action.VIEW: (Face.WEB, Face.API, Face.CLI, Face.LIBRARY),
    Action.START: (Face.WEB, Face.API, Face.CLI, Face.LIBRARY),
    Action.RESUME: (Face.WEB, Face.API, Face.CLI, Face.LIBRARY),
    Action.REPLAY: (Face.WEB, Face.API, Face.CLI, Face.LIBRARY),
    Action.CANCEL: (Face.WEB, Face.API, Face.CLI, Face.LIBRARY),
    Action.ANSWER: (Face.WEB, Face.API, Face.LIBRARY),
    Action.DELETE: (Face.WEB, Face.API, Face.CLI, Face.LIBRARY),
    Action.ADOPT: (Face.CLI, Face.LIBRARY),
    Action.ADMINISTER: (Face.WEB, Face.CLI, Face.LIBRARY),
    Action.COMMENT: (Face.WEB, Face.API, Face.LIBRARY),
    Action.OWN: (Face.WEB,),
    Action.IDENTIFY: (Face.API,),
}

_HEAD = """# Permissions

Made by `python -m neurocore.access.table` from what the code asks. Tests compare it with every route of the dashboard
and of the API (each role, nobody, and a token of each scope), every command, and every verb of the library. Each row is
an action. A role may do it through the interfaces in its cell; an empty cell is a refusal.

- **page** and **API**: the dashboard asks before every page and every request; the verb that it calls asks again.
- **library**: every verb of `neurocore.runs` and `neurocore.accounts` asks for the right of the `actor=` that it gets.
- **command line**: it acts as the user of the operating system, who owns the files, needs no role, and may do
  everything except answer gates.
- A **token** has one or more actions as its scopes. It may do what its scopes and the roles of its owner both allow.
  No token has `adopt`, `administer` or `own`.
"""

_NAMES = {Face.WEB: "page", Face.API: "API", Face.LIBRARY: "library"}


def table() -> str:
    """Return the page, in Markdown."""
    lines = [
        _HEAD,
        f"| action | {' | '.join(role.value for role in Role)} | command line | token | for |",
        f"|---|{'---|' * (len(Role) + 3)}",
    ]
    for action, faces in OFFERED.items():
        through = ", ".join(name for face, name in _NAMES.items() if face in faces)
        cells = [through if _may(role, action) else "" for role in Role]
        own = "yes" if Face.CLI in faces else ""
        scope = "" if action in FOR_ALL or action is Action.OWN else "any" if action is Action.IDENTIFY else "yes"
        lines.append(f"| {action.value} | {' | '.join([*cells, own, scope])} | {_for(action)} |")
    return "\n".join(lines) + "\n"


def _may(role: Role, action: Action) -> bool:
    return action in (Action.OWN, Action.IDENTIFY) or Grant(role).allows(action, None)


def _for(action: Action) -> str:
    if action is Action.OWN:
        return "one's own account, without any role too"
    if action is Action.IDENTIFY:
        return "oneself, without any role too"
    return "everything" if action in FOR_ALL else "the blueprints of the grant"


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201 - the page goes to a file
