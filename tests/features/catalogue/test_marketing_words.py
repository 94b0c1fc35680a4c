"""The reading of creatives finds what sells in six languages, and lets what helps alone."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.checks.marketing_words import read_text

SENTENCES = yaml.safe_load(
    (Path(__file__).parents[2] / "catalogues" / "marketing_sentences.yaml").read_text(encoding="utf-8")
)


def test_precision_and_recall_on_our_own_sentences() -> None:
    """47 that sell, 48 that help, written by those who wrote the lexicon: a floor against mistakes, no estimate."""
    found = [text for text in SENTENCES["marketing"] if read_text(text).is_marketing]
    alarms = [text for text in SENTENCES["helping"] if read_text(text).is_marketing]
    recall, precision = len(found) / len(SENTENCES["marketing"]), len(found) / (len(found) + len(alarms))
    assert alarms == []
    assert precision == 1.0
    assert recall >= 0.95


@pytest.mark.parametrize(
    "text",
    [
        "Your order has shipped.",
        "Your invoice over 20 EUR",
        "Ihre Rechnung \u00fcber 20 EUR",
        "The resale of tickets is closed.",  # `sale` is no whole word here
        "We dealt with your complaint: a voucher is on its way.",
        "",
    ],
)
def test_help_raises_no_alarm(text: str) -> None:
    assert not read_text(text).is_marketing


def test_the_words_found_are_named_in_their_order_and_once() -> None:
    reading = read_text("Shop now: 20% OFF, yes, 20% off, on our new arrivals")
    assert reading.words == ("shop now", "20% off", "new arrivals")
    assert reading.score == 6.0


def test_weak_signs_must_come_together() -> None:
    assert not read_text("A coupon is on your card.").is_marketing
    assert read_text("A coupon is on your card, today only.").is_marketing


@given(text=st.text(max_size=300))
def test_no_text_makes_the_reading_fall_over(text: str) -> None:
    reading = read_text(text)
    assert (reading.score > 0) is bool(reading.words)
