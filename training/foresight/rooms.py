"""The prices of room under every cap of a catalogue, each believed only where it proves to pay.

Prices that are learned from some customers are played on the moments of others (`backtest`), in full and at half
strength. The better strength is kept where it gains beyond noise, and at least `LEAST_GAIN`, over sending whatever
pays; else the cap has no prices, and contacts are made as ever. The margin is for what a replay of logged moments
cannot see: a contact that is made earlier moves the customer earlier. Where many caps are tried, such as one on each
offer, each must be surer, so that one false alarm in forty runs is all that they make together.

A household's caps are not priced. Its next moment may be another member's, whose gains say nothing of this one's; a
chain over a household's moments would take them for one person's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import norm as normal

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import CapUnit
from decisioning.catalogue.message import MessageClass, MessageParts
from decisioning.choice.slot_pricing import PRICED_SCOPES
from decisioning.foresight.slots import SlotPrices
from decisioning.gates.contact_rules import TOUCH_SIDES, CapRule
from decisioning.policy import Policy
from decisioning.value_model import ValueModel
from features.history import History
from training.data.datasets import Dataset
from training.foresight.backtest import taken
from training.foresight.moments import Moments, Stepped, gains_of, moments_of, prospect_of, step_seconds_of, stepped
from training.foresight.slot_prices import PricedCap, solve_prices
from training.off_policy.choices import PolicyChoices, choose
from training.off_policy.estimators import mean_estimate

MOST_MOMENTS = 20_000
"""Decisions that moments are taken from, those of customers drawn at random."""

STRENGTHS = (0.0, 0.5, 1.0)
LEAST_GAIN = 0.02
"""Share of what contacts bring that prices must add to it."""

MOST_CAPS = 30
"""Caps that are tried, those whose contacts bring most: a cap on each offer may be many."""

_FALSE_ALARMS = 0.0125  # for the better of two strengths: 95 % both ways where one cap is tried
_FOLDS = 2
_DAY = 86_400.0
_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomReport:
    """What came of pricing one cap.

    Attributes:
        of: The one value that it counts; empty for all.
        strength: What is believed of the prices; 0 where they do not prove to pay.
        without_minor: What contacts bring a customer over the log where whatever pays is sent, as estimated.
        gain_minor: What prices add to that; None where it could not be asked.
        standard_error_minor: Of the gain.
        words: The same in a sentence.
    """

    cap_id: str
    of: str
    strength: float
    without_minor: float
    gain_minor: float | None
    standard_error_minor: float | None
    step_days: float
    words: str

    def plain(self) -> dict[str, Any]:
        """As a bundle's notes keep it."""
        return asdict(self)


def price_rooms(
    dataset: Dataset, history: History, catalogue: Catalogue, model: ValueModel
) -> tuple[tuple[SlotPrices, ...], tuple[RoomReport, ...]]:
    """Prices of room for every cap that has any worth pricing, and what came of each.

    Args:
        dataset: What the model learned from.
        history: The log as of that.
        catalogue: Says what is capped.
        model: What messages are worth by it.
    """
    caps = priced_caps(catalogue)
    horizon = 0.0 if catalogue.learning is None else catalogue.learning.horizon_days * _DAY
    if not caps or not horizon:
        return (), ()
    choices, customers, seconds, contacts = _decided(dataset, history, catalogue, model)
    slots, reports = list[SlotPrices](), list[RoomReport]()
    tried = _tried(caps, choices, catalogue) if len(customers) else []
    for cap, gains in tried:
        slot, report = price_room(cap, moments_of(customers, seconds, gains, contacts), horizon, tried=len(tried))
        reports.append(report)
        if slot is not None:
            slots.append(slot)
    return tuple(slots), tuple(reports)


def _tried(
    caps: Sequence[PricedCap], choices: PolicyChoices, catalogue: Catalogue
) -> list[tuple[PricedCap, FloatArray]]:
    """Caps with what their contacts bring, shape (n,) each: where there are too many, those that bring most."""
    counted = [(cap, _counted(choices.keys, cap, catalogue)) for cap in caps]
    found = [(cap, gains_of(choices.priorities, one)) for cap, one in counted if one.any()]
    totals = np.array([np.maximum(gains, 0.0).sum() for _, gains in found])
    kept = np.sort(np.argsort(-totals, kind="stable")[:MOST_CAPS])
    return [found[place] for place in kept.tolist()]


