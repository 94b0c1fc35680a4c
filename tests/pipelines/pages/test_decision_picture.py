import re
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from decisioning.errors import InvalidInputError
from pipelines.pages.decision_picture import decision_picture

DOCS = Path(__file__).parent.parent.parent.parent / "docs"


@pytest.fixture
def record() -> dict:
    """The decision that docs/decisions.md shows: coupons by e-mail, ten of fifteen messages refused."""
    found = re.search(r"^```json\n(.*?)^```", (DOCS / "decisions.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return orjson.loads(found.group(1))


def words_of(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_counts_what_each_gate_refused(record: dict) -> None:
    words = words_of(decision_picture(record))
    assert "GATES: 10 OF 15 MESSAGES REFUSED" in words
    assert words[words.index("there is no consent") - 1] == "6"


def test_the_picture_shows_value_and_probability_of_every_message_and_of_silence(record: dict) -> None:
    words = words_of(decision_picture(record))
    place = words.index("coupons for you, e-mail")
    assert words[place : place + 3] == ["coupons for you, e-mail", "+0.03", "91.7%"]
    place = words.index("silence")
    assert words[place : place + 3] == ["silence", "+0.00", "1.7%"]


def test_the_picture_ends_with_the_answer(record: dict) -> None:
    assert words_of(decision_picture(record))[-1] == "Answer: send “coupons for you, e-mail” with probability 91.7%"


def test_a_long_list_keeps_the_chosen_message_and_silence(record: dict) -> None:
    filler = [
        {**record["evaluated"][1], "message_key": f"offer-{n}/email/short", "probability": 0.0} for n in range(20)
    ]
    record["evaluated"] = [record["evaluated"][0], *filler, *record["evaluated"][1:]]
    words = words_of(decision_picture(record))
    assert {"silence", "coupons for you, e-mail"} <= set(words)
    assert sum(word.endswith(", e-mail") for word in words) == 7


def test_the_picture_of_silence_is_drawn_too(record: dict) -> None:
    silent = record | {"action": "hold", "message_key": "silence", "offer_id": None, "channel_id": None}
    assert words_of(decision_picture(silent))[-1].startswith("Answer: send nothing")


def test_a_document_that_is_not_a_decision_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        decision_picture({"title": "not found"})


def test_the_picture_in_the_readme_shows_a_decision() -> None:
    words = words_of((DOCS / "decision.svg").read_text())
    assert words[0].startswith("What should customer P-")
    assert words[-1].startswith("Answer: ")
