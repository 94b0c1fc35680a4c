"""`nextbest features`: build the history, bring it into Redis, look at it."""

import math
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from features.ids import whole_id
from pipelines.options import HomeOption, JsonOption, print_result, progress_bar, say, settings_for

features_app = typer.Typer(help="Features: what the models know about customers.", no_args_is_help=True)

AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="Moment of the snapshot, ISO 8601; default now.", show_default=False),
]
FullOption = Annotated[bool, typer.Option("--full", help="Rebuild everything, not only what is new.")]


def register(app: typer.Typer) -> None:
    """Add `nextbest features`."""
    app.add_typer(features_app, name="features")


@features_app.command("build")
def build(
    as_of: AsOfOption = None,
    full: FullOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute features as of every decision in the log, and of every customer now, and register them with Feast.

    Example: `nextbest features build --as-of 2026-11-01T00:00:00Z`
    """
    from features.catalogue import load_catalogue
    from features.clock import clock_of
    from features.moments import moment_from

    settings = settings_for(home)
    moment = clock_of(settings)() if as_of is None else moment_from(as_of, "--as-of")
    catalogue = load_catalogue(settings.catalogue_path)
    from features.store.builder import build_features  # seconds: whatever is wrong above is said at once

    with progress_bar() as bar:
        task = bar.add_task("features", total=None)
        report = build_features(
            settings, catalogue, moment, lambda done, total: bar.update(task, completed=done, total=total), full=full
        )
    print_result(asdict(report), as_json=as_json, title="feature history")


@features_app.command("materialise")
def materialise(full: FullOption = False, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Write the newest features and profiles of all customers to Redis, where decisions read them.

    Example: `nextbest features materialise`
    """
    from features.catalogue import load_catalogue
    from features.online.redis_connection import connect
    from features.online.state_mark import is_state_lost, state_mark_of
    from pipelines.server.embedded_redis import redis_for

    settings = settings_for(home)
    catalogue = load_catalogue(settings.catalogue_path)
    from features.store.materialisation import materialise as materialise_features  # seconds, as above

    with redis_for(settings) as redis_url, progress_bar() as bar:
        task = bar.add_task("customers", total=None)
        report = materialise_features(
            settings,
            catalogue,
            redis_url,
            full=full,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        with connect(redis_url) as redis:
            is_lost = is_state_lost(redis, state_mark_of(settings))
    print_result(asdict(report), as_json=as_json, title="online store")
    if is_lost:
        say("Redis was emptied: marketing rests until `nextbest restore` brings contacts, cases and words back")


@features_app.command("show")
def show(
    customer_id: Annotated[str, typer.Argument(metavar="CUSTOMER_ID", help="Whose features.", parser=whole_id)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a decision would know about a customer now: features with their ages, and the profile.

    Example: `nextbest features show C-00017`
    """
    from decisioning.errors import InvalidInputError
    from features.catalogue import load_catalogue
    from features.clock import clock_of
    from features.computing.feature_set import feature_schema
    from features.online.customer_lookup import read_customer
    from pipelines.server.embedded_redis import redis_for

    settings = settings_for(home)
    schema = feature_schema(load_catalogue(settings.catalogue_path))
    with redis_for(settings) as redis_url:
        vector, profile = read_customer(redis_url, customer_id, schema, clock_of(settings)())
    if vector is None:
        raise InvalidInputError(
            "CUSTOMER_ID must be a customer whose features were materialised, got another: "
            "check it, or run `nextbest features materialise`"
        )
    values = {
        name: None if math.isnan(value) else value
        for name, value in zip(vector.names, vector.values.tolist(), strict=True)
    }
    if as_json:
        known = None if profile is None else sorted(profile.reachable_channels)
        result = {"features": values, "ages_seconds": dict(vector.ages_seconds), "reachable_channels": known}
        print_result({"customer_id": customer_id, "schema": vector.schema, **result}, as_json=True)
        return
    print_result(
        {name: "missing" if value is None else f"{value:,.6g}" for name, value in values.items()}, as_json=False
    )


@features_app.command("list")
def list_features(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List every feature of the catalogue in force: name, group, what it means.

    Example: `nextbest features list`
    """
    import orjson
    from rich.console import Console
    from rich.table import Table

    from features.catalogue import load_catalogue
    from features.computing.feature_set import feature_meanings

    rows = feature_meanings(load_catalogue(settings_for(home).catalogue_path))
    if as_json:
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    table = Table("feature", "group", "meaning")
    for row in rows:
        table.add_row(row["feature"], row["group"], row["meaning"])
    Console().print(table)
