"""Hot routes bypass the framework with identical results."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serving.forms import Body, DecisionBody
from serving.http import requests
from serving.http.bodies import BatchBody, EventsBody, OutcomesBody
from serving.http.lean import LeanRoute, LeanRoutes

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail", "dedupe_key": "once"}
AT = "2026-11-02T09:30:00Z"
JSON = {"content-type": "application/json"}
EVENT = {"message_id": "e-1", "customer_id": "C-1", "type": "purchase", "occurred_at": AT}
OUTCOME = {"message_id": "o-1", "decision_id": "dec_1", "customer_id": "C-1", "type": "clicked", "occurred_at": AT}
HOT: list[tuple[str, str, Any]] = [
    ("POST", "/v1/decisions", ASK),
    ("GET", "/v1/decisions/next?customer_id=C-1&touchpoint=weekly-mail&key=once", None),
    ("POST", "/v1/decisions/batch", {"requests": [ASK, {"customer_id": "C-1"}]}),
    ("POST", "/v1/events", {"events": [EVENT, {}]}),
    ("POST", "/v1/outcomes", {"outcomes": [OUTCOME, {}]}),
]
REFUSED: list[tuple[str, str, Any]] = [
    ("POST", "/v1/decisions", {"customer": 1}),
    ("POST", "/v1/decisions", {**ASK, "touchpoint": "weekly-mial"}),
    ("POST", "/v1/decisions/batch", {"requests": []}),
    ("POST", "/v1/events", {"events": [1] * 501}),
    ("GET", "/v1/decisions/next?touchpoint=weekly-mail", None),
    ("GET", "/v1/decisions/dec_unknown", None),
    ("POST", "/v1/decisions/dec_unknown/permit", {}),
    ("POST", "/v1/decisions/dec_unknown/permit", {"deadline_ms": 0}),
]


def said(answer: Any) -> tuple[int, dict[str, str], Any]:
    """An answer without the fields that differ every time."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")}
    content = answer.json()
    for name in ("request_id", "instance"):
        content.pop(name, None)
    for item in content.get("results", ()):
        item.pop("problem", None)
    return answer.status_code, headers, content


@pytest.fixture
def without_framework(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The app whose router refuses to route."""

    async def refuse(*_: Any) -> None:
        raise AssertionError("the framework was asked")

    assert client.get("/livez").status_code == 200
    monkeypatch.setattr(client.app.router, "middleware_stack", refuse)  # pyright: ignore[reportAttributeAccessIssue]
    return client


def test_hot_routes_do_not_use_the_framework(without_framework: TestClient, customer: str) -> None:
    for method, path, body in HOT:
        assert without_framework.request(method, path, json=body).status_code in (200, 202), path
    decided = without_framework.post("/v1/decisions", json=ASK).json()
    permit = without_framework.post(f"/v1/decisions/{decided['decision_id']}/permit")
    assert permit.json()["decision_id"] == decided["decision_id"]
    assert without_framework.get(f"/v1/decisions/{decided['decision_id']}").json()["customer_id"] == "C-1"
    assert without_framework.get("/livez").status_code == 500


@pytest.mark.parametrize(("method", "path", "body"), HOT + REFUSED)
def test_both_ways_give_the_same_answer(
    client: TestClient, customer: str, method: str, path: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.request(method, path, json=body)  # the first ask and a repeat get different answers
    lean = said(client.request(method, path, json=body))
    monkeypatch.setattr(LeanRoutes, "find", lambda *_: None)
    monkeypatch.setattr(LeanRoute, "answer", None)

    assert said(client.request(method, path, json=body)) == lean


def test_a_path_below_a_proxy_root_is_left_to_the_framework(client: TestClient, customer: str) -> None:
    client._transport.root_path = "/behind"  # pyright: ignore[reportAttributeAccessIssue]

    assert client.post("/v1/decisions", json=ASK).status_code == 200
    assert client.post("/behind/v1/decisions", json=ASK).status_code == 200


def test_a_path_that_only_looks_like_a_hot_one_is_left_to_the_framework(client: TestClient) -> None:
    for method, path, status in (
        ("PUT", "/v1/decisions", 405),
        ("DELETE", "/v1/decisions/dec_1/permit", 405),
        ("POST", "/v1/decisions//permit", 404),
        ("POST", "/v1/decisions/a/b/permit", 404),
        ("GET", "/v1/decisions/", 404),
        ("HEAD", "/v1/decisions/dec_1", 405),
    ):
        assert client.request(method, path, follow_redirects=False).status_code in (status, 307), path


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["C-1", "email", "2026-11-01T00:00:00Z", "NaN", 0, 1, 1.0, "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _nearly(form: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A valid form with a few arbitrary fields."""
    return st.dictionaries(st.sampled_from(sorted(form)), json_values, max_size=2).map(lambda wrong: {**form, **wrong})


DECISION = {
    **ASK, "context": {"a": 1}, "channels": ["email"], "exclude_offers": [], "limit": 1, "dry_run": False,
    "placements": [{"placement": "hero"}], "deadline_ms": 20, "stage": "active", "explain": True,
}  # fmt: skip
VALUE = {"amount": 49.9, "currency": "EUR"}
FORMS: dict[type[Body], tuple[str | None, dict[str, Any]]] = {
    DecisionBody: (None, DECISION),
    BatchBody: ("requests", DECISION),
    EventsBody: ("events", {**EVENT, "channel": "email", "value": VALUE, "properties": {"a": [1]}}),
    OutcomesBody: ("outcomes", {**OUTCOME, "value": VALUE, "properties": {}}),
}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[type[Body], bytes]:
    """A form, and a body that may be one."""
    model = draw(st.sampled_from(list(FORMS)))
    name, form = FORMS[model]
    body = draw(_nearly(form)) if name is None else {name: draw(st.lists(_nearly(form), max_size=3))}
    return model, json.dumps(body).encode()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies())
@example(body=(DecisionBody, b'{"customer_id":"C-1","touchpoint":"mail","context":{"a":NaN}}'))
@example(body=(DecisionBody, b'{"customer_id":"C-1","touchpoint":"mail","context":{"a":-Infinity}}'))
@example(body=(DecisionBody, b'{"customer_id":"C-1","touchpoint":"mail","context":{"a":1e400,"a":2}}'))
@example(body=(DecisionBody, b'{"customer_id":"A","customer_id":"17850.0","touchpoint":"mail"}'))
@example(body=(EventsBody, b'{"events":[]}'))
@example(body=(EventsBody, b'{"events":{}}'))
@example(body=(EventsBody, b'{"events":[],"more":1}'))
def test_a_body_parsed_at_once_equals_the_body_parsed_step_by_step(body: tuple[type[Body], bytes]) -> None:
    model, text = body
    at_once = requests.right_at_once(model, text)
    if at_once is None:
        return
    checked = requests.checked(model, text)

    name, _ = FORMS[model]
    if name is None:
        assert repr(at_once) == repr(checked)
    else:
        item = model.list_of[1]  # pyright: ignore[reportAttributeAccessIssue]
        pairs = zip(getattr(at_once, name), getattr(checked, name), strict=True)
        assert all(repr(one) == repr(requests.validate(item, other)) for one, other in pairs)


@pytest.mark.parametrize("model", list(FORMS))
def test_a_valid_body_needs_no_second_parse(model: type[Body]) -> None:
    name, form = FORMS[model]
    text = json.dumps(form if name is None else {name: [form, form]}).encode()

    assert requests.right_at_once(model, text) is not None
