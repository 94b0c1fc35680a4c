"""Texts are analysed only if they are certainly English; nothing is guessed otherwise."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.listening import Listening, Topic
from features.listening.language import language_of
from features.listening.text_reader import MOST_CHARACTERS, label_of, low_score, read_text, topic_of

SENTENCES = Path(__file__).parent / "sentences.yaml"
CREATIVES = Path(__file__).parents[2] / "catalogues" / "marketing_sentences.yaml"


def sentences(path: Path) -> dict[str, list[str]]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


FOREIGN = [(name, text) for name, some in sentences(SENTENCES).items() if name not in {"en", "short"} for text in some]


@pytest.mark.parametrize(("language", "text"), FOREIGN)
def test_a_text_in_another_language_is_not_mistaken_for_english(language: str, text: str) -> None:
    reading = read_text(text, Listening())
    assert (reading.language, reading.sentiment, reading.label, reading.reader) == ("unknown", None, None, None)


def test_most_english_texts_of_a_sentence_or_more_are_recognised() -> None:
    english = sentences(SENTENCES)["en"]
    read = [text for text in english if language_of(text) == "en"]
    assert len(read) >= 0.9 * len(english), sorted(set(english) - set(read))


def test_no_creative_in_another_language_is_mistaken_for_english() -> None:
    found = [text for some in sentences(CREATIVES).values() for text in some if language_of(text) == "en"]
    assert len(found) > 20
    assert all(text.isascii() for text in found)
    assert not [text for text in found if any(word in text.split() for word in ("auf", "Ihr", "votre", "su", "Il"))]


TYPED = [
    ("'", "\u2019"), ("'", "\u02bc"), ("'", "\u2032"), ("'", "`"), ("'", "\uff07"),
    ('"', "\u201c"), ('"', "\u201d"), ('"', "\u00bb"),
    ("... ", "\u2026"), ("... ", "\u2026 "), ("... ", "..."),
    (" - ", "\u2014"), (" - ", " \u2013 "), (" - ", "\u2013"),
    (", ", ","), ("!", "\uff01"), (" ", "\u00a0"), (" ", "\u200b"),
]  # fmt: skip
MOODS = [
    "The food wasn't good, and the crew didn't help us.",
    "I don't like it at all, and I wouldn't recommend it to anyone.",
    'It was "terrible" and we will not come back.',
    "It was terrible... really, we have been waiting for hours.",
    "They were awful - truly, and there was nobody who could help us!",
    "It isn't bad, they have been very helpful and the seats were great!",
]


@pytest.mark.parametrize(("keyboard", "telephone"), TYPED)
@pytest.mark.parametrize("text", MOODS)
def test_the_mood_does_not_depend_on_typographic_characters(text: str, keyboard: str, telephone: str) -> None:
    typed, read = read_text(text.replace(keyboard, telephone), Listening()), read_text(text, Listening())

    assert typed == read
    assert read.label in {"negative", "positive"}


def test_a_typographic_apostrophe_does_not_turn_a_complaint_into_praise() -> None:
    assert read_text("The food wasn\u2019t good and the crew was not there.", Listening()).label == "negative"


def test_a_topic_is_found_with_any_quotation_marks_and_dashes() -> None:
    listening = Listening(
        topics={"door": Topic(words=("won't open", "caf\u00e9")), "other": Topic(words=("isn\u2019t here",))}
    )

    assert topic_of("The door won\u2019t open\u2026help", listening) == "door"
    assert topic_of("Near the cafe\u0301\u2014closed", listening) == "door"
    assert topic_of("It isn't here", listening) == "other"


@pytest.mark.parametrize("text", sentences(SENTENCES)["short"])
def test_a_text_too_short_to_judge_stays_unknown(text: str) -> None:
    assert language_of(text) == "unknown"


def test_a_given_language_is_kept() -> None:
    assert read_text("Super!", Listening(), language="en-GB").sentiment == pytest.approx(0.636, abs=0.01)
    german = read_text("The crew was awful and I will not fly with you again.", Listening(), language="de_AT")
    assert (german.language, german.sentiment) == ("de", None)
    assert read_text("The crew was awful and I hated it.", Listening(), language="!?").language == "en"
    assert read_text("The crew was awful and I hated it.", Listening(), language=7).language == "en"


def test_the_german_word_die_is_not_read_as_a_bad_mood() -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    text = "Die Crew, die Sitze, die Landung: wunderbar."
    assert (
        SentimentIntensityAnalyzer().polarity_scores(text)["compound"] < -0.5
    )  # VADER reads the article as the verb "to die"
    assert read_text(text, Listening()).sentiment is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The crew was lovely and the food was great, thank you so much.", "positive"),
        ("The seat was broken and the staff were rude. I am very disappointed.", "negative"),
        ("The flight left from gate nine and we landed at noon.", "neutral"),
    ],
)
def test_moods_of_english_texts_are_read(text: str, label: str) -> None:
    reading = read_text(text, Listening())
    assert reading.label == label
    assert reading.reader is not None
    assert reading.reader.startswith("vader-")


def test_a_given_mood_is_kept_in_any_language() -> None:
    reading = read_text("Mein Koffer ist weg.", Listening(), language="de", sentiment=-0.7)
    assert (reading.sentiment, reading.label, reading.reader) == (-0.7, "negative", "given")
    for nonsense in (True, "bad", 1.5, float("nan")):
        assert read_text("Mein Koffer ist weg.", Listening(), sentiment=nonsense).sentiment is None


def test_thresholds_come_from_the_catalogue() -> None:
    strict = Listening(negative_below=-0.9, positive_above=0.9)
    assert [label_of(mood, strict) for mood in (-0.95, -0.5, 0.5, 0.95, None)] == [
        "negative", "neutral", "neutral", "positive", None,
    ]  # fmt: skip


def test_a_topic_is_matched_by_whole_words_in_any_language_and_case() -> None:
    topics = {
        "baggage": Topic(words=("bag", "suitcase*", "Koffer")),
        "lost": Topic(words=("did  not arrive",), opens="lost_item"),
        "food": Topic(words=("meal",)),
    }
    listening = Listening(topics=topics)
    assert topic_of("MY SUITCASES are here", listening) == "baggage"
    assert topic_of("Mein Koffer ist da", listening) == "baggage"
    assert topic_of("a baguette and a handbag", listening) is None
    assert topic_of("bag, bag, bag: it did not\narrive", listening) == "lost"  # topics that open a case come first
    assert topic_of("one meal, one bag, one bag", listening) == "baggage"
    assert topic_of("hello", Listening()) is None


@pytest.mark.parametrize(
    ("properties", "is_low"),
    [
        ({"survey": "nps", "score": 3}, True),
        ({"survey": "nps", "score": 4}, False),
        ({"survey": "csat", "score": 2.0}, True),
        ({"survey": "effort", "score": 1}, True),
        ({"survey": "effort", "score": 7}, False),
        ({"survey": "mood", "score": 0}, False),
        ({"survey": "nps"}, False),
        ({"survey": "nps", "score": True}, False),
        ({"survey": "nps", "score": "1"}, False),
        ({"score": 1}, False),
    ],
)
def test_low_scores_are_judged_on_the_scale_of_their_survey(properties: dict[str, object], *, is_low: bool) -> None:
    assert low_score(properties, Listening()) is is_low


def test_of_a_long_text_only_the_beginning_is_read_and_quickly() -> None:
    good = "The crew was lovely and I am very happy with it. "
    text = good * (MOST_CHARACTERS // len(good) + 1) + "It was awful and I hated it. " * 1_000
    assert read_text(text, Listening()).label == "positive"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_the_analysis_of_any_text_is_valid(text: str) -> None:
    reading = read_text(text, Listening(topics={"bag": Topic(words=("bag",), opens="lost_item")}))
    assert (reading.sentiment is None) == (reading.label is None) == (reading.reader is None)
    assert reading.language == "en" or reading.sentiment is None
    assert reading.sentiment is None or -1 <= reading.sentiment <= 1
