"""The API's description and its page, with every asset from this server: no page refers to another origin."""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from serving.forms import Body, DecisionBody, EventItem, OutcomeItem
from serving.http.bodies import (
    BatchBody,
    CorrectionBody,
    EventsBody,
    ListBody,
    OutcomesBody,
    PermitBody,
    ReadmissionBody,
)

_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_BODIES: tuple[type[Body], ...] = (
    DecisionBody,
    BatchBody,
    OutcomesBody,
    OutcomeItem,
    EventsBody,
    EventItem,
    PermitBody,
    CorrectionBody,
    ReadmissionBody,
)
_FREE = frozenset({"/livez", "/readyz"})

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nextbest API</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"});
"""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page() -> HTMLResponse:
    """The API's page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def start() -> Response:
    """What starts the page; a file of its own, since the content policy allows no inline script."""
    return Response(_START, media_type="text/javascript")


def install(app: FastAPI) -> None:
    """Add the page and the description."""
    app.include_router(router)
    app.mount("/docs/assets", StaticFiles(directory=_ASSETS), name="docs-assets")

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, bodies and keys included."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, bodies = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template="#/components/schemas/{model}"
    )
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(bodies["$defs"])
    for body in _BODIES:
        if issubclass(body, ListBody):
            field, item = body.list_of
            items = {"$ref": f"#/components/schemas/{item.__name__}"}
            components["schemas"][body.__name__]["properties"][field]["items"] = items
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic", "description": "The key is the password"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path in _FREE else [{"bearer": []}, {"basic": []}, {"header": []}]
            _drop_framework_errors(operation)
    components["schemas"].pop("HTTPValidationError", None)
    components["schemas"].pop("ValidationError", None)
    return schema


def _drop_framework_errors(operation: dict[str, Any]) -> None:
    """The framework promises its own shape of 422, which this API never answers."""
    for status, response in list(operation["responses"].items()):
        content = response.get("content", {}).get("application/json", {})
        reference = content.get("schema", {}).get("$ref", "")
        if reference.endswith("/HTTPValidationError"):
            del operation["responses"][status]
        elif reference.endswith("/ProblemDocument"):
            response["content"] = {"application/problem+json": content}
