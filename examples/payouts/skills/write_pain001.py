"""Write the bank's file: ISO 20022 pain.001, once per batch whatever happens."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sepaxml import SepaTransfer

from neurocore import FlowContext, Skill, SkillMeta

PROJECT = Path(__file__).resolve().parent.parent
SCHEMA = "pain.001.001.03"
NAMESPACE = {"pain": f"urn:iso:std:iso:20022:tech:xsd:{SCHEMA}"}


class WritePain001(Skill):
    """The message carries the step's idempotency key as its id, by which a bank refuses to book a file twice.

    The file appears whole or not at all, and is never replaced: an attempt that finds it there with its own id, because
    the process died right after writing it, takes it as its own; one that finds another's refuses.
    """

    skill_meta = SkillMeta(
        name="write-pain001",
        version="1.0.0",
        description="Write payments as an ISO 20022 pain.001 file.",
        requires=["sepaxml"],
        consumes=["batch", "payments", "execution_date"],
        provides=["bank_file", "message_id"],
        config_schema={
            "properties": {"debtor": {"type": "string"}, "iban": {"type": "string"}, "bic": {"type": "string"}},
            "required": ["debtor", "iban", "bic"],
            "additionalProperties": False,
        },
    )

    def process(self, context: FlowContext) -> FlowContext:
        file = PROJECT / "outbox" / f"{context.get('batch')}.xml"
        day = context.get("execution_date") or _next_working_day(dt.date.today())  # noqa: DTZ011 - the office's own day
        _put(file, self._message(context.get("payments"), day, context.idempotency_key), context.idempotency_key)
        context.set("bank_file", file.relative_to(PROJECT).as_posix())
        context.set("message_id", context.idempotency_key)
        return context

    def _message(self, payments: list[dict[str, Any]], day: dt.date, message_id: str) -> bytes:
        debtor = {
            "name": self.config["debtor"], "IBAN": self.config["iban"].replace(" ", ""), "BIC": self.config["bic"],
            "batch": True, "currency": "EUR",
        }  # fmt: skip
        transfer = SepaTransfer(debtor, schema=SCHEMA)
        for payment in payments:
            transfer.add_payment(
                {
                    "name": payment["payee"],
                    "IBAN": payment["iban"],
                    **({"BIC": payment["bic"]} if payment["bic"] else {}),
                    "amount": int(payment["amount"] * 100),
                    "execution_date": day,
                    "description": f"{payment['invoice']} {payment['purpose']}",
                    "endtoend_id": f"{message_id[:20]}-{payment['row']}",
                }
            )
        return _with_id(transfer.export(validate=True), message_id)


def _with_id(message: bytes, message_id: str) -> bytes:
    """The message under our id instead of the random ones that sepaxml gives."""
    tree = ET.fromstring(message)  # noqa: S314 - written a moment ago by sepaxml
    for path in (".//pain:GrpHdr/pain:MsgId", ".//pain:PmtInf/pain:PmtInfId"):
        for node in tree.iterfind(path, NAMESPACE):
            node.text = message_id
    ET.register_namespace("", NAMESPACE["pain"])
    written: bytes = ET.tostring(tree, encoding="utf-8", xml_declaration=True)
    return written


def _put(file: Path, message: bytes, message_id: str) -> None:
    file.parent.mkdir(exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(message)
            out.flush()
            os.fsync(out.fileno())
        with _one_at_a_time():
            if not file.exists():
                Path(temporary).replace(file)
                return
        found = ET.parse(file).findtext(".//pain:MsgId", namespaces=NAMESPACE)  # noqa: S314 - our own outbox
        if found != message_id:
            raise ValueError(
                f"outbox/{file.name} was written by another run (message {found}); a batch goes to the bank once: give "
                "what is to be paid beside it a batch of its own."
            )
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep other processes from putting a file into the outbox meanwhile."""
    lock = PROJECT / "data" / "outbox.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _next_working_day(day: dt.date) -> dt.date:
    day += dt.timedelta(days=1)
    while day.weekday() >= 5:
        day += dt.timedelta(days=1)
    return day


def total(message: bytes) -> Decimal:
    """The control sum that a message states: for tests, and for people who check."""
    return Decimal(ET.fromstring(message).findtext(".//pain:GrpHdr/pain:CtrlSum", "0", NAMESPACE))  # noqa: S314
