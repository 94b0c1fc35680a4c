"""All data about a customer is shown, without other people's data; a correction applies from the next ask."""

import orjson
import pytest

from decisioning.errors import InvalidInputError, UnknownNameError
from features.catalogue import load_catalogue
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog
from features.online.profiles import decode_profile
from features.online.redis_keys import profile_key
from features.privacy.audit_trail import acts, trail_path
from features.privacy.scan import traces_below
from serving.privacy.correction import correct_customer
from serving.privacy.subject_access import show_customer


def shown(one, who: str) -> dict:
    catalogue = load_catalogue(one.settings.catalogue_path)
    return show_customer(one.settings, one.url, catalogue, who, now=one.now, by="test")


def correct(one, who: str, **values) -> tuple[str, ...]:
    catalogue = load_catalogue(one.settings.catalogue_path)
    return correct_customer(one.settings, one.url, catalogue, who, values, now=one.now, by="test")


def test_all_stored_data_is_shown_with_its_purpose(installation, lived, ann) -> None:
    with installation.server() as server:
        decision_id = lived(installation, server)
        answer = server.get(f"/v1/customers/{ann}")
    assert answer.status_code == 200, answer.text
    held = {one["where"]: one for one in answer.json()["held"]}
    assert set(held) == {
        "log/customers", "log/events", "log/decisions", "log/outcomes", "features/history", "redis/profile",
        "redis/features", "redis/live", "redis/decisions", "redis/answers", "redis/stream",
        "rejects/20261101T000000Z/customers.csv", "spool/7-dead.jsonl", "spool/dead/letters.jsonl",
        "handoffs/h1.0", "handoffs/h2.1",
    }  # fmt: skip
    assert all(one["purpose"] and one["source"] and one["kept"] and one["rows"] for one in held.values())
    assert held["log/customers"]["rows"][0]["attributes"]["first_name"] == "Annabella Quizzelwhip"
    assert decision_id in {row["decision_id"] for row in held["log/decisions"]["rows"]}
    assert held["redis/features"]["rows"][0]["purchase_count_30d"] > 0


def test_neither_secrets_nor_other_people_are_shown(installation, lived, ann, bob) -> None:
    with installation.server() as server:
        lived(installation, server)
        ask = {"customer_id": bob, "touchpoint": "weekly-mail"}
        asks = ({**ask, "dedupe_key": f"b{number}"} for number in range(3))
        bobs = {server.post("/v1/decisions", json=one).json()["decision_id"] for one in asks}
        server.post("/v1/decisions", json={"customer_id": ann, "touchpoint": "weekly-mail", "dedupe_key": "later"})
    text = orjson.dumps(shown(installation, ann)).decode()
    assert not [one for one in ("record_key", "commitment", "household_contacts", bob, *bobs) if one in text]


def test_an_unknown_or_erased_customer_has_no_data(installation, ann) -> None:
    assert shown(installation, "C-nobody") == {
        "customer_id": "C-nobody", "as_of": installation.now.isoformat(), "is_known": False, "held": [],
    }  # fmt: skip
    with installation.server() as server:
        server.delete(f"/v1/customers/{ann}")
    assert not shown(installation, ann)["is_known"]


def test_a_correction_applies_in_the_log_and_at_once_in_redis(installation, ann) -> None:
    with installation.server() as server:
        values = {"age": 17, "locale": "de-DE", "region": "north", "first_name": None}
        answer = server.patch(f"/v1/customers/{ann}", json={"values": values})
        assert answer.json() == {"customer_id": ann, "corrected": ["age", "locale", "first_name"]}
    profile = decode_profile(installation.client.get(profile_key(ann)))
    assert (profile.attributes, profile.locale) == ({"age": 17, "region": "north"}, "de-DE")
    assert profile.consents, "consents stay"
    rows = EventLog(installation.settings.log_path).read(CUSTOMERS, customer_ids=[ann]).sort("updated_at")
    assert orjson.loads(rows["attributes"][-1]) == {"age": 17, "first_name": None}, (
        "a correction must name what it corrects"
    )
    installation.features()
    assert decode_profile(installation.client.get(profile_key(ann))).attributes["age"] == 17


def test_a_correction_is_read_with_the_names_and_types_of_the_catalogue(installation, ann) -> None:
    with installation.server() as server:
        answer = server.patch(f"/v1/customers/{ann}", json={"values": {"Age": "17", "region": "South"}})
        assert answer.json()["corrected"] == ["age", "region"]
        wrong = server.patch(f"/v1/customers/{ann}", json={"values": {"region": "nroth"}})
        assert (wrong.status_code, "did you mean 'north'" in wrong.json()["detail"]) == (422, True)
    profile = decode_profile(installation.client.get(profile_key(ann)))
    assert (profile.attributes["age"], profile.attributes["region"]) == (17, "south")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"nonsense": 1}, UnknownNameError),
        ({"age": "forty-one"}, InvalidInputError),
        ({"region": "nowhere"}, InvalidInputError),
        ({"time_zone": "Mars/Base"}, InvalidInputError),
        ({"locale": 3}, InvalidInputError),
        ({}, InvalidInputError),
    ],
)
def test_an_invalid_correction_changes_nothing_and_repeats_no_value(installation, ann, values, error) -> None:
    before = installation.client.get(profile_key(ann))
    with pytest.raises(error) as told:
        correct(installation, ann, **values)
    assert not [one for one in map(str, values.values()) if one in str(told.value) and len(one) > 1]
    assert installation.client.get(profile_key(ann)) == before
    assert acts(installation.settings) == []


def test_an_unknown_customer_cannot_be_corrected(installation) -> None:
    with pytest.raises(InvalidInputError, match="unknown id"):
        correct(installation, "C-nobody", age=3)
    with installation.server() as server:
        assert server.patch("/v1/customers/C-nobody", json={"values": {"age": 3}}).status_code == 404
        assert server.patch("/v1/customers/C-3", json={"values": {}}).status_code == 422


def test_the_audit_trail_says_what_was_done_without_naming_customer_or_value(installation, ann) -> None:
    shown(installation, ann)
    assert correct(installation, ann, age=42) == ("age",)
    assert correct(installation, ann, age=42) == ()
    found = acts(installation.settings)
    assert [one["act"] for one in found] == ["shown", "corrected"]
    assert found[1]["columns"] == ["age"]
    assert {one["about"] for one in found} == {found[0]["about"]}
    assert traces_below(trail_path(installation.settings), [ann, "42"]) == []
    assert ann not in trail_path(installation.settings).read_text()
