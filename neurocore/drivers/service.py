"""The service that repeats the sweep, so that no owed or lost run is left undone while it runs (promises 3 and 5)."""

from __future__ import annotations

import logging
import threading

from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import Dispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import NeuroCoreError, StoreTooNew
from neurocore.persistence.base import RunStore

_log = logging.getLogger(__name__)


def keep_sweeping(
    config: NeuroCoreConfig, *, run_store: RunStore, dispatch: Dispatcher, interval: float, stop: threading.Event
) -> None:
    """Sweep at once and then every `interval` seconds, until `stop` is set.

    Errors are logged, and the sweep tries again. If a newer version has upgraded the history, the service ends: this
    process can no longer drive runs.
    """
    while not stop.is_set():
        try:
            report = sweep_once(config, run_store=run_store, dispatch=dispatch)
            for run_id in (*report.owed, *report.lost):
                _log.info("The sweep continues run %s.", run_id)
        except StoreTooNew as error:
            _log.error("No run is driven here any more: %s", error)
            return
        except NeuroCoreError as error:
            _log.warning("The sweep will try again: %s", error)
        except Exception:
            _log.exception("The sweep will try again.")
        stop.wait(interval)
