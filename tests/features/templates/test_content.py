"""Templates render with known values, never fail silently, and never run without bounds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import process_time, tzset

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.message import Creative, Message, MessageClass, Offer
from decisioning.errors import InvalidPolicyError, MissingFieldError
from decisioning.rules.predicate import FactValue
from features.templates.renderer import (
    compile_template,
    fields_written,
    render_content,
    render_template,
    template_paths,
)


def message(**content: str) -> Message:
    offer = Offer(
        offer_id="free-coffee",
        goal_id="loyalty",
        kind="gift",
        message_class=MessageClass.MARKETING,
        purpose="marketing",
        attributes={"difficulty": 3.0},
    )
    creative = Creative(creative_id="plain", offer_id="free-coffee", channel_id="email", content=content)
    return Message(offer=offer, channel=Channel(channel_id="email"), creative=creative)


def test_a_message_is_rendered_from_customer_context_and_offer() -> None:
    sent = message(
        headline="{{ customer.first_name }}, your {{ offer.kind }} {{ offer.id }}",
        body="{% if context.basket_value > 10 %}Thanks! {% endif %}Level {{ offer.difficulty }}",
    )
    assert render_content(sent, {"first_name": "Ada"}, {"basket_value": 12.5}) == {
        "headline": "Ada, your gift free-coffee",
        "body": "Thanks! Level 3",
    }


@pytest.mark.parametrize("missing", [{}, {"n": None}, {"n": " "}, {"n": float("nan")}, {"n": float("inf")}])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hi {{ customer.n | default: 'you' }}", "Hi you"),
        ("Hi {{ customer.n | upcase | default: 'you' }}", "Hi you"),
        ("Hi {{ customer.n | default: customer.m | default: 'you' }}", "Hi you"),
        ("Hi{% if customer.n %} {{ customer.n }}{% endif %}", "Hi"),
        ("Hi{% if customer.n != blank %} {{ customer.n }}{% endif %}", "Hi"),
        ("Hi{% unless customer.n == empty %} {{ customer.n }}{% endunless %}", "Hi"),
        ("Hi{% if customer.n == nil %} you{% endif %}", "Hi you"),
        ("Hi{% if customer.n > 2 %} {{ customer.n }}{% endif %}", "Hi"),
        ("Hi{% assign n = customer.n | default: 'you' %} {{ n }}", "Hi you"),
    ],
)
def test_a_default_or_a_condition_handles_a_missing_field(missing: dict[str, FactValue], text: str, words: str) -> None:
    assert render_content(message(headline=text), missing, {}) == {"headline": words}
    assert fields_written(text) == frozenset()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Hi {{ customer.n }}", "customer.n"),
        ("{{ customer.n | times: 2 }} points", "customer.n"),
        ("{{ 'Hi ' | append: customer.n }}", "customer.n"),
        ("{{ context.city }}", "context.city"),
        ("{% if customer.age > 2 %}{{ customer.n }}{% endif %}", "customer.n"),
        ("{% assign n = customer.n %}{{ n }}", "customer.n"),
        ("{% capture n %}{{ customer.n }}{% endcapture %}{{ n }}", "customer.n"),
        ("{{ customer.n | default: context.city }}", "context.city"),
        ("{{ customer.n | date: '%d.%m.' }}", "customer.n"),
        ("{% for i in (1..2) %}{% cycle 'a', customer.n %}{% endfor %}", "customer.n"),
        ("{% liquid echo customer.n %}", "customer.n"),
    ],
)
def test_a_message_with_a_missing_field_is_not_sent(text: str, field: str) -> None:
    with pytest.raises(MissingFieldError) as refusal:
        render_content(message(headline=text), {"age": 3}, {})
    assert refusal.value.field == field
    if "cycle" not in text:
        assert ".".join(*fields_written(text)) == field


def test_a_creative_may_require_a_field_that_it_does_not_print() -> None:
    sent = message(headline="Your coffee is near")
    sent = replace(sent, creative=replace(sent.creative, requires=("customer.city",)))
    assert render_content(sent, {"city": "Bonn"}, {})
    with pytest.raises(MissingFieldError, match=r"customer\.city must be known"):
        render_content(sent, {"city": " "}, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ customer.points }} items", "3 items"),
        ("{{ customer.points | times: 2 }} items", "6 items"),
        ("{{ customer.points | append: ' items' }}", "3 items"),
        ("{{ customer.points | divided_by: 2 }}", "1.5"),
        ("{{ customer.points | divided_by: 2 | times: 2 }}", "3"),
        ("{% assign n = customer.points | plus: 1 %}{{ n }}", "4"),
        ("{{ customer.points | default: 0 }}", "3"),
        ("{{ customer.sum }}", "0.3"),
        ("{{ customer.half | round }} {{ 25 | round: -1 }} {{ 2.345 | round: 2 }}", "3 30 2.35"),
        ("{{ customer.many }}", "1234567"),
    ],
)
def test_numbers_read_as_people_write_them(text: str, words: str) -> None:
    customer: dict[str, FactValue] = {"points": 3.0, "sum": 0.1 + 0.2, "half": 2.5, "many": 1234567.0}
    assert render_template(text, {"customer": customer}) == words


@pytest.fixture(params=["America/New_York", "Asia/Tokyo"])
def server_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Sets the machine's time zone during a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        tzset()
        yield request.param
    tzset()


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        ("2026-01-31", "%d.%m.%Y", "31.01.2026"),
        ("2026-01-31T23:30:00-08:00", "%d.%m. %H:%M", "31.01. 23:30"),
        ("31 January 2026", "%F", "2026-01-31"),
        ("20260131", "%F", "2026-01-31"),
        (0, "%F %R", "1970-01-01 00:00"),
        (1767225600.0, "%F %R %s", "2026-01-01 00:00 1767225600"),
        ("1767225600", "%F %R", "2026-01-01 00:00"),
        ("2026-01-01 00:00", "%s %z", "1767225600 +0000"),
        ("10 May", "%F", "10 May"),
        ("May 2026", "%F", "May 2026"),
        ("12:30", "%F", "12:30"),
        ("Friday", "%F", "Friday"),
        ("2026", "%F", "2026"),
        ("01/02/2026", "%F", "01/02/2026"),
        ("soon", "%F", "soon"),
    ],
)
def test_a_date_depends_on_neither_the_clock_nor_the_servers_zone(
    value: FactValue, form: str, words: str, server_zone: str
) -> None:
    text = f"{{{{ customer.due | date: '{form}' }}}}"
    assert render_template(text, {"customer": {"due": value}}) == words


def test_text_is_not_escaped_and_values_are_not_templates() -> None:
    sent = message(headline="{{ customer.first_name }}")
    assert (
        render_content(sent, {"first_name": "<b>{{ customer.age }}</b>"}, {})["headline"] == "<b>{{ customer.age }}</b>"
    )


def test_every_creative_of_the_shop_renders(shop_catalogue: Catalogue) -> None:
    for creative in shop_catalogue.creatives:
        offer, channel = shop_catalogue.offers[creative.offer_id], shop_catalogue.channels[creative.channel_id]
        whole = Message(offer=offer, channel=channel, creative=creative)
        assert render_content(whole, {"first_name": "Ada"}, {})["headline"] == f"{offer.offer_id} for Ada"


def test_the_same_text_is_compiled_once() -> None:
    assert compile_template("Hello {{ customer.once }}") is compile_template("Hello {{ customer.once }}")


@pytest.mark.parametrize(
    "text", ["{{ customer.", "{% if x %}", "{% nope %}", "{{ customer.a | nope }}", "{% include 'a' %}"]
)
def test_bad_templates_are_refused(text: str) -> None:
    with pytest.raises(InvalidPolicyError, match="template must"):
        render_template(text, {})


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..900) %}{% for j in (1..900) %}x{% endfor %}{% endfor %}",
        "{{ (1..1000000000) | join: ',' }}",
        "{% assign r = (1..1000000000) | reverse %}",
        "{% assign a = 'xxxxxxxxxx' %}{% for i in (1..900) %}{% assign a = a | append: a %}{% endfor %}{{ a }}",
        "{{ customer.text | date: '%Y' }}{{ 'now' | date: '%Y' }}",
        "{{ 'today' | date: '%Y' }}",
        "{{ '2026-01-01' | date: '%1000000000d' }}",
        "{{ customer.age | divided_by: 0 }}",
        "{{ 'a'" + " | replace: 'a', 'aaaaaaaaaa'" * 12 + " }}",
        "{{ 'aaaaaaaaaa'" + " | replace: '', 'aaaaaaaaaa'" * 12 + " }}",
        "{% assign a = 'xxxxxxxxxx' %}" + "{% assign a = a | append: a %}" * 40 + "{{ a | size }}",
        "{% assign s = 'x' | split: ',' %}" + "{% assign s = s | concat: s %}" * 40 + "{{ s | size }}",
        "{% assign s = 'x' " + "| append: '123456789' " * 999 + "%}{{ (1..1000) | join: s }}",
        "{{ 999999999" + " | times: 999999999" * 200 + " }}",
        "{{ 5 | round: -999999999 }}",
        "{{ customer.long | split: '' | uniq | size }}",
        "{{ customer.long | url_encode | url_encode }}",
        "{% for i in (1..1000) %}{{ customer.long | upcase | size }}{% endfor %}",
        "{% for i in (1..900) %}" + "{% if customer.none %}{% endif %}" * 500 + "{% endfor %}",
        "{% for i in (1..900) %}{% liquid\n" + "if customer.none\nendif\n" * 500 + "%}{% endfor %}",
    ],
)
def test_templates_that_loop_or_fail_stop_at_once(text: str) -> None:
    started = process_time()
    with pytest.raises(InvalidPolicyError, match="template must") as refusal:
        render_template(text, {"customer": {"age": 41, "text": "private", "long": "<é " * 30_000}})
    assert process_time() - started < 2
    assert type(refusal.value) is InvalidPolicyError
    assert "private" not in str(refusal.value)


def test_the_paths_of_a_template_are_known_without_its_own_variables() -> None:
    text = "{% assign x = customer.age %}{{ x }}{{ context.basket_value }}{% for i in (1..3) %}{{ i }}{% endfor %}"
    assert sorted(template_paths(text)) == [("context", "basket_value"), ("customer", "age")]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(attributes=st.dictionaries(st.sampled_from(["first_name", "age", "region"]), PLAIN))
@settings(max_examples=100, deadline=None)
def test_any_attributes_render(attributes: dict[str, FactValue]) -> None:
    text = (
        "{{ customer.first_name | default: 'you' }} {{ customer.age | default: 0 }}"
        "{% if customer.region == 'north' %}n{% endif %}"
    )
    assert isinstance(render_template(text, {"customer": attributes}), str)


def test_a_render_is_quick_enough_for_a_request() -> None:
    sent = message(headline="Hi {{ customer.first_name | default: 'you' }}", body="See you soon")
    render_content(sent, {}, {})
    started = process_time()
    for _ in range(1000):
        render_content(sent, {"first_name": "Ada"}, {})
    assert (process_time() - started) / 1000 < 0.001


def test_the_examples_render_correctly() -> None:
    from features.catalogue import load_catalogue

    catalogue = load_catalogue(Path(__file__).parents[3] / "examples" / "grocery" / "catalogue")
    line = next(
        each for each in catalogue.creatives if each.offer_id == "pantry-coupons" and each.channel_id == "receipt"
    )
    whole = Message(offer=catalogue.offers["pantry-coupons"], channel=catalogue.channels["receipt"], creative=line)
    assert render_content(whole, {}, {"basket_value": 60}) == {"line": "Thank you! Pantry coupons are on your card."}
    assert render_content(whole, {}, {"basket_value": 6}) == {"line": "Pantry coupons are on your card."}
