"""`nextbest policy`: off-policy evaluation, and an audit of the logged probabilities."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decisioning.errors import InvalidInputError
from pipelines.options import HomeOption, JsonOption, print_json, progress_bar, progress_of, settings_for

if TYPE_CHECKING:
    from rich.progress import Progress

    from features.progress import OnStageProgress


class MixOption(StrEnum):
    """Which mix of messages a plan must keep."""

    LOGGED = "logged"


app = typer.Typer(
    name="policy", help="Off-policy evaluation of the policy in force; audit of its log.", no_args_is_help=True
)


@app.command("evaluate")
def evaluate(
    log: Annotated[Path, typer.Option(metavar="DIR", help="Canonical tables that the model never saw.")],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="CHOSEN.parquet", help="Write the choice at every decision here.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="A measure, spend, net_revenue, an outcome or an event; default what is learned.")
    ] = None,
    cap: Annotated[float | None, typer.Option(help="Count at most this much of one transaction.")] = None,
    version: Annotated[str | None, typer.Option("--model", help="Model version; default the champion.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Within groups, too: stage, channel, offer, touchpoint, country or a customer attribute."),
    ] = None,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Within limits, too: the catalogue's, and those below, per wave.")
    ] = False,
    mix: Annotated[
        MixOption | None, typer.Option(help="With --constrained: exactly as many of each message as the log sent.")
    ] = None,
    max_share: Annotated[
        float | None, typer.Option(help="With --constrained: each offer for at most this share of decisions.")
    ] = None,
    messaged: Annotated[
        float | None, typer.Option(help="With --constrained: at most this share of decisions sends anything.")
    ] = None,
    scale: Annotated[
        float,
        typer.Option(help="With --constrained: share of the audience in the log; the catalogue's amounts shrink."),
    ] = 1.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Off-policy evaluation: replay a log with the policy in force and estimate what its choices would be worth.

    Values in money are net of what contacts cost. Inverse probability weighting, its self-normalised form and doubly
    robust estimation use the log's action probabilities; 95 % intervals are clustered by customer. `--json` also has
    clipped weighting, SWITCH-DR and the direct method. If probabilities or support are missing, a reason is given
    instead of a number, and the exit code is 3.

    With `--constrained` every wave (a touchpoint on a day) is planned as `nextbest decide-batch --optimise` plans an
    audience, and the plan is compared, customer by customer, with the best draw within the same limits that knows
    nothing of customers.

    Examples:
    `nextbest policy evaluate --log held-back --out chosen.parquet`;
    `nextbest policy evaluate --log held-back --by stage --by channel`;
    `nextbest policy evaluate --log held-back --constrained --messaged 0.3`;
    `nextbest policy evaluate --log held-back --reward net_revenue --cap 50 --json`
    """
    from pipelines.audit.policy_evaluation import EvaluationExtent, evaluate_on_log
    from pipelines.audit.wave_plan import WaveLimits
    from pipelines.reports.evaluation_report import print_evaluation

    limits = WaveLimits(keeps_mix=mix is not None, max_share=max_share, messaged=messaged, scale=scale)
    if not constrained and limits != WaveLimits():
        raise InvalidInputError("--mix, --max-share, --messaged and --scale are limits, got them without --constrained")
    extent = EvaluationExtent(by=by or (), limits=limits if constrained else None)
    asked = {"reward": reward, "cap": cap, "version": version, "extent": extent}
    with progress_bar() as bar:
        found = evaluate_on_log(settings_for(home), log, out=out, **asked, on_progress=_progress(bar))
    if as_json:
        print_json(found)
    else:
        print_evaluation(found)


@app.command("audit")
def audit(
    *,
    decisions: Annotated[int, typer.Option(min=1, help="Sample size of logged decisions.")] = 200,
    draws: Annotated[int, typer.Option(min=1, help="Fresh draws per decision.")] = 200,
    seed: Annotated[str, typer.Option(help="Seed of the sample and of the draws.")] = "audit",
    false_alarm: Annotated[
        float, typer.Option(min=1e-12, max=0.5, help="Highest probability that a correct log fails.")
    ] = 0.001,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Audit the logged action probabilities: recompute them, repeat the draws, and compare with the logged choices.

    Every recomputed probability must equal the logged one, every draw must be the one its request key gives, and both
    fresh draws and logged choices must occur as often as the probabilities say. Otherwise the exit code is 1.

    Examples:
    `nextbest policy audit`;
    `nextbest policy audit --decisions 1000 --draws 100 --json`
    """
    from features.log.event_log import EventLog
    from features.models.logged_decisions import LoggedDecisions
    from pipelines.audit.audit import AuditPlan, audit_policy
    from pipelines.reports.audit_report import print_audit

    settings = settings_for(home)
    plan = AuditPlan(decisions=decisions, draws=draws, seed=seed, false_alarm=false_alarm)
    with progress_of("auditing") as tell:
        report = audit_policy(EventLog(settings.log_path), LoggedDecisions(settings), plan, on_progress=tell)
    if as_json:
        print_json(report.document())
    else:
        print_audit(report)
    if not report.passes:
        raise typer.Exit(1)


def _progress(bar: "Progress") -> "OnStageProgress":
    tasks = {}

    def tell(step: str, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = bar.add_task(step, total=total)
        bar.update(tasks[step], completed=done, total=total)

    return tell
