"""The catalogue's `listening` and `asks`, and who answers a case by when."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from decisioning.catalogue.listening import Listening, Topic
from features.catalogue import check_catalogue, load_catalogue

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"

type Load = Callable[[str], Path]


@pytest.fixture
def shop_with(tmp_path: Path) -> Load:
    def write(text: str) -> Path:
        shutil.copytree(SHOP, tmp_path / "shop", dirs_exist_ok=True)
        (tmp_path / "shop" / "further.yaml").write_text(text)
        return tmp_path / "shop"

    return write


def test_declared_listening_settings_are_loaded(shop_with: Load) -> None:
    folder = shop_with("""
listening:
  negative_below: -0.5
  opens: complaint
  low_scores: {nps: 6}
  topics: {bag: {words: [bag, "suitcase*"], opens: lost_item}}
care: {cases: {lost_item: {owner: baggage, answer_within_hours: 4}, complaint: {}}}
""")
    catalogue = load_catalogue(folder)
    assert catalogue.listening == Listening(
        topics={"bag": Topic(words=("bag", "suitcase*"), opens="lost_item")},
        negative_below=-0.5,
        opens="complaint",
        low_scores={"nps": 6.0},
    )
    kinds = catalogue.care.kinds
    assert (kinds["lost_item"].owner, kinds["lost_item"].answer_within_seconds) == ("baggage", 4 * 3600)
    assert (kinds["complaint"].owner, kinds["complaint"].answer_within_seconds) == (None, None)


def test_a_catalogue_without_listening_keeps_its_version(shop_with: Load) -> None:
    plain = load_catalogue(SHOP)
    assert plain.listening == Listening()
    assert load_catalogue(shop_with("listening: {positive_above: 0.3}\n")).version == plain.version
    assert load_catalogue(shop_with("listening: {positive_above: 0.4}\n")).version != plain.version


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listening: {opens: complain}", "listening.opens: must be a known kind of case, got 'complain'; did you mean"),
        (
            "listening: {topics: {bag: {words: [bag], opens: lost}}}",
            "listening.topics.bag.opens: must be a known kind of case, got 'lost'",
        ),
        ("listening: {topics: {bag: {words: []}}}", "listening.topics.bag.words"),
        ('listening: {topics: {bag: {words: [bag, "*bag"]}}}', "must be a word or phrase, with a * at its end at most"),
        ('listening: {topics: {bag: {words: [bag, "*"]}}}', "must be a word or phrase, with a * at its end at most"),
        ("listening: {negative_below: 0.5}", "must have `negative_below` at or below `positive_above`"),
        ("listening: {negative_below: -2}", "listening.negative_below"),
        ("listening: {low_scores: {mood: 3}}", "only surveys (nps, csat, effort)"),
        ("listening: {low_scores: {csat: 9}}", "must have a low score of csat from 1 to 5"),
        ("care: {cases: {complaint: {answer_within_hours: 0}}}", "care.cases.complaint.answer_within_hours"),
    ],
)
def test_a_mistake_is_reported_at_its_place(shop_with: Load, text: str, problem: str) -> None:
    found = [str(one) for one in check_catalogue(shop_with(text))]
    assert len(found) == 1, found
    assert problem in found[0]


def test_an_offer_may_only_ask_for_declared_attributes(shop_with: Load) -> None:
    folder = shop_with("listening: {}\n")
    path = folder / "offers.yaml"
    path.write_text(path.read_text().replace("double-stamps:\n", "double-stamps:\n    asks: [regoin]\n", 1))
    [problem] = check_catalogue(folder)
    assert str(problem).endswith(
        "offers.double-stamps.asks[0]: must be a known customer attribute, got 'regoin'; did you mean 'region'?"
    )
    path.write_text(path.read_text().replace("[regoin]", "[region]"))
    assert load_catalogue(folder).offers["double-stamps"].asks == {"region"}
