"""Who a decision is about, as known at the moment of deciding."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import NewType

from decisioning.rules.predicate import FactValue
from decisioning.value_class import value_class

CustomerId = NewType("CustomerId", str)

PROTECTIONS = frozenset({"deceased", "minor", "vulnerable", "legal_hold"})
"""People whom only mandatory messages may reach."""

PROFILING = "profiling"
"""Purpose of the answer that allows or refuses profiling; its channel does not matter."""


@value_class
class Consent:
    """One answer a customer gave for one channel and purpose.

    Attributes:
        channel_id: The channel it is for.
        purpose: What for: `marketing`, `service`, or another that the catalogue's offers name.
        is_granted: The answer. A consent that was never given is absent, and absent means no.
        recorded_at: When the answer was given (aware, UTC); None where the source did not say.
        source: Where it was given: a form, a call, an import.
    """

    channel_id: str
    purpose: str
    is_granted: bool
    recorded_at: datetime | None = None
    source: str | None = None


@value_class
class ToldAnswer:
    """When and where a customer told us something.

    Attributes:
        at: When (aware, UTC).
        source: Where: a form, a call.
    """

    at: datetime
    source: str


@value_class
class Customer:
    """What is known of a customer besides features.

    Attributes:
        customer_id: Stable identifier.
        attributes: Declared attributes by name; a missing one is absent or None.
        time_zone: IANA name; None where unknown.
        locale: BCP 47 tag; None where unknown.
        reachable_channels: Channels with a working address.
        consents: The latest answer per channel and purpose.
        unsubscribed_channels: Channels the customer has left since the profile was written (live state).
        household_id: Who shares a household; None where unknown.
        country: ISO 3166-1 alpha-2 code; None where unknown.
        plausible_zones: Where `time_zone` is None, the IANA zones that country and telephone number leave open.
        locale_zones: IANA zones of the locale's region; they count beside those of nobody known, and never instead.
        protections: Of `PROTECTIONS`, those in force.
        known_at: When the attributes became known that `told` does not name (aware, UTC); None if not recorded.
        told: Where attributes come from that the customer told us since, by name.
        has_opted_out_of_profiling: Gets choices that look at no feature of theirs, and no model learns from them.
        refused_at: As of when each of `protections`, and the opt-out under `profiling`, counts (aware, UTC): what was
            lifted before that is not lifted. Settled before a decision is made, so no record keeps it.
    """

    customer_id: CustomerId
    attributes: Mapping[str, FactValue]
    time_zone: str | None
    locale: str | None
    reachable_channels: frozenset[str]
    consents: tuple[Consent, ...]
    unsubscribed_channels: frozenset[str] = frozenset()
    household_id: str | None = None
    country: str | None = None
    plausible_zones: tuple[str, ...] = ()
    locale_zones: tuple[str, ...] = ()
    protections: frozenset[str] = frozenset()
    known_at: datetime | None = None
    told: Mapping[str, ToldAnswer] = field(default_factory=dict[str, ToldAnswer])
    has_opted_out_of_profiling: bool = False
    refused_at: Mapping[str, datetime] = field(default_factory=dict[str, datetime], compare=False)
