"""What a customer agreed to: answers per channel and purpose, and whether they may be profiled.

A missing answer is a no. Answers count by their time, whether from the profile or from a later event.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from decisioning.customer import PROFILING, Consent
from decisioning.decision import Inputs
from decisioning.errors import InvalidInputError

type Pair = tuple[str, str]


def given_consents(inputs: Inputs) -> tuple[Consent, ...]:
    """Every answer at hand, those of the profile first; none without a profile."""
    return () if inputs.customer is None else (*inputs.customer.consents, *inputs.live.consents)


def latest_answers(consents: Iterable[Consent], now: datetime) -> Mapping[Pair, Consent]:
    """The answer in force per channel and purpose.

    The latest answer wins; one without a date is older than any with one, and of two at the same moment the no wins.
    A yes dated after `now` does not count yet, a no counts at once: a wrong clock must not create consent.

    Raises:
        InvalidInputError: An answer dated without an offset.
    """
    latest: dict[Pair, Consent] = {}
    for consent in consents:
        at = consent.recorded_at
        if at is not None and at.utcoffset() is None:
            raise InvalidInputError(f"recorded_at of a consent must be a time with an offset, got {at}")
        if consent.is_granted and at is not None and at > now:
            continue
        pair = (consent.channel_id, consent.purpose)
        known = latest.setdefault(pair, consent)
        if known is not consent and _is_later(consent, known):
            latest[pair] = consent
    return latest


def refusal_words(answer: Consent | None) -> str:
    """Why there is no yes: nobody asked, or when and where the customer said no.

    Example:
        >>> refusal_words(None), refusal_words(Consent(channel_id="sms", purpose="x", is_granted=False, source="call"))
        ('no answer', 'refused, source call')
    """
    if answer is None:
        return "no answer"
    when = f" on {answer.recorded_at.date()}" if answer.recorded_at is not None else ""
    where = f", source {answer.source}" if answer.source is not None else ""
    return f"refused{when}{where}"


def is_profiled(inputs: Inputs) -> bool:
    """True where the customer's features may be looked at.

    The latest live word overrides the profile. Profiling is also an answer like any other, under the purpose
    `profiling` on whichever channel; a refusal there counts unless a later live word takes it back. In doubt it is no.
    """
    customer, word = inputs.customer, inputs.live.has_opted_out_of_profiling
    said = _profiling_answer(inputs.live.consents, inputs.now)
    if word is True or said is False:
        return False
    if word is False or said is True or customer is None:
        return True
    return not customer.has_opted_out_of_profiling and _profiling_answer(customer.consents, inputs.now) is not False


def _profiling_answer(consents: Iterable[Consent], now: datetime) -> bool | None:
    answers = [one for one in consents if one.purpose == PROFILING]
    if not answers:
        return None
    latest: Consent | None = None
    for consent in latest_answers(answers, now).values():
        if latest is None or _is_later(consent, latest):
            latest = consent
    return None if latest is None else latest.is_granted


def _is_later(consent: Consent, other: Consent) -> bool:
    """A total order of answers: by date, undated first, and at the same moment a no after a yes."""
    if consent.recorded_at == other.recorded_at:
        return not consent.is_granted
    if consent.recorded_at is None or other.recorded_at is None:
        return other.recorded_at is None
    return consent.recorded_at > other.recorded_at
