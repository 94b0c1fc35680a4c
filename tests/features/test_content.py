"""Templates render with what is known, and can neither fail quietly nor run away."""

from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidPolicyError
from decisioning.message import Channel, Creative, Message, MessageClass, Offer
from decisioning.predicate import FactValue
from features.content import compile_template, render_content, render_template, template_paths


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
        "body": "Thanks! Level 3.0",
    }


def test_the_unknown_renders_as_nothing_and_defaults_fill_it() -> None:
    sent = message(headline="Hi {{ customer.first_name | default: 'you' }}{{ customer.last_name }}{{ context.x.y }}!")
    assert render_content(sent, {"first_name": None}, {})["headline"] == "Hi you!"


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
        "{{ customer.age | divided_by: 0 }}",
    ],
)
def test_templates_that_run_away_or_break_stop_at_once(text: str) -> None:
    started = perf_counter()
    with pytest.raises(InvalidPolicyError, match="must render with the values at hand") as refusal:
        render_template(text, {"customer": {"age": 41, "text": "private"}})
    assert perf_counter() - started < 2
    assert "private" not in str(refusal.value)


def test_the_paths_of_a_template_are_known_without_its_own_variables() -> None:
    text = "{% assign x = customer.age %}{{ x }}{{ context.basket_value }}{% for i in (1..3) %}{{ i }}{% endfor %}"
    assert sorted(template_paths(text)) == [("context", "basket_value"), ("customer", "age")]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(attributes=st.dictionaries(st.sampled_from(["first_name", "age", "region"]), PLAIN))
@settings(max_examples=100, deadline=None)
def test_any_attributes_render(attributes: dict[str, FactValue]) -> None:
    text = (
        "{{ customer.first_name | default: 'you' }} {{ customer.age }} {% if customer.region == 'north' %}n{% endif %}"
    )
    assert isinstance(render_template(text, {"customer": attributes}), str)


def test_a_render_is_quick_enough_for_a_request() -> None:
    sent = message(headline="Hi {{ customer.first_name | default: 'you' }}", body="See you soon")
    render_content(sent, {}, {})
    started = perf_counter()
    for _ in range(1000):
        render_content(sent, {"first_name": "Ada"}, {})
    assert (perf_counter() - started) / 1000 < 0.001


def test_the_examples_read_as_they_should() -> None:
    from features.catalogue import load_catalogue

    catalogue = load_catalogue(Path(__file__).parents[2] / "examples" / "grocery" / "catalogue")
    line = next(
        each for each in catalogue.creatives if each.offer_id == "pantry-coupons" and each.channel_id == "receipt"
    )
    whole = Message(offer=catalogue.offers["pantry-coupons"], channel=catalogue.channels["receipt"], creative=line)
    assert render_content(whole, {}, {"basket_value": 60}) == {"line": "Thank you! Pantry coupons are on your card."}
    assert render_content(whole, {}, {"basket_value": 6}) == {"line": "Pantry coupons are on your card."}
