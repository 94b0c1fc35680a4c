"""Reports of odd shapes are refused one by one with a reason; none affects the others or crashes the server."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features.log.event_types import EventType, StateEventType
from features.log.outcome_types import OutcomeType

AT = "2026-11-02T09:30:00Z"
KNOWN = (
    "case_id", "kind", "severity", "owner", "channel", "purpose", "protection", "name", "value", "source", "stage",
    "due_id", "offer_id", "creative", "due_at", "text", "language", "sentiment", "survey", "score", "heard",
)  # fmt: skip
LIKELY = (
    "complaint",
    "high",
    "email",
    "marketing",
    "profiling",
    "minor",
    "age",
    "new",
    "free-coffee",
    "plain",
    AT,
    "nps",
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(LIKELY),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("a", "opens")), inner, max_size=2),
    max_leaves=4,
)
properties = st.dictionaries(st.sampled_from(KNOWN), values, max_size=6)
SHAPES: list[Any] = [[], {}, [[]], {"a": []}, True, 0, -1.5, "", "\x00", 2**64 - 1, None]


def good() -> dict[str, Any]:
    return {"message_id": "good", "customer_id": "C-1", "type": "browse", "occurred_at": AT}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([*StateEventType, *EventType]), told=properties)
@example(kind=StateEventType.CASE_OPENED, told={"kind": "complaint", "severity": []})
def test_every_odd_event_is_answered_separately(client: TestClient, kind: str, told: dict[str, Any]) -> None:
    odd = {**good(), "message_id": f"odd-{hash(str((kind, told)))}", "type": str(kind), "properties": told}

    answer = client.post("/v1/events", json={"events": [odd, good()]})

    assert answer.status_code == 202, answer.text
    assert [one["index"] for one in answer.json()["items"]] == [0, 1]
    assert answer.json()["items"][1]["status"] != "rejected"
    assert all("must" in one["detail"] for one in answer.json()["rejected"])


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("name", ["kind", "severity", "case_id"])
def test_a_case_of_an_odd_shape_is_refused_with_a_pointer(client: TestClient, name: str, shape: Any) -> None:
    told = {"kind": "complaint", name: shape}
    odd = {**good(), "message_id": "odd", "type": "case_opened", "properties": told}
    answer = client.post("/v1/events", json={"events": [odd, good()]}).json()
    if shape is None and name != "kind":
        assert answer["accepted"] == 2
        return
    [rejected] = answer["rejected"]
    assert (answer["accepted"], rejected["errors"][0]["pointer"]) == (1, f"/properties/{name}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(list(OutcomeType)), told=properties)
def test_every_odd_outcome_is_answered_separately(client: TestClient, kind: OutcomeType, told: Any) -> None:
    odd = {"message_id": f"odd-{hash(str((kind, told)))}", "decision_id": "elsewhere", "customer_id": "C-1"}
    item = {**odd, "type": kind.value, "occurred_at": AT, "properties": told}
    answer = client.post("/v1/outcomes", json={"outcomes": [item]})
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1E+309", "9" * 400 + ".0"])
@pytest.mark.parametrize("shape", ['{{"n": {}}}', '{{"n": [{{"m": {}}}]}}'])
@pytest.mark.parametrize("kind", ["events", "outcomes"])
def test_a_number_too_large_for_json_is_refused_and_never_null(
    client: TestClient, kind: str, shape: str, number: str
) -> None:
    whose = '"customer_id": "C-1"' + (', "decision_id": "elsewhere"' if kind == "outcomes" else "")
    told = {"events": "browse", "outcomes": "clicked"}[kind]
    item = (
        f'{{"message_id": "m", "type": "{told}", "occurred_at": "{AT}", {whose}, "properties": {shape.format(number)}}}'
    )
    fine = item.replace('"m"', '"fine"').replace(number, "1e300")
    answer = client.post(f"/v1/{kind}", content=f'{{"{kind}": [{item}, {fine}]}}').json()
    [rejected] = answer["rejected"]
    assert (answer["accepted"], rejected["errors"][0]["pointer"]) == (1, "/properties")
    assert "numbers of at most 64 bits" in rejected["detail"]
