"""Who lives in the world: what drives them, which nobody sees, and what the airline knows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from examples.airline.flights import AIRPORTS
from examples.conversion import canonical

REGIONS = ("coast", "mountains", "city", "islands")
STATUSES = ("none", "silver", "gold")

CHANNELS: Mapping[str, tuple[float, float, float]] = {
    "email": (0.35, 0.95, 0.80),
    "sms": (0.50, 0.70, 0.45),
    "push": (0.40, 0.45, 0.65),
    "in_app": (0.35, 0.55, 0.85),
    "web": (0.35, 0.90, 0.90),
    "display": (0.12, 0.80, 0.70),
    "social_dm": (0.35, 0.40, 0.55),
    "direct_mail": (0.50, 0.85, 0.75),
    "call": (0.45, 0.70, 0.35),
    "airport_desk": (0.60, 1.00, 0.60),
    "event": (0.30, 0.85, 0.50),
}
"""Per channel: typical P(seen | delivered), share of customers with a working address, share of those who agreed to
marketing there. Customers differ in P(seen) by a standard deviation of 0.9 in log-odds.
"""

SERVICE_RATE = 0.97
"""Share of the reachable who agreed to service messages."""

UNPROFILED_RATE = 0.02
"""Share of customers who do not want to be profiled."""

_STREAM = 1  # of the seed's random numbers; weeks have later ones

_UNKNOWN_CHANNEL = (0.4, 0.4, 0.4)  # a channel that a catalogue adds

ZONES: Sequence[tuple[str | None, str | None, str, float]] = (
    ("America/New_York", "US", "en-US", 0.74),
    ("America/Chicago", "US", "en-US", 0.08),
    ("Europe/London", "GB", "en-GB", 0.04),
    ("Europe/Berlin", "DE", "de-DE", 0.03),
    ("Europe/Paris", "FR", "fr-FR", 0.02),
    (None, None, "en", 0.09),
)
"""Time zone, country, locale, share. Where nothing is known, the catalogue's zones for the unknown hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Customers as arrays of shape (n,), or (n, c) over the c channels.

    Attributes:
        channels: Names of the channels, in the order of the columns.
        affinity: Latent, in (0, 1): P(seen) of a message on a channel to a customer who is not tired.
        price_sensitivity: Latent, in (0, 1): how much a discount counts.
        curiosity: Latent, in (0, 1): how much inspiration counts.
        sociability: Latent, in (0, 1): tells friends, answers questions, writes in public.
        patience: Latent, in (0, 1): bears it when things go wrong.
        fatigue: Latent, 0 or more: how fast messages wear off.
        irritability: Latent: P(leaving all marketing | one seen message that fits and comes alone).
        dream_to_plan: Latent log-odds of the move in a week in which nobody says anything.
        plan_to_book: Likewise.
        lapse_to_dream: Likewise.
        trip_minor: What a trip contributes on average; the value tier.
        fare_minor: What the customer pays for it on average.
        region: Index into `REGIONS`.
        knows_region: The customer told which region they like.
        airport: Index into `AIRPORTS`.
        status: Index into `STATUSES`.
        has_children: Travels with children.
        zone: Index into `ZONES`.
        is_reachable: Shape (n, c).
        agrees: To marketing, shape (n, c); never where not reachable.
        agrees_to_service: Shape (n, c).
        is_unprofiled: Does not want to be profiled.
        joined_days: Days from joining to the beginning of the world.
    """

    channels: tuple[str, ...]
    affinity: FloatArray
    price_sensitivity: FloatArray
    curiosity: FloatArray
    sociability: FloatArray
    patience: FloatArray
    fatigue: FloatArray
    irritability: FloatArray
    dream_to_plan: FloatArray
    plan_to_book: FloatArray
    lapse_to_dream: FloatArray
    trip_minor: FloatArray
    fare_minor: FloatArray
    region: IntArray
    knows_region: BoolArray
    airport: IntArray
    status: IntArray
    has_children: BoolArray
    zone: IntArray
    is_reachable: BoolArray
    agrees: BoolArray
    agrees_to_service: BoolArray
    is_unprofiled: BoolArray
    joined_days: IntArray
    ids: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many customers there are, n."""
        return len(self.ids)

    def first(self, count: int) -> "Population":
        """The first customers alone; chance gives them the same lives."""
        names = [each.name for each in fields(self) if each.name != "channels"]
        return replace(self, **{name: getattr(self, name)[:count] for name in names})

    def customers(self, at: datetime) -> pl.DataFrame:
        """Canonical rows of `customers`, as known at a moment: nothing latent, and no answer that events tell."""
        recorded_at = [at - timedelta(days=days) for days in self.joined_days.tolist()]
        return canonical("customers", pl.DataFrame([self._row(i, joined) for i, joined in enumerate(recorded_at)]))

    def _row(self, index: int, joined_at: datetime) -> dict[str, Any]:
        zone, country, locale, _share = ZONES[self.zone[index]]
        reachable = [name for name, is_in in zip(self.channels, self.is_reachable[index], strict=True) if is_in]
        return {
            "customer_id": self.ids[index],
            "updated_at": joined_at,
            "joined_at": joined_at,
            "time_zone": zone,
            "locale": locale,
            "country": country,
            "channels": orjson.dumps(reachable).decode(),
            "consents": orjson.dumps(self._consents(index, joined_at)).decode(),
            "attributes": orjson.dumps(self._attributes(index)).decode(),
        }

    def _consents(self, index: int, at: datetime) -> list[dict[str, Any]]:
        common = {"recorded_at": at, "source": "signup"}
        given = [
            {"channel": name, "purpose": purpose, "granted": bool(answers[index, place]), **common}
            for place, name in enumerate(self.channels)
            if self.is_reachable[index, place]
            for purpose, answers in (("marketing", self.agrees), ("service", self.agrees_to_service))
        ]
        refusal = {"channel": "email", "purpose": "profiling", "granted": False, **common}
        return [*given, refusal] if self.is_unprofiled[index] else given

    def _attributes(self, index: int) -> dict[str, Any]:
        known = {"favourite_region": REGIONS[self.region[index]]} if self.knows_region[index] else {}
        return {
            **known,
            "home_airport": AIRPORTS[self.airport[index]],
            "status": STATUSES[self.status[index]],
            "travels_with_children": bool(self.has_children[index]),
        }


