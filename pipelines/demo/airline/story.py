"""One customer's journey in plain words: what was asked, decided and why, and what the customer did."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from decisioning.explanation.customer_texts import spoken_channel
from decisioning.explanation.spoken_names import spoken
from pipelines.demo.airline.customer_journey import Decided, Happened, JourneyEntry

EVENT_WORDS = {
    "ad_seen": "sees an advertisement",
    "browse": "looks at destinations",
    "search": "looks for flights on certain dates",
    "purchase": "buys",
    "discount": "takes a discount",
    "trip_upcoming": "the trip is coming up",
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
    "social_post": "posts about it in public",
    "survey_answer": "answers a survey",
    "consent_withdrawn": "withdraws consent",
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
"""Left out of the story: it goes without saying, or is part of the purchase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """A line of the story."""

    at: datetime
    what: str
    why: str = ""
    is_decision: bool = False


def told(entries: Sequence[JourneyEntry], explain: Callable[[str], str]) -> list[StoryLine]:
    """The story of one customer.

    Args:
        entries: What happened, in any order.
        explain: The sentence that explains the decision of an id, as `decisioning.explanation.plain_words` puts it.
    """
    ordered = sorted(entries, key=lambda entry: entry.at)
    return list(_without_repeats(line for entry in ordered if (line := _line(entry, explain)) is not None))


def _line(entry: JourneyEntry, explain: Callable[[str], str]) -> StoryLine | None:
    if isinstance(entry, Decided):
        return StoryLine(at=entry.at, what=_decided(entry), why=_why(entry, explain), is_decision=True)
    words = _happened(entry)
    return None if words is None else StoryLine(at=entry.at, what=words)


def _without_repeats(lines: Iterator[StoryLine]) -> Iterator[StoryLine]:
    """Events repeated in a row are listed once; decisions with their number."""
    for _, group in groupby(lines, key=lambda line: line.what):
        first, *more = group
        is_counted = first.is_decision and more
        yield replace(first, what=f"{first.what} (and {len(more)} more times)") if is_counted else first


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


def _why(entry: Decided, explain: Callable[[str], str]) -> str:
    """The reason in words, and the stage that the customer was taken to be in."""
    decision_id, stage = entry.answer["decision_id"], entry.answer["stage"]
    _, _, reason = explain(decision_id).partition(": ") if decision_id else ("", "", "")
    return "; ".join(filter(None, (reason.rstrip("."), f"stage {stage}")))
