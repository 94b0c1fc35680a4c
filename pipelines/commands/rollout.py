"""`nextbest rollout`: a challenger beside the champion, which looks on or decides for some customers."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from features.clock import clock_of
from pipelines.options import HomeOption, JsonOption, account, print_json, print_result, print_rows, settings_for

if TYPE_CHECKING:
    from pipelines.analyses.rollout_reading import ShadowReading

app = typer.Typer(
    name="rollout",
    help="A challenger beside the champion on live traffic: start, look at it, stop.",
    no_args_is_help=True,
)

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


@app.command("status")
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the rollout under way: since when, and by touchpoint how often the challenger would have done otherwise.

    Example: `nextbest rollout status`
    """
    from features.models.rollout import read_rollout
    from pipelines.analyses.rollout_reading import read_shadow

    settings = settings_for(home)
    rollout = read_rollout(settings)
    if rollout is None:
        print_json(None) if as_json else typer.echo("no rollout is under way")
        return
    reading = read_shadow(settings, rollout)
    if as_json:
        print_json({**asdict(rollout), **asdict(reading)})
        return
    typer.echo(f"{rollout.kind} of version {rollout.version} since {rollout.began_at:%Y-%m-%d %H:%M} UTC")
    _print_shadow(reading)


@app.command("stop")
def stop(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")] = "no reason given",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the rollout under way; servers follow within seconds. The champion stays what it is.

    Example: `nextbest rollout stop --reason "seen enough"`
    """
    from training.registry.rollouts import end_rollout

    settings = settings_for(home)
    entry = end_rollout(settings, now=clock_of(settings)(), reason=reason, by=account())
    print_result(asdict(entry), as_json=as_json, title="rollout")


def _print_shadow(reading: "ShadowReading") -> None:
    if not reading.touchpoints:
        typer.echo("no decision was looked at yet")
        return
    print_rows([{"touchpoint": name, **counts} for name, counts in reading.touchpoints.items()])
    typer.echo(
        f"{reading.decisions:,} decisions, {reading.differing_rate:.2%} would have been others;"
        f" {reading.distance:.2%} of the probability lies elsewhere"
    )
