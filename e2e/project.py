"""The project that the tests serve: blueprints for what people do, and skills that go on when a test lets them."""

from __future__ import annotations

from pathlib import Path

SKILLS = '''
import time
from pathlib import Path

from neurocore import Skill, SkillMeta

SIGNALS = Path(__file__).parent.parent / "signals"
ALL = SIGNALS / "all"


class Hold(Skill):
    """Says that it has begun and goes on when somebody writes its signal; then sets what its configuration says."""

    skill_meta = SkillMeta(name="hold", version="1.0")

    def process(self, context):
        signal = SIGNALS / context.metadata.run_id / self.name
        signal.parent.mkdir(parents=True, exist_ok=True)
        (signal.parent / f"{self.name}.begun").touch()
        while not (signal.exists() or ALL.exists()):
            time.sleep(0.005)
        for key, value in self.config.get("set", {}).items():
            context.set(key, value)
        return context


class Fragile(Skill):
    """Fails until somebody has written its signal."""

    skill_meta = SkillMeta(name="fragile", version="1.0")

    def process(self, context):
        if not (SIGNALS / context.metadata.run_id / self.name).exists():
            raise ConnectionError("The bank does not answer; ask again later.")
        context.set("charged", True)
        return context


class Ask(Skill):
    """Stops by itself and waits for data once."""

    skill_meta = SkillMeta(name="ask", version="1.0")

    def process(self, context):
        given = context.resume_data
        if given is None:
            context.suspend(reason="Which account?")
            return context
        context.set("given", dict(given))
        return context
'''

