"""The console over HTTP: HTML pages that work without scripts, under a policy that forbids any other origin."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.params import Depends
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from decisioning.errors import InvalidInputError, UnknownNameError
from features.reports.readouts import ReadoutKind, read_readout, stored_readouts
from features.settings import Settings
from serving.console.assets import Asset, load_assets
from serving.console.drift_pages import drift_page
from serving.console.readout_pages import card_of, page_of

TEMPLATES = Path(__file__).parent / "templates"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
FOREVER = "public, max-age=31536000, immutable"
NOT_FOUND = 404
BROKEN = 500


class Pages:
    """Templates with what every page needs."""

    def __init__(self, assets: dict[str, Asset]) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.versions = {name: asset.digest for name, asset in assets.items()}

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page; `base` is where the console is mounted, so that it works below any path."""
        base = f"{request.scope.get('root_path', '')}/console"
        text = self.environment.get_template(template).render(base=base, versions=self.versions, **values)
        return HTMLResponse(text, status_code=status, headers={**SECURITY_HEADERS, "Cache-Control": "no-cache"})


def console_routes(settings: Settings, dependencies: Sequence[Depends] = ()) -> APIRouter:
    """Routes of the console: overview, list, one page per readout, drift, and the files they load.

    Handlers read small files, so they are plain functions, which the server runs beside its event loop. `dependencies`
    guard the pages; the style sheet and the font need no guard.
    """
    router = APIRouter(prefix="/console", include_in_schema=False)
    assets = load_assets()
    pages = Pages(assets)
    folder = settings.readouts_path
    guarded = list(dependencies)

    @router.get("", dependencies=guarded)
    def overview(request: Request) -> HTMLResponse:
        stored = stored_readouts(folder)
        holdout = next((card_of(each) for each in stored.readouts if each.kind is ReadoutKind.HOLDOUT), None)
        cards = [card_of(each) for each in stored.readouts if each.kind is not ReadoutKind.HOLDOUT]
        return pages.render(request, "overview.html", holdout=holdout, cards=cards, damaged=stored.damaged)

    @router.get("/experiments", dependencies=guarded)
    def experiments(request: Request) -> HTMLResponse:
        stored = stored_readouts(folder)
        cards = [card_of(readout) for readout in stored.readouts]
        return pages.render(request, "experiments.html", cards=cards, damaged=stored.damaged)

    @router.get("/experiments/{readout_id:path}", dependencies=guarded)
    def experiment(request: Request, readout_id: str) -> HTMLResponse:
        try:
            readout = read_readout(folder, readout_id)
        except UnknownNameError as error:
            return pages.render(request, "missing.html", status=NOT_FOUND, name=readout_id, nearest=error.nearest)
        except InvalidInputError as error:
            return pages.render(request, "damaged.html", status=BROKEN, name=readout_id, problem=str(error))
        return pages.render(request, "readout.html", page=page_of(readout))

    _add_drift(router, pages, settings, guarded)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            return Response(status_code=NOT_FOUND)
        headers = {**SECURITY_HEADERS, "Cache-Control": FOREVER}
        return Response(asset.payload, media_type=asset.media_type, headers=headers)

    return router


def _add_drift(router: APIRouter, pages: Pages, settings: Settings, guarded: Sequence[Depends]) -> None:
    @router.get("/drift", dependencies=guarded)
    def drift(request: Request) -> HTMLResponse:
        values = drift_page(settings.drift_path)
        return pages.render(request, "drift.html", status=BROKEN if values["problem"] else 200, **values)
