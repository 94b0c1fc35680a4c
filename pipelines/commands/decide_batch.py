"""`nextbest decide-batch`: decisions for a whole audience."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption, print_result, progress_bar, settings_for

if TYPE_CHECKING:
    from features.settings import Settings
    from pipelines.batch import ModelCopy


def register(app: typer.Typer) -> None:
    """Add `nextbest decide-batch`."""
    app.command("decide-batch")(decide_batch)


def decide_batch(
    audience: Annotated[
        Path,
        typer.Argument(metavar="AUDIENCE", help="Parquet file: customer_id, optionally dedupe_key and context fields."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Parquet file to write the decisions to.")],
    *,
    touchpoint: Annotated[
        str | None, typer.Option("--touchpoint", help="What asks; default the only one of the catalogue.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Dedupe key for all rows: a repeated run keeps its decisions.")
    ] = None,
    now: Annotated[
        str | None, typer.Option("--now", help="Decide as of this moment (ISO 8601; UTC without offset).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and log nothing.")] = False,
    without_model: Annotated[
        bool, typer.Option("--without-model", help="Go on by declared values where there is no model.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes, for large audiences.")] = 1,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide for everybody in a file, as the API would, and log every decision.

    Example: `nextbest decide-batch audience.parquet decisions.parquet --touchpoint weekly-mail --key 2026-W45`
    """
    from features.moments import moment_from
    from pipelines.batch import BatchPlan, decide_audience
    from pipelines.draining import draining
    from pipelines.embedded_redis import redis_for

    settings = settings_for(home)
    plan = BatchPlan(
        audience=audience,
        out=out,
        touchpoint_id=touchpoint or _only_touchpoint(settings),
        key=key,
        now=None if now is None else moment_from(now, "--now"),
        is_dry_run=dry_run,
        allows_no_model=without_model,
        workers=workers,
    )
    with redis_for(settings) as url, nullcontext() if dry_run else draining(settings, url), progress_bar() as bar:
        task = bar.add_task("deciding", total=None)
        report = decide_audience(
            plan,
            settings,
            redis_url=url,
            model=_champion(settings, needed=not without_model),
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_result(asdict(report), as_json=as_json, title="decided")


def _only_touchpoint(settings: "Settings") -> str:
    from decisioning.errors import InvalidInputError
    from features.catalogue import load_catalogue

    names = sorted(load_catalogue(settings.catalogue_path).touchpoints)
    if len(names) != 1:
        raise InvalidInputError(f"--touchpoint must be named, got none; the catalogue has {', '.join(names)}")
    return names[0]


def _champion(settings: "Settings", *, needed: bool) -> "ModelCopy | None":
    from decisioning.errors import UnavailableError
    from features.model_registry import fetch_champion
    from pipelines.batch import ModelCopy

    try:
        champion = fetch_champion(settings)
    except UnavailableError:
        if needed:
            raise
        return None
    return ModelCopy(folder=champion.folder, version=champion.version)