BLUEPRINTS = {
    "letters": """
name: letters
description: Writes a letter and sends it after a person has read it.
title: A letter to {{ name }}
inputs: {name: {type: string}}
components:
  - {name: write, type: template, config: {template: "Dear {{ name }}", output: letter}}
  - {name: send, type: template, config: {template: "sent: {{ letter }}", output: receipt}}
flow:
  steps:
    - component: write
    - approval: {name: review, message: "Send this to {{ name }}?", show: [letter], note: on_reject}
    - component: send
""",
    "greeting": """
name: greeting
title: Greeting {{ name }}
inputs: {name: {type: string}, mood: {type: string, default: calm}}
components:
  - {name: greet, type: template, config: {template: "Hello {{ name }}, be {{ mood }}.", output: text}}
flow: {steps: [{component: greet}]}
""",
    "slow": """
name: slow
title: Slow work for {{ who }}
inputs: {who: {type: string, default: nobody}}
components:
  - {name: first, type: hold, config: {set: {a: 1}}}
  - {name: second, type: hold, config: {set: {b: 2}}}
  - {name: third, type: hold, config: {set: {c: 3}}}
flow:
  steps: [{component: first}, {component: second}, {component: third}]
""",
    "beside": """
name: beside
title: Work beside a gate
components:
  - {name: begin, type: template, config: {template: "an offer\\nof two lines\\nand a third", output: offer}}
  - {name: beat1, type: hold}
  - {name: beat2, type: hold}
  - {name: beat3, type: hold}
  - {name: beat4, type: hold}
  - {name: review, type: approval, config: {message: "Take the offer?", show: [offer]}}
  - {name: end, type: template, config: {template: "done", output: done}}
flow:
  type: graph
  nodes: [{id: begin, component: begin}, {id: review, component: review}, {id: beat1, component: beat1},
    {id: beat2, component: beat2}, {id: beat3, component: beat3}, {id: beat4, component: beat4},
    {id: end, component: end}]
  edges: [{source: begin, target: review}, {source: begin, target: beat1}, {source: beat1, target: beat2},
    {source: beat2, target: beat3}, {source: beat3, target: beat4}, {source: beat4, target: end},
    {source: review, target: end}]
""",
    "parallel": """
name: parallel
title: Two people look at it
components:
  - {name: begin, type: template, config: {template: "the draft", output: draft}}
  - {name: legal, type: approval, config: {message: "Is it lawful?", show: [draft]}}
  - {name: money, type: approval, config: {message: "Can we pay it?", show: [draft], require: false}}
  - {name: end, type: template, config: {template: "done", output: done}}
flow:
  type: graph
  nodes: [{id: begin, component: begin}, {id: legal, component: legal}, {id: money, component: money},
    {id: end, component: end}]
  edges: [{source: begin, target: legal}, {source: begin, target: money}, {source: legal, target: end},
    {source: money, target: end}]
""",
    "gated": """
name: gated
title: Work after a gate
components:
  - {name: work, type: hold}
flow:
  steps:
    - approval: {name: review, message: "Shall it work?", show: []}
    - component: work
""",
    "two-in-a-row": """
name: two-in-a-row
title: Two gates, one after the other
flow:
  steps:
    - approval: {name: first, message: "Once?", show: []}
    - approval: {name: second, message: "And again?", show: []}
""",
    "later": """
name: later
title: A gate that opens later
components:
  - {name: prepare, type: hold}
flow:
  steps:
    - component: prepare
    - approval: {name: review, message: "Ready?", show: []}
""",
    "charge": """
name: charge
title: A charge that may fail
components:
  - {name: amount, type: template, config: {template: "10 EUR", output: amount}}
  - {name: charge, type: fragile}
  - {name: receipt, type: template, config: {template: "receipt for {{ amount }}", output: receipt}}
flow:
  steps:
    - component: amount
    - approval: {name: review, message: "Charge {{ amount }}?"}
    - component: charge
    - component: receipt
""",
    "changing": """
name: changing
title: A price that changes
components:
  - {name: begin, type: template, config: {template: "100 EUR", output: price}}
  - {name: review, type: approval, config: {message: "Buy at {{ price }}?", show: [price]}}
  - {name: market, type: hold, config: {set: {price: "250 EUR"}}}
  - {name: end, type: template, config: {template: "bought", output: done}}
flow:
  type: graph
  nodes: [{id: begin, component: begin}, {id: review, component: review}, {id: market, component: market},
    {id: end, component: end}]
  edges: [{source: begin, target: review}, {source: begin, target: market}, {source: review, target: end},
    {source: market, target: end}]
""",
    "asking": """
name: asking
title: A step that asks
components: [{name: question, type: ask}]
flow: {steps: [{component: question}]}
""",
    "everything": """
name: everything
description: An input of every kind.
title: Everything for {{ text }}
inputs:
  text: {type: string, description: Some words}
  whole: {type: integer}
  real: {type: number, required: false}
  money: {type: decimal, default: "9.50"}
  agreed: {type: boolean, default: true}
  pace: {type: string, default: normal, enum: [slow, normal, quick]}
  day: {type: date, required: false}
  moment: {type: datetime, required: false}
  file: {type: path, required: false}
  names: {type: list, default: [Ada, Bob]}
  address: {type: mapping, required: false}
  anything: {type: any, required: false}
  token: {type: string, secret: true, default: "${E2E_TOKEN}"}
components:
  - {name: note, type: template, config: {template: "{{ text }} {{ whole }} {{ pace }}", output: noted}}
flow: {steps: [{component: note}]}
""",
    "free": """
name: free
description: Declares no inputs, so anything goes.
components: [{name: note, type: template, config: {template: "noted", output: noted}}]
flow: {steps: [{component: note}]}
""",
}


def write(root: Path) -> None:
    """Lay the project out in this folder."""
    (root / "blueprints").mkdir(parents=True)
    (root / "skills").mkdir()
    (root / "signals").mkdir()
    (root / "neurocore.yaml").write_text("project: {name: Letters and more}\n")
    (root / "skills" / "steered.py").write_text(SKILLS)
    for name, text in BLUEPRINTS.items():
        (root / "blueprints" / f"{name}.yaml").write_text(text)
