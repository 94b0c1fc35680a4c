"""A campaign tool at work: asks the running server for decisions over HTTP, and reports outcomes back.

The decisions are real. The customers' reactions are not: nobody received anything, so what the demo reports as
delivered, viewed and clicked is drawn from a hash of the decision's id, with the shares below.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from statistics import median
from time import perf_counter
from typing import Any

import httpx

from decisioning.draw import unit_hash

REACTIONS = {"delivered": 0.97, "viewed": 0.45, "clicked": 0.12}
"""Share of sent messages that get each pretended outcome."""

OUTCOMES_PER_CALL = 500


@dataclass(slots=True)
class CampaignTally:
    """What was asked and answered.

    Attributes:
        answers: Full answers of `POST /v1/decisions`, in order of asking.
        latencies_ms: Time of each call as the caller saw it.
        reported: Outcomes that the server took, by type.
    """

    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    latencies_ms: list[float] = field(default_factory=list[float])
    reported: Counter[str] = field(default_factory=Counter[str])

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Answers that carry a message."""
        return [answer for answer in self.answers if answer["action"] == "send"]

    def messages(self) -> Counter[str]:
        """How often each offer was sent on each channel."""
        return Counter(f"{answer['selected']['offer_id']} by {answer['selected']['channel']}" for answer in self.sent)

    def silences(self) -> Counter[str]:
        """Why nothing was sent, by reason."""
        return Counter(answer["reason"] for answer in self.answers if answer["action"] == "hold")

    def latency_ms(self, share: float) -> float:
        """The latency that `share` of the calls stayed within, in milliseconds."""
        ordered = sorted(self.latencies_ms)
        return median(ordered) if share == 0.5 else ordered[min(int(share * len(ordered)), len(ordered) - 1)]  # noqa: PLR2004


def converse(
    client: httpx.Client,
    asks: Sequence[Mapping[str, object]],
    *,
    now: Callable[[], datetime],
    on_progress: Callable[[int], None],
) -> CampaignTally:
    """Ask for every decision, one call each, then report what became of the messages.

    Args:
        client: A client of the server.
        asks: Bodies of `POST /v1/decisions`.
        now: The clock, read when outcomes are reported.
        on_progress: Called with the number of decisions asked so far.

    Raises:
        httpx.HTTPError: The server refused or did not answer.
    """
    talk = CampaignTally()
    for number, ask in enumerate(asks, start=1):
        started = perf_counter()
        answer = client.post("/v1/decisions", json=ask).raise_for_status().json()
        talk.latencies_ms.append((perf_counter() - started) * 1000)
        talk.answers.append(answer)
        on_progress(number)
    for outcomes in batched(_reactions(talk.sent, now()), OUTCOMES_PER_CALL):
        client.post("/v1/outcomes", json={"outcomes": outcomes}).raise_for_status()
        talk.reported.update(outcome["type"] for outcome in outcomes)
    return talk


def _reactions(sent: Sequence[Mapping[str, Any]], at: datetime) -> Iterator[dict[str, str]]:
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
