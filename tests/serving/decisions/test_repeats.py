"""Retries: the earlier decision stands, and its message goes only if the gates still permit it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

ONE_A_DAY = "contact_policy: {caps: {day: {scope: everything, limit: 1, window_days: 1}}}"
TWO_A_DAY = "contact_policy: {caps: {day: {scope: everything, limit: 2, window_days: 1}}}"
RESTS = "quiet_hours: {rules: [{from: '12:00', until: '14:00'}]}"  # 10:30 where the customer lives


def decide(client: TestClient, key: str = "one", **changes: Any) -> dict[str, Any]:
    ask = {"customer_id": "C-1", "touchpoint": "weekly-mail", "dedupe_key": key, **changes}
    answer = client.post("/v1/decisions", json=ask)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_retry_is_not_refused_because_of_its_own_contact(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve(ONE_A_DAY)
    first, again = decide(client), decide(client)
    assert again["replayed"]
    assert again["selected"] == first["selected"] is not None
    assert decide(client, "two")["action"] == "hold", "other messages do count it"


def test_a_retry_in_quiet_hours_waits_for_their_end(
    serve: Callable[..., TestClient], customer: str, clock: Any
) -> None:
    client = serve(RESTS)
    first = decide(client)
    clock.now += timedelta(hours=2)
    at_rest = decide(client)
    clock.now += timedelta(hours=2)
    awake = decide(client)

    assert (first["action"], awake["action"]) == ("send", "send")
    assert (at_rest["action"], at_rest["reason"], at_rest["withheld"]) == ("hold", "DEFERRED", ["QUIET_HOURS"])
    assert at_rest["retry_at"] == "2026-11-02T13:00:00+00:00"
    assert {one["decision_id"] for one in (first, at_rest, awake)} == {first["decision_id"]}


@pytest.mark.parametrize("limit", [1, 3])
def test_every_position_of_a_repeated_slate_is_checked_by_the_gates(
    serve: Callable[..., TestClient], customer: str, clock: Any, limit: int
) -> None:
    client = serve(RESTS)
    first = decide(client, limit=limit)
    clock.now += timedelta(hours=2)
    at_rest = decide(client, limit=limit)
    assert first["selected"]
    assert not at_rest["selected"]
    assert all(not one["selected"] for one in at_rest["slate"])


def test_a_lowered_cap_applies_to_a_retry_too(serve: Callable[..., TestClient], customer: str) -> None:
    client = serve(TWO_A_DAY)
    assert decide(client)["selected"]
    assert decide(client, "two")["selected"]
    assert decide(client)["selected"], "two of two: its own contact does not count against it"
    assert decide(serve(ONE_A_DAY))["withheld"] == ["CAP_REACHED"]
