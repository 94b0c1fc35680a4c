"""`nextbest policy`: what the policy in force would be worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption, print_result, progress_bar, settings_for

if TYPE_CHECKING:
    from rich.progress import Progress

    from pipelines.policy_evaluation import OnProgress

policy = typer.Typer(help="What the policy in force would have been worth.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `nextbest policy`."""
    app.add_typer(policy, name="policy")


@policy.callback()
def about() -> None:
    """Keep `evaluate` a verb of its own."""


@policy.command("evaluate")
def evaluate(
    log: Annotated[Path, typer.Option("--log", metavar="DIR", help="Canonical tables the model never saw.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="CHOSEN.parquet", help="Write the choice at every decision here.")
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            "--reward", help="A measure, spend, net_revenue, an outcome or an event; default what is learned."
        ),
    ] = None,
    cap: Annotated[float | None, typer.Option("--cap", help="Count at most this much of one transaction.")] = None,
    version: Annotated[str | None, typer.Option("--model", help="Model version; default the champion.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide every logged decision again and value the choices, with 95 % intervals clustered by customer.

    Inverse probability weighting, its self-normalised form and doubly robust estimation need the log's action
    probabilities; where they or support are missing there is no number but a reason, and exit code 3.

    Examples:
    `nextbest policy evaluate --log held-back --out chosen.parquet`;
    `nextbest policy evaluate --log held-back --reward net_revenue --cap 50 --json`
    """
    from pipelines.evaluation_printing import print_evaluation
    from pipelines.policy_evaluation import EvaluationPlan, evaluate_on_log

    plan = EvaluationPlan(log=log, out=out, reward=reward, cap=cap, version=version)
    with progress_bar() as bar:
        found = evaluate_on_log(settings_for(home), plan, on_progress=_progress(bar))
    if as_json:
        print_result(found, as_json=True)
        return
    print_evaluation(found)


def _progress(bar: "Progress") -> "OnProgress":
    tasks = {}

    def tell(step: str, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = bar.add_task(step, total=total)
        bar.update(tasks[step], completed=done, total=total)

    return tell
