from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serving.decisions.orchestrator import Orchestrator
from serving.http.documents import ProblemDocument
from serving.http.middleware import MAX_BODY_BYTES

ASK = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
JSON = {"content-type": "application/json"}


def problem(answer: Any, status: int, code: str) -> ProblemDocument:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = ProblemDocument.model_validate(answer.json())
    assert document.request_id == answer.headers["x-request-id"]
    assert document.status == status
    return document


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"customer": "C-1"}, "/customer", "did you mean 'customer_id'"),
        ({"dedupe": "x"}, "/dedupe", "did you mean 'dedupe_key'"),
        ({"zzz": 1}, "/zzz", "must be a known name"),
        ({"customer_id": ""}, "/customer_id", "at least 1 character"),
        ({"customer_id": 7}, "/customer_id", "valid string"),
        ({"customer_id": None}, "/customer_id", "valid string"),
        ({"customer_id": "a\u0000b"}, "/customer_id", "control characters"),
        ({"customer_id": "x" * 201}, "/customer_id", "at most 200"),
        ({"dry_run": "yes"}, "/dry_run", "valid boolean"),
        ({"limit": 31}, "/limit", "less than or equal to 30"),
        ({"limit": 1.5}, "/limit", "valid integer"),
        ({"deadline_ms": 0}, "/deadline_ms", "greater than or equal to 1"),
        ({"channels": []}, "/channels", "at least 1"),
        ({"channels": ["emial"]}, "/channels/0", "did you mean 'email'"),
        ({"channels": ["email", "email"]}, "/channels", "must not repeat"),
        ({"exclude_offers": ["ten-percnt"]}, "/exclude_offers/0", "did you mean 'ten-percent'"),
        ({"stage": "activ"}, "/stage", "did you mean 'active'"),
        ({"touchpoint": "app-home", "context": {"basket": 1}}, "/context/basket", "did you mean 'basket_value'"),
        ({"touchpoint": "app-home", "context": {"basket_value": "one"}}, "/context/basket_value", "must be a number"),
        ({"touchpoint": "app-home", "context": {"basket_value": True}}, "/context/basket_value", "must be a number"),
        ({"touchpoint": "app-home", "context": {"basket_value": 10**400}}, "/context/basket_value", "must be a number"),
        ({"context": {"a/b~c": 1}}, "/context/a~1b~0c", "must be a known name"),
        ({"context": []}, "/context", "valid dictionary"),
    ],
)
def test_an_invalid_body_is_refused_with_a_pointer_and_the_nearest_valid_name(
    client: TestClient, changes: dict[str, Any], pointer: str, words: str
) -> None:
    import orjson

    try:
        content = orjson.dumps({**ASK, **changes})
    except TypeError:
        import json

        content = json.dumps({**ASK, **changes}).encode()
    document = problem(client.post("/v1/decisions", content=content, headers=JSON), 422, "validation_error")

    found = {fault.pointer: fault.detail for fault in document.errors}
    assert words in found[pointer]