def price_room(
    cap: PricedCap, moments: Moments, horizon_seconds: float, *, tried: int = 1
) -> tuple[SlotPrices | None, RoomReport]:
    """The prices of one cap, None where they do not prove to pay.

    Args:
        cap: Whose room is priced.
        moments: Of the log.
        horizon_seconds: How far ahead is looked.
        tried: Caps that are tried in all.
    """
    step = step_seconds_of(moments, cap.window_seconds)
    found = stepped(moments, step)
    folds = np.random.default_rng(_SEED).integers(_FOLDS, size=int(moments.customers.max()) + 1)
    played = [_played(cap, moments, folds == fold, step, horizon_seconds) for fold in range(_FOLDS)]
    prospect = prospect_of(found, step)
    if prospect is None or any(one is None for one in played):
        return None, _report(cap, step, words="too few customers were decided about more than once, or no contact pays")
    customers = np.concatenate([one[0].customers for one in played if one is not None])
    gains = np.concatenate([one[1] for one in played if one is not None], axis=1)
    best = int(gains.sum(axis=1)[1:].argmax()) + 1
    per_customer = np.unique(customers).size
    gain = mean_estimate(gains[best] - gains[0], customers)
    scale = len(customers) / per_customer
    sure = float(normal.isf(_FALSE_ALARMS / tried))
    least = max(sure * gain.standard_error, LEAST_GAIN * float(gains[0].mean()))
    is_sure = gain.value > least > 0
    strength = STRENGTHS[best] if is_sure else 0.0
    report = _report(
        cap,
        step,
        strength=strength,
        without_minor=float(gains[0].sum()) / per_customer,
        gain_minor=gain.value * scale,
        standard_error_minor=gain.standard_error * scale,
        words="contacts wait for better moments" if is_sure else "waiting gains too little to be sure of: not priced",
    )
    return (solve_prices(cap, prospect, horizon_seconds, strength) if is_sure else None), report


def priced_caps(catalogue: Catalogue) -> tuple[PricedCap, ...]:
    """Caps on a customer's contacts that marketing counts in, one per value where each is counted alone."""
    return tuple(_priced_caps(catalogue))


def _priced_caps(catalogue: Catalogue) -> Iterator[PricedCap]:
    touches = [catalogue.touch(one) for one in _marketing(catalogue)]
    for cap in catalogue.contact_policy.caps:
        if cap.scope not in PRICED_SCOPES or cap.unit is not CapUnit.CUSTOMER or not cap.limit:
            continue
        if cap.scope not in catalogue.classes[MessageClass.MARKETING].counts_towards:
            continue
        values = sorted({str(TOUCH_SIDES[CapRule(cap).side](touch)) for touch in touches})
        for value in values if cap.of is None else [one for one in values if one == cap.of]:
            yield PricedCap(cap_id=cap.cap_id, of=value, limit=cap.limit, window_seconds=cap.window_seconds)


def _marketing(catalogue: Catalogue) -> list[MessageParts]:
    marketing = {name for name, offer in catalogue.offers.items() if offer.message_class is MessageClass.MARKETING}
    return [one.parts for one in catalogue.creatives if one.offer_id in marketing]


def _counted(keys: tuple[str, ...], cap: PricedCap, catalogue: Catalogue) -> BoolArray:
    """Columns of the choices that a cap counts, shape (k + 1,)."""
    side = CapRule(next(one for one in catalogue.contact_policy.caps if one.cap_id == cap.cap_id)).side
    touches = [catalogue.touch(one) for one in _marketing(catalogue)]
    counted = {touch.message_key for touch in touches if TOUCH_SIDES[side](touch) == cap.of}
    return np.array([key in counted for key in keys])


def _decided(
    dataset: Dataset, history: History, catalogue: Catalogue, model: ValueModel
) -> tuple[PolicyChoices, IntArray, FloatArray, BoolArray]:
    """Decisions of the log, decided again without books of contacts: whose, when, and whether each was a contact."""
    plain = replace(
        catalogue,
        holdout=None,
        programme_holdouts=(),
        experiments=(),
        switches=replace(catalogue.switches, levers=False),
    )
    policy = Policy(plain, "moments", unit=model.unit)
    ids = dataset.decisions.with_columns(customer=pl.Series(dataset.customers), action=pl.Series(dataset.actions))
    share, drawn = MOST_MOMENTS / max(dataset.size, 1), np.random.default_rng(_SEED)
    kept = drawn.random(int(dataset.customers.max()) + 1) < share
    ids = ids.filter(pl.Series(kept[dataset.customers])).select("decision_id", "customer", "action")
    only = sorted(catalogue.touchpoints)
    known = pl.col("touchpoint").is_in(only) | (pl.col("touchpoint").is_null() & (len(only) == 1))
    rows = history.decisions.join(ids, on="decision_id").filter(known).sort("decided_at", "decision_id")
    asked = rows.with_columns(
        starts_at=pl.col("decided_at"), ends_at=pl.col("decided_at") + timedelta(days=model.window_days)
    )
    choices = choose(history, asked, policy, model)
    seconds = asked["decided_at"].dt.epoch("us").to_numpy() / 1e6
    return choices, asked["customer"].to_numpy(), seconds, asked["action"].to_numpy() > 0


def _played(
    cap: PricedCap, moments: Moments, is_own: BoolArray, step: float, horizon_seconds: float
) -> tuple[Stepped, FloatArray] | None:
    """Moments of a fold and what contacts bring at each, shape (strengths, m), by prices learned from the others."""
    others, own = moments.take(~is_own[moments.customers]), moments.take(is_own[moments.customers])
    prospect = prospect_of(stepped(others, step), step) if others.size and own.size else None
    if prospect is None:
        return None
    found, slot = stepped(own, step), solve_prices(cap, prospect, horizon_seconds)
    return found, np.stack([taken(found, slot, strength) for strength in STRENGTHS])


def _report(cap: PricedCap, step: float, *, words: str, **figures: Any) -> RoomReport:
    usual: dict[str, Any] = {"strength": 0.0, "without_minor": 0.0, "gain_minor": None, "standard_error_minor": None}
    return RoomReport(cap_id=cap.cap_id, of=cap.of, step_days=step / _DAY, words=words, **(usual | figures))
