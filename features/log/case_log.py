"""Cases of the log, read efficiently: only rows that may concern a case are loaded."""

from datetime import datetime

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.log.cases import case_event_types, cases_of
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.log.heard import HEARD, TEXT_TYPES
from features.log.outcome_types import OutcomeType


def cases_in_log(log: EventLog, catalogue: Catalogue, *, as_of: datetime) -> pl.DataFrame:
    """Every case that the log knew at a moment, as `cases.cases_of` tells them.

    What waits in the streams is not in it yet.

    Raises:
        LogUnavailableError: A table could not be read.
    """
    opening = {one for kind in catalogue.care.kinds.values() for one in kind.opened_by | kind.resolved_by}
    is_mute_text = pl.col("type").is_in([one for one in TEXT_TYPES if one not in opening]) & ~pl.col(
        "properties"
    ).str.contains(f'"{HEARD}"', literal=True).fill_null(value=False)
    wanted = pl.col("type").is_in(case_event_types(catalogue)) & ~is_mute_text
    events = log.collect(EVENTS, log.scan(EVENTS).filter(wanted))
    decisions, outcomes = _messages(log, catalogue)
    return cases_of(events, outcomes, decisions, catalogue, as_of=as_of)


def _messages(log: EventLog, catalogue: Catalogue) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Recovery messages and what was complained about: decisions, and their deliveries and complaints."""
    recovery = [one.offer_id for one in catalogue.offers.values() if one.message_class is MessageClass.RECOVERY]
    sent = log.scan(DECISIONS).select("decision_id", "decided_at", "offer_id", "channel")
    answers = log.collect(DECISIONS, sent.filter(pl.col("offer_id").is_in(recovery)))
    kind, outcomes = pl.col("type"), log.scan(OUTCOMES)
    complaints = log.collect(OUTCOMES, outcomes.filter(kind == OutcomeType.COMPLAINED.value))
    blamed = log.collect(DECISIONS, sent.join(complaints.lazy().select("decision_id"), on="decision_id", how="semi"))
    arrived = outcomes.filter(kind == OutcomeType.DELIVERED.value).join(
        answers.lazy().select("decision_id"), on="decision_id", how="semi"
    )
    found = pl.concat([complaints, log.collect(OUTCOMES, arrived)])
    return pl.concat([answers, blamed]).unique("decision_id"), found
