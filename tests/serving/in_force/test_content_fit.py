"""Content that a channel cannot carry is found before the choice, and only risky content is rendered."""

from collections.abc import Mapping
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.channel import Channel
from decisioning.catalogue.creative_limits import creative_faults
from decisioning.catalogue.message import Creative, Message, MessageClass, Offer
from decisioning.errors import InvalidPolicyError
from features.templates.renderer import render_content
from serving.in_force import content_fit as fitting
from serving.in_force.content_fit import NOT_RENDERED, Fitting

OFFER = Offer(
    offer_id="tea", goal_id="g", kind="gift", message_class=MessageClass.SERVICE, purpose="service",
    attributes={"strength": "mild", "price": 3.5},
)  # fmt: skip


def message(content: Mapping[str, str], **limits: object) -> Message:
    channel = Channel(channel_id="sms", **limits)  # pyright: ignore[reportArgumentType]
    creative = Creative(creative_id="plain", offer_id="tea", channel_id="sms", content=content)
    return Message(offer=OFFER, channel=channel, creative=creative)


def unfit(one: Message, customer: Mapping[str, object] | None = None) -> str | None:
    values = customer or {}
    return Fitting([one]).fit(values, {}, frozenset({"sms"})).unfit.get(one.key)  # pyright: ignore[reportArgumentType]


def test_content_without_merge_fields_is_fit_or_unfit_for_every_customer() -> None:
    assert unfit(message({"title": "far too long"}, max_lengths={"title": 5})) is not None
    assert unfit(message({"body": "b"}, required_fields=frozenset({"image"}))) == "image is missing"
    assert unfit(message({"title": "fits"}, max_lengths={"title": 5})) is None


BROKEN: Mapping[str, tuple[object, str]] = {
    "max_lengths": ({"body": 8}, "Bartholomew"),
    "required_fields": (frozenset({"body"}), ""),
    "max_sms_segments": (1, "B" * 200),
    "max_line_width": (8, "Bartholomew"),
    "allowed_formats": (frozenset({"A4"}), "A3"),
}
"""A limit of a channel on its content, and a customer's value that exceeds it."""

NO_BOUNDS = {
    "channel_id", "cost_minor", "is_online", "lead_time_seconds", "cut_off_minute", "zone", "purposes",
    "address_fields",
}  # fmt: skip


def test_every_field_of_a_channel_is_classified_as_a_content_limit_or_not() -> None:
    assert {one.name for one in fields(Channel)} == {*BROKEN, *NO_BOUNDS}


@pytest.mark.parametrize("bound", BROKEN)
def test_a_customers_value_that_exceeds_a_limit_of_the_channel_is_found(bound: str) -> None:
    limit, word = BROKEN[bound]
    field = "format" if bound == "allowed_formats" else "body"
    greeting = message({field: "{{ customer.first_name }}"}, **{bound: limit})

    assert unfit(greeting, {"first_name": word}) is not None


@pytest.mark.parametrize("name", ["Bo", "Bartholomew"])
def test_a_merge_field_makes_content_unfit_only_for_customers_with_long_values(name: str) -> None:
    greeting = message({"title": "Hi {{ customer.first_name | default: 'you' }}"}, max_lengths={"title": 8})

    assert (unfit(greeting, {"first_name": name}) is not None) == (len(name) > 5)


def test_letters_that_become_longer_in_upper_case_are_counted_as_rendered() -> None:
    loud = message({"title": "{{ customer.first_name | upcase }}"}, max_lengths={"title": 8})

    assert unfit(loud, {"first_name": "ﬃﬃﬃ"}) is not None  # nine capitals from three ligatures
    assert unfit(loud, {"first_name": "ﬃﬃ"}) is None


def test_content_that_always_fits_is_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    render = fitting.render_content
    monkeypatch.setattr(fitting, "render_content", lambda *what: rendered.append(what[0].key) or render(*what))
    free = message({"title": "Hi {{ customer.first_name }}", "body": "{{ offer.strength }}"})
    short = message({"title": "Hi {{ customer.first_name }}"}, max_lengths={"title": 20})

    assert unfit(free, {"first_name": "x" * 500}) is None
    assert unfit(short, {"first_name": "Ada"}) is None
    assert rendered == []
    assert unfit(short, {"first_name": "A" * 30}) is not None
    assert rendered == [short.key]


def test_channels_that_do_not_reach_the_customer_are_skipped() -> None:
    broken = message({"title": "{{ 1 | divided_by: customer.zero }}"})

    assert Fitting([broken]).fit({"zero": 0}, {}, frozenset({"email"})).unfit == {}
    assert Fitting([broken]).fit({"zero": 0}, {}, frozenset({"sms"})).unfit == {broken.key: NOT_RENDERED}


@pytest.mark.parametrize(
    "content",
    [
        {"title": "Hi {{ customer.first_name }}"},
        {"title": "Hi {{ customer.first_name | append: '!' }}"},
        {"title": "{{ customer.first_name }}"},
        {"body": "{% if customer.age %}{{ customer.first_name }}{% endif %}"},
    ],
)
@pytest.mark.parametrize("limits", [{}, {"max_lengths": {"title": 40, "body": 40}}])
def test_a_message_with_a_missing_field_is_unfit_for_this_customer(
    content: dict[str, str], limits: dict[str, object]
) -> None:
    one = message(content, **limits)

    for nothing in ({}, {"first_name": None}, {"first_name": " "}):
        assert unfit(one, {"age": 40, **nothing}) == "customer.first_name is missing"
    assert unfit(one, {"age": 40, "first_name": "Ada"}) is None


