"""The contract of a run store as tests for any backend, and a report of its further abilities.

Under pytest, subclass `RunStoreContract`; `make_store` is called before each test, and again when a test reopens it:

    class TestMyStore(RunStoreContract):
        def make_store(self) -> RunStore:
            return MyStore(self.folder)

Without pytest, `python -m neurocore.persistence.testing my_package:MyStore` prints the report; the callable receives a
new folder. The contract is what NeuroCore relies on, so a backend that passes works with all of it.

`RecordingRunStore` keeps runs in memory and records the calls to it, for tests of code that uses a store.
"""

from neurocore.persistence.testing.contract import Contract
from neurocore.persistence.testing.decisions import Decisions
from neurocore.persistence.testing.driving import Driving
from neurocore.persistence.testing.lists import Lists
from neurocore.persistence.testing.maintenance import Maintenance
from neurocore.persistence.testing.recording import RecordingRunStore
from neurocore.persistence.testing.report import ABILITIES, Report, examine
from neurocore.persistence.testing.required import Required
from neurocore.persistence.testing.runs import Runs

__all__ = [
    "ABILITIES",
    "Contract",
    "Decisions",
    "Driving",
    "Lists",
    "Maintenance",
    "RecordingRunStore",
    "Report",
    "Required",
    "RunStoreContract",
    "Runs",
    "examine",
]


class RunStoreContract(Required, Runs, Driving, Decisions, Lists, Maintenance):
    """The whole contract: the six methods, and for each role what is built on them or done better."""
