"""One customer's journey in plain words: what was asked, decided and why, and what the customer did."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from decisioning.spoken_names import spoken, spoken_channel
from pipelines.demo.journey import Decided, Entry, Happened

EVENT_WORDS = {
    "ad_seen": "sees an advertisement",
    "browse": "looks at destinations",
    "search": "looks for flights on certain dates",
    "purchase": "buys",
    "discount": "takes a discount",
    "trip_upcoming": "the trip comes near",
    "check_in_opened": "check-in opens",
    "flight_departed": "the flight leaves",
    "flight_landed": "the flight lands",
    "flight_delayed": "the flight is late",
    "flight_cancelled": "the flight is cancelled",
    "bag_lost": "the suitcase does not arrive",
    "bag_found": "the suitcase is found",
    "case_resolved": "the case is solved",
    "complaint": "complains",
    "review": "writes a review",
    "social_post": "writes about it in public",
    "survey_answer": "answers a survey",
    "consent_withdrawn": "withdraws a consent",
}
OUTCOME_WORDS = {
    "viewed": "sees the message",
    "clicked": "opens it",
    "accepted": "takes the offer",
    "converted": "buys because of it",
    "referred": "brings a friend",
    "reviewed": "writes a review",
    "answered": "answers the question",
    "declined": "says no",
    "unsubscribed": "unsubscribes",
    "complained": "complains about the message",
}
UNTOLD = frozenset({"delivered", "discount"})
"""What a reader needs not be told: it goes without saying, or is part of the purchase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the story."""

    at: datetime
    what: str
    why: str = ""
    is_decision: bool = False


def told(entries: Sequence[Entry], explain: Callable[[str], Sequence[str]]) -> list[Line]:
    """The story of one customer.

    Args:
        entries: What happened, in any order.
        explain: Sentences that explain the decision of an id, as an agent is told.
    """
    ordered = sorted(entries, key=lambda entry: entry.at)
    return list(_without_repeats(line for entry in ordered if (line := _line(entry, explain)) is not None))


def _line(entry: Entry, explain: Callable[[str], Sequence[str]]) -> Line | None:
    if isinstance(entry, Decided):
        return Line(at=entry.at, what=_decided(entry), why=_why(entry, explain), is_decision=True)
    words = _happened(entry)
    return None if words is None else Line(at=entry.at, what=words)


def _without_repeats(lines: Iterator[Line]) -> Iterator[Line]:
    """Looking around five times in a row is told once."""
    last: Line | None = None
    for line in lines:
        if last is None or line.what != last.what or line.is_decision:
            yield line
        last = line


def _happened(entry: Happened) -> str | None:
    if entry.what in UNTOLD:
        return None
    words = OUTCOME_WORDS if entry.decision_id is not None else EVENT_WORDS
    told_as = words.get(entry.what, spoken(entry.what))
    text = entry.properties.get("text")
    amount = f", contribution {entry.amount:.2f} EUR" if entry.amount else ""
    return f"{told_as}{amount}" + (f': "{text}"' if text else "")


def _decided(entry: Decided) -> str:
    selected = entry.answer["selected"]
    if selected is None:
        return f"{entry.asked_by}: silence"
    channel = spoken_channel(selected["channel"])
    return f"{entry.asked_by}: {spoken(selected['offer_id'])} by {channel}{_headline(selected['content'])}"


def _headline(content: Mapping[str, str]) -> str:
    shown = next((content[name] for name in ("subject", "title", "headline", "body", "script") if name in content), "")
    return f' "{shown}"' if shown else ""


def _why(entry: Decided, explain: Callable[[str], Sequence[str]]) -> str:
    """The reason in words, with the stage, and the money where a model had a say."""
    reason = _because(explain(entry.answer["decision_id"])) if entry.answer["decision_id"] else ""
    return "; ".join(filter(None, (reason, _worth(entry.answer["selected"]), f"stage {entry.answer['stage']}")))


def _because(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    _, found, reason = sentences[0].partition(", because ")
    return (reason if found else sentences[0]).rstrip(".")


def _worth(selected: Mapping[str, Any] | None) -> str:
    uplift = selected and selected["uplift"]
    return f"expected {uplift['amount']:+.2f} EUR against silence" if uplift else ""