def test_a_required_field_is_checked_even_if_no_text_prints_it() -> None:
    one = message({"title": "Your tea is near"})
    one = replace(one, creative=replace(one.creative, requires=("context.shop", "customer.city")))

    assert unfit(one, {"city": "Bonn"}) == "context.shop is missing"
    assert unfit(one) == "context.shop, customer.city are missing"
    assert Fitting([one]).fit({"city": "Bonn"}, {"shop": 3.0}, frozenset({"sms"})).unfit == {}


def test_rendered_content_is_kept_for_the_answer() -> None:
    loud = message({"title": "Hi {{ customer.first_name | append: '!' }}"}, max_lengths={"title": 20})

    fit = Fitting([loud]).fit({"first_name": "Ada"}, {}, frozenset({"sms"}))

    assert fit.contents == {loud.key: {"title": "Hi Ada!"}}
    assert fit.unfit == {}


_TEXT = st.text(alphabet=st.sampled_from("aäß€ﬃêİ😀 \n{%"), max_size=90)
_PIECE = st.sampled_from(
    [
        "{{ customer.name }}", "{{customer.name|default: 'you'}}", "{{ customer.name | upcase }}",
        "{{ customer.name | default: 'ﬃ' | strip | capitalize }}", "{{ customer.name | append: '!' }}",
        "{{ offer.price }}",
        "{{ context.city | default: \"somewhere\" }}", "{% if customer.name %}yes{% endif %}", "{{- customer.name -}}",
        "{{ 7 | divided_by: customer.zero }}", "{{ offer.strength }}", "Hello ", "é" * 40, "line\nline ", " ",
    ]
)  # fmt: skip
_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_lengths": st.fixed_dictionaries({}, optional={"title": st.integers(0, 60), "body": st.integers(0, 200)}),
        "required_fields": st.frozensets(st.sampled_from(["title", "body", "image"])),
        "max_sms_segments": st.integers(0, 3),
        "max_line_width": st.integers(0, 80),
        "allowed_formats": st.frozensets(st.sampled_from(["a5", "dl"])),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.dictionaries(st.sampled_from(["title", "body", "format"]), st.lists(_PIECE, max_size=4).map("".join)),
    limits=_LIMITS,
    name=st.none() | _TEXT,
    city=st.none() | _TEXT | st.integers() | st.booleans() | st.floats(),
)
def test_the_check_finds_exactly_what_rendering_everything_finds(
    pieces: dict[str, str], limits: dict[str, object], name: str | None, city: object
) -> None:
    one = message(pieces, **limits)
    customer: dict[str, str | int | None] = {"name": name, "zero": 0}
    context = {"city": city}
    try:
        faults = creative_faults(one.channel, render_content(one, customer, context))  # pyright: ignore[reportArgumentType]
    except InvalidPolicyError:
        faults = (NOT_RENDERED,)

    found = Fitting([one]).fit(customer, context, frozenset({"sms"}))  # pyright: ignore[reportArgumentType]

    assert (one.key in found.unfit) == bool(faults)


@settings(max_examples=300, deadline=None)
@given(
    contents=st.lists(
        st.dictionaries(st.sampled_from(["title", "body"]), st.lists(_PIECE, max_size=3).map("".join)),
        max_size=4,
    ),
    paddings=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    limits=_LIMITS,
    name=st.none() | _TEXT,
    city=st.none() | _TEXT | st.integers(),
)
def test_similar_messages_are_judged_as_if_each_were_alone(
    contents: list[dict[str, str]], paddings: list[int], limits: dict[str, object], name: str | None, city: object
) -> None:
    texts = [
        {field: text + "x" * padding for field, text in content.items()} for content in contents for padding in paddings
    ]
    several = [
        replace(one, creative=replace(one.creative, creative_id=f"c-{place}"))
        for place, one in enumerate(message(content, **limits) for content in texts)
    ]
    asked = ({"name": name, "zero": 0}, {"city": city}, frozenset({"sms"}))

    together = Fitting(several).fit(*asked)  # pyright: ignore[reportArgumentType]
    alone = [Fitting([one]).fit(*asked) for one in several]  # pyright: ignore[reportArgumentType]

    lasting = [one.key for one in several if one.key in Fitting(several).fit({}, {}, frozenset()).unfit]
    assert together.unfit == {key: why for one in alone for key, why in one.unfit.items()}
    assert list(together.unfit) == [
        *lasting,
        *(one.key for one in several if one.key in together.unfit and one.key not in lasting),
    ]
    assert list(together.contents.items()) == [item for one in alone for item in one.contents.items()]


def test_of_similar_messages_the_one_with_the_least_space_is_checked_for_all() -> None:
    several = [
        replace(one, creative=replace(one.creative, creative_id=f"c-{place}"))
        for place, one in enumerate(
            message({"title": "x" * length + "{{ customer.name | default: 'you' }}"}, max_lengths={"title": 20})
            for length in (2, 16, 9)
        )
    ]

    def unfit_for(name: str) -> set[str]:
        return set(Fitting(several).fit({"name": name}, {}, frozenset({"sms"})).unfit)

    assert unfit_for("Ada") == set()
    assert unfit_for("Adele") == {several[1].key}
    assert unfit_for("A" * 12) == {several[1].key, several[2].key}
    assert unfit_for("A" * 19) == {one.key for one in several}