def test_an_unknown_touchpoint_is_not_found_and_the_nearest_is_suggested(client: TestClient) -> None:
    answer = client.post("/v1/decisions", json={**ASK, "touchpoint": "weekly-mial"})

    assert problem(answer, 404, "unknown_touchpoint").nearest == ["weekly-mail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("customer_id=C-1&touchpoint=weekly-mail&keys=1", "keys"),
        ("customer_id=C-1&customer_id=C-2&touchpoint=weekly-mail", "customer_id"),
        ("touchpoint=weekly-mail", "/customer_id"),
        ("customer_id=C-1&touchpoint=app-home&ctx.basket_value=many", "/context/basket_value"),
        ("customer_id=C-1&touchpoint=app-home&ctx.basket_value=nan", "/context/basket_value"),
        ("customer_id=C-1&touchpoint=weekly-mail&ctx.device=ios", "/context/device"),
        ("customer_id=C-1&touchpoint=weekly-mail&channels=", "/channels"),
        ("customer_id=%00&touchpoint=weekly-mail", "/customer_id"),
    ],
)
def test_an_invalid_query_is_refused_with_the_parameter(client: TestClient, query: str, pointer: str) -> None:
    document = problem(client.get(f"/v1/decisions/next?{query}"), 422, "validation_error")

    assert pointer in {fault.pointer for fault in document.errors}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b'{"customer_id": NaN}', 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"customer_id": "\\ud800"}', 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"context":' * 5_000 + b"1" + b"}" * 5_000, 400, "malformed_json"),
        (b"[]", 422, "validation_error"),
        (b"null", 422, "validation_error"),
        (b'"text"', 422, "validation_error"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(
    client: TestClient, content: bytes, status: int, code: str
) -> None:
    for path in ("/v1/decisions", "/v1/decisions/batch", "/v1/outcomes", "/v1/events"):
        problem(client.post(path, content=content, headers=JSON), status, code)


def test_the_frameworks_own_errors_are_problems_too(client: TestClient) -> None:
    problem(client.get("/v1/nothing"), 404, "not_found")
    refused = client.put("/v1/decisions", json=ASK)
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"
    problem(
        client.post("/v1/decisions", content=b"a=1", headers={"content-type": "text/plain"}),
        415,
        "unsupported_media_type",
    )


def test_a_body_over_the_limit_is_refused_with_or_without_a_content_length(client: TestClient) -> None:
    stated = client.post("/v1/events", content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
    chunked = client.post("/v1/events", content=(b" " * 65_536 for _ in range(17)), headers=JSON)

    problem(stated, 413, "body_too_large")
    problem(chunked, 413, "body_too_large")


def test_too_many_items_are_refused_as_such(client: TestClient) -> None:
    for path, field in (("/v1/decisions/batch", "requests"), ("/v1/outcomes", "outcomes"), ("/v1/events", "events")):
        problem(client.post(path, json={field: [1] * 501}), 413, "too_many_items")
        problem(client.post(path, json={field: []}), 422, "validation_error")


def test_a_problem_never_repeats_the_callers_values(client: TestClient) -> None:
    answer = client.post("/v1/decisions", json={**ASK, "limit": "ada@example.com"})

    assert "ada@example.com" not in answer.text


def test_an_unusable_idempotency_key_is_refused(client: TestClient, customer: str) -> None:
    for key in (" ", "x" * 256):
        answer = client.post("/v1/decisions", json=ASK, headers={"Idempotency-Key": key})
        problem(answer, 422, "validation_error")


def test_an_internal_error_tells_the_caller_only_an_id(
    client: TestClient, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret-detail")

    monkeypatch.setattr(Orchestrator, "answer_many", fail)
    answer = client.post("/v1/decisions", json=ASK)

    problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    [
        "customer_id", "touchpoint", "stage", "context", "channels", "exclude_offers", "limit", "dedupe_key",
        "deadline_ms", "dry_run", "explain", "outcomes", "events", "requests", "message_id", "decision_id", "type",
        "occurred_at", "value", "properties",
    ]
)  # fmt: skip
words = st.sampled_from(
    ["C-1", "weekly-mail", "app-home", "email", "active", "delivered", "purchase", "2026-11-01T00:00:00Z"]
)
bodies = st.dictionaries(fields | st.text(max_size=8), words | json_values, max_size=8)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies | json_values, path=st.sampled_from(["decisions", "decisions/batch", "outcomes", "events"]))
def test_no_body_makes_the_server_fail(client: TestClient, body: Any, path: str) -> None:
    import json

    for value in (
        body,
        {"outcomes": [body], "events": [body]},
        {"requests": [body]},
        {"events": [body]},
        {"outcomes": [body]},
    ):
        answer = client.post(f"/v1/{path}", content=json.dumps(value).encode(), headers=JSON)
        assert answer.status_code < 500, (value, answer.text)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(
        st.tuples(
            fields | st.sampled_from(["key", "ctx.basket_value"]) | st.text(max_size=8), words | st.text(max_size=12)
        ),
        max_size=6,
    )
)
def test_no_query_makes_the_server_fail(client: TestClient, pairs: list[tuple[str, str]]) -> None:
    from urllib.parse import quote_from_bytes

    query = "&".join(
        f"{quote_from_bytes(name.encode(errors='surrogatepass'))}={quote_from_bytes(value.encode(errors='surrogatepass'))}"
        for name, value in pairs
    )
    answer = client.get(f"/v1/decisions/next?{query}")

    assert answer.status_code < 500, answer.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_no_bytes_make_the_server_fail(client: TestClient, content: bytes) -> None:
    assert client.post("/v1/decisions", content=content, headers=JSON).status_code in (400, 422)
