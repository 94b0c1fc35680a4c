"""The committed description of the API matches the API, and no page loads anything from another origin."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from features.settings import Settings
from serving.http.app import create_app

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"""(?:src|href|action|url)\s*[=(:]\s*["']?([^"'\s>)]+)""", re.IGNORECASE)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(Settings(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def description(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_committed_description_is_up_to_date(description: dict[str, Any]) -> None:
    committed = orjson.loads((ROOT / "docs" / "openapi.json").read_bytes())

    assert committed == orjson.loads(orjson.dumps(description)), "run: nextbest docs generate"


def test_every_reference_resolves(description: dict[str, Any]) -> None:
    names = description["components"]["schemas"]
    for reference in references(description):
        assert reference.removeprefix("#/components/schemas/") in names, reference


def test_every_operation_documents_its_purpose_its_input_and_its_errors(description: dict[str, Any]) -> None:
    found = list(operations(description))
    assert len(found) == 19
    for path, method, operation in found:
        assert operation["description"], path
        assert ("requestBody" in operation) == (method in {"post", "patch"}), path
        if path not in ("/livez", "/readyz"):
            assert operation["security"], path
            refusal = operation["responses"]["401"]["content"]
            assert list(refusal) == ["application/problem+json"], path
    assert "HTTPValidationError" not in str(description)


def test_the_description_says_that_bodies_take_no_unknown_fields(description: dict[str, Any]) -> None:
    for name in (
        "DecisionBody",
        "BatchBody",
        "OutcomesBody",
        "OutcomeItem",
        "EventsBody",
        "EventItem",
        "Money",
        "PlacementItem",
        "PermitBody",
        "CorrectionBody",
    ):
        assert description["components"]["schemas"][name]["additionalProperties"] is False, name
    items = description["components"]["schemas"]["OutcomesBody"]["properties"]["outcomes"]["items"]
    assert items == {"$ref": "#/components/schemas/OutcomeItem"}


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/console", "/console/experiments"]
)
def test_no_page_loads_anything_from_another_origin(app: FastAPI, path: str) -> None:
    client = TestClient(app)  # not started: pages need no lifespan
    answer = client.get(path)

    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    foreign = [link for link in LINK.findall(answer.text) if "//" in link and not link.startswith("data:")]
    assert foreign == []


def test_scripts_of_pages_are_files_so_that_the_content_security_policy_can_forbid_inline_ones(app: FastAPI) -> None:
    client = TestClient(app)
    page = client.get("/docs").text

    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert scripts
    for attributes, content in scripts:
        assert content.strip() == ""
        source = re.search(r'src="([^"]+)"', attributes)
        assert source is not None
        assert client.get(f"/{source[1]}").status_code == 200
    assert "unsafe-inline" not in client.get("/docs").headers["content-security-policy"].split("style-src")[0]
