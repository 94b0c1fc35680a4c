"""What outcomes since training say, on the terminal."""

from typing import Any

import typer

from decisioning.residuals import NO_STAGE
from features.online.residuals import ResidualSnapshot
from pipelines.options import print_rows

NOTHING = (
    "no residuals: no server has worked them out yet (`--update` does so now), there is no champion, it was learned"
    " before residuals existed (train again), or `learning.in_minutes` is off"
)


def plain_residuals(snapshot: ResidualSnapshot) -> dict[str, Any]:
    """A snapshot with what every residual comes to."""
    return {
        "model_version": snapshot.model_version,
        "computed_at": snapshot.computed_at.isoformat(),
        "decisions": snapshot.decisions,
        "slates_left_out": snapshot.slates,
        "prior_deviation": snapshot.priors.usual,
        "prior_deviation_of_new": snapshot.priors.of_new,
        "residuals": _rows(snapshot),
    }


def print_residuals(snapshot: ResidualSnapshot | None) -> None:
    """Write residuals to stdout, those that move a price most first."""
    if snapshot is None:
        typer.echo(NOTHING)
        return
    typer.echo(
        f"on top of model version {snapshot.model_version}, as of {snapshot.computed_at:%Y-%m-%d %H:%M:%S} UTC, from"
        f" {snapshot.decisions:,} decisions since training; before any outcome a residual is uncertain by"
        f" {snapshot.priors.usual:,.4g}, a new message's by {snapshot.priors.of_new:,.4g}"
    )
    if snapshot.slates:
        typer.echo(f"{snapshot.slates:,} slates are left out: outcomes do not tell which position they came of")
    rows = _rows(snapshot)
    if rows:
        print_rows([{name: f"{x:,.4g}" if isinstance(x, float) else x for name, x in row.items()} for row in rows])
    else:
        typer.echo("no outcome of a decision since training says anything yet")


def _rows(snapshot: ResidualSnapshot) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for stage, messages in snapshot.evidence.items():
        keys = list(messages)
        residuals = snapshot.at(stage, keys)
        for place, key in enumerate(keys, start=1):
            one = messages[key]
            rows.append(
                {
                    "stage": "none" if stage == NO_STAGE else stage,
                    "message": key,
                    "customers": one.customers,
                    "prior_deviation": float(residuals.prior_deviation[place]),
                    "estimate": one.estimate,
                    "standard_error": one.standard_error,
                    "contribution": float(residuals.contribution[place]),
                    "deviation": float(residuals.deviation[place]),
                }
            )
    return sorted(rows, key=lambda row: -abs(row["contribution"]))
