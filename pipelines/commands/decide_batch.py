"""`nextbest decide-batch`: decisions for a whole audience."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.options import (
    HomeOption,
    JsonOption,
    print_json,
    print_result,
    progress_of,
    say,
    settings_for,
    warn_of_old_zone_rules,
)

if TYPE_CHECKING:
    from features.models.rollout import Rollout
    from features.settings import Settings
    from pipelines.batch.customer_options import Volume
    from pipelines.batch.run import ModelCopy


app = typer.Typer()


@app.command("decide-batch")
def decide_batch(
    audience: Annotated[
        Path,
        typer.Argument(metavar="AUDIENCE", help="Parquet or CSV: customer_id, dedupe_key and context fields, if any."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Parquet file to write the decisions to.")],
    *,
    touchpoint: Annotated[str | None, typer.Option(help="Touchpoint; default the only one of the catalogue.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Dedupe key for all rows: a repeated run keeps its decisions.")
    ] = None,
    now: Annotated[str | None, typer.Option(help="Decide as of this moment (ISO 8601; UTC without offset).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide without logging anything.")] = False,
    without_model: Annotated[
        bool, typer.Option("--without-model", help="If there is no model, decide by declared values.")
    ] = False,
    optimise: Annotated[
        bool, typer.Option("--optimise", help="Allocate limited capacity over the whole audience to maximise value.")
    ] = False,
    at_least: Annotated[
        list[str] | None, typer.Option(metavar="OFFER=N", help="Send N or more of an offer; repeatable.")
    ] = None,
    at_most: Annotated[
        list[str] | None, typer.Option(metavar="OFFER=N", help="Send N or fewer of an offer; repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes, for large audiences.")] = 1,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide for every customer in a file, exactly as the API would, and log every decision.

    With --optimise it finds the most valuable allocation over the whole audience within limits, shares and volumes. The
    summary lists the binding limits with their shadow prices: what one more unit would be worth. If a minimum cannot be
    met, it says why and decides nothing.

    Example: `nextbest decide-batch audience.parquet decisions.parquet --touchpoint weekly-mail --key 2026-W45`
    """
    from features.clock import wall_clock
    from features.models.registry import CHAMPION_ALIAS, is_cold_start
    from features.moments import moment_from
    from features.online.redis_connection import connect
    from features.online.state_mark import is_state_lost, state_mark_of
    from pipelines.batch.run import BatchPlan, decide_audience
    from pipelines.server.drain import draining
    from pipelines.server.embedded_redis import redis_for

    settings = settings_for(home)
    is_new = is_cold_start(settings)
    plan = BatchPlan(
        audience=audience,
        out=out,
        touchpoint_id=touchpoint or _only_touchpoint(settings),
        key=key,
        now=None if now is None else moment_from(now, "--now"),
        is_dry_run=dry_run,
        allows_no_model=without_model,
        is_cold_start=is_new,
        workers=workers,
        optimises=optimise,
        volumes=_volumes(at_least or [], at_most or [], optimises=optimise),
    )
    warn_of_old_zone_rules(plan.now or wall_clock())
    with (
        redis_for(settings) as url,
        nullcontext() if dry_run else draining(settings, url),
        progress_of("deciding") as tell,
    ):
        report = decide_audience(
            plan,
            settings,
            redis_url=url,
            model=_model(settings, CHAMPION_ALIAS, is_needed=not (without_model or is_new)),
            arms=_arms(settings),
            rollout=_rollout(settings),
            on_progress=tell,
        )
        with connect(url) as redis:
            is_lost = is_state_lost(redis, state_mark_of(settings))
    if is_lost:
        say("Redis was emptied: marketing rested; run `nextbest restore`, then decide again")
    if report.repeated:
        say(
            f"warning: {report.repeated:,} rows are about customers who came before; without a key each was decided "
            "anew. Pass --key, or give each row a dedupe_key"
        )
    _print(asdict(report), as_json=as_json)


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    allocation = report.pop("allocation")
    if as_json:
        print_json(report | {"allocation": allocation})
        return
    print_result(report, as_json=False, title="decided")
    if allocation is not None:
        prices = allocation.pop("shadow_prices")
        shown = {**allocation, "net_value": f"{allocation['net_value']:,.2f}"}
        print_result(
            {name: value for name, value in shown.items() if value != ()}, as_json=False, title="plan over everybody"
        )
        print_result({name: f"{price:,.4f}" for name, price in prices.items()}, as_json=False, title="shadow prices")


def _volumes(at_least: "list[str]", at_most: "list[str]", *, optimises: bool) -> "tuple[Volume, ...]":
    from decisioning.errors import InvalidInputError
    from pipelines.batch.customer_options import Volume

    least, most = _numbers(at_least, "--at-least"), _numbers(at_most, "--at-most")
    if (least or most) and not optimises:
        raise InvalidInputError("--at-least and --at-most must come with --optimise, got them alone; add it")
    return tuple(
        Volume(offer_id=name, least=least.get(name), most=most.get(name)) for name in sorted(least.keys() | most.keys())
    )


def _numbers(texts: "list[str]", option: str) -> dict[str, int]:
    from decisioning.errors import InvalidInputError

    found: dict[str, int] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal() or name in found:
            raise InvalidInputError(f"{option} must be OFFER=N, once per offer, got {text!r}")
        found[name] = int(number)
    return found


def _arms(settings: "Settings") -> "dict[str, ModelCopy]":
    """Models of experiment arms; without one its arm decides without a model, as the API does."""
    from features.catalogue import load_catalogue
    from features.models.rollout import ROLLOUT_ALIAS
    from serving.in_force.policy_in_force import arm_aliases

    aliases = arm_aliases(load_catalogue(settings.catalogue_path))
    aliases |= {ROLLOUT_ALIAS} if _rollout(settings) is not None else frozenset()
    return {alias: copy for alias in sorted(aliases) if (copy := _model(settings, alias)) is not None}


def _rollout(settings: "Settings") -> "Rollout | None":
    from features.models.rollout import read_rollout

    return read_rollout(settings)


def _only_touchpoint(settings: "Settings") -> str:
    from decisioning.errors import InvalidInputError
    from features.catalogue import load_catalogue

    names = sorted(load_catalogue(settings.catalogue_path).touchpoints)
    if len(names) != 1:
        raise InvalidInputError(f"--touchpoint must be named, got none; the catalogue has {', '.join(names)}")
    return names[0]


def _model(settings: "Settings", alias: str, *, is_needed: bool = False) -> "ModelCopy | None":
    from decisioning.errors import UnavailableError
    from features.models.registry import fetch_champion
    from pipelines.batch.run import ModelCopy

    try:
        copy = fetch_champion(settings, alias)
    except UnavailableError:
        if is_needed:
            raise
        return None
    return ModelCopy(folder=copy.folder, version=copy.version)
