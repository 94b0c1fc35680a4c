"""`nextbest rollout`: a challenger beside the champion, which looks on or decides for some customers."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from features.clock import clock_of
from pipelines.exit_codes import EXIT_ALARM
from pipelines.options import HomeOption, JsonOption, account, print_json, print_result, print_rows, settings_for

if TYPE_CHECKING:
    from features.models.rollout import Rollout
    from features.settings import Settings
    from pipelines.analyses.rollout_reading import ShadowReading

app = typer.Typer(
    name="rollout",
    help="A challenger beside the champion on live traffic: start, look at it, stop.",
    no_args_is_help=True,
)

_TAKEN_BACK = "taken back; the ledger says why (`models/promotions.jsonl` below the home)"

VersionArgument = Annotated[str | None, typer.Argument(help="Which version; default the newest.")]


@app.command("shadow")
def shadow(version: VersionArgument = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let a version decide beside the champion, whose answers alone count; differences are counted.

    Servers follow within seconds. It costs them the time of a second decision, off the path of answers.

    Example: `nextbest rollout shadow 3`
    """
    from features.models.rollout import RolloutKind
    from training.registry.rollouts import start_rollout

    settings = settings_for(home)
    entry = start_rollout(settings, RolloutKind.SHADOW, version, now=clock_of(settings)(), by=account())
    print_result(asdict(entry), as_json=as_json, title="rollout")


@app.command("canary")
def canary(
    version: VersionArgument = None,
    *,
    share: Annotated[float, typer.Option(min=0.001, max=0.5, help="Share of customers it decides for.")] = 0.05,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version decide for a share of customers, by a hash of their id; it is taken back by itself if it harms.

    `nextbest serve` looks every quarter of a minute: failed and slow scorings, unsubscriptions and complaints, and the
    value by customer, each against everybody else and beyond noise.

    Example: `nextbest rollout canary 3 --share 0.05`
    """
    from features.models.rollout import RolloutKind
    from training.registry.rollouts import start_rollout

    settings = settings_for(home)
    entry = start_rollout(settings, RolloutKind.CANARY, version, share=share, now=clock_of(settings)(), by=account())
    print_result(asdict(entry), as_json=as_json, title="rollout")


@app.command("guard")
def guard(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Look at the canary once, and take it back if a guardrail is broken; `nextbest serve` does so by itself.

    The exit code is 4 if it was taken back.

    Example: `nextbest rollout guard`
    """
    from features.models.rollout import RolloutKind, read_rollout
    from pipelines.server.canary_watch import guard_once
    from pipelines.server.embedded_redis import redis_for

    settings = settings_for(home)
    rollout = read_rollout(settings)
    if rollout is None or rollout.kind is not RolloutKind.CANARY:
        print_json({"is_taken_back": False}) if as_json else typer.echo("no canary is under way")
        return
    with redis_for(settings) as url:
        is_taken_back = guard_once(settings, url, clock_of(settings)())
    if as_json:
        print_json({"is_taken_back": is_taken_back})
    else:
        typer.echo(f"{_about(rollout)}: {_TAKEN_BACK if is_taken_back else 'no guardrail is broken'}")
    if is_taken_back:
        raise typer.Exit(EXIT_ALARM)


@app.command("status")
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the rollout under way: how often a shadow would have done otherwise, or the guardrails of a canary.

    Example: `nextbest rollout status`
    """
    from features.models.rollout import RolloutKind, read_rollout
    from pipelines.analyses.rollout_reading import read_shadow

    settings = settings_for(home)
    rollout = read_rollout(settings)
    if rollout is None:
        print_json(None) if as_json else typer.echo("no rollout is under way")
        return
    if rollout.kind is RolloutKind.CANARY:
        _show_canary(settings, rollout, as_json=as_json)
        return
    reading = read_shadow(settings, rollout)
    if as_json:
        print_json({**asdict(rollout), **asdict(reading)})
        return
    typer.echo(_about(rollout))
    _print_shadow(reading)
    _tell_of_champion(settings, rollout)


@app.command("stop")
def stop(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")] = "no reason given",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the rollout under way; servers follow within seconds. The champion stays what it is.

    Example: `nextbest rollout stop --reason "seen enough"`
    """
    from training.registry.rollout_end import end_rollout

    settings = settings_for(home)
    entry = end_rollout(settings, now=clock_of(settings)(), reason=reason, by=account())
    print_result(asdict(entry), as_json=as_json, title="rollout")


def _show_canary(settings: "Settings", rollout: "Rollout", *, as_json: bool) -> None:
    from pipelines.server.canary_watch import read_canary
    from pipelines.server.embedded_redis import redis_for

    with redis_for(settings) as url:
        readings = read_canary(settings, url, rollout, clock_of(settings)())
    if as_json:
        print_json({**asdict(rollout), "guardrails": [asdict(one) for one in readings]})
        return
    typer.echo(f"{_about(rollout)}, for {rollout.share * 100:g}% of customers")
    for one in readings:
        typer.echo(f"{'broken' if one.is_broken else 'kept'}: {one.words}")
    _tell_of_champion(settings, rollout)


def _tell_of_champion(settings: "Settings", rollout: "Rollout") -> None:
    from features.models.registry import find_champion, registry_is_made

    champion = find_champion(settings) if registry_is_made(settings) else None
    if champion is not None and champion.version == rollout.version:
        typer.echo(f"version {rollout.version} is the champion by now; run `nextbest rollout stop`")


def _about(rollout: "Rollout") -> str:
    return f"{rollout.kind} of version {rollout.version} since {rollout.began_at:%Y-%m-%d %H:%M} UTC"


def _print_shadow(reading: "ShadowReading") -> None:
    if not reading.touchpoints:
        typer.echo("no decision was looked at yet")
        return
    print_rows([{"touchpoint": name, **counts} for name, counts in reading.touchpoints.items()])
    typer.echo(
        f"{reading.decisions:,} decisions, {reading.differing_rate:.2%} would have been others;"
        f" {reading.distance:.2%} of the probability lies elsewhere"
    )
