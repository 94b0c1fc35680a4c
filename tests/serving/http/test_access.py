import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from features.settings import Settings
from serving.http.api_keys import Scope, create_key, revoke_key
from serving.http.app import create_app

NOW = datetime(2026, 11, 2, tzinfo=UTC)
FREE = {"/livez", "/readyz", "/openapi.json", "/docs", "/docs/start.js", "/docs/assets", "/console/static/{name}"}
NEEDED = {
    ("POST", "/v1/decisions"): "decide",
    ("POST", "/v1/decisions/batch"): "decide",
    ("GET", "/v1/decisions/next"): "decide",
    ("GET", "/v1/decisions/dec_1"): "read",
    ("POST", "/v1/outcomes"): "outcomes",
    ("POST", "/v1/events"): "events",
    ("GET", "/metrics"): "read",
    ("GET", "/console"): "read",
    ("GET", "/console/experiments"): "read",
}


@pytest.fixture
def key(settings: Settings) -> str:
    return create_key(settings.keys_path, name="all", scopes=frozenset({Scope.ADMIN}), now=NOW).secret


@pytest.fixture
def locked(settings: Settings, key: str, registry: Any, store: Any) -> Iterator[TestClient]:
    with TestClient(create_app(settings, fetch_model=registry.fetch)) as client:
        yield client


def paths_of(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if isinstance(route, APIRoute):
            yield from ((method, route.path) for method in route.methods)
        elif inner:
            yield from paths_of(route if getattr(route, "routes", None) else route.original_router)
        elif path := getattr(route, "path", None):
            yield "GET", path


def test_every_route_but_the_free_ones_refuses_a_request_without_a_key(locked: TestClient) -> None:
    guarded = [(method, path) for method, path in paths_of(locked.app) if path not in FREE]
    assert len(guarded) >= 10

    for method, path in guarded:
        answer = locked.request(method, path.replace("{readout_id:path}", "x"))
        assert answer.status_code == 401, path
        assert "Basic" in answer.headers["www-authenticate"]


def test_the_free_routes_need_no_key(locked: TestClient) -> None:
    for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
        assert locked.get(path).status_code == 200


def test_a_key_is_accepted_as_bearer_token_header_or_basic_password(locked: TestClient, key: str) -> None:
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer  {key} "},
        {"X-API-Key": key},
        {"Authorization": f"Basic {basic}"},
    ):
        assert locked.get("/v1/me", headers=headers).json()["key"]["name"] == "all"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer nb_wrong",
        "Basic",
        "Basic !!!",
        "Basic /w==",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Digest x",
        "\xff",
    ],
)
def test_any_other_credential_is_refused(locked: TestClient, header: str) -> None:
    answer = locked.get("/v1/me", headers={"Authorization": header.encode("latin-1")})  # pyright: ignore[reportArgumentType]

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")


def test_each_route_needs_its_own_scope_and_says_which(settings: Settings, locked: TestClient) -> None:
    secrets = {
        scope: create_key(settings.keys_path, name=scope, scopes=frozenset({scope}), now=NOW).secret for scope in Scope
    }
    import time

    time.sleep(0.6)
    for (method, path), needed in NEEDED.items():
        for scope, secret in secrets.items():
            answer = locked.request(method, path, headers={"X-API-Key": secret})
            if scope in (needed, Scope.ADMIN):
                assert answer.status_code not in (401, 403), (path, scope)
            else:
                assert answer.status_code == 403, (path, scope)
                assert needed in answer.json()["detail"]


def test_a_revoked_key_stops_working_within_a_second_without_a_restart(
    settings: Settings, locked: TestClient, key: str
) -> None:
    import time

    headers = {"X-API-Key": key}
    assert locked.get("/v1/me", headers=headers).status_code == 200

    revoke_key(settings.keys_path, name="all", now=NOW)
    time.sleep(1.0)

    assert locked.get("/v1/me", headers=headers).status_code == 401


def test_without_a_key_the_body_is_not_read(locked: TestClient) -> None:
    answer = locked.post("/v1/decisions", content=b"{", headers={"content-type": "application/json"})

    assert answer.status_code == 401


def test_if_no_keys_exist_only_local_requests_are_served(settings: Settings, registry: Any, store: Any) -> None:
    app = create_app(settings, fetch_model=registry.fetch)
    for peer, status in (("127.0.0.1", 200), ("::1", 200), ("10.0.0.7", 401), ("203.0.113.9", 401)):
        with TestClient(app, client=(peer, 50_000)) as client:
            answer = client.get("/v1/me")
            assert answer.status_code == status, peer
    assert answer.json()["code"] == "key_required"


def test_me_shows_the_key_in_use(settings: Settings, locked: TestClient) -> None:
    made = create_key(settings.keys_path, name="braze", scopes=frozenset({Scope.DECIDE}), now=NOW)
    import time

    time.sleep(0.6)
    body = locked.get("/v1/me", headers={"X-API-Key": made.secret}).json()

    assert (body["key"]["name"], body["scopes"]) == ("braze", ["decide"])
    assert made.secret not in str(body)
