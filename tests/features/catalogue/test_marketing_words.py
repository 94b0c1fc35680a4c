"""The check of creatives finds sales language in six languages and accepts helpful text."""

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
    """47 sales sentences and 48 helpful ones by the authors of the lexicon: a regression test, not an estimate."""
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
        "The resale of tickets is closed.",  # `sale` is not a whole word here
        "We dealt with your complaint: a voucher is on its way.",
        "",
    ],
)
def test_helpful_text_raises_no_alarm(text: str) -> None:
    assert not read_text(text).is_marketing


def test_the_words_found_are_listed_once_and_in_order() -> None:
    reading = read_text("Shop now: 20% OFF, yes, 20% off, on our new arrivals")
    assert reading.words == ("shop now", "20% off", "new arrivals")
    assert reading.score == 6.0


def test_weak_signs_count_only_together() -> None:
    assert not read_text("A coupon is on your card.").is_marketing
    assert read_text("A coupon is on your card, today only.").is_marketing


@given(text=st.text(max_size=300))
def test_no_text_crashes_the_check_for_sales_language(text: str) -> None:
    reading = read_text(text)
    assert (reading.score > 0) is bool(reading.words)
