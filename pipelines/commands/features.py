"""`nextbest features`: build the history, bring it into Redis, look at it."""

import math
from dataclasses import asdict
from typing import Annotated

import typer

from features.ids import whole_id
from pipelines.options import (
    HomeOption,
    JsonOption,
    moment_or_now,
    print_json,
    print_result,
    print_rows,
    progress_of,
    say,
    settings_for,
)

app = typer.Typer(name="features", help="Features: what the models know about customers.", no_args_is_help=True)

AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="Moment of the snapshot, ISO 8601; default now.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Rebuild everything, not only what is new.")]


@app.command("build")
def build(
    as_of: AsOfOption = None, full: FullOption = False, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Compute features as of every decision in the log, and of every customer now, and register them with Feast.

    Example: `nextbest features build --as-of 2026-11-01T00:00:00Z`
    """
    from features.catalogue import load_catalogue

    settings = settings_for(home)
    moment = moment_or_now(settings, as_of, "--as-of")
    catalogue = load_catalogue(settings.catalogue_path)
    from features.store.builder import build_features  # takes seconds to import, so errors above are reported first

    with progress_of("features") as tell:
        report = build_features(settings, catalogue, moment, tell, full=full)
    print_result(asdict(report), as_json=as_json, title="feature history")


@app.command("materialise")
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

    with redis_for(settings) as redis_url, progress_of("customers") as tell:
        report = materialise_features(settings, catalogue, redis_url, full=full, progress=tell)
        with connect(redis_url) as redis:
            is_lost = is_state_lost(redis, state_mark_of(settings))
    print_result(asdict(report), as_json=as_json, title="online store")
    if is_lost:
        say("Redis was emptied: marketing rests until `nextbest restore` brings contacts, cases and words back")


@app.command("show")
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
    known = zip(vector.names, vector.values.tolist(), strict=True)
    values = {name: None if math.isnan(value) else value for name, value in known}
    if as_json:
        channels = None if profile is None else sorted(profile.reachable_channels)
        result = {"features": values, "ages_seconds": dict(vector.ages_seconds), "reachable_channels": channels}
        print_json({"customer_id": customer_id, "schema": vector.schema, **result})
        return
    shown = {name: "missing" if value is None else f"{value:,.6g}" for name, value in values.items()}
    print_result(shown, as_json=False)


@app.command("list")
def list_features(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List every feature of the catalogue in force: name, group, what it means.

    Example: `nextbest features list`
    """
    from features.catalogue import load_catalogue
    from features.computing.feature_set import feature_meanings

    rows = feature_meanings(load_catalogue(settings_for(home).catalogue_path))
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)
