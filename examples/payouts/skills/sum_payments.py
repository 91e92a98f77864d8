"""Add up what the reviewer must know at a glance."""

from __future__ import annotations

from decimal import Decimal

from neurocore import FlowContext, Skill, SkillMeta


class SumPayments(Skill):
    """Totals of the payments that can go out. A batch with none ends here."""

    skill_meta = SkillMeta(
        name="sum-payments",
        version="1.0.0",
        description="Add up a batch of payments.",
        consumes=["payments", "unusual", "held_back"],
        provides=["totals"],
    )

    def process(self, context: FlowContext) -> FlowContext:
        payments, held_back = context.get("payments"), context.get("held_back")
        if not payments:
            reason = held_back[0]["why"] if held_back else "it is empty"
            raise ValueError(
                f"Nothing of batch {context.get('batch')} can be paid: {len(held_back)} rows, first {reason}."
            )
        context.set(
            "totals",
            {
                "payments": len(payments),
                "payees": len({payment["iban"] for payment in payments}),
                "amount": sum((payment["amount"] for payment in payments), Decimal()),
                "largest": max(payment["amount"] for payment in payments),
                "unusual": len(context.get("unusual")),
                "held_back": len(held_back),
            },
        )
        return context
