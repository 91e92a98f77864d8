"""The contract of a store of runs.

A backend that implements the six abstract methods of `RunStore` works with all of NeuroCore: gates, answers, the claim
and the activity live inside `RunRecord`. Everything that a good backend can do better (one transaction for a step and
its run, claiming by compare-and-set, paging by key, look-up by prefix, counts) is a further method with a working
default, built on those six. The defaults keep two writers apart within one process only. Each role has a file in
`contract/`.
"""

from __future__ import annotations

from types import FunctionType

from neurocore.persistence.contract.accounts import Accounts
from neurocore.persistence.contract.decisions import Decisions
from neurocore.persistence.contract.driving import Driving
from neurocore.persistence.contract.lists import Lists
from neurocore.persistence.contract.maintenance import Maintenance
from neurocore.persistence.contract.passkeys import Passkeys
from neurocore.persistence.contract.runs import Runs

#: The roles of a store, each with its own methods.
ROLES: tuple[type, ...] = (Runs, Driving, Decisions, Lists, Maintenance, Accounts, Passkeys)


class RunStore(Driving, Maintenance, Lists, Decisions, Accounts, Passkeys, Runs):
    """A durable store of runs. A backend implements six abstract methods, and may override others to do them better.

    Every method may be called from several threads. Raises `StoreError` when something cannot be read or written.
    """

    @classmethod
    def abilities(cls) -> dict[str, bool]:
        """Return for each optional ability, by method name, whether this backend overrides the default."""
        return {name: getattr(cls, name) is not getattr(RunStore, name) for name in FURTHER_ABILITIES}


def _methods(role: type) -> list[str]:
    return [name for name, value in vars(role).items() if isinstance(value, FunctionType) and not name.startswith("_")]


#: The abstract methods of a backend, and the methods with a default that it can do better.
REQUIRED = tuple(name for name in _methods(Runs) if name in Runs.__abstractmethods__)
FURTHER_ABILITIES = tuple(name for role in ROLES for name in _methods(role) if name not in REQUIRED and name != "close")
