"""Templates in the sandbox."""

from datetime import date
from typing import Any

import pytest

from orchestrator.domain.templates import BadTemplate, Template, reads

VALUES: dict[str, Any] = {
    "event": "issues",
    "body": {
        "number": 3,
        "title": "A <b> & 'c'",
        "items": [1, 2],
        "labels": [{"name": "bug"}, {"name": "urgent"}],
        "draft": False,
        "nothing": None,
        "large": "a" * 600_000,
    },
}


def rendered(template: Any) -> Any:
    return Template(template).render(VALUES)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ body.number }}", 3),
        ("{{- body.number -}}", 3),
        ("{{ body.draft }}", False),
        ("{{ body.nothing }}", None),
        ("{{ body.items }}", [1, 2]),
        ("{{ body.labels[0] }}", {"name": "bug"}),
        ("{{ body.labels | map(attribute='name') | list }}", ["bug", "urgent"]),
        ("{{ body.number + 1 }}", 4),
        ("{{ body.missing | default('none') }}", "none"),
        ("{{ 'late' if body.number > 2 else 'soon' }}", "late"),
        ("#{{ body.number }}: {{ body.title }}", "#3: A <b> & 'c'"),
        (" {{ body.number }}", " 3"),
        ("{{ body.number }}{{ body.number }}", "33"),
        ("{% if body.draft %}draft{% else %}ready{% endif %}", "ready"),
        ("{{ body.labels | map(attribute='name') | join(', ') }}", "bug, urgent"),
        ("{{ body.title.upper() | replace('A', 'B') }}", "B <B> & 'C'"),
        ("plain { text }", "plain { text }"),
        ("{{ 7*7 }}", 49),
        (5, 5),
        (None, None),
        (date(2026, 1, 2), "2026-01-02"),
        ({"a": ["{{ body.number }}", {"b": True}]}, {"a": [3, {"b": True}]}),
    ],
)
def test_a_template_renders(template: Any, value: Any) -> None:
    assert rendered(template) == value
    assert type(rendered(template)) is type(value)


def test_a_text_from_outside_is_never_a_template() -> None:
    hostile = {"body": {"title": "{{ 7*7 }}{% for x in y %}"}}
    assert Template("{{ body.title }}!").render(hostile) == "{{ 7*7 }}{% for x in y %}!"


@pytest.mark.parametrize(
    "template", ["{{ body.missing }}", "{{ body.missing.x }}", "x {{ nobody }}", "{{ body.nothing.x }}"]
)
def test_what_is_missing_is_an_error_that_names_it(template: str) -> None:
    with pytest.raises(BadTemplate, match=r"missing|nobody|'x'"):
        rendered(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{",
        "{{ body.number | nosuchfilter }}",
        "{% for x in body.items %}{{ x }}{% endfor %}",
        "{% if true %}{% for x in body.items %}{{ x }}{% endfor %}{% endif %}",
        "{% set x = 1 %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{{ body.items | random }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ " + "1 + " * 5000 + "1 }}",
    ],
)
def test_a_template_that_cannot_be_used_is_refused_when_it_is_read(template: str) -> None:
    with pytest.raises(BadTemplate):
        Template({"payload": [template]})


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ body | attr('__class__') }}",
        "{{ body['__class__'].x }}",
        "{{ body.title.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ 'a' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 10 ** 100000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ ','.join(body.items) }}",
        "{{ body.large | replace('a', body.large) }}",
        "{{ body.labels | join(body.large) }}",
        "{{ body.large ~ body.large }}",
        "{{ range(1000000000) | list }}",
        "{{ lipsum(1000000) }}",
        "{{ cycler }}",
        "{{ body.items.append(3) }}",
        "{{ body.update(x=1) }}",
        "{{ body.labels | map(attribute='name') }}",
        "{{ 1 / 0 }}",
        "{{ body.labels | tojson(indent=1000000000) }}",
        "{{ [body.large, body.large] | map('upper') | list | length }}",
        "{{ 'a' | truncate(0) }}",
        "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
        "{% if body %}" * 300 + "{% endif %}" * 300,
    ],
)
def test_the_sandbox_holds(template: str) -> None:
    before = str(VALUES)
    with pytest.raises(BadTemplate):
        rendered(template)
    assert str(VALUES) == before


def test_the_same_values_give_the_same_text() -> None:
    template = Template(
        {"all": "{{ body | tojson }}", "one": "{{ body.labels | map(attribute='name') | unique | list }}"}
    )
    assert template.render(VALUES) == template.render(VALUES)


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        ("{{ body.labels[0].name }} and {{ body['event'] }}", [("body", "event"), ("body", "labels")]),
        ("{{ body.get('x', event.y) | default(body.z) }}", [("body",), ("body", "z"), ("event", "y")]),
        ("{% if a %}{{ b.c.upper() ~ b.c }}{% endif %}", [("a",), ("b", "c"), ("b", "c")]),
        ("{{ body[event.name].x }}", [("body",), ("event", "name")]),
        ("no { template", []),
    ],
)
def test_what_a_template_looks_at_is_known_before(template: str, paths: list[tuple[str, ...]]) -> None:
    assert sorted(reads(template)) == paths
