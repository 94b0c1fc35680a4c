"""The closing report of the demo."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Unit
from decisioning.decision import Decision, Reason
from decisioning.explanation.plain_words import plain_reason
from features.reports.readouts import Readout
from pipelines.demo.conversation import CampaignTally

MOST_SHOWN = 6
SILENCES = {
    Reason.SILENCE_BEST: "nothing was worth more than silence",
    Reason.KEPT_FOR_LATER: "kept for a better moment",
    Reason.BETTER_HOUR: "waits for a better hour",
    Reason.NOTHING_PERMITTED: "no message passed every gate",
    Reason.EXPERIMENT: "drawn by an experiment",
    Reason.EXPLORED: "drawn by exploration",
    Reason.HOLDOUT: "the customer is in the universal holdout",
    Reason.UNKNOWN_CUSTOMER: "customer unknown",
    Reason.DEGRADED: "a component was down",
    Reason.RULES: "no model available",
    Reason.COLD_START: "there is no model yet",
}


def print_report(
    console: Console, talk: CampaignTally, decision: Decision, readout: Readout, catalogue: Catalogue
) -> None:
    """Print what was decided, why one customer got what they got, and what the running experiment says."""
    asked, sent = len(talk.answers), len(talk.sent)
    console.print(
        f"\n[bold]{asked:,} decisions over HTTP[/], {sent:,} messages and {asked - sent:,} silences;"
        f" half within {talk.traffic.latency_ms(0.5):.1f} ms, 99 of 100 within {talk.traffic.latency_ms(0.99):.1f} ms",
        soft_wrap=True,
    )
    console.print(_counts("sent", talk.messages(), asked))
    silences = Counter({SILENCES[Reason(reason)]: count for reason, count in talk.silences().items()})
    console.print(_counts("silence, because", silences, asked))
    reported = ", ".join(f"{count:,} {kind}" for kind, count in talk.reported.items())
    console.print(
        f"[bold]outcomes reported back[/] (simulated, nobody received anything): {reported}\n", soft_wrap=True
    )
    console.print(f"[bold]one of them[/], {decision.decision_id}: {_why(decision, catalogue)}", soft_wrap=True)
    console.print(f"[bold]experiment {readout.readout_id}[/]: {readout.verdict}\n", soft_wrap=True)


def _why(decision: Decision, catalogue: Catalogue) -> str:
    learned = catalogue.learning
    is_rate = learned is not None and catalogue.measures[learned.measure_id].unit is Unit.RATE
    return plain_reason(decision, catalogue.currency, is_rate=is_rate)


def print_invitation(console: Console, url: str, customer_id: str) -> None:
    """Print where to look and what to try next."""
    body = f'{{"customer_id": "{customer_id}", "touchpoint": "weekly-mail", "explain": true}}'
    console.print(f"API page        {url}/docs")
    console.print(f"experiments     {url}/console/experiments")
    console.print("models          nextbest mlflow ui")
    console.print("\ntry next:\n")
    command = f"curl -s {url}/v1/decisions -H 'content-type: application/json' -d '{body}'"
    console.print(command, soft_wrap=True, highlight=False, markup=False)


def _counts(title: str, counts: Counter[str], total: int) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    shown = counts.most_common(MOST_SHOWN)
    for name, count in shown:
        table.add_row(f"{count:,}", f"{count / total:.0%}", name)
    rest = counts.total() - sum(count for _, count in shown)
    if rest:
        table.add_row(f"{rest:,}", f"{rest / total:.0%}", "others")
    return table