def draw_population(size: int, seed: int, catalogue: Catalogue) -> Population:
    """Draw customers, the same for the same size, seed and channels.

    Status and children are noisy shadows of what is latent: who spends more has more status, families look at prices.

    Raises:
        InvalidInputError: Nobody is to be drawn.
    """
    if size < 1:
        raise InvalidInputError(f"size must be at least 1, got {size}")
    rng = np.random.default_rng([seed, _STREAM])
    channels = tuple(sorted(catalogue.channels))
    affinity, reachable, consenting = np.array([CHANNELS.get(name, _UNKNOWN_CHANNEL) for name in channels]).T
    has_children = rng.random(size) < 0.3  # noqa: PLR2004 - declared here
    value = rng.normal(size=size)
    trip_minor = np.clip(5_500 * np.exp(0.45 * value), 2_000, 18_000)
    status = np.digitize(value + rng.normal(0, 0.7, size), (1.0, 1.9))
    price_sensitivity = squashed(0.2 + 0.5 * has_children - 0.5 * value + rng.normal(0, 1.0, size))
    is_reachable = rng.random((size, len(channels))) < reachable
    return Population(
        channels=channels,
        ids=tuple(f"P-{number:07d}" for number in range(size)),
        affinity=squashed(log_odds(affinity) + rng.normal(0, 0.9, (size, len(channels)))),
        price_sensitivity=price_sensitivity,
        curiosity=squashed(rng.normal(0, 1.2, size)),
        sociability=squashed(rng.normal(-0.3, 1.2, size)),
        patience=squashed(rng.normal(0.3, 1.0, size)),
        fatigue=rng.gamma(2.0, 0.25, size),
        irritability=0.003 * rng.gamma(2.0, 0.5, size),
        dream_to_plan=log_odds(0.06) + rng.normal(0, 0.6, size),
        plan_to_book=log_odds(0.13) + rng.normal(0, 0.5, size),
        lapse_to_dream=log_odds(0.03) + rng.normal(0, 0.5, size),
        trip_minor=trip_minor,
        fare_minor=2.2 * trip_minor,
        region=rng.integers(len(REGIONS), size=size),
        knows_region=rng.random(size) < 0.7,  # noqa: PLR2004 - declared here
        airport=rng.choice(len(AIRPORTS), size=size, p=(0.36, 0.33, 0.31)),
        status=status,
        has_children=has_children,
        zone=rng.choice(len(ZONES), size=size, p=[share for *_, share in ZONES]),
        is_reachable=is_reachable,
        agrees=is_reachable & (rng.random(is_reachable.shape) < consenting),
        agrees_to_service=is_reachable & (rng.random(is_reachable.shape) < SERVICE_RATE),
        is_unprofiled=rng.random(size) < UNPROFILED_RATE,
        joined_days=rng.integers(30, 2_000, size=size),
    )


def log_odds(rate: FloatArray | float) -> FloatArray:
    """Of a probability in (0, 1)."""
    return np.log(np.asarray(rate) / (1 - np.asarray(rate)))


def squashed(values: FloatArray) -> FloatArray:
    """The probability of log-odds."""
    return 1 / (1 + np.exp(-values))
