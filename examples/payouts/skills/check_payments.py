"""Sort payments into those that can go out, those among them that are unusual, and those that must not."""

from __future__ import annotations

import csv
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from statistics import median
from typing import Any

from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException

from neurocore import FlowContext, Skill, SkillMeta

PROJECT = Path(__file__).resolve().parent.parent


class CheckPayments(Skill):
    """A wrong row is held back with every reason there is, and hides no other."""

    skill_meta = SkillMeta(
        name="check-payments",
        version="1.0.0",
        description="Check IBAN, BIC, currency and amount, find what was entered or paid twice.",
        requires=["schwifty"],
        consumes=["rows", "limit"],
        provides=["payments", "unusual", "held_back"],
        config_schema={
            "properties": {
                "times_usual": {
                    "type": "number",
                    "exclusiveMinimum": 1,
                    "description": "An amount so many times a payee's usual one is pointed out (4).",
                }
            },
            "additionalProperties": False,
        },
    )

    def process(self, context: FlowContext) -> FlowContext:
        history = History(PROJECT / "archive")
        payments: list[dict[str, Any]] = []
        unusual: list[dict[str, Any]] = []
        held_back: list[dict[str, Any]] = []
        seen: dict[tuple[str, str], int] = {}
        for row in context.get("rows"):
            payment, problems = _judge(row)
            key = (payment["iban"], row["invoice"])
            if first := seen.get(key):
                problems.append(f"the same invoice as in row {first}")
            elif batch := history.paid_in(*key):
                problems.append(f"paid already with batch {batch}")
            seen.setdefault(key, row["row"])
            if problems:
                held_back.append(_shown(row, row["amount"], problems))
                continue
            payments.append(payment)
            if remarks := self._remarks(payment, history, context.get("limit")):
                unusual.append(_shown(row, payment["amount"], remarks))
        context.set("payments", payments)
        context.set("unusual", unusual)
        context.set("held_back", held_back)
        return context

    def _remarks(self, payment: dict[str, Any], history: History, limit: Decimal) -> list[str]:
        usual = history.usual(payment["iban"])
        remarks = []
        if payment["amount"] > limit:
            remarks.append(f"above {limit:,.2f} EUR")
        if usual is None:
            remarks += ["a new payee"] if history else []
        elif payment["amount"] > usual * Decimal(str(self.config.get("times_usual", 4))):
            remarks.append(f"{payment['amount'] / usual:.0f}× the usual")
        return remarks


class History:
    """What was paid before, from the archive that this workflow writes."""

    def __init__(self, archive: Path) -> None:
        self._batch: dict[tuple[str, str], str] = {}
        self._amounts: dict[str, list[Decimal]] = defaultdict(list)
        for file in sorted(archive.glob("*/paid.csv")):
            with file.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    self._batch[row["iban"], row["invoice"]] = file.parent.name
                    self._amounts[row["iban"]].append(Decimal(row["amount"]))

    def __bool__(self) -> bool:
        return bool(self._amounts)

    def paid_in(self, iban: str, invoice: str) -> str | None:
        """The batch that paid this invoice."""
        return self._batch.get((iban, invoice))

    def usual(self, iban: str) -> Decimal | None:
        """The median of what this account was paid; None for one that is new."""
        return median(self._amounts[iban]) if iban in self._amounts else None


def _judge(row: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The payment as the bank needs it, and what is wrong with it."""
    problems = []
    iban = IBAN(row["iban"], allow_invalid=True)
    try:
        iban.validate()
        if not iban.in_sepa_zone:
            problems.append(f"an account in {iban.country_code}, which is not in SEPA")
    except SchwiftyException as error:
        problems.append(f"IBAN: {str(error)[:1].lower()}{str(error)[1:]}")
    bic = _bic(row["bic"], iban, problems)
    amount = _amount(row["amount"], problems)
    if row["currency"] != "EUR":
        problems.append(f"{row['currency'] or 'no currency'} instead of EUR")
    problems += [f"no {name}" for name in ("payee", "invoice") if not row[name]]
    payment = {
        "row": row["row"], "invoice": row["invoice"], "payee": row["payee"], "iban": str(iban), "bic": bic,
        "amount": amount, "purpose": row["purpose"],
    }  # fmt: skip
    return payment, problems


def _bic(given: str, iban: IBAN, problems: list[str]) -> str:
    """The BIC that was given, if it can belong to the account; else what the bank code says, or nothing."""
    known = str(iban.bic or "") if iban.is_valid else ""
    if not given:
        return known
    bic = BIC(given, allow_invalid=True)
    if not bic.is_valid:
        problems.append(f"the BIC {given} is malformed")
    elif known and known[:8] != given[:8]:
        problems.append(f"the BIC {given} is not of the account's bank ({known})")
    return given


def _amount(given: str, problems: list[str]) -> Decimal | None:
    try:
        amount = Decimal(given)
    except InvalidOperation:
        problems.append(f"the amount {given!r} is no number")
        return None
    if not amount.is_finite() or amount <= 0:
        problems.append("the amount is not above zero")
    elif amount != round(amount, 2):
        problems.append("the amount has fractions of a cent")
    return amount


def _shown(row: dict[str, Any], amount: Decimal | str, why: list[str]) -> dict[str, Any]:
    """A row as the reviewer sees it, what matters most at the left."""
    return {
        "row": row["row"], "why": "; ".join(why), "payee": row["payee"], "amount": amount, "invoice": row["invoice"],
        "iban": row["iban"],
    }  # fmt: skip
