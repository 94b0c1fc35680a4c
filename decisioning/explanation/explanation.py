"""A decision in plain sentences for three readers, built from its record alone: no catalogue, no model.

The customer gets what the law requires (Art. 15 (1) (h) GDPR): what was decided, by what logic, which
data mattered and what they can do; no figures, and no names but those of offers. The agent is told what to say and what
to do. The auditor is told everything. Explaining changes nothing, and the same record gives the same sentences.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Action, Decision, Reason
from decisioning.explanation.agent_sentences import tell_agent
from decisioning.explanation.auditor_sentences import tell_auditor
from decisioning.explanation.customer_texts import CUSTOMER_TEXTS, CustomerTexts, language_of, spoken_channel
from decisioning.explanation.data_used import data_used, is_profiled
from decisioning.explanation.spoken_names import spoken

_MOST_REASONS = 3
_TOLD_BY_ITSELF = frozenset({Reason.HOLDOUT, Reason.PROGRAMME_HOLDOUT, Reason.UNKNOWN_CUSTOMER, Reason.CARE})


class Reader(StrEnum):
    """Reader of an explanation."""

    CUSTOMER = "customer"
    AGENT = "agent"
    AUDITOR = "auditor"


def explain_decision(decision: Decision, reader: Reader, locale: str | None = None) -> tuple[str, ...]:
    """A decision in sentences.

    Args:
        decision: As made, or as `record.decision_from_record` brings it back.
        reader: Who is told.
        locale: BCP 47 tag; None for the customer's own. Customers are told in English or German, others in English.

    Returns:
        Sentences in order. What agents and auditors read holds personal data.
    """
    if reader is Reader.AGENT:
        return tell_agent(decision)
    if reader is Reader.AUDITOR:
        return tell_auditor(decision)
    own = decision.inputs.customer.locale if decision.inputs.customer is not None else None
    return tell_customer(decision, language_of(locale or own))


def tell_customer(decision: Decision, language: str) -> tuple[str, ...]:
    """As `explain_decision` for the customer; `language` is one of `customer_texts.LANGUAGES`."""
    texts = CUSTOMER_TEXTS[language]
    sentences = [_what(decision, texts, language), _why(decision, texts), _others(decision, texts), texts.automatic]
    sentences += [*_data(decision, texts), texts.rights]
    if is_profiled(decision):
        sentences.append(texts.object_to_profiling)
    return tuple(sentence for sentence in sentences if sentence)


def _what(decision: Decision, texts: CustomerTexts, language: str) -> str:
    keys = (decision.message_key, *(position.message_key for position in decision.further))
    chosen = [parts for key in keys if key != SILENCE and (parts := message_parts(key)) is not None]
    if not chosen:
        return texts.held
    if len(chosen) > 1:
        return texts.sent_slate.format(offers=_joined((spoken(offer) for offer, _, _ in chosen), texts))
    offer_id, channel_id, _ = chosen[0]
    return texts.sent.format(offer=spoken(offer_id), channel=spoken_channel(channel_id, language))


def _why(decision: Decision, texts: CustomerTexts) -> str:
    why = texts.why_sent if decision.action is Action.SEND else texts.why_held
    if decision.reason is Reason.EXPERIMENT and len(decision.evaluated) > 1:
        return texts.why_sent[Reason.EXPERIMENT]  # silence was drawn among several
    return why.get(decision.reason, "")


def _others(decision: Decision, texts: CustomerTexts) -> str:
    """The reasons that kept most messages back."""
    if decision.reason in _TOLD_BY_ITSELF:
        return ""
    counts = Counter(texts.excluded.get(reason) for excluded in decision.excluded for reason in excluded.reasons)
    told = [words for words, _ in counts.most_common() if words is not None]
    return texts.others.format(reasons=_joined(told[:_MOST_REASONS], texts)) if told else ""


def _data(decision: Decision, texts: CustomerTexts) -> Sequence[str]:
    categories = [texts.category[one] for one in data_used(decision)]
    told = texts.data.format(categories=_joined(categories, texts)) if categories else texts.nothing_known
    return (told,) if is_profiled(decision) else (told, texts.not_profiled)


def _joined(things: Iterable[str], texts: CustomerTexts) -> str:
    """Things as people list them."""
    *first, last = things
    return f"{', '.join(first)} {texts.joined} {last}" if first else last
