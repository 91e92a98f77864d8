"""What people often write in a blueprint is refused with what they should have written."""

from __future__ import annotations

import pytest

from neurocore.errors import BlueprintError
from neurocore.runtime.blueprint import parse_blueprint

COMPONENT = "components: [{name: t, type: template, config: {template: x}}]\n"


def messages(text: str) -> list[str]:
    """What is said of a blueprint."""
    with pytest.raises(BlueprintError) as refused:
        parse_blueprint(f"name: a\n{text}")
    return [problem.message for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("title: Payments: {{ batch }}\nflow: {}", 'title: "Payments: {{ batch }}"'),
        ("description: Does this: and that\nflow: {}", 'description: "Does this: and that"'),
        ('title: Says "yes": or no\nflow: {}', "title: 'Says \"yes\": or no'"),
        ("flow: {steps: [{approval: {name: ok, message: Pay: now}}]}", 'message: "Pay: now"'),
        ("flow:\n  steps:\n    - approval:\n        message: Pay {{ n }}: sure?", 'message: "Pay {{ n }}: sure?"'),
        ("flow:\n  steps:\n    - description: First: this\n      component: t", 'description: "First: this"'),
    ],
)  # fmt: skip
def test_text_with_a_colon_is_shown_in_quotes(text, quoted):
    (message,) = messages(text)
    assert message.endswith(f"; text that contains a colon and a blank must be quoted: {quoted}.")


@pytest.mark.parametrize(
    "text", ["title: x\n  more: y\nflow: {}", "flow: {steps: [{component: t]}", "title: 'x\nflow: {}", "a: b\n- c"]
)
def test_other_mistakes_of_yaml_are_not_taken_for_a_colon(text):
    assert not any("colon" in message for message in messages(text))


def test_a_condition_in_braces_is_shown_without():
    steps = 'flow: {steps: [{component: t, condition: "{{ context.data.n > 3 }}"}]}'
    assert messages(COMPONENT + steps) == ["A condition is not a template; remove the braces: `context.data.n > 3`."]
    steps = "flow:\n  steps:\n    - component: t\n      condition: {{ context.data.n > 3 }}"
    (message,) = messages(COMPONENT + steps)
    assert message.startswith(
        "Braces begin a mapping here; put text with {{ … }} in quotes (a condition has no braces)"
    )
    graph = (
        "flow: {type: graph, nodes: [{id: a, component: t}, {id: b, component: t}], "
        'edges: [{source: a, target: b, condition: "{{n}}"}]}'
    )
    assert "A condition is not a template; remove the braces: `n`." in messages(COMPONENT + graph)


def test_a_template_without_quotes_says_that_it_needs_them():
    (message,) = messages("title: {{ batch }}\nflow: {steps: [{approval: {name: ok}}]}")
    assert "put text with {{ … }} in quotes" in message


@pytest.mark.parametrize(
    ("steps", "short"),
    [
        ("[{approval: review}]", "`approval: {name: review}`"),
        ("[t]", "`- {component: t}`"),
        ("[{component: t, retry: 3}]", "`retry: {max: 3}`"),
    ],
)
def test_a_short_form_that_does_not_exist_is_written_out(steps, short):
    assert any(message.endswith(f"; write {short}.") for message in messages(f"{COMPONENT}flow: {{steps: {steps}}}"))


def test_the_words_of_other_tools_are_translated():
    graph = (
        "flow: {type: graph, nodes: [{id: a, component: t}, {id: b, component: t}], "
        "edges: [{from: a, to: b, when: context.data.n}]}"
    )
    assert messages(COMPONENT + graph) == [
        "There is no key 'from' here; write 'source'.",
        "There is no key 'to' here; write 'target'.",
        "There is no key 'when' here; write 'condition'.",
    ]
    assert messages(COMPONENT + "flow: {steps: [{component: t, if: x}]}") == [
        "There is no key 'if' here; write 'condition'."
    ]
    said = messages("components: [{id: t, skill: template}]\nflow: {steps: [{component: t, retry: {times: 3}}]}")
    assert {
        "There is no key 'id' here; write 'name'.",
        "There is no key 'skill' here; write 'type'.",
        "There is no key 'times' here; write 'max'.",
    } <= set(said)
    assert not any("is missing" in message for message in said)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (f"inputs: [amount, who]\n{COMPONENT}flow: {{}}", "write `inputs: {amount: …}`."),
        (f"outputs: [{{name: sum, type: integer}}]\n{COMPONENT}flow: {{}}", "write `outputs: {sum: …}`."),
        ("components: {t: {type: template}}\nflow: {}", "write a list: `- {name: t, …}`."),
        ("components: [delay]\nflow: {}", "write `- {name: delay, type: delay}`."),
        (f"{COMPONENT}flow: {{type: graph, nodes: [t]}}", "write `- {id: t, component: t}`."),
        (f"{COMPONENT}flow: {{steps: [{{component: t, retry: {{on: TimeoutError}}}}]}}", "on: [TimeoutError]`."),
        (f"{COMPONENT}flow: {{steps: [{{component: t, timeout: 5m}}]}}", "write the seconds: 300."),
        (f"{COMPONENT}flow: {{steps: [{{component: t, timeout: 1.5 hours}}]}}", "write the seconds: 5400."),
        (f"{COMPONENT}flow: {{steps: [{{component: t, timeout: '30'}}]}}", "remove the quotes."),
        (f"{COMPONENT}steps: [{{component: t}}]", "it belongs under `flow`."),
        (f"{COMPONENT}flow: {{max_iterations: 3, steps: [{{component: t}}]}}", "it belongs under `settings`."),
        ("components: [{name: t, type: template, retry: {}}]\nflow: {}", "with the step or the node, under `flow`."),
    ],
)  # fmt: skip
def test_what_stands_in_another_form_or_place_is_shown_as_it_should_be(text, hint):
    assert any(message.endswith(hint) for message in messages(text)), messages(text)
