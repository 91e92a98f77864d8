"""Everything that somebody may or may not do."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """An action on a blueprint's runs; `ADMINISTER` is about accounts, `OWN` one's own account, `IDENTIFY` its name."""

    VIEW = "view"
    START = "start"
    RESUME = "resume"
    REPLAY = "replay"
    CANCEL = "cancel"
    ANSWER = "answer"
    COMMENT = "comment"
    DELETE = "delete"
    ADOPT = "adopt"
    ADMINISTER = "administer"
    OWN = "own"
    IDENTIFY = "identify"
