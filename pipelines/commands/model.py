"""`nextbest model`: train, list, show, compare, promote and roll back model versions."""

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from decisioning.errors import InvalidInputError
from features.clock import clock_of
from pipelines.options import HomeOption, JsonOption, account, print_json, print_result, progress_of, say, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.registry.promotion import ModelRow

app = typer.Typer(name="model", help="Models: train, list, show, compare, promote, roll back.", no_args_is_help=True)

_WIDTHS = {"version": 7, "champion": 8, "registered": len("2026-01-31"), "days": 4, "value": 6}
"""Columns of the list that are never narrower; the rest wraps."""


class ContestWidth(StrEnum):
    """Who takes part: the usual learner alone, or all."""

    USUAL = "usual"
    WIDE = "wide"


ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; kept in the ledger.")]


@app.command("train")
def train(
    trials: Annotated[
        int, typer.Option(min=0, help="Settings of boosters to try first; the usual ones stay unless one is better.")
    ] = 0,
    contest: Annotated[
        ContestWidth,
        typer.Option(help="`wide` tries other learners, too; the usual one stays unless one is better."),
    ] = ContestWidth.USUAL,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on the log, track the run in MLflow and register it; promote it to let it decide.

    Needs `nextbest features build` after the last import. Money is in minor units.

    Example: `nextbest model train --json`
    """
    settings = settings_for(home)
    now = clock_of(settings)()
    from training.registry.training_run import (
        train_model,
    )  # takes seconds to import, so errors above are reported first

    is_wide = contest is ContestWidth.WIDE
    with progress_of("trials" if trials else "learners" if is_wide else "boosting") as tell:
        report = train_model(settings, now=now, trials=trials, is_wide=is_wide, on_progress=tell)
    shown = asdict(report)
    if as_json:
        print_json(shown)
        return
    notes = shown.pop("notes")
    measured = {name: f"{value:,.4g}" for name, value in shown.pop("metrics").items()}
    print_result({**shown, **measured}, as_json=False, title="trained model")
    for note in notes:
        say(f"note: {note}")


@app.command("list")
def list_models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List registered versions with their value on held-back customers, compared with policies without a model.

    Example: `nextbest model list`
    """
    from training.registry.promotion import list_models as registered_models

    settings = settings_for(home)
    rows = registered_models(settings)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    from features.models.registry import is_cold_start

    if not rows:
        typer.echo("no model is registered; run `nextbest model train`")
    else:
        _print(rows)
    if is_cold_start(settings):
        typer.echo(
            "mode: cold start: no model was ever promoted, so declared values and exploration decide; run `nextbest"
            " model promote` once one is trained"
        )


@app.command("show")
def show(
    version: Annotated[str | None, typer.Argument(help="Which version; default the champion.")] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a version: data, features, settings, figures, effect by message, calibration and ordering of customers.

    Uplift is that of held-back customers. Money is in minor units.

    Example: `nextbest model show 1`
    """
    from training.registry.model_facts import show_model

    facts = show_model(settings_for(home), version)
    if as_json:
        _print_plain(facts)
        return
    from pipelines.reports.model_report import print_model

    print_model(facts)


@app.command("residuals")
def residuals(
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Work them out now; a running server does so itself.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what outcomes since training add to the champion's prices, by journey stage and message.

    The contribution is what is added to a message's expected value; the deviation is how uncertain it still is. Both
    are in the measure's unit, money in minor units.

    Example: `nextbest model residuals`
    """
    from features.online.redis_connection import connect
    from features.online.residuals import read_residuals
    from pipelines.reports.residual_report import plain_residuals, print_residuals
    from pipelines.server.embedded_redis import redis_for
    from pipelines.server.residual_keeper import ResidualKeeper

    settings = settings_for(home)
    with redis_for(settings) as url:
        if update:
            ResidualKeeper(settings=settings, redis_url=url).keep(clock_of(settings)(), is_forced=True)
        with connect(url) as redis:
            snapshot = read_residuals(redis)
    if as_json:
        print_json(None if snapshot is None else plain_residuals(snapshot))
        return
    print_residuals(snapshot)


@app.command("compare")
def compare(
    one: Annotated[str, typer.Argument(help="A version.")],
    other: Annotated[str, typer.Argument(help="Another version.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: what changed from the first to the second, and which decisions differ, for whom.

    Both choose for the same held-back customers, whom neither learned from: free choice, net of contact costs, without
    gates. The gain is paired by customer. Money is in minor units.

    Example: `nextbest model compare 1 2`
    """
    from training.registry.model_comparison import compare_models

    settings = settings_for(home)
    found = compare_models(settings, one, other, now=clock_of(settings)())
    if as_json:
        _print_plain(found)
        return
    from pipelines.reports.model_report import print_comparison

    print_comparison(found)


@app.command("promote")
def promote(
    version: Annotated[str | None, typer.Argument(help="Which version; default the newest.")] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overrule the comparison with the champion.")] = False,
    reason: ReasonOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion: it must be complete, fit the catalogue and be no worse than the current champion.

    Both are compared on the same held-back customers, whom neither learned from. Money is in minor units per decision.

    Examples:
    `nextbest model promote`;
    `nextbest model promote 3 --force --reason "the old one saw last year's offers"`
    """
    if force != (reason is not None):
        raise InvalidInputError("--force and --reason must be given together, got one: say why, or let it be compared")
    from training.registry.promotion import promote as promote_model

    settings = settings_for(home)
    entry = promote_model(settings, version, now=clock_of(settings)(), force_reason=reason, by=account())
    print_result(asdict(entry), as_json=as_json, title="champion")


@app.command("rollback")
def rollback(reason: ReasonOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make the previous champion decide again. Servers follow within seconds.

    Example: `nextbest model rollback --reason "complaints since Monday"`
    """
    from training.registry.promotion import rollback as roll_back

    settings = settings_for(home)
    entry = roll_back(settings, now=clock_of(settings)(), reason=reason or "no reason given", by=account())
    print_result(asdict(entry), as_json=as_json, title="champion")


def _print_plain(found: object) -> None:
    from pydantic_core import to_jsonable_python

    print_json(to_jsonable_python(found))


def _print(rows: "list[ModelRow]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from training.registry.run_metrics import HELD_BACK_GAINS, HELD_BACK_VALUE

    gains = {rule: name for rule, name in HELD_BACK_GAINS.items() if any(name in row.metrics for row in rows)}
    heads = (rule.removeprefix("the ").removesuffix(" message") for rule in gains)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("version", "champion", "registered", "measure", "days", "value", *(f"over {head}" for head in heads)):
        table.add_column(head, overflow="fold", min_width=_WIDTHS.get(head))
    for row in rows:
        value = f"{row.metrics[HELD_BACK_VALUE]:,.2f}" if HELD_BACK_VALUE in row.metrics else ""
        about = [row.tags.get(name, "") for name in ("measure", "window_days")]
        told = [_with_reach(row.metrics, name) for name in gains.values()]
        table.add_row(
            row.version,
            "yes" if row.is_champion else "",
            row.registered_at[:16].replace("T", " "),
            *about,
            value,
            *told,
        )
    Console().print(table)
    unjudged = [row.version for row in rows if HELD_BACK_VALUE not in row.metrics]
    if unjudged:
        say(
            f"note: no comparison for version {', '.join(unjudged)}: trained by an earlier version of Nextbest,"
            " on a log without action probabilities, or on too few customers"
        )


def _with_reach(metrics: "Mapping[str, float]", name: str) -> str:
    """A gain with the reach of its 95 % interval; nothing where it was not measured."""
    if name not in metrics:
        return ""
    return f"{metrics[name]:+,.2f} ±{(metrics[f'{name}_upper'] - metrics[f'{name}_lower']) / 2:,.2f}"
