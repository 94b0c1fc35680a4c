"""A campaign tool at work: asks the running server for decisions over HTTP, and reports outcomes back.

The decisions are real. The customers' reactions are not: nobody received anything, so what the demo reports as
delivered, viewed and clicked is drawn from a hash of the decision's id, with the shares below.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from decisioning.draw import unit_hash
from features.progress import OnProgress
from pipelines.demo.traffic import Item, Traffic

REACTIONS = {"delivered": 0.97, "viewed": 0.45, "clicked": 0.12}
"""Share of sent messages that get each simulated outcome."""


@dataclass(slots=True)
class CampaignTally:
    """What was asked and answered.

    Attributes:
        answers: Full answers of `POST /v1/decisions`, in order of asking.
        reported: Outcomes that the server took, by type.
    """

    traffic: Traffic
    answers: list[Item] = field(default_factory=list[Item])
    reported: Counter[str] = field(default_factory=Counter[str])

    @property
    def sent(self) -> list[Item]:
        """Answers that carry a message."""
        return [answer for answer in self.answers if answer["action"] == "send"]

    def messages(self) -> Counter[str]:
        """How often each offer was sent on each channel."""
        return Counter(f"{answer['selected']['offer_id']} by {answer['selected']['channel']}" for answer in self.sent)

    def silences(self) -> Counter[str]:
        """Why nothing was sent, by reason."""
        return Counter(answer["reason"] for answer in self.answers if answer["action"] == "hold")


def converse(
    client: httpx.Client, asks: Sequence[Item], *, now: Callable[[], datetime], on_progress: OnProgress
) -> CampaignTally:
    """Ask for every decision, one call each, then report what became of the messages.

    Raises:
        httpx.HTTPError: The server refused or did not answer.
        UnavailableError: It refused an outcome.
    """
    talk = CampaignTally(Traffic(client))
    for number, ask in enumerate(asks, start=1):
        talk.answers.append(talk.traffic.ask(ask))
        on_progress(number, len(asks))
    outcomes = list(_reactions(talk.sent, now()))
    talk.traffic.report("outcomes", outcomes)
    talk.reported.update(outcome["type"] for outcome in outcomes)
    return talk


def _reactions(sent: Sequence[Item], at: datetime) -> Iterator[Item]:
    """Pretended outcomes: nothing is viewed that was not delivered, nothing clicked that was not viewed."""
    for answer in sent:
        for seconds, (kind, share) in enumerate(REACTIONS.items()):
            if unit_hash("demo", answer["decision_id"]) >= share:
                break
            yield {
                "message_id": f"demo-{answer['decision_id']}-{kind}",
                "decision_id": answer["decision_id"],
                "type": kind,
                "occurred_at": (at + timedelta(milliseconds=seconds)).isoformat(),
            }
